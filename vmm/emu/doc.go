// Package emu is a machine without hardware for it: an interpreter of x86-64 in user mode, and the
// reference for vmm/kvm. On amd64 it makes the host's own code of blocks that are executed often.
//
//	RIP ─▶ places (by virtual address) ─▶ kept (by physical address) ─▶ decode: x86.Inst ─▶ translate: steps
//	 ▲                                                                                            │
//	 └───────────────── exec: the steps of a block, one switch, flags when somebody asks ◀────────┘
//
// A block is straight code in one page, decoded once; it is used while its pages have the generation that it was decoded in, so a guest may
// write its own code. A comparison and the jump behind it are one step. Data accesses go through mmu.TLB.
//
// Of a block that was interpreted translateAfter times, vmm/emu/code makes the host's code. What that leaves to Go, exec does with the steps of the one
// instruction, and code goes on behind it.
//
//	           enter              links: direct jumps, made when they are first gone
//	runTranslated ─▶ block ─▶ block ─▶ block ─▶ …      indirect ones go through a table by address
//	           ▲      │ oneInstruction: exec
//	           └──────┴── count used up, page written, jump to what has no code: back to Run
//
// It promises that the same guest does the same after the same number of instructions, wherever it runs; that each instruction happens as a whole or
// not at all (repeated string instructions: each round; gathers: each number); and that what isn't done ends Run with vmm.ExitUnsupported and the bytes.
//
// Done is x86-64-v3: general instructions with BMI1, BMI2, LZCNT and MOVBE, x87 with its exceptions, MMX, SSE to SSE4.2 with all of MXCSR, AVX, AVX2, FMA, F16C, and
// XSAVE with XGETBV. Beyond it are ADX, AES, PCLMULQDQ and SHA. CPUID tells of all that, the same on every host, and C libraries, Go and Rust choose by it. Not done:
//
//   - AVX-512, VAES and VPCLMULQDQ with 256 bits, GFNI, XOP and FMA4.
//   - far jumps and returns, IRET, LSS and the like; selectors other than those that Linux gives (a load of one raises #GP).
//   - what CPUID doesn't tell of raises #UD, as on a processor without it: XSAVEOPT, XSAVEC, RDRAND, RDSEED, RDPID, RDFSBASE.
//
// Results are those of Intel's processors, bit by bit, where processors differ and programs can see it (RCPPS, RSQRTPS, which of two NaNs); flags that are
// undefined may be others. The transcendental functions of x87 are rounded right, which processors' own aren't always: these differ in the last place.
// FDP and FOP, which x87 keeps of its last instruction, stay 0.
//
// RDTSC counts instructions. ENTER and stores of more than 8 bytes fault before they have written anything, where processors may have written a part.
//
// Not checked: alignment by AC (but SSE's is), and the order that other processors see writes in, for there is one at a time.
//
// It starts no goroutines: Run runs in its caller's.
package emu

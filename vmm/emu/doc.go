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
// not at all (repeated string instructions: each round); and that what isn't done ends Run with vmm.ExitUnsupported and the bytes. That is now:
//
//   - MMX, FXSAVE, and vector instructions beyond SSE2: so CPUID tells of none of them.
//   - of x87: environments and whole states (FLDENV, FSAVE), BCD, FPREM, F2XM1, FYL2X and the trigonometric ones, FISTTP; control words of less
//     than 64 bits or with unmasked exceptions. The status word has the condition codes but for C1, and no exceptions.
//   - RCPPS and RSQRTPS, whose approximations differ between processors.
//   - LDMXCSR of other rounding than to nearest, of denormals as zeros, or of unmasked exceptions. The sticky bits of MXCSR aren't set.
//   - segment registers, far and privileged instructions, ENTER, INT n, RDRAND, string instructions with 32-bit addresses.
//
// Not checked: alignment by AC (but SSE's is), and the order that other processors see writes in, for there is one at a time.
//
// It starts no goroutines: Run runs in its caller's.
package emu

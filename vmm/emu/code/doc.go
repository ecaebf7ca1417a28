// Package code makes amd64 code of a guest's blocks, and keeps and enters it.
//
//	x86.Inst ─▶ Emitter: two passes, the second knows who sees which flags ─▶ asm: bytes ─▶ Memory
//
// Most instructions are written again with other registers: guest and host have the same ones. A guest's general registers stay in those of hostOf from block
// to block, flags in the host's until somebody may see them (flagsPlace), and an access to memory is looked up in an mmu.TLB first. What isn't known here,
// and what isn't quick — a page that isn't in the TLB, a fault, a division by 0 — is left to Go, one instruction from its beginning (ExitStep): so
// all that can go wrong is done in one place, and not here.
//
// XMM and YMM registers are the host's of the same numbers. Upper halves are moved at the doors only if one may not be 0 (Layout.Changed). Where the host has no AVX2, Go does what has VEX.
//
// The part of the stack that a block accesses is looked up once, at its beginning (window).
//
// It promises that the state at every exit is what interpreting has there, undefined flags and all; that nothing is accessed but what the TLB and Layout
// have; and that the host's processor has nothing to refuse. Who changes something looks at: who may see flags; what the host's instruction reads of memory,
// never more than was looked up, for behind it isn't the guest's; alignment and division.
//
// A Store keeps a machine's code, and knows where the jumps between its blocks lead and what page tables say so. It doesn't decide what is translated and when, nor
// when code is stale: vmm/emu does, and has nothing jump to it any more (Unlink). It starts no goroutines; Enter runs in its caller's, which
// isn't preempted meanwhile, so Layout.Count bounds it. Elsewhere than on Linux and amd64 Possible is false.
package code

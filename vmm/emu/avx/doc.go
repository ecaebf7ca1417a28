// Package avx is what the instructions with VEX do to registers and memory: AVX, AVX2, FMA and F16C, for a processor that has a memory. What they compute is
// vmm/emu/vector's.
//
//	x86.Inst ─▶ New: Step ─▶ Do: operands of registers or of the Processor's memory ─▶ vector.WideFunc ─▶ a register, memory, flags
//
// A YMM register is an XMM register and its upper half, which is kept apart: instructions of SSE leave it, those with VEX and 128 bits clear it. Changed tells whether
// there may be one that isn't 0.
//
// It promises that an instruction that faults leaves all as it was; of gathers alone the numbers that were read before stay, as on a processor.
//
// It starts no goroutines, and knows nothing of where instructions are and who counts them.
package avx

// Package vector is what the instructions of MMX, SSE up to SSE4.2, AVX, AVX2, FMA and F16C compute, and AES, PCLMULQDQ and SHA: of registers' contents, without a
// processor around them.
//
// Tables by x86.Vector have the functions: Funcs of whole numbers and moves, Floats of what looks at MXCSR, which a Unit keeps. WideOf makes of them what an instruction
// with VEX computes: half by half where it can, and else (across) of the whole.
// Results are those of Intel's processors bit by bit, also in the approximations.
//
// It is pure but for MXCSR: no memory, no clock, no goroutines.
package vector

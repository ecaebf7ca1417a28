// Package vector is what MMX's and SSE's instructions compute, up to SSE4.2, and AES, PCLMULQDQ and SHA: of registers' contents, without a processor around them.
//
// Tables by x86.Vector have the functions: Funcs of whole numbers and moves, Floats of what looks at MXCSR, which a Unit keeps.
// Results are those of Intel's processors bit by bit, also in the approximations.
//
// It is pure but for MXCSR: no memory, no clock, no goroutines.
package vector

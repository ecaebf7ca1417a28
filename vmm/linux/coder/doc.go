// Package coder makes bytes of numbers and lists, and takes them apart again: all little-endian, lists and bytes with their length (4 bytes) before them. What
// is read may be anybody's: lengths have bounds that the reader gives, and a Reader says once at the end whether all was well.
//
// It is pure: no goroutines.
package coder

// Package program reads the headers of a program: a static ELF64 file for x86-64 Linux, at fixed addresses or position-independent.
//
// What it refuses it names, with what to do about it: a dynamic program with its interpreter, another machine, segments that aren't in the file or not where
// programs live. The bytes may be anybody's. Pure: no state, no goroutines.
package program

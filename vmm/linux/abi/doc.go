// Package abi says what numbers and layouts a program for x86-64 Linux and its kernel speak in: errors, system calls, flags, structures.
//
// They are the guest's, and the same on every host: that's why they aren't taken from golang.org/x/sys/unix, which has those of the host.
// The names are the kernel's. A structure is a Go struct with Put, which writes its bytes, and, where programs hand it in, Get.
//
// Pure: no state, no goroutines. Put and Get want a slice of at least the structure's size (a constant beside it) and panic on a shorter one:
// whoever copies from and to the guest has checked the length.
package abi

// Package backend chooses the machine that programs run on: KVM where this host has it, else the emulator. Host says which, why, and what
// differs, for wherry doctor machine and for error messages.
//
// It starts no goroutines. The first call of New or Host tries small guests, which takes some milliseconds.
package backend

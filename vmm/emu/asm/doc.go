// Package asm writes amd64 instructions as bytes. It knows encodings (Intel SDM volume 2, chapter 2), and nothing of what is emulated.
//
//	prefix ─ REX ─ opcode ─ ModRM ─ SIB ─ displacement ─ immediate
//
// A Buffer holds code that will lie at an address that is known from the beginning, so that jumps out of it can be written. Jumps within it
// go to a Label, which is bound to a place before or after.
//
// It promises the shortest encoding of a displacement, and that a label that was used and not bound is told by Err, as is a distance that doesn't fit. It
// doesn't check that an instruction exists. It is pure.
package asm

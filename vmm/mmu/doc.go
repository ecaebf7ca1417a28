// Package mmu translates a guest's virtual addresses to guest-physical ones, by page tables in the guest's own memory.
//
//	virtual   63      48 47     39 38     30 29     21 20     12 11        0
//	          │ copies of │  PML4   │  PDPT   │   PD    │   PT    │  offset   │
//	          │  bit 47   │  512 × 8 bytes in a page, at each level │           │
//
//	entry     63 │ 62…52  │ 51…46    │ 45…12 │ 11…9   │ 8 │ 7  │ 6 │ 5 │ 4…3     │ 2  │ 1  │ 0
//	          NX │ unused │ reserved │ frame │ unused │ G │ PS │ D │ A │ caching │ US │ RW │ P
//
// Walk is the one walker: the emulator translates with it, and for KVM it reads on a guest's behalf what a system call points to. It is Intel's
// and AMD's walk (Intel SDM volume 3, 4.5) without protection keys, SMEP, SMAP and a fifth level. Builder makes tables. TLB keeps translations
// for the emulator, as host pointers.
//
// It promises never to read or write outside of the guest's slots, whatever is in the tables. It starts no goroutines and belongs to the one
// that owns the memory.
package mmu

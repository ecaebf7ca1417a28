// Package phys is a guest's physical memory: the middle one of the three layers of addresses.
//
//	guest virtual ──(vmm/mmu: page tables)──▶ guest physical ──(slots)──▶ host
//
// A slot is a range of guest-physical addresses backed by a mapping of this process, either empty or a private copy-on-write view of an Image, that many
// machines share. The host is asked for large pages behind an empty one, unless there is a budget. What no slot covers doesn't exist: every access is by an
// Addr and is checked, so nothing outside of its slots is reachable for a guest. (On hosts that aren't Linux each slot copies its image.)
//
// Of each page the Memory knows whether it is resident, was used lately (its second chance), was written since the last Restore (or some before it: LeaveWritten), and holds decoded
// code (whose generation changes when it is written). With a budget, a page that is loaded above it replaces another: clean pages go first and are
// loaded from the image again; written ones go to a swap store, if there is one, else the access fails with ErrBudget.
//
// A Memory belongs to the goroutine that runs its machine. It starts no goroutines. Two things go past it: what KVM's processors do with a
// slot's bytes, and so vmm/kvm tells it (Touched); and pointers that an emulator keeps, which it drops when OnEvict says so.
package phys

// Package linux runs an ordinary static Linux program in a machine: it is the kernel that the program sees.
//
//	program ──SYSCALL, fault, exception──▶ vmm.VCPU.Run ──Exit──▶ Process.Run ──▶ calls (a table by number)
//	                                                                 │               space:   areas, pages, mmap
//	                                                                 │               tasks    clone, futex, signals, time
//	                                                                 │               vmm/linux/file: descriptors and files
//	                                                                 └─ next task by turns, by time slice
//
// Load takes a static ELF64 program for x86-64 and a machine, and returns a Process; Run lets it go on until it exits, is killed, wants input that isn't
// there, passes a limit, can't ever go on, or the context is done. Then the caller may do something about it (WriteStdin, CloseStdin, Restore) and call
// Run again.
//
// Tasks are threads. One runs at a time, in the goroutine that called Run, by turns: it gives up the processor when it waits and when its slice is over. On
// a deterministic machine with virtual time, the same program with the same options and input does the same. fork and execve are ENOSYS.
//
// Memory is a list of areas, each with its protection and source. A page gets a frame when it is touched first, and a few around it with it. Page tables are
// never taken back by Restore: pages that the program mapped since stay in the tables, with the zeros that phys.Memory.Restore leaves. What
// munmap took away comes back as zeros. An unknown system call is ENOSYS and counted by name.
//
// Checkpoint keeps everything of a process but the contents of its memory, which phys.Image keeps; Restore takes the process back to it, and Resume starts
// a process from it in another machine whose memory has those images. The order of a reset: Machine.CollectDirty, phys.Memory.Restore, Process.Restore.
//
// It doesn't do processes (one a machine), a network, shared memory with anybody, priorities, stopping signals, or robust futexes with priority inheritance;
// asking for the time is a system call where the vDSO can't tell it (vmm/linux/vdso).
//
// It sees no more of a back end than vmm.Machine, so every test runs on all of them.
//
// A Process belongs to one goroutine; Stop may be called by any. It starts no goroutines.
package linux

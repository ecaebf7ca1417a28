// Package kvm is the machine on Linux's /dev/kvm: the guest's program runs on the processor itself, in user mode (CPL 3), without a kernel.
//
//	guest's program ──syscall──▶ stub page ──OUT──┐
//	       │ fault                                ├─▶ KVM_RUN returns ─▶ vmm.Exit
//	       └──IDT──▶ entry of its vector ──OUT────┘
//
// The monitor's own pages (stub, gates, a task segment for each processor) are a slot at the end of guest-physical memory, which the last entry of each root page
// table maps: Run puts it there. Programs can't write to them. On hosts whose ring 0 isn't native (KVM within a virtual machine without
// hardware page tables) SYSCALL stays at CPL 3, so that the stub has to be executable for programs, who win nothing by jumping there: it
// is a system call with RCX and R11 of their choice. A start-up probe (Probe) finds which kind of host this is.
//
// It promises the exits of vmm/emu, at the same instructions and with the same registers. What differs:
//
//   - Budget.CPU counts the thread's CPU time and is looked at every few milliseconds; Budget.Instructions isn't looked at.
//   - instructions are the processor's: what the emulator ends with ExitUnsupported mostly works. CPUID tells what the host has, see Caps.CPUIDTrapped.
//   - a write that page tables allow to where no memory is, or to a read-only slot, was done but for its effect: where it wasn't a plain store, its exit is
//     behind the instruction, and Exit.Addr the guest-physical address.
//   - page tables that map the monitor's own slot for programs give those programs ring 0 of their own machine. Nobody but a guest that
//     harms itself makes such.
//   - a memory budget is held when CollectDirty is called, not at each access, and a swap store isn't used: what a guest reads isn't known to us
//     (shadow paging sets accessed bits, hardware does where it likes). Clean pages go at the host's level.
//
// Dirty pages: KVM's log with manual protection is read and not cleared, so a page that was once written stays writable and counts as written at each
// CollectDirty; Cool clears it now and then. Page tables: see Machine.Flush. Extended states that SetExtended is given are loaded by the processor itself when
// it runs, in a page on its way to the program: see detour. That is no exit, and nothing that the program could tell from the state having been there.
//
// Run locks its goroutine to a thread while it runs, and Kick and the end of a budget interrupt that thread by SIGURG, which Go's runtime takes for its own
// preemption. While processors with a budget run, and a tenth of a second longer, one goroutine of the package looks for budgets that are over.
package kvm

// Package vmm says what a virtual machine is, for those who make one (vmm/kvm, vmm/emu) and for those who run programs in it (vmm/linux).
//
//	vmm/linux   a program's system calls, faults, threads          sees Exit and Regs, and nothing else of a back end
//	    │ Machine, VCPU, Exit
//	vmm/kvm │ vmm/emu
//	    └ vmm/mmu   page tables, their walk and its faults         both back ends
//	    └ vmm/phys  the guest's physical memory                    both back ends
//	    └ vmm/x86   registers and instructions
//
// A guest runs in user mode (CPL 3). What it can't do by itself ends Run with an Exit; whoever called Run does something about it, changes registers
// or memory, and calls Run again. The same program must have the same exits on both back ends, at the same instructions, but for Spent and Kicked.
//
// A Machine and its VCPUs belong to one goroutine, but for VCPU.Run, of which a back end with Caps.Parallel allows one a VCPU at a time, and
// VCPU.Kick, which anybody may call. This room starts no goroutines.
package vmm

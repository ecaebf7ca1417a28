package kvm

import (
	"math/bits"
	"time"

	"github.com/wherry/wherry/vmm/phys"
)

// Host is what KVM does on this host, as Probe has found.
type Host struct {
	// Ring0Native: SYSCALL leads to ring 0. Else the kernel emulates ring 0, and SYSCALL stays at CPL 3.
	Ring0Native bool
	// ShadowPaging: the kernel keeps page tables of its own; a switch of CR3 doesn't show changes.
	ShadowPaging bool
	// StaleEntries: a changed entry isn't seen at once.
	StaleEntries bool
	// FlushAll: what was mapped is only forgotten with everything else.
	FlushAll bool
	// CPUIDTrapped: CPUID says what it is told, not what the processor has.
	CPUIDTrapped bool
	// Debug: a single step by TF ends.
	Debug bool
	// RIPAtPort: after OUT the kernel has RIP at the instruction, not behind it.
	RIPAtPort bool
	// HostCounter: the guest's time-stamp counter is the host's, and that is good for a clock.
	HostCounter bool
	// ExitCost is CPU time for a system call's way to us and back.
	ExitCost time.Duration

	addrEnd phys.Addr // of guest-physical memory
	xcr0    uint64    // which extended states guests have
	cpuid   *cpuidTable
}

// AddressBits is how large guest-physical addresses are.
func (h Host) AddressBits() int { return bits.TrailingZeros64(uint64(h.addrEnd)) }

// States are the extended states that guests have, the bits of XCR0.
func (h Host) States() uint64 { return h.xcr0 }

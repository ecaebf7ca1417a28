package emu

import (
	"errors"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/emu/stops"
	"github.com/wherry/wherry/vmm/mmu"
)

// errBreakpoint ends a block before an instruction that has a breakpoint. A block that begins there is empty.
var errBreakpoint = errors.New("a breakpoint")

// SetStops implements vmm.Stopper. What runs costs nothing more for them: watched pages aren't kept in the TLB; but while something is watched blocks have one
// instruction each, so that the one that did it is the last.
func (m *Machine) SetStops(s vmm.Stops) {
	m.stops = stops.New(s)
	for _, c := range m.vcpus {
		c.flush()
	}
	clear(m.kept)
	m.store.Unlink()
}

// longest is how many instructions a block may have.
func (m *Machine) longest() uint64 {
	if m.stops.Watching() {
		return 1
	}
	return blockInstructionsMax
}

// CountFrom implements vmm.Counter.
func (m *Machine) CountFrom(n uint64) { m.first = n }

// pass executes the instruction at RIP, which has a breakpoint.
func (c *VCPU) pass() {
	c.blocks.places[placeOf(c.rip)] = nil
	t, fault := mmu.Walk(c.memory, c.space, c.rip, mmu.Execute)
	if fault != nil {
		c.fault(fault)
		return
	}
	delete(c.machine.kept, place{t.Addr, c.rip})
	c.machine.stops.Lifted = true
	c.step(1)
	c.machine.stops.Lifted = false
}

// accessed notes an access of n bytes at va, in one page, if they are watched: Run ends after the instruction.
func (c *VCPU) accessed(va uint64, n int, write bool) {
	near, hit := c.machine.stops.Accessed(va, n, write)
	if near {
		c.tlb.Forget(va)
	}
	if hit != nil {
		c.exit = vmm.Exit{Kind: vmm.ExitWatchpoint, Addr: hit.Addr}
	}
}

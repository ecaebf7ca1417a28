package emu

import (
	"errors"
	"slices"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
)

// errBreakpoint ends a block before an instruction that has a breakpoint. A block that begins there is empty.
var errBreakpoint = errors.New("a breakpoint")

// stops are where the machine's programs stop for a debugger: breakpoints are met when code is decoded, watched pages aren't kept in the TLB. What
// runs costs nothing more for them, but while something is watched blocks have one instruction each, so that the one that did it is the last.
type stops struct {
	breakpoints map[uint64]bool
	watches     []vmm.Watch
	lifted      bool // breakpoints, for one instruction
}

func (s *stops) at(va uint64) bool { return !s.lifted && s.breakpoints[va] }

// longest is how many instructions a block may have.
func (s *stops) longest() uint64 {
	if len(s.watches) > 0 {
		return 1
	}
	return blockInstructionsMax
}

// SetStops implements vmm.Stopper.
func (m *Machine) SetStops(s vmm.Stops) {
	m.stops = stops{watches: slices.Clone(s.Watches)}
	if len(s.Breakpoints) > 0 {
		m.stops.breakpoints = map[uint64]bool{}
	}
	for _, va := range s.Breakpoints {
		m.stops.breakpoints[va] = true
	}
	for _, c := range m.vcpus {
		c.flush()
	}
	clear(m.kept)
	m.store.Unlink()
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
	c.machine.stops.lifted = true
	c.step(1)
	c.machine.stops.lifted = false
}

// accessed notes an access of n bytes at va, in one page, if they are watched: Run ends after the instruction.
func (c *VCPU) accessed(va uint64, n int, write bool) {
	for i := range c.machine.stops.watches {
		w := &c.machine.stops.watches[i]
		if page := va >> phys.PageShift; page < w.Addr>>phys.PageShift || page > (w.Addr+w.Size-1)>>phys.PageShift {
			continue
		}
		c.tlb.Forget(va)
		if (write && w.Write || !write && w.Read) && va < w.Addr+w.Size && w.Addr < va+uint64(n) {
			c.exit = vmm.Exit{Kind: vmm.ExitWatchpoint, Addr: w.Addr}
		}
	}
}

package linux

import (
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/abi"
)

// Metrics are counts since Load or Resume.
type Metrics struct {
	Calls        map[string]uint64 // system calls by name
	Unknown      map[string]uint64 // those that aren't there, which were ENOSYS
	Exits        map[string]uint64 // of the machine, by kind
	Faults       uint64            // page faults that got pages
	Pages        uint64            // frames in use
	Switches     uint64            // from one task to another
	Preemptions  uint64            // runs that ended because the slice was over
	Signals      uint64            // given to a handler
	FutexWaits   uint64
	FutexWakes   uint64
	Tasks        int           // alive
	CPU          time.Duration // spent in Run since Load, Resume or Restore
	Instructions uint64        // executed since then, where they are counted
	Restores     uint64
}

type counters struct {
	calls                                          [abi.Calls]uint64
	unknown                                        map[abi.Call]uint64
	exits                                          [vmm.ExitShutdown + 1]uint64
	switches, preemptions, signals                 uint64
	futexWaits, futexWakes, restores, instructions uint64
	cpu                                            int64
}

// unknownMax bounds how many numbers that aren't system calls are told apart.
const unknownMax = 64

func (c *counters) miss(n abi.Call) {
	if c.unknown == nil {
		c.unknown = map[abi.Call]uint64{}
	}
	if _, ok := c.unknown[n]; !ok && len(c.unknown) >= unknownMax {
		n = abi.Call(abi.Calls)
	}
	c.unknown[n]++
}

// Metrics returns p's counts.
func (p *Process) Metrics() Metrics {
	c := &p.counters
	m := Metrics{
		Calls: map[string]uint64{}, Unknown: map[string]uint64{}, Exits: map[string]uint64{},
		Faults: p.space.Faults(), Pages: p.space.Pages(), Switches: c.switches, Preemptions: c.preemptions, Signals: c.signals,
		FutexWaits: c.futexWaits, FutexWakes: c.futexWakes, Tasks: len(p.tasks), CPU: time.Duration(c.cpu), Instructions: c.instructions,
		Restores: c.restores,
	}
	for i, n := range c.calls {
		if n > 0 {
			m.Calls[abi.Call(i).String()] = n
		}
	}
	for i, n := range c.unknown {
		m.Unknown[i.String()] = n
	}
	for i, n := range c.exits {
		if n > 0 {
			m.Exits[vmm.ExitKind(i).String()] = n
		}
	}
	return m
}

package tally

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

// Tally is the counts.
type Tally struct {
	Calls                                          [abi.Calls]uint64
	Unknown                                        map[abi.Call]uint64
	Exits                                          [vmm.ExitShutdown + 1]uint64
	Switches, Preemptions, Signals                 uint64
	FutexWaits, FutexWakes, Restores, Instructions uint64
	CPU                                            int64
}

// unknownMax bounds how many numbers that aren't system calls are told apart.
const unknownMax = 64

// Miss counts a call that isn't there.
func (c *Tally) Miss(n abi.Call) {
	if c.Unknown == nil {
		c.Unknown = map[abi.Call]uint64{}
	}
	if _, ok := c.Unknown[n]; !ok && len(c.Unknown) >= unknownMax {
		n = abi.Call(abi.Calls)
	}
	c.Unknown[n]++
}

// Metrics returns the counts, but for those of memory and tasks.
func (c *Tally) Metrics() Metrics {
	m := Metrics{
		Calls: map[string]uint64{}, Unknown: map[string]uint64{}, Exits: map[string]uint64{},
		Switches: c.Switches, Preemptions: c.Preemptions, Signals: c.Signals,
		FutexWaits: c.FutexWaits, FutexWakes: c.FutexWakes, CPU: time.Duration(c.CPU), Instructions: c.Instructions,
		Restores: c.Restores,
	}
	for i, n := range c.Calls {
		if n > 0 {
			m.Calls[abi.Call(i).String()] = n
		}
	}
	for i, n := range c.Unknown {
		m.Unknown[i.String()] = n
	}
	for i, n := range c.Exits {
		if n > 0 {
			m.Exits[vmm.ExitKind(i).String()] = n
		}
	}
	return m
}

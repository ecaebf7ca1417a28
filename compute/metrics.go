package compute

import (
	"maps"
	"time"

	"github.com/wherry/wherry/vmm/linux"
)

// Metrics are a program's counts since its name was deployed first, and how it is now.
type Metrics struct {
	Tenant     string            `json:"tenant"`
	Calls      uint64            `json:"calls"`
	Errors     map[string]uint64 `json:"errors"` // by the limit that was passed, or crash, response, client, start, machine, stop, queue
	CPU        time.Duration     `json:"cpu"`    // of calls
	Resets     uint64            `json:"resets"`
	DirtyPages uint64            `json:"dirty_pages"` // that resets took back
	Faults     uint64            `json:"faults"`      // of pages
	Exits      map[string]uint64 `json:"exits"`       // of machines, by kind
	ColdStarts uint64            `json:"cold_starts"` // calls that waited for the start of an instance
	Evictions  uint64            `json:"evictions"`   // of instances, for the memory of others
	Ready      int               `json:"ready"`
	Busy       int               `json:"busy"`
	Memory     int64             `json:"memory"`  // bytes charged: the snapshot and the instances
	Machine    string            `json:"machine"` // kvm or emulator
}

// counts are what Metrics counts.
type counts struct {
	calls, resets, dirty, coldStarts, evictions, faults uint64
	cpu                                                 time.Duration
	errors, exits                                       map[string]uint64
}

func (c *counts) fail(limit string) {
	if c.errors == nil {
		c.errors = map[string]uint64{}
	}
	c.errors[limit]++
}

// gone keeps what an instance did that is let go.
func (c *counts) gone(m linux.Metrics) {
	if c.exits == nil {
		c.exits = map[string]uint64{}
	}
	c.faults += m.Faults
	add(c.exits, m.Exits)
}

func add(to, from map[string]uint64) {
	for kind, n := range from {
		to[kind] += n
	}
}

// Metrics returns the programs' counts by name. What calls under way do is counted when they are over.
func (h *Host) Metrics() map[string]Metrics {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make(map[string]Metrics, len(h.programs))
	for name, p := range h.programs {
		c, v := &p.counts, p.current
		m := Metrics{
			Tenant: v.spec.Tenant, Calls: c.calls, Errors: maps.Clone(c.errors), CPU: c.cpu, Resets: c.resets, DirtyPages: c.dirty, Faults: c.faults,
			Exits: map[string]uint64{}, ColdStarts: c.coldStarts, Evictions: c.evictions, Ready: len(v.ready), Busy: v.busy, Memory: v.bytes, Machine: v.snapshot.Kind(),
		}
		add(m.Exits, c.exits)
		for i := range v.instances {
			if !i.busy {
				i.look()
			}
			m.Faults += i.seen.Faults
			m.Memory += i.bytes
			add(m.Exits, i.seen.Exits)
		}
		all[name] = m
	}
	return all
}

// Memory is what all programs are charged, in bytes, of Options.Memory.
func (h *Host) Memory() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.memory
}

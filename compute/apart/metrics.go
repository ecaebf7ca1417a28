//go:build linux

package apart

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/wherry/wherry/compute"
)

// countMax is how long who asks for the counts waits for a monitor to say them.
const countMax = 2 * time.Second

// kindsMax bounds the kinds of errors and exits of a program, which become labels.
const kindsMax = 100

// lostKind is the kind of errors of requests that a monitor didn't end.
const lostKind = "monitor"

// count asks for the counts, and reports whether there was an answer in time.
func (s *session) count(limit time.Duration) (answered bool) {
	ctx, cancel := context.WithTimeout(s.link.Context(), limit)
	defer cancel()
	var now map[string]compute.Metrics
	stream, err := s.link.Open(ctx, []byte{verbMetrics}, nil, true)
	if err == nil {
		err = readText(stream, &now)
		stream.Cancel(context.Canceled)
	}
	if err != nil {
		return ctx.Err() == nil || s.link.Context().Err() != nil
	}
	if slices.ContainsFunc(slices.Collect(maps.Values(now)), func(m compute.Metrics) bool { return len(m.Errors)+len(m.Exits) > kindsMax }) {
		return true // what was counted before holds
	}
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	if s.host.current == s {
		s.seen = now
	}
	return true
}

// Metrics returns the programs' counts by name, with those of monitors that have ended.
func (h *Host) Metrics() map[string]compute.Metrics {
	if s := h.live.Load(); s != nil {
		s.count(countMax)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make(map[string]compute.Metrics, len(h.programs))
	for name, p := range h.programs {
		m := h.before[name]
		if h.current != nil {
			m = sum(m, h.current.seen[name])
		}
		m.Errors = merge(m.Errors, nil)
		if n := h.lost[name]; n > 0 {
			m.Errors[lostKind] += n
			m.Calls += n
		}
		if m.Tenant = p.Tenant; m.Tenant == "" {
			m.Tenant = name
		}
		all[name] = m
	}
	return all
}

// sum is the counts of a, and of b what is now.
func sum(a, b compute.Metrics) compute.Metrics {
	b.Calls += a.Calls
	b.Errors = merge(a.Errors, b.Errors)
	b.CPU += a.CPU
	b.Resets += a.Resets
	b.DirtyPages += a.DirtyPages
	b.Faults += a.Faults
	b.Exits = merge(a.Exits, b.Exits)
	b.ColdStarts += a.ColdStarts
	b.Evictions += a.Evictions
	return b
}

func merge(a, b map[string]uint64) map[string]uint64 {
	all := map[string]uint64{}
	maps.Copy(all, a)
	for kind, n := range b {
		all[kind] += n
	}
	return all
}

// lose counts a request that a monitor was answering when it ended.
func (h *Host) lose(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.programs[name]; ok {
		h.lost[name]++
	}
}

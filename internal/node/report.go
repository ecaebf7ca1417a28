package node

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

const (
	// recentFor is how long a node reports on what it has adopted.
	recentFor = 5 * time.Minute
	holdsMax  = 512
)

// report says how the node is.
func (f *follower) report() {
	n := f.n
	r := feed.Report{
		At: time.Now().UTC(), Started: n.began.UTC(), Position: f.done, Version: n.o.Version, Program: n.program, Own: n.own, Roles: n.s.Roles,
		Refused: f.assembly.Refused(), Holds: map[string]uint64{}, Load: f.cpu.load(), Doors: map[string]string{},
	}
	if s := f.assembly.Snapshot(); s != nil {
		r.Config = s.Revision
	}
	for key, revision := range f.assembly.Recent(time.Now().Add(-recentFor), holdsMax) {
		r.Holds[key] = revision
	}
	for name := range f.watched {
		if ref, _, ok := f.assembly.Holds(feed.SiteKey(name)); ok {
			r.Holds[feed.SiteKey(name)] = ref.Revision
		}
	}
	for _, refusal := range r.Refused {
		if ref, _, ok := f.assembly.Holds(refusal.Key); ok {
			r.Holds[refusal.Key] = ref.Revision
		}
	}
	if ref, _, ok := f.assembly.Holds(feed.KeyNetwork); ok {
		r.Holds[feed.KeyNetwork] = ref.Revision
	}
	if f.upgrading.why != "" {
		r.Refused = append(r.Refused, feed.Refusal{Key: feed.KeySoftware, Ref: f.software, Why: f.upgrading.why})
	}
	for _, why := range f.assembly.Waiting() {
		r.Alerts = append(r.Alerts, "waits for "+why)
	}
	if f.upgrading.waits != "" {
		r.Alerts = append(r.Alerts, f.upgrading.waits)
	}
	if f.behind {
		r.Alerts = append(r.Alerts, "serves without having caught up with control")
	}
	if e := n.edge(); e != nil {
		r.Sites = append(r.Sites, sum(e.Tally().All()))
		for name := range f.watched {
			r.Sites = append(r.Sites, e.Tally().Read(name), e.Tally().ReadSynthetic(name))
		}
	}
	if n.open != nil {
		d := n.where()
		for name, at := range map[string]fmt.Stringer{"http": d.HTTP, "https": d.HTTPS, "http3": d.HTTP3, "dns": d.DNS, "portal": d.Portal, "mesh": d.Mesh} {
			if at != nil {
				r.Doors[name] = at.String()
			}
		}
	}
	n.tree.Report(r)
}

// cpuMeter measures the process.
type cpuMeter struct {
	at   time.Time
	used time.Duration
	rate float64
}

func (m *cpuMeter) load() feed.Load {
	now := time.Now()
	if now.Sub(m.at) >= beat {
		var usage syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil {
			used := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
			if !m.at.IsZero() {
				m.rate = float64(used-m.used) / float64(now.Sub(m.at))
			}
			m.at, m.used = now, used
		}
	}
	return feed.Load{CPU: m.rate, Memory: resident()}
}

// resident is how much memory the process has, in bytes.
func resident() int64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// programHash names the program that runs.
func programHash() (h feed.Hash) {
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return h
	}
	defer debug.FreeOSMemory() // it was a large file
	return feed.HashOf(data)
}

// prober asks the sites that are being rolled out, so that there is something to judge where no client asks.
type prober struct {
	busy chan struct{}
}

const (
	probeTimeout = 2 * time.Second
	probesAtOnce = 16
)

// probe sends a request of its own to each watched site, each second, as long as the former ones are answered.
func (f *follower) probe(ctx context.Context) {
	e := f.n.edge()
	if e == nil {
		return
	}
	if f.probing.busy == nil {
		f.probing.busy = make(chan struct{}, probesAtOnce)
	}
	for name := range f.watched {
		path := f.probePath(name)
		for range 2 {
			select {
			case f.probing.busy <- struct{}{}:
			default:
				return
			}
			go func() {
				defer func() { <-f.probing.busy }()
				ctx, cancel := context.WithTimeout(ctx, probeTimeout)
				defer cancel()
				_, _ = e.Synthetic(ctx, name, path) // the tally says how it went
			}()
		}
	}
}

// probePath is what a site's origins are asked for to see whether they are alive.
func (f *follower) probePath(name config.SiteName) string {
	s := f.assembly.Snapshot()
	for i := range s.Sites {
		if site := &s.Sites[i]; site.Name == name && site.Fetch.Health != nil {
			return site.Fetch.Health.Path
		}
	}
	return "/"
}

// sum is what all sites' clients got together.
func sum(all []feed.SiteTally) (t feed.SiteTally) {
	for _, s := range all {
		if s.Synthetic {
			continue
		}
		t.Requests, t.Errors, t.Hits = t.Requests+s.Requests, t.Errors+s.Errors, t.Hits+s.Hits
		for i, n := range s.Latency {
			if i == len(t.Latency) {
				t.Latency = append(t.Latency, 0)
			}
			t.Latency[i] += n
		}
	}
	return t
}

// stop waits for those under way.
func (p *prober) stop() {
	for range cap(p.busy) {
		p.busy <- struct{}{}
	}
}

package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/wherry/wherry/internal/cputime"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/snap"
)

// Isolation says after what a machine is taken back to its snapshot.
type Isolation string

// The isolations.
const (
	PerRequest    Isolation = "request"    // each call finds the machine as at the snapshot
	PerConnection Isolation = "connection" // each callsPerConnection calls do
	PerInstance   Isolation = "instance"   // never; what is measured at the start is a new instance, again and again
)

// callsPerConnection is how many calls a connection of Bench has.
const callsPerConnection = 10

// startsMax bounds how many instances Bench starts to measure that.
const startsMax = 100

// Work is what Bench measures.
type Work struct {
	Isolation Isolation
	Requests  int
	Idle      int // instances that wait, for their memory
	Input     []byte
}

// Spread is of CPU times, in microseconds.
type Spread struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	Mean float64 `json:"mean"`
}

// Report is what Bench found. Times are CPU time of the thread that ran the machine, the kernel's part included.
type Report struct {
	Machine   string            `json:"machine"`
	Isolation Isolation         `json:"isolation"`
	Requests  int               `json:"requests"`
	Call      Spread            `json:"call_us"`
	First     float64           `json:"first_call_us"`
	Reset     Spread            `json:"reset_us"`
	Start     Spread            `json:"start_us"`
	Boot      float64           `json:"boot_us"` // from the file to the first read of input
	Dirty     float64           `json:"dirty_pages"`
	Exits     float64           `json:"exits"`
	ExitKinds map[string]uint64 `json:"exit_kinds"`
	Faults    float64           `json:"faults"`
	Calls     map[string]uint64 `json:"system_calls"`
	Unknown   map[string]uint64 `json:"unknown_system_calls,omitempty"`
	Pages     uint64            `json:"guest_pages"`
	Idle      int               `json:"idle_instances,omitempty"`
	Instance  float64           `json:"instance_bytes,omitempty"` // of the host's memory, an idle one
	Output    int               `json:"output_bytes"`             // of the last call
	Memory    Replaced          `json:"memory_pages"`             // of the machine that was called
}

// Bench measures calls of the program.
func Bench(ctx context.Context, o Options, w Work) (report Report, err error) {
	runtime.LockOSThread() // whose time is taken
	defer runtime.UnlockOSThread()
	o.Linux.Stderr = io.Discard
	if w.Isolation == PerRequest {
		o.Linux.Env = append([]string{"GOGC=off"}, o.Linux.Env...) // memory that is thrown away needs no collection; of two the last one counts
	}
	before := cputime.Thread()
	s, err := o.snapshot(ctx)
	if err != nil {
		return Report{}, err
	}
	o.Machine = s.Kind()
	report = Report{Machine: s.Kind(), Isolation: w.Isolation, Requests: w.Requests, Boot: micros(cputime.Thread() - before)}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := report.starts(s, o, w); err != nil {
		return Report{}, err
	}
	i, err := s.Start(o.maker(), o.Linux)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	if err := report.calls(ctx, i, w); err != nil {
		return Report{}, err
	}
	report.Memory = replaced(i.Machine())
	return report, report.idle(s, o, w.Idle)
}

// starts measures new instances.
func (r *Report) starts(s *snap.Snapshot, o Options, w Work) error {
	var times []time.Duration
	for range min(w.Requests, startsMax) {
		before := cputime.Thread()
		i, err := s.Start(o.maker(), o.Linux)
		if err != nil {
			return err
		}
		times = append(times, cputime.Thread()-before)
		if err := i.Close(); err != nil {
			return err
		}
	}
	r.Start = spread(times)
	return nil
}

func (r *Report) calls(ctx context.Context, i *snap.Instance, w Work) error {
	var calls, resets []time.Duration
	var dirty int
	var first []byte
	for n := range w.Requests {
		before := cputime.Thread()
		c, err := i.Call(ctx, w.Input)
		after := cputime.Thread()
		if err != nil {
			return err
		}
		if !c.Answered() {
			return fmt.Errorf("call %d: the program %s", n+1, c.Stop)
		}
		if len(c.Output) == 0 {
			return fmt.Errorf("call %d: the program read the input and wants more: is it a whole request?", n+1)
		}
		calls = append(calls, after-before)
		if n == 0 {
			first = bytes.Clone(c.Output)
		} else if w.Isolation == PerRequest && len(first) != len(c.Output) {
			return fmt.Errorf("call %d was answered with %d bytes, the first one with %d: the program saw something else", n+1, len(c.Output), len(first))
		}
		r.Output = len(c.Output)
		if w.Isolation == PerRequest || w.Isolation == PerConnection && (n+1)%callsPerConnection == 0 {
			before := cputime.Thread()
			pages, err := i.Reset()
			if err != nil {
				return err
			}
			resets = append(resets, cputime.Thread()-before)
			dirty += pages
		}
	}
	r.First = micros(calls[0])
	r.Call, r.Reset = spread(calls), spread(resets)
	if len(resets) > 0 {
		r.Dirty = float64(dirty) / float64(len(resets))
	}
	r.count(i.Process().Metrics())
	return nil
}

func (r *Report) count(m linux.Metrics) {
	for _, n := range m.Exits {
		r.Exits += float64(n) / float64(r.Requests)
	}
	r.ExitKinds, r.Calls, r.Unknown, r.Pages = m.Exits, m.Calls, m.Unknown, m.Pages
	r.Faults = float64(m.Faults) / float64(r.Requests)
}

// idle starts n instances at once and takes the memory that they have of the host.
func (r *Report) idle(s *snap.Snapshot, o Options, n int) (err error) {
	if n == 0 {
		return nil
	}
	before, err := available()
	if err != nil {
		return err
	}
	var instances []*snap.Instance
	defer func() {
		for _, i := range instances {
			err = errors.Join(err, i.Close())
		}
	}()
	for range n {
		i, err := s.Start(o.maker(), o.Linux)
		if err != nil {
			return fmt.Errorf("instance %d: %w", len(instances)+1, err)
		}
		instances = append(instances, i)
	}
	after, err := available()
	if err != nil {
		return err
	}
	r.Idle, r.Instance = n, float64(before-after)/float64(n)
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / 1e3 }

func spread(ns []time.Duration) Spread {
	if len(ns) == 0 {
		return Spread{}
	}
	slices.Sort(ns)
	var sum time.Duration
	for _, t := range ns {
		sum += t
	}
	at := func(q float64) float64 { return micros(ns[int(q*float64(len(ns)))]) }
	return Spread{P50: at(.5), P99: at(.99), Mean: micros(sum) / float64(len(ns))}
}

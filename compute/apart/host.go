//go:build linux

package apart

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/internal/confine"
	"github.com/wherry/wherry/vmm/backend"
)

// Options of a Host.
type Options struct {
	// Compute is for the compute.Host in the monitor; Log, Said and Now stay here.
	Compute compute.Options
	// Command is how this program is started as a monitor: the arguments, its name first; `wherry monitor` when empty. It calls Monitor.
	Command []string
	// Env is the monitor's environment, beside what Go's runtime looks at.
	Env []string
	// UID and GID are who the monitor becomes where this process is root; 65534 when 0.
	UID, GID int
}

// Host is compute.Host, in a process of its own.
type Host struct {
	o    Options
	ctx  context.Context // ends with Close
	stop context.CancelCauseFunc
	work sync.WaitGroup // all goroutines

	changing sync.Mutex // from Prepare to Commit or Drop; taken before mu

	live  atomic.Pointer[session]         // answers, with all programs; nil: none does
	known atomic.Pointer[map[string]spec] // what must be known of programs to ask them

	mu          sync.Mutex // guards what follows
	changed     chan struct{}
	started     bool
	programs    map[string]compute.Program // that a monitor is to have, with their images
	generation  uint64                     // goes up when they change
	current     *session                   // that was started last; nil: it has ended
	trouble     error                      // why there is none
	served      bool                       // a monitor has answered
	again       backoff
	silence     time.Duration // after which a monitor that says nothing is ended
	restarts    uint64
	machine     backend.Host
	report      confine.Report
	before      map[string]compute.Metrics // of monitors that have ended
	lost        map[string]uint64          // requests that they were answering
	connections map[*compute.Connection]*connection
	connected   uint64 // the last number of one
}

// spec is what must be known of a program to ask it.
type spec struct {
	wall      time.Duration
	connected bool // it keeps memory for a client's connection
	tenant    string
}

// wallDefault is that of compute.Limits.
const wallDefault = 10 * time.Second

// New returns a Host without programs, and without a monitor.
func New(o Options) (*Host, error) {
	if _, err := compute.New(o.Compute); err != nil {
		return nil, err // rather now than in the monitor
	}
	if len(o.Command) == 0 {
		o.Command = []string{"wherry", "monitor"}
	}
	o.Compute.Log = cmp.Or(o.Compute.Log, slog.Default())
	h := &Host{
		o: o, changed: make(chan struct{}), programs: map[string]compute.Program{}, before: map[string]compute.Metrics{}, lost: map[string]uint64{},
		connections: map[*compute.Connection]*connection{}, silence: silenceMax,
	}
	h.known.Store(&map[string]spec{})
	h.ctx, h.stop = context.WithCancelCause(context.Background())
	return h, nil
}

// Run has programs answer until ctx is done. Calls under way fail then.
func (h *Host) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-h.ctx.Done():
	}
	return h.Close()
}

// Close ends the monitor.
func (h *Host) Close() error {
	h.stop(errStopping())
	h.work.Wait()
	return nil
}

func errStopping() error {
	return &fault.Error{Party: fault.Edge, Op: "run program", Status: http.StatusServiceUnavailable, Retry: true, Err: errors.New("the host stops")}
}

// begin has a monitor run from now on.
func (h *Host) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.started && h.ctx.Err() == nil {
		h.started = true
		h.work.Go(h.supervise)
	}
}

// tellLocked wakes those who wait for a monitor. The caller holds mu.
func (h *Host) tellLocked() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// await is a monitor that answers, with all programs. Who isn't patient gets why there is none.
func (h *Host) await(ctx context.Context, patient bool) (*session, error) {
	for {
		if s := h.live.Load(); s != nil {
			return s, nil
		}
		h.mu.Lock()
		changed, trouble := h.changed, h.trouble
		hopeless := !h.served || h.again.wait > 0
		h.mu.Unlock()
		switch {
		case h.live.Load() != nil:
			continue
		case !patient && trouble != nil && hopeless:
			return nil, trouble
		}
		select {
		case <-changed:
		case <-h.ctx.Done():
			return nil, context.Cause(h.ctx)
		case <-ctx.Done():
			if trouble != nil {
				return nil, &fault.Error{Party: fault.Edge, Op: "start program", Status: http.StatusServiceUnavailable, Retry: true, Err: trouble}
			}
			return nil, context.Cause(ctx)
		}
	}
}

// adopt has programs be those that a monitor is to have. by has them already; any other one is to get them before it answers.
func (h *Host) adopt(programs map[string]compute.Program, by *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.programs = programs
	h.generation++
	gone := func(name string) bool { _, ok := programs[name]; return !ok }
	maps.DeleteFunc(h.before, func(name string, _ compute.Metrics) bool { return gone(name) })
	maps.DeleteFunc(h.lost, func(name string, _ uint64) bool { return gone(name) })
	s := h.current
	if by != nil && s == by {
		by.whole = true
	}
	if s == nil || s == by {
		return
	}
	if h.live.CompareAndSwap(s, nil) {
		h.work.Go(func() { h.restore(s) })
	}
}

// know has programs be those that may be asked, and beside them others that may.
func (h *Host) know(programs map[string]compute.Program, beside map[string]spec) {
	specs := make(map[string]spec, len(programs)+len(beside))
	maps.Copy(specs, beside)
	for name, p := range programs {
		specs[name] = spec{wall: cmp.Or(p.Limits.Wall, wallDefault), connected: p.Isolation == compute.PerConnection, tenant: cmp.Or(p.Tenant, name)}
	}
	h.known.Store(&specs)
}

// Confinement is how the monitor that was started last is confined; nil: none was.
func (h *Host) Confinement() confine.Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.report
}

// Restarts is how often a monitor took the place of one that had ended.
func (h *Host) Restarts() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.restarts
}

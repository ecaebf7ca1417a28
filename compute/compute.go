package compute

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/backend"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/snap"
)

// Options of a Host.
type Options struct {
	Machine   backend.Kind     // the machine that programs run on; auto when empty
	Memory    int64            // bytes of all programs together, snapshots included; 1 GiB when 0
	Instances int              // most of one program; 16 when 0
	Workers   int              // calls that go on at the same time; GOMAXPROCS when 0. With fewer than that, who brings calls isn't kept waiting by those that compute
	Idle      time.Duration    // after which an instance that nobody asks is let go; a minute when 0
	Now       func() time.Time // time.Now when nil
	Log       *slog.Logger     // slog.Default() when nil
	// Gate answers what programs ask while they answer a request: at 10.0.0.1, or by the names edge and kv, over HTTP/1.1. Its requests' contexts have an
	// Asker, and end with the call at the latest; Run waits for it to return then. Nobody answers when nil: connections are refused.
	Gate http.Handler
	// Said takes what a program has written to standard error in a call, the beginning of it. Nobody does when nil.
	Said func(program, text string)

	exit time.Duration // what one of KVM's costs, for tests; it is measured when 0
}

// The defaults of Options.
const (
	budgetDefault    = 1 << 30
	instancesDefault = 16
	idleDefault      = time.Minute
)

const (
	programsMax = 10_000      // deployed at the same time
	sweepEvery  = time.Second // looks for idle instances
)

// Host has the programs of one edge.
type Host struct {
	options Options
	workers int
	kind    backend.Kind

	deploying sync.Mutex // one change of programs at a time; taken before mu

	mu       sync.Mutex // guards what follows and what programs, versions and instances say it does
	changed  *sync.Cond // a job came, an instance came back, the end
	programs map[string]*program
	queue    *shares
	parked   map[*job]*time.Timer // exchanges that wait for their program or client
	turning  map[*job]*turn       // calls that go on now
	pacer    *time.Timer          // of pace, while there are any; nil else
	memory   int64                // of snapshots and instances, as charged
	idle     int64                // of it, of instances that may be let go
	ended    bool                 // Run has returned, or Close was called
	exit     func() time.Duration // what one of KVM's costs, if both machines are here; 0 else

	gates *gates // nil without Options.Gate
}

// New returns a Host without programs. It answers while Run runs.
func New(o Options) (*Host, error) {
	kind, err := backend.ParseKind(string(o.Machine))
	if err != nil {
		return nil, err
	}
	if min(o.Memory, int64(o.Instances), int64(o.Workers), int64(o.Idle)) < 0 {
		return nil, errors.New("a host's memory, instances, workers and idle time are positive")
	}
	o.Memory, o.Instances, o.Idle = cmp.Or(o.Memory, budgetDefault), cmp.Or(o.Instances, instancesDefault), cmp.Or(o.Idle, idleDefault)
	o.Log = cmp.Or(o.Log, slog.Default())
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &Host{options: o, kind: kind, workers: cmp.Or(o.Workers, runtime.GOMAXPROCS(0)), programs: map[string]*program{}, queue: newShares(), parked: map[*job]*time.Timer{}, turning: map[*job]*turn{}}
	h.changed = sync.NewCond(&h.mu)
	h.exit = sync.OnceValue(func() time.Duration { return cmp.Or(o.exit, exits(kind)) })
	if o.Gate != nil {
		h.gates = newGates(h)
	}
	return h, nil
}

// machine makes machines of a kind.
func machine(kind backend.Kind) snap.Maker {
	return func(m *phys.Memory) (vmm.Machine, error) { return backend.New(kind, m) }
}

// Run works until ctx is done: then calls under way are stopped, and those that wait are answered with a fault, as are all that come later. It is called once.
func (h *Host) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, t := range h.turning {
			t.end()
		}
		h.changed.Broadcast()
	})()
	var answering sync.WaitGroup
	if h.gates != nil {
		answering.Go(h.gates.serve)
		defer answering.Wait()
		defer h.gates.close()
	}
	var workers sync.WaitGroup
	for range h.workers {
		workers.Go(func() { h.work(ctx) })
	}
	if h.exit() >= exitDear {
		workers.Go(func() { h.tryAll(ctx) })
	}
	ticks := time.NewTicker(sweepEvery)
	defer ticks.Stop()
	for ctx.Err() == nil {
		select {
		case <-ticks.C:
			h.sweep(h.options.Now())
		case <-ctx.Done():
		}
	}
	workers.Wait()
	h.refuseAll()
	return nil
}

// refuseAll answers those who wait, for nobody works any more.
func (h *Host) refuseAll() {
	h.mu.Lock()
	h.ended = true
	var begun []*job
	for j, timer := range h.parked {
		timer.Stop()
		delete(h.parked, j)
		begun = append(begun, j)
	}
	for j := h.queue.pop(anyJob); j != nil; j = h.queue.pop(anyJob) {
		if j.instance != nil {
			begun = append(begun, j)
		} else {
			j.way.tell(result{err: errStopping()})
		}
		h.queue.settle(j, 0)
	}
	h.mu.Unlock()
	for _, j := range begun {
		h.abandon(j)
	}
}

func anyJob(*job) bool { return true }

// Close removes all programs, after Run has returned.
func (h *Host) Close() error {
	h.deploying.Lock()
	defer h.deploying.Unlock()
	h.mu.Lock()
	h.ended = true
	var dying []*instance
	var over []*version
	for name, p := range h.programs {
		over = append(over, p.current)
		dying = append(dying, h.replace(p, nil)...)
		delete(h.programs, name)
	}
	h.mu.Unlock()
	h.bury(dying)
	for _, v := range over {
		h.finish(v)
	}
	h.refuseAll()
	return nil
}

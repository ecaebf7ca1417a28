package compute

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wherry/wherry/vmm/backend"
)

const (
	// exitDear is what an exit of KVM's costs at least where the emulator, which has none, may be cheaper: within virtual machines, not on bare metal.
	exitDear = 10 * time.Microsecond
	// exitDearest is what an exit costs where programs begin in the emulator. A call has one at least, a server's eight, and the first touch of a page often is one, too.
	exitDearest = 25 * time.Microsecond
	// recordSize calls are compared, the last of recordAfter, or those of the first recordTime: the first ones of each instance cost more, above all in the emulator, which
	// translates their code.
	recordSize  = 256
	recordAfter = 8 * recordSize
	recordTime  = 2 * time.Second
	// tryMost is what a call may cost on KVM for the emulator to be tried, which takes several times as long to compute; and in the emulator for KVM to be.
	tryMost = time.Millisecond
	// worthwhile is the part of the cost before that the cost on the machine that was tried may be, in percent.
	worthwhile = 80
)

// record is what the last calls of a version cost, in CPU time.
type record struct {
	costs []time.Duration // nil before the first call
	calls int
	all   time.Duration
}

func (r *record) add(cost time.Duration) {
	if r.costs == nil {
		r.costs = make([]time.Duration, recordSize)
	}
	r.costs[r.calls%recordSize] = cost
	r.calls++
	r.all += cost
}

// mean is that of the last calls, once there were enough.
func (r *record) mean() (mean time.Duration, ok bool) {
	for _, c := range r.costs {
		mean += c
	}
	return mean / time.Duration(max(min(r.calls, recordSize), 1)), r.calls >= recordAfter || r.all >= recordTime
}

// settle ends that v's machine is in question.
func (v *version) settle() { v.settled, v.record = true, record{} }

// note has the cost of a call count for the choice.
func (h *Host) note(v *version, cost time.Duration) {
	if !v.settled && h.exit() >= exitDear {
		v.record.add(cost)
	}
}

// exits is what an exit of KVM's costs on a host that has both machines, 0 where one is settled.
func exits(kind backend.Kind) time.Duration {
	host := backend.Find()
	if kind != backend.Auto || !host.KVM {
		return 0
	}
	return time.Duration(host.Details.ExitMicroseconds * float64(time.Microsecond))
}

// other is the machine that v isn't on.
func (v *version) other() backend.Kind {
	if v.snapshot.Kind() == string(backend.KVM) {
		return backend.Emulator
	}
	return backend.KVM
}

// worthTrying reports whether v, whose calls cost mean, may cost less on the other machine. Nobody's memory is lost for some microseconds.
func (v *version) worthTrying(mean time.Duration) bool {
	if v.other() == backend.KVM {
		return mean > tryMost
	}
	return mean <= tryMost && v.spec.Isolation != PerInstance
}

// choose ends trials that have had enough calls, and returns a version to try on the other machine, nil if there is none.
func (h *Host) choose() (try *version) {
	if !h.deploying.TryLock() {
		return nil // programs change: the next time
	}
	defer h.deploying.Unlock()
	var over []*version
	var dying []*instance
	h.mu.Lock()
	for _, p := range h.programs {
		v := p.current
		mean, ok := v.record.mean()
		switch {
		case !ok:
		case v.instead != nil:
			loser, lost := h.decide(v, mean)
			over, dying = append(over, loser), append(dying, lost...)
		case !v.worthTrying(mean):
			if v.other() == backend.KVM {
				v.settle()
			}
		case try == nil:
			try = v
		}
	}
	h.mu.Unlock()
	h.bury(dying)
	for _, v := range over {
		h.finish(v)
	}
	return try
}

// decide ends the trial of v, whose calls cost mean, and returns the version that has lost and its idle instances.
func (h *Host) decide(v *version, mean time.Duration) (loser *version, dying []*instance) {
	before := v.instead
	was, _ := before.record.mean()
	v.instead, before.kept = nil, false
	winner := v
	if mean*100 > was*worthwhile {
		winner = before
		before.over = false
		dying = h.replace(v.program, before)
	}
	winner.settle()
	h.options.Log.Info("both machines were tried with a program", "program", v.spec.Name, before.snapshot.Kind(), was, v.snapshot.Kind(), mean, "runs on", winner.snapshot.Kind())
	if winner == v {
		return before, nil
	}
	return v, dying
}

// try has a version of v's program on the other machine answer instead of v, which is kept until it is known what that costs.
func (h *Host) try(ctx context.Context, v *version) error {
	p := v.spec
	h.mu.Lock()
	if v.over || v.snapshot == nil {
		h.mu.Unlock()
		return nil
	}
	p.Image = v.snapshot.Image()
	kind := v.other()
	h.mu.Unlock()
	first, report, err := h.ready(ctx, p, v.hash, kind)
	if err != nil {
		h.mu.Lock()
		v.settle()
		h.mu.Unlock()
		return fmt.Errorf("trying program %q on the machine %s: %w", p.Name, kind, err)
	}
	h.deploying.Lock()
	defer h.deploying.Unlock()
	h.mu.Lock()
	other := v.over || v.program.current != v || h.ended || h.memory+report.Snapshot+p.Memory+overhead > h.options.Memory
	if v.kept = !other; other {
		v.settle()
	}
	h.mu.Unlock()
	if other {
		return errors.Join(first.machine.Close(), first.version.snapshot.Close())
	}
	first.version.instead = v
	h.install(first.version, first)
	return nil
}

// tryAll tries one program after another, until ctx is done.
func (h *Host) tryAll(ctx context.Context) {
	ticks := time.NewTicker(sweepEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		if v := h.choose(); v != nil {
			if err := h.try(ctx, v); err != nil && ctx.Err() == nil {
				h.options.Log.Warn("a program stays on its machine", "program", v.spec.Name, "error", err)
			}
		}
	}
}

package flows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/internal/linkem"
)

const (
	sampleEvery    = 100 * time.Millisecond
	completionsMax = 1 << 20 // of objects, for each flow
)

// LinkPlan is what RunLink measures.
type LinkPlan struct {
	Shape       linkem.Shape // of each direction
	Flows       []Flow
	Duration    time.Duration
	ObjectBytes int64 // 0: bulk
	Together    bool  // all over one link, instead of each kind alone
	Seed        uint64
}

// RunLink measures each kind alone, one after another, or all together.
func RunLink(ctx context.Context, plan LinkPlan) (*LinkReport, error) {
	report := &LinkReport{
		Link: describe(plan), Seconds: plan.Duration.Seconds(),
		ObjectBytes: plan.ObjectBytes, Together: plan.Together,
	}
	if err := linkem.Available(); err != nil {
		return nil, err
	}
	for _, f := range plan.Flows { // what can't be measured is known before the first measurement
		if _, err := transportOf(f.Kind, plan.ObjectBytes > 0); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Kind, err)
		}
	}
	groups := [][]Flow{plan.Flows}
	if !plan.Together {
		groups = slices.Collect(slices.Chunk(plan.Flows, 1))
	}
	for i, group := range groups {
		t, err := runGroup(ctx, plan, group, plan.Seed+uint64(i))
		if err != nil {
			return nil, err
		}
		report.Results = append(report.Results, t.results(group)...)
		if plan.Together {
			report.All = t.summary(report.Results)
		}
	}
	return report, nil
}

// leg is one flow of a measurement.
type leg struct {
	kind        string
	listener    listener
	session     session
	received    counter
	began       int64 // received when the clock started
	ended       int64 // received when it stopped
	completions []time.Duration
	samples     []sample
	final       Vitals
}

// sample is one flow at one time.
type sample struct {
	at         time.Duration
	received   int64
	vitals     Vitals
	queueBytes int
}

// track is one link with the flows that cross it.
type track struct {
	plan    LinkPlan
	cable   *linkem.Cable
	legs    []*leg
	elapsed time.Duration
	cpu     time.Duration    // of the process without the emulator
	carried time.Duration    // processor time of the emulator
	data    linkem.LinkStats // of the direction in which data goes
	missed  int64
}

// runGroup makes a link for the flows, runs them together and takes all down again.
func runGroup(ctx context.Context, plan LinkPlan, group []Flow, seed uint64) (t *track, err error) {
	lab := &linkem.Lab{}
	defer func() { err = errors.Join(err, lab.Close()) }()
	a, err := lab.Place("sender")
	if err != nil {
		return nil, err
	}
	b, err := lab.Place("receiver")
	if err != nil {
		return nil, err
	}
	shapes := []linkem.Shape{plan.Shape}
	cable, err := lab.Join(a, b, seed, shapes, shapes)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	running.Go(func() {
		if err := lab.Run(ctx); err != nil {
			cancel(err)
		}
	})
	t = &track{plan: plan, cable: cable}
	if err := t.run(ctx, group, placeSide{a, cable.A}, placeSide{b, cable.B}); err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// run dials all flows, lets them go together, and stops them.
func (t *track) run(ctx context.Context, group []Flow, from, to side) (err error) {
	serving, stopServing := context.WithCancel(ctx)
	var servers sync.WaitGroup
	defer servers.Wait()
	defer stopServing()
	defer t.hangUp()
	for _, f := range group {
		transport, err := transportOf(f.Kind, t.plan.ObjectBytes > 0)
		if err != nil {
			return err
		}
		for range f.Count {
			l, err := t.open(ctx, serving, &servers, transport, from, to)
			if err != nil {
				return fmt.Errorf("%s: %w", f.Kind, err)
			}
			l.kind = f.Kind
			t.legs = append(t.legs, l)
		}
	}
	return t.measure(ctx)
}

func (t *track) hangUp() {
	for _, l := range t.legs {
		l.session.close()
	}
}

// open makes one flow: its listener, which is served, and its session.
func (t *track) open(ctx, serving context.Context, servers *sync.WaitGroup, tr transport, from, to side) (*leg, error) {
	l := &leg{}
	var err error
	if l.listener, err = tr.listen(serving, to); err != nil {
		return nil, err
	}
	servers.Go(func() { l.listener.serve(serving, &l.received) }) // what fails here shows at the sender
	ctx, cancel := context.WithTimeout(ctx, handshakeMax)
	defer cancel()
	if l.session, err = tr.dial(ctx, from, l.listener.addr()); err != nil {
		return nil, err
	}
	if t.plan.ObjectBytes > 0 {
		if err := l.session.fetch(ctx, t.plan.ObjectBytes); err != nil { // warms the connection
			l.session.close()
			return nil, err
		}
	}
	return l, nil
}

func (t *track) measure(ctx context.Context) error {
	before := t.dataStats()
	cpu, carried, start := processCPU(), t.cable.CPU(), time.Now()
	ctx, cancel := context.WithDeadline(ctx, start.Add(t.plan.Duration))
	defer cancel()
	var flows sync.WaitGroup
	failures := make(chan error, len(t.legs))
	for _, l := range t.legs {
		l.began = l.received.bytes.Load()
		flows.Go(func() { failures <- l.work(ctx, t.plan.ObjectBytes) })
	}
	err := t.watch(ctx, start, failures)
	t.elapsed = time.Since(start)
	t.carried = t.cable.CPU() - carried
	t.cpu = processCPU() - cpu - t.carried
	t.data = t.dataStats().Since(before)
	missed, errMissed := t.cable.Missed()
	t.missed = missed
	cancel()
	flows.Wait()
	return errors.Join(err, errMissed)
}

// dataStats is of the direction in which the data goes: objects come from the second place.
func (t *track) dataStats() linkem.LinkStats {
	there, back := t.cable.Stats()
	if t.plan.ObjectBytes > 0 {
		return back
	}
	return there
}

// work is what one flow does until ctx is done.
func (l *leg) work(ctx context.Context, objectBytes int64) error {
	if objectBytes == 0 {
		return l.session.send(ctx, 0)
	}
	for ctx.Err() == nil && len(l.completions) < completionsMax {
		start := time.Now()
		if err := l.session.fetch(ctx, objectBytes); err != nil {
			return unlessDone(ctx, err)
		}
		l.completions = append(l.completions, time.Since(start))
		l.received.bytes.Add(objectBytes)
	}
	return nil
}

// watch takes samples until the time is over, or a flow fails before.
func (t *track) watch(ctx context.Context, start time.Time, failures <-chan error) error {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			t.sampleLast(time.Since(start))
			for _, l := range t.legs {
				l.ended = l.received.bytes.Load()
			}
			if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				return context.Cause(ctx)
			}
			return nil
		case err := <-failures:
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("a flow broke off: %w", err)
			}
		case <-tick.C:
			t.sample(time.Since(start))
		}
	}
}

// sample looks at all flows. A session that has been closed at the end has no vitals any more; its last ones stay.
func (t *track) sample(at time.Duration) {
	queued, queuedBack := t.cable.QueuedBytes()
	if t.plan.ObjectBytes > 0 {
		queued = queuedBack
	}
	for _, l := range t.legs {
		vitals := l.session.vitals
		if t.plan.ObjectBytes > 0 {
			vitals = l.listener.vitals
		}
		if v, err := vitals(); err == nil {
			l.final = v
		}
		l.samples = append(l.samples, sample{at, l.received.bytes.Load() - l.began, l.final, queued})
	}
}

// sampleLast leaves out one that would stand for next to no time.
func (t *track) sampleLast(at time.Duration) {
	if n := len(t.legs[0].samples); n == 0 || at-t.legs[0].samples[n-1].at > sampleEvery/2 {
		t.sample(at)
	}
}

// processCPU is user and system time of all threads of this process.
func processCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

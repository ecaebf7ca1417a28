package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

const (
	// headStart is how long a candidate is waited for alone; a dead machine mustn't hold up the next one.
	headStart = 300 * time.Millisecond
	triesMax  = 48 // of one search
	atOnceMax = 4
	// entriesAtOnce and bytesAtOnce bound what is kept with one write to the disk.
	entriesAtOnce, bytesAtOnce = 64, 1 << 20
	// ownFaultWait is how long to wait when this node itself couldn't keep what it was given, such as for a full disk.
	ownFaultWait = time.Second
)

// Why a parent is left; each is a label of the metric, by leftBecause.
var (
	errBetter     = errors.New("there is a better place")
	errCheckpoint = errors.New("a checkpoint was taken")
	errWithheld   = errors.New("others have more, and it didn't say so")
	errOwn        = errors.New("this node couldn't keep what it was given")
)

// following is a parent.
type following struct {
	candidate Candidate
	stream    *Stream
	cancel    context.CancelCauseFunc // ends the stream
	path      []config.NodeID         // Tree.mu protects it
	since     time.Time
}

func (f *following) close() {
	f.cancel(nil)
	f.stream.Close()
}

// follow keeps the node at a parent.
func (t *Tree) follow(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		f := t.takeBetter()
		if f == nil {
			f = t.search(ctx)
		}
		if f == nil {
			failures++
			if failures == 5 {
				t.o.Log.Warn("no node can be reached that passes on the feed: going on with what is known")
			}
			wait(ctx, jitter(backoff(failures)))
			continue
		}
		failures = 0
		err := t.takeFrom(ctx, f)
		if ctx.Err() == nil {
			t.judge(f, err)
		}
	}
	if f := t.takeBetter(); f != nil {
		f.close()
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (t *Tree) takeBetter() *following {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.better
	t.better = nil
	return f
}

// attempt is what came of asking a candidate.
type attempt struct {
	candidate Candidate
	found     *following
	err       error
}

// search asks candidates in their order until one takes this node; nil if none does. It asks the next one when one has refused, or
// hasn't answered for a moment.
func (t *Tree) search(ctx context.Context) *following {
	ready, later := t.triable()
	queue := append(ready, later...)
	ctx, stop := context.WithCancel(ctx)
	results := make(chan attempt, triesMax)
	var asked sync.WaitGroup
	var found *following
	tried := map[string]bool{}
	pending := 0
	for found == nil && ctx.Err() == nil && (len(queue) > 0 || pending > 0) {
		for len(queue) > 0 && tried[queue[0].Address] {
			queue = queue[1:]
		}
		if len(queue) > 0 && pending < atOnceMax && len(tried) < triesMax {
			c := queue[0]
			tried[c.Address] = true
			pending++
			asked.Go(func() {
				f, err := t.open(ctx, c)
				results <- attempt{c, f, err}
			})
		} else if pending == 0 {
			break
		}
		select {
		case a := <-results:
			pending--
			if found = a.found; found == nil {
				queue = append(t.refusedBy(ctx, a), queue...)
			}
		case <-time.After(headStart):
		case <-ctx.Done():
		}
	}
	stop()
	asked.Wait()
	for len(results) > 0 { // of those who were asked too
		if a := <-results; a.found != nil {
			a.found.close()
		}
	}
	return found
}

// triable returns the candidates of the moment.
func (t *Tree) triable() (ready, later []Candidate) {
	candidates := t.candidates()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.standing.order(candidates, t.o.Now())
}

// refusedBy remembers what came of a, and returns whom it named instead.
func (t *Tree) refusedBy(ctx context.Context, a attempt) []Candidate {
	if ctx.Err() != nil {
		return nil
	}
	t.o.Log.Debug("a node can't be the parent", "node", a.candidate.Node, "address", a.candidate.Address, "why", a.err)
	now := t.o.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	var r *refusal
	if !errors.As(a.err, &r) && !errors.Is(a.err, errLoop) {
		t.standing.failed(a.candidate.Address, now)
		return nil
	}
	t.standing.refused(a.candidate.Address, now)
	if r == nil || r.Status != http.StatusServiceUnavailable {
		return nil
	}
	var instead []Candidate
	for _, c := range r.Children {
		if c.Address != "" && c.Node != t.o.Self && len(c.Address) <= nameMax+6 {
			instead = append(instead, Candidate{c.Node, c.Address, TierCluster})
		}
	}
	ready, _ := t.standing.order(instead, now)
	return ready
}

// open asks c for the feed. The stream lives until close, whatever becomes of ctx once it is there.
func (t *Tree) open(ctx context.Context, c Candidate) (*following, error) {
	streamCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	s, err := OpenLog(streamCtx, t.o.Transport, c.Address, t.o.Keeper.Position())
	if !stop() && err == nil {
		s.Close()
		err = context.Cause(ctx)
	}
	if err == nil {
		if err = t.fits(c, s); err != nil {
			s.Close()
		}
	}
	if err != nil {
		cancel(err)
		return nil, err
	}
	return &following{candidate: c, stream: s, cancel: cancel, path: s.Hello.Path}, nil
}

// fits checks that a node is who it should be, and not below this one.
func (t *Tree) fits(c Candidate, s *Stream) error {
	h := &s.Hello
	if c.Node != "" && c.Node != h.Node {
		return fmt.Errorf("it is %s instead of %s", h.Node, c.Node)
	}
	if t.o.Answered != nil {
		if id, ok := t.o.Answered(s.response); !ok || id != h.Node {
			return fmt.Errorf("%w: it says that it is %s, and its certificate %s", errForged, h.Node, id)
		}
	}
	return t.fitsPath(h.Path)
}

func (t *Tree) fitsPath(path []config.NodeID) error {
	if above(path, t.o.Self) {
		return errLoop
	}
	if len(path) >= depthMax {
		return fmt.Errorf("%w: there are %d nodes above it", errLoop, len(path)-1)
	}
	return nil
}

// takeFrom takes the feed from f and sends reports to it until the stream ends.
func (t *Tree) takeFrom(ctx context.Context, f *following) error {
	defer context.AfterFunc(ctx, func() { f.cancel(context.Cause(ctx)) })()
	upCtx, stopUp := context.WithCancel(ctx)
	var up sync.WaitGroup
	f.since = t.o.Now()
	t.mu.Lock()
	t.parent = f
	t.move()
	t.mu.Unlock()
	t.heard(&f.stream.Hello.Beat)
	t.reports.under(f.stream.Hello.Node)
	up.Go(func() { t.keepSendingUp(upCtx, f.candidate.Address, false) })
	t.o.Log.Info("following", "parent", f.stream.Hello.Node, "tier", f.candidate.Tier, "depth", len(f.path))

	err := t.takeFrames(f)
	t.mu.Lock()
	t.parent = nil
	t.move()
	t.mu.Unlock()
	stopUp()
	f.close()
	up.Wait()
	return err
}

// move tells all who wait for it that the path has changed. t.mu is held.
func (t *Tree) move() {
	close(t.moved)
	t.moved = make(chan struct{})
	depth := 0
	if t.parent != nil {
		depth = len(t.parent.path)
	}
	t.o.Metrics.depth.Set(float64(depth))
}

func (t *Tree) takeFrames(f *following) error {
	var entries []feed.Signed
	bytes := 0
	for {
		frame, err := f.stream.Next()
		if err == nil {
			t.touch()
		}
		if len(entries) > 0 && (err != nil || frame.Kind != KindEntry) {
			if err := t.insist(f, func() error { return t.apply(entries) }); err != nil {
				return err
			}
			entries, bytes = nil, 0
		}
		if err != nil {
			return err
		}
		switch frame.Kind {
		case KindObject:
			t.riding.add(frame.Hash, frame.Object)
		case KindCheckpoint:
			return t.insist(f, func() error { return t.reset(frame.Checkpoint) })
		case KindBeat:
			if err := t.takeBeat(f, &frame.Beat); err != nil {
				return err
			}
		case KindEntry:
			entries, bytes = append(entries, frame.Entry), bytes+len(frame.Entry.Bytes)
			if f.stream.more() && len(entries) < entriesAtOnce && bytes < bytesAtOnce {
				continue
			}
			if err := t.insist(f, func() error { return t.apply(entries) }); err != nil {
				return err
			}
			entries, bytes = nil, 0
		}
	}
}

// insist does what this node may be unable to do for now, such as for a full disk, until it can. It stays with its parent meanwhile, which
// isn't at fault, and reports the position that it has.
func (t *Tree) insist(f *following, do func() error) error {
	for said := false; ; said = true {
		err := do()
		t.mu.Lock()
		t.stuck = errors.Is(err, errOwn)
		t.mu.Unlock()
		if !errors.Is(err, errOwn) {
			return err
		}
		if !said {
			t.o.Log.Error("the feed can't be kept: trying again until it can", "err", err)
		}
		f.stream.watch.timer.Reset(silenceMax)
		wait(f.stream.ctx, ownFaultWait)
		if f.stream.ctx.Err() != nil {
			return context.Cause(f.stream.ctx)
		}
	}
}

func (t *Tree) touch() {
	now := t.o.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = now
}

func (t *Tree) takeBeat(f *following, b *Beat) error {
	if b.Path[0] != f.stream.Hello.Node {
		return fmt.Errorf("%w: its path begins with %s", errFrame, b.Path[0])
	}
	if err := t.fitsPath(b.Path); err != nil {
		return err
	}
	t.heard(b)
	t.reports.again(t.o.Now(), beatInterval/2)
	t.mu.Lock()
	defer t.mu.Unlock()
	if fmt.Sprint(f.path) != fmt.Sprint(b.Path) {
		f.path = b.Path
		t.move()
	}
	return nil
}

// heard takes from a parent's beat when control was there.
func (t *Tree) heard(b *Beat) {
	now := t.o.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = now
	if at := now.Add(-time.Duration(max(0, b.AwayMS)) * time.Millisecond); !b.Never && at.After(t.contact) {
		t.contact = at
	}
}

// apply gives entries to the keeper, which verifies them.
func (t *Tree) apply(entries []feed.Signed) error {
	taken, err := t.o.Keeper.Append(entries...)
	if errors.Is(err, feed.ErrOld) {
		// Some or all are known from the parent before. Which, the keeper says one by one.
		for _, e := range entries {
			var one []feed.Entry
			if one, err = t.o.Keeper.Append(e); err != nil && !errors.Is(err, feed.ErrOld) {
				break
			}
			taken, err = append(taken, one...), nil
		}
	}
	t.o.Metrics.entries.Add(float64(len(taken)))
	if putErr := t.riding.keep(t.o.Keeper, taken); putErr != nil {
		t.o.Log.Warn("an object couldn't be kept; it is asked for again when it is needed", "err", putErr)
	}
	return keepFault(err)
}

// keepFault tells what the parent did wrong from what this node couldn't do.
func keepFault(err error) error {
	if err == nil || errors.Is(err, feed.ErrGap) || errors.Is(err, feed.ErrForged) || errors.Is(err, feed.ErrFork) {
		return err
	}
	return fmt.Errorf("%w: %w", errOwn, err)
}

func (t *Tree) reset(c feed.Checkpoint) error {
	before := t.o.Keeper.Position()
	err := t.o.Keeper.Reset(c)
	if errors.Is(err, feed.ErrOld) || err == nil && t.o.Keeper.Position() == before {
		return fmt.Errorf("%w: its checkpoint isn't newer than what is here", errWithheld)
	}
	if err := keepFault(err); err != nil {
		return err
	}
	t.batches.forget()
	t.o.Metrics.resets.Inc()
	t.o.Log.Info("took a checkpoint", "position", t.o.Keeper.Position(), "before", before)
	return errCheckpoint
}

// judge remembers how it went with a parent that was left.
func (t *Tree) judge(f *following, err error) {
	if cause := context.Cause(f.stream.ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	now, why := t.o.Now(), leftBecause(err)
	t.o.Metrics.parents.WithLabelValues(why).Inc()
	level := t.o.Log.Info
	t.mu.Lock()
	s, address := t.standing, f.candidate.Address
	if now.Sub(f.since) >= steadyTime {
		s.worked(address)
	}
	switch why {
	case "forged":
		level = t.o.Log.Warn
		s.ban(address, penaltyTime, now)
	case "withheld", "broken":
		level = t.o.Log.Warn
		s.ban(address, withholdTime, now)
	case "loop":
		s.refused(address, now)
	case "lost", "silent":
		s.failed(address, now)
	}
	t.mu.Unlock()
	level("left the parent", "parent", f.stream.Hello.Node, "address", address, "because", why, "err", err)
	if why == "silent" {
		// Its connection may stand still for minutes; another try needs another one.
		if c, ok := t.o.Transport.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}

// leftBecause is err as a label.
func leftBecause(err error) string {
	for _, c := range [...]struct {
		err error
		why string
	}{
		{errBetter, "better"},
		{errCheckpoint, "checkpoint"},
		{errWithheld, "withheld"},
		{errLoop, "loop"},
		{errSilent, "silent"},
		{feed.ErrForged, "forged"},
		{feed.ErrFork, "forged"},
		{errForged, "forged"},
		{feed.ErrGap, "broken"},
		{errFrame, "broken"},
		{io.EOF, "lost"},
	} {
		if errors.Is(err, c.err) {
			return c.why
		}
	}
	return "lost"
}

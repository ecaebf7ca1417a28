package tree

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/wherry/wherry/config"
)

const (
	takenAtOnce, bytesTakenAtOnce = 256, 1 << 20
	// What a child may send: for itself and each node below it so many reports and bytes a second, and so many bytes for itself.
	reportsPerNode = 64
	bytesPerNode   = 64 << 10
	bytesPerChild  = 1 << 20
	// floodSeconds is for how long of that it may send at once.
	floodSeconds = 4
)

func (t *Tree) serveReports(w http.ResponseWriter, r *http.Request, who asker) {
	from := sender{who.id, who.root && t.o.Root}
	if refused := t.admitReporter(from, who); refused != nil {
		t.refuse(w, refused)
		return
	}
	me := &child{who.id, who.cancel}
	t.mu.Lock()
	if before := t.reporters[who.id]; before != nil {
		before.cancel(errReplaced)
	}
	t.reporters[who.id] = me
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.reporters[who.id] == me {
			delete(t.reporters, who.id)
		}
	}()
	control := http.NewResponseController(w)
	ended := make(chan struct{})
	stop := context.AfterFunc(r.Context(), func() {
		defer close(ended)
		control.SetReadDeadline(time.Now()) // a read that waits returns
	})
	err := t.takeReports(from, bufio.NewReaderSize(r.Body, 4<<10))
	if !stop() {
		<-ended
		err = errors.Join(context.Cause(r.Context()), err)
	}
	t.o.Log.Debug("a stream of reports has ended", "node", who.id, "why", err)
	switch {
	case errors.Is(err, errFlood):
		t.o.Log.Warn("a node floods this one with reports: not listening to it for a while", "node", who.id, "for", bannedTime, "why", err)
		t.cut(who.id, errFlood, bannedTime)
		t.refuse(w, &refusal{Status: http.StatusTooManyRequests, Why: err.Error()})
	case errors.Is(err, errFrame):
		t.refuse(w, &refusal{Status: http.StatusBadRequest, Why: err.Error()})
	default:
		w.WriteHeader(http.StatusOK)
	}
}

// admitReporter lets children send reports, and roots to a root.
func (t *Tree) admitReporter(from sender, who asker) *refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	if who.id == t.o.Self {
		return &refusal{Status: http.StatusLoopDetected, Why: "that is this node itself"}
	}
	if t.children[who.id] == nil && !from.root {
		return &refusal{Status: http.StatusConflict, Why: "it doesn't follow this node: ask for the log first"}
	}
	return nil
}

// takeReports takes reports until they end, or are too many.
func (t *Tree) takeReports(from sender, in *bufio.Reader) error {
	l := newLimits()
	for {
		batch, err := readReports(in)
		sum := 0
		for _, b := range batch {
			sum += frameHead + len(b)
		}
		now := t.o.Now()
		b := t.reports.take(from, batch, t.above(), now)
		for what, n := range b.became {
			t.o.Metrics.reports.WithLabelValues(what).Add(float64(n))
		}
		l.speaksFor(now, b.nodes)
		// A relay that comes with all of its nodes doesn't flood: they are counted by NodesMax.
		if err := l.allow(now, len(batch)-b.fresh, sum-b.freshBytes); err != nil && !from.root {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readReports reads at least one report, and those that have come with it.
func readReports(in *bufio.Reader) (batch [][]byte, err error) {
	size := 0
	for len(batch) == 0 || in.Buffered() > 0 && len(batch) < takenAtOnce && size < bytesTakenAtOnce {
		kind, payload, err := readFrame(in)
		if err != nil {
			return batch, err
		}
		if kind != KindReport {
			return batch, fmt.Errorf("%w: kind %d among reports", errFrame, kind)
		}
		batch, size = append(batch, payload), size+len(payload)
	}
	return batch, nil
}

// above returns the nodes above this one.
func (t *Tree) above() []config.NodeID {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.parent == nil {
		return nil
	}
	return slices.Clone(t.parent.path)
}

// limits say when a child floods. What it may send grows with the nodes that it is known to speak for.
type limits struct {
	reports, bytes *rate.Limiter
	nodes          int
}

func newLimits() *limits {
	l := &limits{reports: rate.NewLimiter(0, 0), bytes: rate.NewLimiter(0, 0)}
	l.set(time.Time{}, 1)
	return l
}

func (l *limits) set(now time.Time, nodes int) {
	l.nodes = nodes
	r, b := reportsPerNode*nodes, bytesPerChild+bytesPerNode*nodes
	l.reports.SetLimitAt(now, rate.Limit(r))
	l.reports.SetBurstAt(now, floodSeconds*r+takenAtOnce)
	l.bytes.SetLimitAt(now, rate.Limit(b))
	l.bytes.SetBurstAt(now, floodSeconds*b+bytesTakenAtOnce+reportMax)
}

// speaksFor takes for how many nodes the child was believed.
func (l *limits) speaksFor(now time.Time, nodes int) {
	if nodes = max(1, nodes); nodes != l.nodes {
		l.set(now, nodes)
	}
}

func (l *limits) allow(now time.Time, reports, bytes int) error {
	if !l.reports.AllowN(now, reports) {
		return fmt.Errorf("%w: more than %d reports a second for %d nodes", errFlood, reportsPerNode*l.nodes, l.nodes)
	}
	if !l.bytes.AllowN(now, bytes) {
		return fmt.Errorf("%w: more than %.0f bytes a second for %d nodes", errFlood, float64(l.bytes.Limit()), l.nodes)
	}
	return nil
}

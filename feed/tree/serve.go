package tree

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

const (
	// writeTimeout is how long a child may take for writeStep bytes.
	writeTimeout = 10 * time.Second
	writeStep    = 64 << 10
	// bannedTime is how long a child that flooded isn't taken again.
	bannedTime = 30 * time.Second
)

// Why a child is cut; the words are also the label of the metric.
var (
	errReplaced = errors.New("it came again")
	errFlood    = errors.New("it floods")
	errLoop     = errors.New("it is above this node")
	errStopped  = errors.New("this node stops")
)

// child is a node that follows this one.
type child struct {
	id     config.NodeID
	cancel context.CancelCauseFunc
}

// served lets only nodes of the network in, and only while Run runs.
func (t *Tree) served(f func(http.ResponseWriter, *http.Request, asker)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, roles, ok := t.o.Peer(r)
		if !ok {
			t.refuse(w, &refusal{Status: http.StatusForbidden, Why: "only nodes of the network are answered: show a certificate of it"})
			return
		}
		now := t.o.Now()
		t.mu.Lock()
		run, banned := t.run, t.banned[id].After(now)
		t.mu.Unlock()
		switch {
		case run == nil:
			t.refuse(w, &refusal{Status: http.StatusServiceUnavailable, Why: errStopped.Error()})
		case banned:
			t.refuse(w, &refusal{Status: http.StatusTooManyRequests, Why: "it has flooded this node, which listens again in a while"})
		default:
			ctx, cancel := context.WithCancelCause(r.Context())
			defer cancel(nil)
			defer context.AfterFunc(run, func() { cancel(errStopped) })()
			f(w, r.WithContext(ctx), asker{id, slices.Contains(roles, feed.RoleControl), cancel})
		}
	}
}

// asker is the node that a request comes from.
type asker struct {
	id     config.NodeID
	root   bool
	cancel context.CancelCauseFunc // of the request
}

func (t *Tree) refuse(w http.ResponseWriter, r *refusal) {
	r.Node = t.o.Self
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.Status)
	json.NewEncoder(w).Encode(r)
}

// parsePosition reads EPOCH.SEQ.
func parsePosition(text string) (p feed.Position, err error) {
	epoch, seq, ok := strings.Cut(text, ".")
	if p.Epoch, err = strconv.ParseUint(epoch, 10, 64); err == nil && ok {
		p.Seq, err = strconv.ParseUint(seq, 10, 64)
	}
	if err != nil || !ok {
		return p, fmt.Errorf("%.50q isn't a position: want EPOCH.SEQ", text)
	}
	return p, nil
}

func (t *Tree) serveHello(w http.ResponseWriter, _ *http.Request, _ asker) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(t.hello())
}

func (t *Tree) serveLog(w http.ResponseWriter, r *http.Request, who asker) {
	after, err := parsePosition(r.URL.Query().Get("after"))
	if err != nil {
		t.refuse(w, &refusal{Status: http.StatusBadRequest, Why: err.Error()})
		return
	}
	c := &child{who.id, who.cancel}
	if refused := t.admit(c); refused != nil {
		t.o.Metrics.refused.WithLabelValues(strconv.Itoa(refused.Status)).Inc()
		t.refuse(w, refused)
		return
	}
	defer t.release(c)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(http.StatusOK)
	out := &sink{w: w, control: http.NewResponseController(w), t: t}
	err = t.sendLog(r.Context(), out, c, after)
	if cause := context.Cause(r.Context()); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	t.o.Log.Debug("a child's stream has ended", "node", c.id, "why", err)
}

// admit takes c among the children, unless there is no place or it is above this node.
func (t *Tree) admit(c *child) *refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.id == t.o.Self || t.parent != nil && above(t.parent.path, c.id) {
		return &refusal{Status: http.StatusLoopDetected, Why: errLoop.Error()}
	}
	before, again := t.children[c.id]
	if !again && len(t.children) >= t.o.ChildrenMax {
		return &refusal{Status: http.StatusServiceUnavailable, Why: "no place left: ask its children", Children: t.redirects(c.id)}
	}
	if again {
		before.cancel(errReplaced)
	}
	t.children[c.id] = c
	t.o.Metrics.children.Set(float64(len(t.children)))
	t.reports.joined(c.id)
	return nil
}

// redirects names some of the children with their addresses. t.mu is held.
func (t *Tree) redirects(asks config.NodeID) []Redirect {
	var all []Redirect
	for id := range t.children { // in no order, so that those who come together are spread
		if n, ok := t.roster.node(id); ok && id != asks && n.Mesh != "" {
			all = append(all, Redirect{id, n.Mesh})
		}
		if len(all) == redirectsMax {
			break
		}
	}
	return all
}

func (t *Tree) release(c *child) {
	now := t.o.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.children[c.id] != c {
		return // it came again
	}
	delete(t.children, c.id)
	if r := t.reporters[c.id]; r != nil {
		r.cancel(errors.New("it doesn't follow this node any more"))
	}
	t.o.Metrics.children.Set(float64(len(t.children)))
	t.reports.left(c.id, now)
}

// cut ends a child's stream and, if d isn't 0, doesn't take it again for so long.
func (t *Tree) cut(id config.NodeID, why error, d time.Duration) {
	now := t.o.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.children[id]; c != nil {
		c.cancel(why)
	}
	if r := t.reporters[id]; r != nil {
		r.cancel(why)
	}
	t.o.Metrics.cut.WithLabelValues(why.Error()).Inc()
	if d == 0 {
		return
	}
	for other, until := range t.banned {
		if !until.After(now) {
			delete(t.banned, other)
		}
	}
	t.banned[id] = now.Add(d)
}

// sendLog sends what comes after a position until the child is cut, or has got a checkpoint: then it comes again with its new position.
func (t *Tree) sendLog(ctx context.Context, out *sink, c *child, after feed.Position) error {
	if err := out.send(appendJSON(nil, KindHello, t.hello())); err != nil {
		return err
	}
	for ctx.Err() == nil {
		changed := t.o.Keeper.Changed()
		_, moved, pulse := t.beat()
		for after.Before(t.o.Keeper.Position()) && ctx.Err() == nil {
			b, ok := t.batches.after(ctx, t, after)
			if !ok {
				return t.sendCheckpoint(out)
			}
			if err := out.send(b.frames); err != nil {
				return err
			}
			after = b.to
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
			continue
		case <-moved:
		case <-pulse:
		}
		b, _, _ := t.beat()
		if above(b.Path[1:], c.id) {
			return errLoop
		}
		if err := out.send(appendJSON(nil, KindBeat, b)); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func (t *Tree) sendCheckpoint(out *sink) error {
	c, err := t.newestCheckpoint()
	if err != nil {
		return err
	}
	return out.send(appendSigned(nil, KindCheckpoint, c.Signature, c.Bytes))
}

// sink writes to a child, which has a time for each step.
type sink struct {
	w       http.ResponseWriter
	control *http.ResponseController
	t       *Tree
}

func (s *sink) send(data []byte) error {
	// HTTP/2 ends a stream whose deadline passes even while nothing is written.
	defer s.control.SetWriteDeadline(time.Time{})
	for step := range slices.Chunk(data, writeStep) {
		// A writer that has no deadlines is a test's.
		if err := s.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		n, err := s.w.Write(step)
		s.t.o.Metrics.sent.Add(float64(n))
		if err != nil {
			return err
		}
	}
	return s.control.Flush()
}

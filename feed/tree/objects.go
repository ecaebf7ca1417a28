package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
)

const (
	objectsAtOnce = 64
	objectMax     = 256 << 20
	// objectWait is for the first byte, which may have to come down all of the tree; after it silenceMax holds.
	objectWait    = 30 * time.Second
	objectSources = 3
	hopsField     = "Wherry-Feed-Hops"
)

var errNoSource = errors.New("no node can be reached that has it")

// Object returns an object: from the keeper, else from the parent, verified and kept.
func (t *Tree) Object(ctx context.Context, h feed.Hash) ([]byte, error) { return t.object(ctx, h, 0) }

func (t *Tree) object(ctx context.Context, h feed.Hash, hops int) ([]byte, error) {
	for {
		object, err := t.held(h)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			t.o.Metrics.objects.WithLabelValues("held").Inc()
			return object, err
		}
		fetched, lead := t.fetching.join(h)
		if lead {
			object, err := t.fetch(ctx, h, hops)
			t.fetching.leave(h)
			return object, err
		}
		select {
		case <-fetched: // by whom may have failed because nobody waits there any more
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if object, err := t.held(h); err == nil {
			return object, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// held returns an object that is here.
func (t *Tree) held(h feed.Hash) ([]byte, error) {
	object, err := t.o.Keeper.Object(h)
	if err != nil {
		if rides, ok := t.riding.get(h); ok {
			return rides, nil
		}
	}
	return object, err
}

// fetching are the objects that are on their way. Each is asked for once.
type fetching struct {
	mu sync.Mutex // protects what follows
	by map[feed.Hash]chan struct{}
}

func (f *fetching) join(h feed.Hash) (fetched <-chan struct{}, lead bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.by[h]; ok {
		return c, false
	}
	if f.by == nil {
		f.by = map[feed.Hash]chan struct{}{}
	}
	f.by[h] = make(chan struct{})
	return nil, true
}

func (f *fetching) leave(h feed.Hash) {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.by[h])
	delete(f.by, h)
}

func (t *Tree) fetch(ctx context.Context, h feed.Hash, hops int) ([]byte, error) {
	object, err := t.fetchAnywhere(ctx, h, hops)
	how := "fetched"
	if err != nil {
		how = "failed"
	}
	t.o.Metrics.objects.WithLabelValues(how).Inc()
	if err != nil {
		return nil, err
	}
	return object, t.o.Keeper.PutObject(h, object)
}

func (t *Tree) fetchAnywhere(ctx context.Context, h feed.Hash, hops int) ([]byte, error) {
	if t.o.Root {
		return t.fetchAtRoot(ctx, h)
	}
	if hops >= depthMax {
		return nil, fault.New(fault.Peer, "fetch object", http.StatusLoopDetected, errLoop)
	}
	err := errNoSource
	for _, c := range t.sources() {
		var object []byte
		if object, err = t.fetchFrom(ctx, c, h, hops+1); err == nil {
			return object, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if errors.Is(err, errForged) {
			t.avoid(c, err)
		}
	}
	var r *refusal
	if errors.As(err, &r) && r.Status == http.StatusNotFound {
		return nil, fmt.Errorf("object %s: %w", h, fs.ErrNotExist)
	}
	return nil, &fault.Error{Party: fault.Peer, Op: "fetch object", Status: http.StatusServiceUnavailable, Retry: true, Err: err}
}

func (t *Tree) fetchAtRoot(ctx context.Context, h feed.Hash) ([]byte, error) {
	if t.o.Fetch == nil {
		return nil, fmt.Errorf("object %s: %w", h, fs.ErrNotExist)
	}
	object, err := t.o.Fetch(ctx, h)
	if err == nil && feed.HashOf(object) != h {
		return nil, fmt.Errorf("object %s: %w", h, errForged)
	}
	return object, err
}

// sources returns whom to ask for an object: the parent, then control.
func (t *Tree) sources() []Candidate {
	ready, _ := t.triable()
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []Candidate
	if t.parent != nil {
		all = append(all, t.parent.candidate)
	}
	for _, c := range ready {
		if c.Tier == TierRoot && (len(all) == 0 || c.Address != all[0].Address) && len(all) < objectSources {
			all = append(all, c)
		}
	}
	return all
}

// avoid leaves a node that gave what isn't what was asked for.
func (t *Tree) avoid(c Candidate, err error) {
	now := t.o.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.standing.ban(c.Address, penaltyTime, now)
	t.o.Log.Warn("a node gave a forged object", "node", c.Node, "address", c.Address, "err", err)
	if t.parent != nil && t.parent.candidate.Address == c.Address {
		t.parent.cancel(errForged)
	}
}

func (t *Tree) fetchFrom(ctx context.Context, c Candidate, h feed.Hash, hops int) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(objectWait, func() { cancel(errSilent) })
	defer timer.Stop()
	response, err := get(ctx, hopping{t.o.Transport, hops}, c.Address, pathObjects+h.String(), nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	size := response.ContentLength
	if size < 0 || size > objectMax {
		return nil, fmt.Errorf("%w: an object of %d bytes", errFrame, size)
	}
	object, err := readSized(&watchdog{response.Body, timer}, int(size))
	if err == nil && feed.HashOf(object) != h {
		err = fmt.Errorf("object %s: %w", h, errForged)
	}
	return object, err
}

// hopping says in each request how many nodes it has come through, so that none runs in a circle while the tree is rearranged.
type hopping struct {
	http.RoundTripper
	hops int
}

func (h hopping) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set(hopsField, strconv.Itoa(h.hops))
	return h.RoundTripper.RoundTrip(r)
}

func (t *Tree) serveObject(w http.ResponseWriter, r *http.Request, who asker) {
	var h feed.Hash
	if err := h.UnmarshalText([]byte(r.PathValue("hash"))); err != nil {
		t.refuse(w, &refusal{Status: http.StatusBadRequest, Why: err.Error()})
		return
	}
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	default:
		t.refuse(w, &refusal{Status: http.StatusTooManyRequests, Why: "too many objects at once: ask again"})
		return
	}
	object, err := []byte(nil), fs.ErrNotExist
	if !t.private(h) {
		hops, _ := strconv.Atoi(r.Header.Get(hopsField))
		ctx, cancel := context.WithTimeout(r.Context(), objectWait)
		object, err = t.object(ctx, h, max(0, hops))
		cancel()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.refuse(w, &refusal{Status: http.StatusNotFound, Why: "there is no such object here or above"})
		return
	case err != nil:
		t.o.Log.Debug("an object can't be had", "hash", h, "node", who.id, "err", err)
		t.refuse(w, &refusal{Status: http.StatusBadGateway, Why: "the object can't be had now: ask again"})
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(object)))
	out := &sink{w: w, control: http.NewResponseController(w), t: t}
	if err := out.send(object); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.o.Log.Debug("an object wasn't sent whole", "hash", h, "node", who.id, "err", err)
	}
}

// secrets are the objects that the state says aren't carried by the feed.
type secrets struct {
	mu sync.Mutex // protects what follows
	at feed.Position
	by map[feed.Hash]struct{}
}

// private says whether an object may not be given to other nodes.
func (t *Tree) private(h feed.Hash) bool {
	if t.o.Private != nil && t.o.Private(h) {
		return true
	}
	s := &t.secrets
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := t.o.Keeper.Position(); s.by == nil || at != s.at {
		s.at, s.by = at, map[feed.Hash]struct{}{}
		add := func(r feed.Ref) {
			if r.Local {
				s.by[r.Object] = struct{}{}
			}
		}
		t.o.Keeper.View(func(state *feed.State) {
			for _, d := range state.Docs {
				add(d.Ref)
				for _, v := range d.Variants {
					add(v.Ref)
				}
			}
		})
	}
	_, is := s.by[h]
	return is
}

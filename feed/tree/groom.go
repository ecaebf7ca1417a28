package tree

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
)

const (
	tickInterval   = 100 * time.Millisecond
	beatInterval   = time.Second
	ownInterval    = 1500 * time.Millisecond // without a parent, whose beats the node answers with its report
	groomInterval  = time.Second
	rebaseInterval = 30 * time.Second
	recordsAtOnce  = 64
	recordMax      = 64 << 10
	rosterMax      = 1 << 16
	// checkpointEvery is how many entries a root lets a checkpoint age.
	checkpointEvery   = 1000
	checkpointTimeout = 2 * time.Minute
)

// keepTime lets this node's beats be sent every second, and says who of the children isn't there any more.
func (t *Tree) keepTime(ctx context.Context) {
	forget := forgetTime
	if t.o.Root {
		forget = rootForgetTime
	}
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	var beat time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := t.o.Now()
		due := now.Sub(beat) >= beatInterval
		if due {
			beat = now
			t.mu.Lock()
			close(t.pulse)
			t.pulse = make(chan struct{})
			t.mu.Unlock()
		}
		t.reports.tick(now)
		if due {
			t.reports.forget(now, forget)
			t.reports.again(now, ownInterval)
		}
	}
}

// groom keeps the records of nodes and the length of the log.
func (t *Tree) groom(ctx context.Context) {
	rebase := t.o.Now().Add(jitter(rebaseInterval))
	for ctx.Err() == nil {
		for _, h := range t.roster.refresh(t) {
			if _, err := t.Object(ctx, h); err != nil {
				break // there is time
			}
		}
		if now := t.o.Now(); !now.Before(rebase) {
			rebase = now.Add(rebaseInterval)
			if err := t.rebase(ctx); err != nil && ctx.Err() == nil {
				t.o.Log.Warn("the log of the feed stays long: a newer checkpoint can't be had", "err", err)
			}
		}
		wait(ctx, groomInterval)
	}
}

// roster is the records of nodes that are in the state.
type roster struct {
	mu       sync.Mutex // protects what follows
	at       feed.Position
	complete bool // all records at that position are here
	version  uint64
	refs     map[config.NodeID]feed.Hash
	records  map[config.NodeID]feed.NodeRecord

	ranked    []Candidate // of ranked*
	rankedAt  uint64
	rankedFor []string
}

// refresh reads the records that have changed, and returns some of those whose objects aren't here.
func (s *roster) refresh(t *Tree) (missing []feed.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := t.o.Keeper.Position()
	if s.complete && at == s.at {
		return nil
	}
	if s.refs == nil {
		s.refs, s.records = map[config.NodeID]feed.Hash{}, map[config.NodeID]feed.NodeRecord{}
	}
	wanted := map[config.NodeID]feed.Hash{}
	t.o.Keeper.View(func(state *feed.State) {
		for key, d := range state.Docs {
			if id, ok := strings.CutPrefix(key, feed.PrefixNode); ok && !d.IsZero() && len(wanted) < rosterMax {
				wanted[config.NodeID(id)] = d.Object
			}
		}
	})
	s.at, s.complete = at, true
	for id := range s.refs {
		if _, still := wanted[id]; !still {
			delete(s.refs, id)
			delete(s.records, id)
			s.version++
		}
	}
	for id, h := range wanted {
		if s.refs[id] == h {
			continue
		}
		text, err := t.held(h)
		if err != nil {
			s.complete = false
			if len(missing) < recordsAtOnce {
				missing = append(missing, h)
			}
			continue
		}
		var record feed.NodeRecord
		if len(text) > recordMax || json.Unmarshal(text, &record) != nil || record.Name != id {
			t.o.Log.Error("the record of a node can't be read", "node", id)
			record = feed.NodeRecord{Name: id}
		}
		s.refs[id], s.records[id] = h, record
		s.version++
	}
	return missing
}

func (s *roster) node(id config.NodeID) (feed.NodeRecord, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[id]
	return r, ok
}

func (s *roster) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.records)
}

// candidates returns who may be the parent, as far as the records of nodes are here.
func (t *Tree) candidates() []Candidate {
	t.roster.refresh(t)
	control := t.o.Control()
	s := &t.roster
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ranked == nil || s.rankedAt != s.version || !slices.Equal(control, s.rankedFor) {
		self, ok := s.records[t.o.Self]
		if !ok {
			self = t.o.Record
		}
		s.ranked = Candidates(self, slices.Collect(maps.Values(s.records)), control)
		s.rankedAt, s.rankedFor = s.version, slices.Clone(control)
	}
	return slices.Clone(s.ranked)
}

// signedCheckpoint is a root's newest one.
type signedCheckpoint struct {
	mu sync.Mutex // protects what follows, and lets one make it for all
	at feed.Position
	is feed.Checkpoint
}

// newestCheckpoint returns a checkpoint from which the log goes on: a root makes one, others have got it.
func (t *Tree) newestCheckpoint() (feed.Checkpoint, error) {
	if !t.o.Root {
		if c, ok := t.o.Keeper.Checkpoint(); ok {
			return c, nil
		}
		return feed.Checkpoint{}, fault.New(fault.Peer, "send checkpoint", http.StatusServiceUnavailable, errors.New("this node has none yet"))
	}
	s := &t.signed
	s.mu.Lock()
	defer s.mu.Unlock()
	now := t.o.Keeper.Position()
	if s.is.Bytes != nil && s.at.Epoch == now.Epoch && now.Seq-s.at.Seq < checkpointEvery && now.Seq >= s.at.Seq {
		if _, ok := t.o.Keeper.After(s.at, 1); ok {
			return s.is, nil
		}
	}
	var err error
	t.o.Keeper.View(func(state *feed.State) {
		s.at = state.Position
		s.is, err = t.o.Sign(state)
	})
	if err != nil {
		s.is = feed.Checkpoint{}
		return s.is, fmt.Errorf("sign a checkpoint: %w", err)
	}
	if len(s.is.Bytes)+len(s.is.Signature)+2 > checkpointMax {
		size := len(s.is.Bytes)
		s.is = feed.Checkpoint{}
		return s.is, fmt.Errorf("the state has %d bytes, more than %d: remove sites", size, checkpointMax)
	}
	return s.is, nil
}

func (t *Tree) serveCheckpoint(w http.ResponseWriter, _ *http.Request, who asker) {
	c, err := t.newestCheckpoint()
	if err != nil {
		t.refuse(w, &refusal{Status: http.StatusServiceUnavailable, Why: err.Error()})
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	out := &sink{w: w, control: http.NewResponseController(w), t: t}
	if err := out.send(appendSigned(nil, KindCheckpoint, c.Signature, c.Bytes)); err != nil {
		t.o.Log.Debug("a checkpoint wasn't sent whole", "node", who.id, "err", err)
	}
}

// rebase puts a log that has got long on a newer checkpoint, if the keeper can do that.
func (t *Tree) rebase(ctx context.Context) error {
	keeper, ok := t.o.Keeper.(Rebaser)
	if !ok || !keeper.Long() {
		return nil
	}
	var c feed.Checkpoint
	var err error
	if t.o.Root {
		c, err = t.newestCheckpoint()
	} else {
		c, err = t.checkpointOfParent(ctx)
	}
	if err == nil {
		err = keeper.Rebase(c)
	}
	if errors.Is(err, feed.ErrOld) {
		return nil // the parent's log is long too
	}
	t.batches.forget()
	return err
}

func (t *Tree) checkpointOfParent(ctx context.Context) (c feed.Checkpoint, err error) {
	t.mu.Lock()
	f := t.parent
	t.mu.Unlock()
	if f == nil {
		return c, errNoSource
	}
	ctx, cancel := context.WithTimeout(ctx, checkpointTimeout)
	defer cancel()
	response, err := get(ctx, t.o.Transport, f.candidate.Address, pathCheckpoint, nil)
	if err != nil {
		return c, err
	}
	defer response.Body.Close()
	kind, payload, err := readFrame(bufio.NewReader(response.Body))
	if err != nil {
		return c, err
	}
	if kind != KindCheckpoint {
		return c, fmt.Errorf("%w: kind %d instead of a checkpoint", errFrame, kind)
	}
	frame, err := parseFrame(kind, payload)
	return frame.Checkpoint, err
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/rollout"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

const (
	edgesN = 8
	sitesN = 16
	// rolloutPrefix is where control keeps its roll-outs in the store.
	rolloutPrefix = "rollout/"
	actsFD        = 3 // of a member's process: where its steps as control's leader go
)

// office is the control that a member runs, over edges that adopt what they are told at once.
type office struct {
	*control.Control
	edges edges
	acts  io.Writer
	count atomic.Int64
}

func newOffice(c *memberConfig, s *store.Store) (*office, error) {
	log := slog.New(slog.DiscardHandler)
	signer := feed.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)))
	keeper, err := feed.OpenKeeper(c.Dir+".feed", feed.KeeperOptions{Verifier: feed.NewVerifier(signer.Key()), Log: log})
	if err != nil {
		return nil, err
	}
	authority, err := mesh.OpenAuthority(c.Authority)
	if err != nil {
		return nil, err
	}
	o := &office{edges: edges{keeper}, acts: os.NewFile(actsFD, "acts")}
	o.Control = control.New(control.Options{
		Self: config.NodeID(c.Name), Store: s, Signer: signer, Keeper: keeper, Authority: authority, Secret: make([]byte, 32), Nodes: o.edges, Act: o.act, Log: log,
	})
	return o, nil
}

// act tells the driver of a step before and after it. What it said before the process was killed has arrived.
func (o *office) act(a control.Act, do func() error) error {
	id := o.count.Add(1)
	fmt.Fprintf(o.acts, "begin %d %d %d %s\n", id, time.Now().UnixNano(), a.Term, a.Rollout)
	err := do()
	outcome := "ok"
	switch {
	case errors.Is(err, store.ErrConflict):
		outcome = "conflict"
	case errors.Is(err, store.ErrUnknown):
		outcome = "unknown"
	case err != nil:
		outcome = "none"
	}
	fmt.Fprintf(o.acts, "end %d %d %s\n", id, time.Now().UnixNano(), outcome)
	return err
}

var admin = api.Actor{Name: "driver", Can: api.Scope{Verbs: []api.Verb{api.Admin}}}

// found makes the network: its settings, and edges.
func (o *office) found(ctx context.Context, self string) error {
	record := feed.NodeRecord{Name: config.NodeID(self), Cluster: "bench", Roles: []feed.Role{feed.RoleControl}, Mesh: "127.0.0.1:1"}
	if err := o.Bootstrap(ctx, []byte("zone: bench.test\nrollout: {bake: 1s}\n"), record, nil, "secret"); err != nil {
		return err
	}
	made, err := o.CreateJoinToken(ctx, admin, api.JoinTokenRequest{Uses: edgesN})
	if err != nil {
		return err
	}
	token, err := mesh.ParseJoinToken(made.Token)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "wherry-edge-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for i := range edgesN {
		id, err := mesh.OpenIdentity(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		csr, err := id.CSR()
		if err != nil {
			return err
		}
		if _, err := o.Join(ctx, control.JoinRequest{ID: token.ID, Secret: token.Secret, CSR: csr, Node: feed.NodeRecord{
			Name: config.NodeID(fmt.Sprint("edge-", i)), Cluster: config.ClusterName(fmt.Sprint("c", i%2)), Roles: []feed.Role{feed.RoleEdge}, Mesh: "127.0.0.1:1",
		}}); err != nil {
			return err
		}
	}
	return nil
}

// change begins a roll-out of a site, if none of it is under way.
func (o *office) change(ctx context.Context, site, what string) error {
	yaml := fmt.Sprintf("name: %s\nhosts: [%s.test]\norigins: [{url: \"http://192.0.2.9\"}]\nrules: [{name: probe, match: {paths: [/%s]}, refuse: 403}]\n", site, site, what)
	_, err := o.Apply(ctx, admin, api.ApplyRequest{Documents: []api.Document{{Name: site, YAML: yaml}}})
	var f *fault.Error
	if errors.As(err, &f) && f.Status == http.StatusConflict {
		return nil
	}
	return err
}

// edges are live, and hold what the feed has for them.
type edges struct{ keeper *feed.Keeper }

var _ control.Nodes = edges{}

func (e edges) Seen() map[config.NodeID]rollout.Seen {
	all := map[config.NodeID]rollout.Seen{}
	e.keeper.View(func(s *feed.State) {
		for i := range edgesN {
			id := config.NodeID(fmt.Sprint("edge-", i))
			seen := rollout.Seen{Live: true, Report: feed.Report{Node: id, Boot: "1", Position: s.Position, Holds: map[string]uint64{}}}
			for key, doc := range s.Docs {
				if ref, ok := doc.For(id); ok {
					seen.Holds[key] = ref.Revision
				}
			}
			all[id] = seen
		}
	})
	return all
}

func (edges) SeenAt(config.NodeID) time.Time { return time.Now() }
func (edges) Changed() <-chan struct{}       { return nil }

// step is one that a leader took, or wanted to.
type step struct {
	term        int64
	rollout     string
	began, done time.Time // done is zero if nobody knows
	outcome     string
}

// steps are those of a member's processes.
type steps struct {
	mu  sync.Mutex
	all []step // under mu
}

// read takes what a process says until it ends.
func (s *steps) read(r io.ReadCloser) {
	defer r.Close()
	open := map[int64]int{} // indexes by the process's numbers
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var id, at, term int64
		var text string
		s.mu.Lock()
		if _, err := fmt.Sscanf(lines.Text(), "begin %d %d %d %s", &id, &at, &term, &text); err == nil {
			open[id] = len(s.all)
			s.all = append(s.all, step{term: term, rollout: text, began: time.Unix(0, at), outcome: "unknown"})
		} else if _, err := fmt.Sscanf(lines.Text(), "end %d %d %s", &id, &at, &text); err == nil {
			s.all[open[id]].done, s.all[open[id]].outcome = time.Unix(0, at), text
		}
		s.mu.Unlock()
	}
}

// since returns those that weren't over at a time.
func (s *steps) since(at time.Time) (list []step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		if one.done.IsZero() || one.done.After(at) {
			list = append(list, one)
		}
	}
	return list
}

// change keeps roll-outs under way.
func (r *round) change(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		n := r.c.nodes[i%len(r.c.nodes)]
		_, _ = n.ask(asking, question{Op: "change", Key: fmt.Sprint("site-", i%sitesN), Value: r.unique()}) // of one that is dead: the next one is asked
		cancel()
		time.Sleep(20 * time.Millisecond)
	}
}

// collect returns all members' steps.
func (c *cluster) collect(since time.Time) (list []step) {
	time.Sleep(50 * time.Millisecond) // what was said is on its way
	for _, n := range c.nodes {
		list = append(list, n.steps.since(since)...)
	}
	return list
}

// checkSteps compares what leaders said that they did with what is in the store: its values of roll-outs, "TERM ID", in its order. before are the steps
// that were known when the last value was asked for, after those that were known when it had come. The ops are those that happened.
func checkSteps(before, after []step, start time.Time, values []string) (lost, wrong int, ops []op) {
	stored, last := map[string]int{}, int64(0)
	for _, v := range values {
		var term int64
		if _, err := fmt.Sscanf(v, "%d ", &term); err != nil || term < last {
			wrong++ // a leader acted after one of a later term
		}
		last = max(last, term)
		stored[v]++
	}
	key := func(s *step) string { return fmt.Sprintf("%d %s", s.term, s.rollout) }
	sure, possible, open := map[string]int{}, map[string]int{}, map[string]int{}
	for i := range before {
		if s := &before[i]; s.outcome == "ok" && s.began.After(start) {
			sure[key(s)]++
		}
	}
	for i := range after {
		switch s := &after[i]; s.outcome {
		case "ok":
			possible[key(s)]++
		case "unknown":
			possible[key(s)]++
			open[key(s)]++
		}
	}
	for k, n := range sure {
		lost += max(0, n-stored[k])
	}
	for k, n := range stored {
		wrong += max(0, n-possible[k])
	}
	for i := range after {
		s := &after[i]
		o := op{client: i, kind: "act", term: s.term, outcome: "ok", call: s.began.Sub(start), ret: s.done.Sub(start)}
		switch {
		case s.outcome == "ok":
			ops = append(ops, o)
		case s.outcome == "unknown" && open[key(s)] > 0 && stored[key(s)] == possible[key(s)]: // it happened
			o.ret = forever
			ops = append(ops, o)
		}
	}
	return lost, wrong, ops
}

// stepsIn returns the values that roll-outs had from a revision on until a key was put, as checkSteps takes them.
func (m *member) stepsIn(ctx context.Context, q question) (a answer, err error) {
	err = m.Watch(ctx, "", q.At, func(events []store.Event) error {
		for _, e := range events {
			if e.Key == q.Key {
				return errSeen
			}
			if e.Deleted || !strings.HasPrefix(e.Key, rolloutPrefix) {
				continue
			}
			var s rollout.State
			if err := json.Unmarshal(e.Value, &s); err != nil {
				return err
			}
			if s.Term != 0 {
				a.Values = append(a.Values, fmt.Sprintf("%d %s", s.Term, s.ID))
			}
		}
		return nil
	})
	if errors.Is(err, errSeen) {
		err = nil
	}
	return a, err
}

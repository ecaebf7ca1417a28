package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/rollout"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
)

const (
	prefixRollout = "rollout/"
	// rolloutsShown is how many that have ended are kept and shown.
	rolloutsShown = 50
	stepEvery     = 200 * time.Millisecond
	pruneEvery    = 10 * time.Minute
)

func rolloutKey(id string) string { return prefixRollout + id }

// tracked is a roll-out with where it stands in the store.
type tracked struct {
	rollout.State
	at store.Revision
}

func (c *Control) allRollouts(ctx context.Context) (list []tracked, err error) {
	_, err = c.o.Store.All(ctx, prefixRollout, func(kv store.KV) error {
		var s rollout.State
		if err := json.Unmarshal(kv.Value, &s); err != nil {
			return fmt.Errorf("the store's %s is damaged: %w", kv.Key, err)
		}
		list = append(list, tracked{s, kv.Changed})
		return nil
	})
	slices.SortFunc(list, func(a, b tracked) int { return b.Began.Compare(a.Began) })
	return list, unavailable(err)
}

func (c *Control) rolloutByID(ctx context.Context, id string) (tracked, error) {
	s, at, ok, err := read[rollout.State](ctx, c, rolloutKey(id))
	if err == nil && !ok {
		err = wrong(http.StatusNotFound, "rollout", "there is no roll-out %s; wherry rollout status shows those under way", id)
	}
	return tracked{s, at}, err
}

// Rollouts implements api.Service.
func (c *Control) Rollouts(ctx context.Context, a api.Actor) ([]api.Rollout, error) {
	if err := may(a, api.Read, ""); err != nil {
		return nil, err
	}
	all, err := c.allRollouts(ctx)
	list := []api.Rollout{}
	for i := range all {
		if a.Can.Of(all[i].Site) && len(list) < rolloutsShown {
			list = append(list, all[i].public())
		}
	}
	return list, err
}

// Rollout implements api.Service.
func (c *Control) Rollout(ctx context.Context, a api.Actor, id string) (api.Rollout, error) {
	t, err := c.rolloutByID(ctx, id)
	if err == nil {
		err = may(a, api.Read, t.Site)
	}
	if err != nil {
		return api.Rollout{}, err
	}
	r := t.public()
	if !t.IsOver() {
		r.Gate = gateOf(t.Gauge(rollout.Input{Now: time.Now(), Seen: c.o.Nodes.Seen()}))
	}
	return r, nil
}

func gateOf(g rollout.Gauge) *api.Gate {
	sample := func(c rollout.Count) api.Sample {
		return api.Sample{Requests: c.Requests, Errors: c.Errors, Rejected: c.Rejected, Hits: c.Hits, Median: c.Median()}
	}
	return &api.Gate{Nodes: g.Nodes, Adopted: g.Adopted, With: sample(g.With), Before: sample(g.Before), Others: sample(g.Others)}
}

func (t *tracked) public() api.Rollout {
	r := api.Rollout{
		ID: t.ID, Subject: t.Key, From: t.From.Revision, To: t.To.Revision, Version: t.Version, Author: t.Author, Started: t.Began, Ended: t.Ended,
		State: t.State.State, Phase: t.Phases[t.Phase].Name, Why: t.Why, Phases: []api.Phase{},
	}
	for _, p := range t.Phases {
		r.Phases = append(r.Phases, api.Phase{Name: p.Name, Nodes: p.Nodes, Began: p.Began, Ended: p.Ended, Verdict: p.Verdict})
	}
	return r
}

// SteerRollout implements api.Service.
func (c *Control) SteerRollout(ctx context.Context, a api.Actor, id string, how api.Steering) (api.Rollout, error) {
	for {
		t, err := c.rolloutByID(ctx, id)
		if err == nil {
			err = may(a, api.Deploy, t.Site)
		}
		if err != nil {
			return api.Rollout{}, c.auditRefusal(ctx, a, "rollout "+string(how), id, "", err)
		}
		next, changed := t.Step(rollout.Input{Now: c.now(), Seen: c.o.Nodes.Seen(), Steer: rollout.Steering(how), By: a.Name})
		if t.IsOver() || !changed {
			return t.public(), wrong(http.StatusConflict, "rollout", "the roll-out %s is %s: it can't be told to %s", id, t.State.State, how)
		}
		audited := c.audited(a, "rollout "+string(how), t.Key, "", t.State.State, next.State, c.now())
		err = c.turn(ctx, t, next, nil, audited)
		if errors.Is(err, store.ErrConflict) {
			continue // the leader was first
		}
		return (&tracked{State: next}).public(), err
	}
}

// turn makes the next state of a roll-out hold, with what it means for the document and for nodes, all at once.
func (c *Control) turn(ctx context.Context, t tracked, next rollout.State, fence []store.Cond, more ...store.Put) error {
	p := publication{Txn: store.Txn{If: append(fence, store.Unchanged(rolloutKey(t.ID), t.at)), Put: append(more, put(rolloutKey(t.ID), next))}}
	before, after := t.Doc(), next.Doc()
	if !sameDoc(before, after) {
		p.Changes = []feed.Change{{Key: t.Key, Doc: after}}
	}
	if next.IsOver() {
		puts, cond, err := c.settle(ctx, &next)
		if err != nil {
			return err
		}
		p.If, p.Put = append(p.If, cond...), append(p.Put, puts...)
	}
	if p.Changes == nil {
		_, err := c.o.Store.Commit(ctx, p.Txn)
		return err
	}
	_, err := c.publish(ctx, p)
	return err
}

func sameDoc(a, b *feed.Doc) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Ref == b.Ref && slices.EqualFunc(a.Variants, b.Variants, func(x, y feed.Variant) bool { return x.Ref == y.Ref && slices.Equal(x.Nodes, y.Nodes) })
}

// settle writes into the document's state how a roll-out ended.
func (c *Control) settle(ctx context.Context, s *rollout.State) ([]store.Put, []store.Cond, error) {
	head, at, ok, err := read[docHead](ctx, c, headKey(s.Key))
	if err != nil || !ok || head.Rollout != s.ID {
		return nil, nil, err // an emergency has gone over it
	}
	head.Rollout, head.Candidate = "", 0
	var puts []store.Put
	if s.State == rollout.Done {
		head.Previous, head.Current = head.Current, s.To.Revision
		if s.To.IsZero() {
			head.Current = head.Latest
		}
	} else {
		puts = append(puts, store.Put{Key: outcomeKey(s.Key, s.To.Revision), Value: []byte(s.State)})
	}
	return append(puts, put(headKey(s.Key), head)), []store.Cond{store.Unchanged(headKey(s.Key), at)}, nil
}

// abortFor ends a roll-out that an emergency goes over.
func (c *Control) abortFor(ctx context.Context, id, by string, now time.Time) ([]store.Put, error) {
	t, err := c.rolloutByID(ctx, id)
	if err != nil || t.IsOver() {
		return nil, err
	}
	s := t.State
	s.State, s.Ended, s.Why = rollout.Aborted, now, "an emergency of "+by+" went over it"
	return []store.Put{put(rolloutKey(id), s), {Key: outcomeKey(s.Key, s.To.Revision), Value: []byte(rollout.Aborted)}}, nil
}

// Act is a step that the leader takes with a roll-out.
type Act struct {
	Term    int64
	Rollout string
}

// Lead does what one control node does at a time, until ctx ends or the term is over: it goes on with roll-outs, and drops what is kept for a while
// only. Everything it writes holds only in its term.
func (c *Control) Lead(ctx context.Context, term *store.Term) error {
	step, prune := time.NewTicker(stepEvery), time.NewTicker(pruneEvery)
	defer step.Stop()
	defer prune.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-term.Done():
			return errors.New("the term is over: another control node leads")
		case <-step.C:
			if err := c.stepRollouts(ctx, term); err != nil && ctx.Err() == nil {
				c.log.Warn("roll-outs stand still; trying again", "error", err)
			}
		case <-prune.C:
			err := c.prune(ctx, term.Cond())
			if err = errors.Join(err, c.pruneRollouts(ctx, term.Cond()), c.vault.Prune(ctx, term.Cond())); err != nil && ctx.Err() == nil {
				c.log.Warn("what is old wasn't dropped from the store; trying again", "error", err)
			}
		}
	}
}

func (c *Control) stepRollouts(ctx context.Context, term *store.Term) error {
	all, err := c.allRollouts(ctx)
	if err != nil {
		return err
	}
	seen := c.o.Nodes.Seen()
	var errs []error
	for _, t := range all {
		if t.IsOver() {
			continue
		}
		from := t.State
		if from.Term != term.Number() {
			from = from.TakenOver(c.now())
		}
		next, changed := from.Step(rollout.Input{Now: c.now(), Seen: seen})
		if !changed && from.Term == term.Number() {
			continue
		}
		next.Term = term.Number()
		err := c.o.Act(Act{term.Number(), t.ID}, func() error { return c.turn(ctx, t, next, []store.Cond{term.Cond()}) })
		switch {
		case errors.Is(err, store.ErrConflict): // a person was first, or another leader
		case err != nil:
			errs = append(errs, err)
		case next.State != t.State.State || next.Phase != t.Phase:
			c.log.Info("roll-out", "id", t.ID, "of", t.Key, "revision", t.To.Revision, "state", next.State, "phase", next.Phases[next.Phase].Name, "why", next.Why)
		}
	}
	return errors.Join(errs...)
}

func (c *Control) pruneRollouts(ctx context.Context, fence store.Cond) error {
	all, err := c.allRollouts(ctx)
	if err != nil {
		return err
	}
	var gone []string
	ended := 0
	for _, t := range all {
		if t.IsOver() {
			if ended++; ended > rolloutsShown {
				gone = append(gone, rolloutKey(t.ID))
			}
		}
	}
	if len(gone) == 0 {
		return nil
	}
	_, err = c.o.Store.Commit(ctx, store.Txn{If: []store.Cond{fence}, Delete: gone})
	return err
}

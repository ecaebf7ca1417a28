package rollout

import (
	"slices"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// A roll-out's states.
const (
	Running  = "running"
	Paused   = "paused"
	Done     = "done"
	Reverted = "reverted" // by itself
	Aborted  = "aborted"  // by a person
)

// State is how far a change has come. In JSON it stays below 256 KiB for 5,000 edges, which is what the store takes in one value.
type State struct {
	ID        string          `json:"id"`
	Key       string          `json:"key"` // of the document
	Site      config.SiteName `json:"site,omitempty"`
	From      feed.Ref        `json:"from"` // zero: nothing was there
	To        feed.Ref        `json:"to"`   // zero: it is removed
	Version   string          `json:"version,omitempty"`
	Program   feed.Hash       `json:"program,omitzero"` // of software; zero: the one that each node was installed with
	Author    string          `json:"author"`
	Emergency bool            `json:"emergency,omitempty"` // to all at once; watched, but not taken back
	Bake      time.Duration   `json:"bake"`
	Fetch     time.Duration   `json:"fetch,omitempty"` // what nodes may need beside to fetch what the document names
	Began     time.Time       `json:"began"`
	Ended     time.Time       `json:"ended,omitzero"`
	State     string          `json:"state"`
	Why       string          `json:"why,omitempty"` // of the state
	Phase     int             `json:"phase"`         // index
	Phases    []Phase         `json:"phases"`
	Term      int64           `json:"term,omitempty"` // of the leader that took the latest step; 0: none has

	// Marks are of nodes that were given the change, at most marksMax of each phase; Others of those that weren't yet when the present
	// phase began, at most othersMax.
	Marks  map[config.NodeID]Mark `json:"marks"`
	Others map[config.NodeID]Mark `json:"others,omitempty"`
	Deaf   time.Time              `json:"deaf,omitzero"` // since when control hears of less than half of Others
}

// Phase is a set of nodes that get the change together.
type Phase struct {
	Name    string          `json:"name"`
	Nodes   []config.NodeID `json:"nodes"`         // new in this phase
	All     bool            `json:"all,omitempty"` // and whoever comes
	Began   time.Time       `json:"began,omitzero"`
	Adopted time.Time       `json:"adopted,omitzero"` // by all of its nodes that are there
	Ended   time.Time       `json:"ended,omitzero"`
	Verdict string          `json:"verdict,omitempty"`
}

// Mark is what is remembered of a node.
type Mark struct {
	Boot    string    `json:"boot,omitempty"` // of the process when it was given the change; then of the one that adopted it
	Given   time.Time `json:"given,omitzero"` // when it was given the change and was there; zero: it hasn't been there
	Adopted bool      `json:"adopted,omitempty"`
	Lost    time.Time `json:"lost,omitzero"` // since when nothing is heard of it
	Clients Count     `json:"clients,omitzero"`
	Probes  Count     `json:"probes,omitzero"` // the node's own requests
	// What it had counted when it adopted, where the counts don't begin anew then.
	AdoptedClients Count `json:"adopted_clients,omitzero"`
	AdoptedProbes  Count `json:"adopted_probes,omitzero"`
}

const (
	marksMax  = 128
	othersMax = 64
)

// Seen is a node as control sees it. One that control has never heard of is the zero value.
type Seen struct {
	feed.Report
	Live bool
}

// Change is what is to be rolled out.
type Change struct {
	ID, Key, Version, Author string
	Site                     config.SiteName
	From, To                 feed.Ref
	Program                  feed.Hash
	Settings                 config.Rollout
	Only                     []config.NodeID // software: these alone; none: all
	Emergency                bool            // to all at once
	Fetch                    time.Duration   // what nodes may need beside to fetch what a document names
}

// Begin plans a roll-out over the nodes that are there.
func Begin(c Change, nodes []feed.NodeRecord, seen map[config.NodeID]Seen, now time.Time) State {
	s := State{
		ID: c.ID, Key: c.Key, Site: c.Site, From: c.From, To: c.To, Version: c.Version, Program: c.Program, Author: c.Author,
		Emergency: c.Emergency, Fetch: c.Fetch, Bake: c.Settings.Bake, Began: now, State: Running, Marks: map[config.NodeID]Mark{},
	}
	p := newPlan(nodes, seen, c)
	switch {
	case c.Emergency:
		s.Phases = p.atOnce()
	case s.software():
		s.Phases = p.waves()
	default:
		s.Phases = p.steps()
	}
	s.enter(seen, now)
	return s
}

func (s *State) software() bool { return s.Key == feed.KeySoftware }

// IsOver says whether nothing more will happen.
func (s *State) IsOver() bool { return s.State != Running && s.State != Paused }

// Variant says who holds the candidate: these nodes, or all.
func (s *State) Variant() (nodes []config.NodeID, all bool) {
	switch {
	case s.State == Reverted || s.State == Aborted:
		return nil, false
	case s.Phases[s.Phase].All:
		return nil, true
	}
	return s.given(), false
}

// Doc is what the document is to be in this state; nil: it is removed.
func (s *State) Doc() *feed.Doc {
	nodes, all := s.Variant()
	d := &feed.Doc{Ref: s.From}
	switch {
	case all:
		d.Ref = s.To
	case len(nodes) > 0:
		d.Variants = []feed.Variant{{Nodes: nodes, Ref: s.To}}
	}
	if d.IsZero() && d.Variants == nil {
		return nil
	}
	return d
}

// given are the nodes that have been given the change, in the order of the phases.
func (s *State) given() (ids []config.NodeID) {
	for _, p := range s.Phases[:s.Phase+1] {
		ids = append(ids, p.Nodes...)
	}
	return ids
}

// enter begins the present phase: it marks what its nodes, and those that come later, have done so far.
func (s *State) enter(seen map[config.NodeID]Seen, now time.Time) {
	p := &s.Phases[s.Phase]
	p.Began = now
	for _, id := range some(p.Nodes, marksMax) {
		s.Marks[id] = s.markOf(seen[id], now)
	}
	var later []config.NodeID
	for _, p := range s.Phases[s.Phase+1:] {
		for _, id := range p.Nodes {
			if seen[id].Live {
				later = append(later, id)
			}
		}
	}
	s.Others = map[config.NodeID]Mark{}
	for _, id := range some(later, othersMax) {
		s.Others[id] = s.markOf(seen[id], now)
	}
}

func (s *State) markOf(n Seen, now time.Time) Mark {
	switch {
	case !n.Live:
		return Mark{}
	case !s.To.IsZero() && s.adopted(&n):
		return Mark{Boot: n.Boot, Given: now, Adopted: true}
	}
	return Mark{Boot: n.Boot, Given: now, Clients: countOf(&n.Report, s.Site, false), Probes: countOf(&n.Report, s.Site, true)}
}

// some takes at most n, evenly.
func some(ids []config.NodeID, n int) []config.NodeID {
	if len(ids) <= n {
		return slices.Clone(ids)
	}
	list := make([]config.NodeID, 0, n)
	for i := range n {
		list = append(list, ids[i*len(ids)/n])
	}
	return list
}

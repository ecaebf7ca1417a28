package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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

// State is how far a change has come.
type State struct {
	ID      string          `json:"id"`
	Key     string          `json:"key"` // of the document
	Site    config.SiteName `json:"site,omitempty"`
	From    feed.Ref        `json:"from"` // zero: nothing was there
	To      feed.Ref        `json:"to"`   // zero: it is removed
	Version string          `json:"version,omitempty"`
	Program feed.Hash       `json:"program,omitzero"` // of software
	Author  string          `json:"author"`
	Bake    time.Duration   `json:"bake"`
	Began   time.Time       `json:"began"`
	Ended   time.Time       `json:"ended,omitzero"`
	State   string          `json:"state"`
	Why     string          `json:"why,omitempty"` // of the state
	Phase   int             `json:"phase"`         // index
	Phases  []Phase         `json:"phases"`

	// Before is what each edge did when it began, with which the gate compares.
	Before map[config.NodeID]Mark `json:"before"`
}

// Phase is a set of nodes that get the change together.
type Phase struct {
	Name    string          `json:"name"`
	Nodes   []config.NodeID `json:"nodes"` // new in this phase
	All     bool            `json:"all,omitempty"`
	Began   time.Time       `json:"began,omitzero"`
	Adopted time.Time       `json:"adopted,omitzero"` // by all of its nodes that are there
	Ended   time.Time       `json:"ended,omitzero"`
	Verdict string          `json:"verdict,omitempty"`
}

// Mark is what a node had counted at a moment.
type Mark struct {
	Boot    string         `json:"boot,omitempty"` // of the process; after the change, of the one that adopted it
	Tally   feed.SiteTally `json:"tally"`          // of clients' requests
	Probes  feed.SiteTally `json:"probes"`         // of the node's own
	Adopted bool           `json:"adopted,omitempty"`
}

// Seen is a node as control sees it.
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
}

// Begin plans a roll-out over the nodes that are there.
func Begin(c Change, nodes []feed.NodeRecord, seen map[config.NodeID]Seen, now time.Time) State {
	s := State{
		ID: c.ID, Key: c.Key, Site: c.Site, From: c.From, To: c.To, Version: c.Version, Program: c.Program, Author: c.Author,
		Bake: c.Settings.Bake, Began: now, State: Running, Before: map[config.NodeID]Mark{},
	}
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b feed.NodeRecord) int { return strings.Compare(string(a.Name), string(b.Name)) })
	if s.software() {
		s.Phases = waves(nodes, seen, c.Only, c.Settings.Canaries)
	} else {
		s.Phases = steps(nodes, seen, c.Site, c.Settings.Canaries)
	}
	for id, n := range seen {
		if n.Live {
			s.Before[id] = Mark{Boot: n.Boot, Tally: tallyOf(&n.Report, s.Site, false), Probes: tallyOf(&n.Report, s.Site, true)}
		}
	}
	s.Phases[0].Began = now
	return s
}

func (s *State) software() bool { return s.Key == feed.KeySoftware }

// Ended says whether nothing more will happen.
func (s *State) IsOver() bool { return s.State != Running && s.State != Paused }

// steps plans a document's way. Without live edges there is nobody to try it on.
func steps(nodes []feed.NodeRecord, seen map[config.NodeID]Seen, site config.SiteName, canaries []config.NodeID) []Phase {
	var edges []feed.NodeRecord
	for _, n := range nodes {
		if slices.Contains(n.Roles, feed.RoleEdge) && seen[n.Name].Live {
			edges = append(edges, n)
		}
	}
	all := Phase{Name: "all", All: true}
	if len(edges) < 2 {
		for _, n := range edges {
			all.Nodes = append(all.Nodes, n.Name)
		}
		return []Phase{all}
	}
	canary := choose(edges, seen, site, canaries)
	cluster := Phase{Name: "cluster"}
	for _, n := range edges {
		if n.Cluster == canary.Cluster && n.Name != canary.Name {
			cluster.Nodes = append(cluster.Nodes, n.Name)
		}
	}
	phases := []Phase{{Name: "canary", Nodes: []config.NodeID{canary.Name}}}
	taken := 1
	if n := len(cluster.Nodes); n > 0 && n+1 < len(edges) {
		phases, taken = append(phases, cluster), taken+n
	}
	quarter := Phase{Name: "quarter"}
	for _, n := range spread(edges) {
		if (taken+len(quarter.Nodes))*4 >= len(edges) {
			break
		}
		if !holds(phases, n) {
			quarter.Nodes = append(quarter.Nodes, n)
		}
	}
	if len(quarter.Nodes) > 0 {
		phases = append(phases, quarter)
	}
	for _, n := range edges {
		if !holds(phases, n.Name) {
			all.Nodes = append(all.Nodes, n.Name)
		}
	}
	return append(phases, all)
}

func holds(phases []Phase, id config.NodeID) bool {
	return slices.ContainsFunc(phases, func(p Phase) bool { return slices.Contains(p.Nodes, id) })
}

// choose takes the canary: a configured one that is live, else the edge with the most requests for the site.
func choose(edges []feed.NodeRecord, seen map[config.NodeID]Seen, site config.SiteName, canaries []config.NodeID) feed.NodeRecord {
	for _, id := range canaries {
		if i := slices.IndexFunc(edges, func(n feed.NodeRecord) bool { return n.Name == id }); i >= 0 {
			return edges[i]
		}
	}
	return slices.MaxFunc(edges, func(a, b feed.NodeRecord) int {
		x, y := seen[a.Name].Report, seen[b.Name].Report
		return cmp.Compare(tallyOf(&x, site, false).Requests, tallyOf(&y, site, false).Requests)
	})
}

// spread orders edges so that neighbours are of different clusters.
func spread(edges []feed.NodeRecord) []config.NodeID {
	clusters := map[config.ClusterName][]config.NodeID{}
	var names []config.ClusterName
	for _, n := range edges {
		if clusters[n.Cluster] == nil {
			names = append(names, n.Cluster)
		}
		clusters[n.Cluster] = append(clusters[n.Cluster], n.Name)
	}
	var list []config.NodeID
	for len(list) < len(edges) {
		for _, name := range names {
			if left := clusters[name]; len(left) > 0 {
				list, clusters[name] = append(list, left[0]), left[1:]
			}
		}
	}
	return list
}

// waves plans the way of software: a canary edge, then at most a quarter of each cluster at a time, then control nodes one by one.
func waves(nodes []feed.NodeRecord, seen map[config.NodeID]Seen, only, canaries []config.NodeID) []Phase {
	var edges, control []feed.NodeRecord
	for _, n := range nodes {
		switch {
		case len(only) > 0 && !slices.Contains(only, n.Name) || !seen[n.Name].Live:
		case slices.Contains(n.Roles, feed.RoleControl):
			control = append(control, n)
		default:
			edges = append(edges, n)
		}
	}
	var phases []Phase
	if len(edges) > 0 {
		phases = append(phases, Phase{Name: "canary", Nodes: []config.NodeID{choose(edges, seen, "", canaries).Name}})
		left := map[config.ClusterName][]config.NodeID{}
		most := 0
		for _, n := range edges {
			if !holds(phases, n.Name) {
				left[n.Cluster] = append(left[n.Cluster], n.Name)
			}
			most = max(most, len(left[n.Cluster]))
		}
		for wave := 2; most > 0; wave++ {
			p := Phase{Name: fmt.Sprintf("wave %d", wave)}
			most = 0
			for _, n := range edges {
				rest := left[n.Cluster]
				size := 0
				for _, o := range edges {
					if o.Cluster == n.Cluster {
						size++
					}
				}
				if i := slices.Index(rest, n.Name); i >= 0 && countIn(p.Nodes, edges, n.Cluster) < max(1, size/4) {
					p.Nodes, left[n.Cluster] = append(p.Nodes, n.Name), slices.Delete(slices.Clone(rest), i, i+1)
				}
				most = max(most, len(left[n.Cluster]))
			}
			phases = append(phases, p)
		}
	}
	for _, n := range control {
		phases = append(phases, Phase{Name: "control " + string(n.Name), Nodes: []config.NodeID{n.Name}})
	}
	return append(phases, Phase{Name: "all", All: len(only) == 0})
}

func countIn(ids []config.NodeID, nodes []feed.NodeRecord, cluster config.ClusterName) (n int) {
	for _, r := range nodes {
		if r.Cluster == cluster && slices.Contains(ids, r.Name) {
			n++
		}
	}
	return n
}

// Doc is what the document is to be in this state.
func (s *State) Doc(over func(config.NodeID) bool) *feed.Doc {
	switch {
	case s.State == Done && s.Phases[len(s.Phases)-1].All:
		return docOf(s.To)
	case s.State == Reverted || s.State == Aborted:
		return docOf(s.From)
	case s.Phases[s.Phase].All:
		return docOf(s.To)
	}
	var nodes []config.NodeID
	for _, p := range s.Phases[:s.Phase+1] {
		nodes = append(nodes, p.Nodes...)
	}
	return &feed.Doc{Ref: s.From, Variants: []feed.Variant{{Nodes: nodes, Ref: s.To}}}
}

func docOf(r feed.Ref) *feed.Doc {
	if r.IsZero() {
		return nil
	}
	return &feed.Doc{Ref: r}
}

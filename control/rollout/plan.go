package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// clusterMax bounds the phase of the canary's cluster, besides half of all edges.
const clusterMax = 50

// plan makes phases.
type plan struct {
	c     Change
	seen  map[config.NodeID]Seen
	nodes []feed.NodeRecord // spread
}

func newPlan(nodes []feed.NodeRecord, seen map[config.NodeID]Seen, c Change) *plan {
	return &plan{c: c, seen: seen, nodes: spread(nodes)}
}

func (p *plan) live(n feed.NodeRecord) bool { return p.seen[n.Name].Live }

func hasRole(n feed.NodeRecord, role feed.Role) bool { return slices.Contains(n.Roles, role) }

func (p *plan) filter(keep ...func(feed.NodeRecord) bool) (list []feed.NodeRecord) {
	for _, n := range p.nodes {
		if !slices.ContainsFunc(keep, func(f func(feed.NodeRecord) bool) bool { return !f(n) }) {
			list = append(list, n)
		}
	}
	return list
}

func isEdge(n feed.NodeRecord) bool { return hasRole(n, feed.RoleEdge) }

func (p *plan) chosen(n feed.NodeRecord) bool {
	return len(p.c.Only) == 0 || slices.Contains(p.c.Only, n.Name)
}

// atOnce is the way of an emergency.
func (p *plan) atOnce() []Phase {
	keep := isEdge
	if p.c.Key == feed.KeySoftware {
		keep = p.chosen
	}
	return []Phase{{Name: "all", Nodes: names(p.filter(keep, p.live)), All: len(p.c.Only) == 0}}
}

// steps plans a document's way. Nodes that aren't there take what holds when they come back, unless nobody is: then control has just
// been started, most probably, and will hear of them (State.replace).
func (p *plan) steps() []Phase {
	edges := p.filter(isEdge)
	there := p.filter(isEdge, p.live)
	if len(there) == 0 {
		there = edges
	}
	if len(edges) < 2 {
		return []Phase{{Name: "all", Nodes: names(edges), All: true}}
	}
	canary := p.canary(there)
	phases := []Phase{{Name: "canary", Nodes: []config.NodeID{canary.Name}}}
	taken := 1
	take := func(name string, upTo int, from []feed.NodeRecord) {
		ph := Phase{Name: name}
		for _, n := range from {
			if len(ph.Nodes)+taken < upTo && !planned(phases, n.Name) {
				ph.Nodes = append(ph.Nodes, n.Name)
			}
		}
		if len(ph.Nodes) > 0 {
			phases, taken = append(phases, ph), taken+len(ph.Nodes)
		}
	}
	cluster := slices.DeleteFunc(slices.Clone(there), func(n feed.NodeRecord) bool { return n.Cluster != canary.Cluster })
	if len(cluster) < len(there) {
		take("cluster", min(len(there)/2, 1+clusterMax), cluster)
	}
	take("quarter", (len(there)+3)/4, there)
	all := Phase{Name: "all", All: true}
	for _, n := range there {
		if !planned(phases, n.Name) {
			all.Nodes = append(all.Nodes, n.Name)
		}
	}
	return append(phases, all)
}

// waves plans the way of software: a canary edge; then waves of at most a quarter of a cluster and of the nodes of a role, and never two of a rack;
// then control nodes one by one, so that the store keeps its quorum.
func (p *plan) waves() []Phase {
	isControl := func(n feed.NodeRecord) bool { return hasRole(n, feed.RoleControl) }
	left := p.filter(p.chosen, p.live, func(n feed.NodeRecord) bool { return !isControl(n) })
	var phases []Phase
	if len(left) > 0 {
		from := slices.DeleteFunc(slices.Clone(left), func(n feed.NodeRecord) bool { return !isEdge(n) })
		if len(from) == 0 {
			from = left
		}
		canary := p.canary(from)
		phases = append(phases, Phase{Name: "canary", Nodes: []config.NodeID{canary.Name}})
		left = slices.DeleteFunc(left, func(n feed.NodeRecord) bool { return n.Name == canary.Name })
	}
	size := map[string]int{}
	for _, n := range p.filter(p.live) {
		for _, g := range groups(n) {
			size[g]++
		}
	}
	for wave := 1; len(left) > 0; wave++ {
		ph, rest, used := Phase{Name: fmt.Sprintf("wave %d", wave)}, []feed.NodeRecord(nil), map[string]int{}
		for _, n := range left {
			if slices.ContainsFunc(groups(n), func(g string) bool { return used[g] >= atOnceOf(g, size[g]) }) {
				rest = append(rest, n)
				continue
			}
			ph.Nodes = append(ph.Nodes, n.Name)
			for _, g := range groups(n) {
				used[g]++
			}
		}
		phases, left = append(phases, ph), rest
	}
	for _, n := range p.filter(p.chosen, p.live, isControl) {
		phases = append(phases, Phase{Name: "control " + string(n.Name), Nodes: []config.NodeID{n.Name}})
	}
	if len(p.c.Only) > 0 && len(phases) > 0 {
		return phases
	}
	return append(phases, Phase{Name: "all", All: len(p.c.Only) == 0})
}

const rackGroup = "rack "

// groups are those of which only few nodes may change at a time.
func groups(n feed.NodeRecord) []string {
	list := []string{"cluster " + string(n.Cluster)}
	if n.Rack != "" {
		list = append(list, rackGroup+string(n.Cluster)+" "+n.Rack)
	}
	for _, r := range n.Roles {
		if r != feed.RoleEdge {
			list = append(list, "role "+string(r))
		}
	}
	return list
}

func atOnceOf(group string, size int) int {
	if strings.HasPrefix(group, rackGroup) {
		return 1
	}
	return max(1, size/4)
}

// canary takes a configured one that is live, else the live edge with the most requests for the site.
func (p *plan) canary(from []feed.NodeRecord) feed.NodeRecord {
	for _, id := range p.c.Settings.Canaries {
		if i := slices.IndexFunc(from, func(n feed.NodeRecord) bool { return n.Name == id && p.live(n) }); i >= 0 {
			return from[i]
		}
	}
	return slices.MaxFunc(from, func(a, b feed.NodeRecord) int {
		x, y := p.seen[a.Name], p.seen[b.Name]
		return cmp.Or(rank(x.Live, y.Live), cmp.Compare(countOf(&x.Report, p.c.Site, false).Requests, countOf(&y.Report, p.c.Site, false).Requests))
	})
}

func rank(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func planned(phases []Phase, id config.NodeID) bool {
	return slices.ContainsFunc(phases, func(p Phase) bool { return slices.Contains(p.Nodes, id) })
}

func names(nodes []feed.NodeRecord) (ids []config.NodeID) {
	for _, n := range nodes {
		ids = append(ids, n.Name)
	}
	return ids
}

// spread orders nodes so that neighbours are of different clusters, and those of one cluster of different racks.
func spread(nodes []feed.NodeRecord) []feed.NodeRecord {
	sorted := slices.Clone(nodes)
	slices.SortFunc(sorted, func(a, b feed.NodeRecord) int { return cmp.Compare(a.Name, b.Name) })
	sorted = deal(sorted, func(n feed.NodeRecord) string { return string(n.Cluster) + "/" + n.Rack })
	return deal(sorted, func(n feed.NodeRecord) string { return string(n.Cluster) })
}

// deal takes one of each group in turn. The order within a group stays.
func deal(nodes []feed.NodeRecord, of func(feed.NodeRecord) string) []feed.NodeRecord {
	turn, turns := map[string]int{}, map[config.NodeID]int{}
	for _, n := range nodes {
		turns[n.Name] = turn[of(n)]
		turn[of(n)]++
	}
	dealt := slices.Clone(nodes)
	slices.SortStableFunc(dealt, func(a, b feed.NodeRecord) int {
		return cmp.Or(cmp.Compare(turns[a.Name], turns[b.Name]), cmp.Compare(of(a), of(b)))
	})
	return dealt
}

package tree

import (
	"fmt"
	"slices"
	"testing"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

func edges(cluster string, n, racks int) []feed.NodeRecord {
	var all []feed.NodeRecord
	for i := range n {
		rack := ""
		if racks > 0 {
			rack = fmt.Sprint("rack-", i%racks)
		}
		r := edge(cluster, rack, i)
		r.Mesh = string(r.Name) + ":7000"
		all = append(all, r)
	}
	return all
}

func controls(n int) []feed.NodeRecord {
	var all []feed.NodeRecord
	for i := range n {
		r := control(fmt.Sprint("control-", i))
		r.Mesh = string(r.Name) + ":7000"
		all = append(all, r)
	}
	return all
}

// TestFirstChoicesMakeAShallowTree lets every node follow its first choice.
func TestFirstChoicesMakeAShallowTree(t *testing.T) {
	for _, c := range []struct {
		name               string
		nodes              []feed.NodeRecord
		depth, wide, roots int // at most
	}{
		{"one node", edges("a", 1, 0), 1, 0, 1},
		{"two nodes", edges("a", 2, 0), 1, 0, 2},
		{"fifty", edges("a", 50, 0), 2, 40, 2},
		{"five clusters", slices.Concat(edges("a", 20, 0), edges("b", 20, 4), edges("c", 20, 2), edges("d", 3, 0), edges("e", 100, 10)), 4, 40, 14},
		{"a thousand", edges("a", 1000, 0), 3, 64, 8},
		{"a thousand in racks", edges("a", 1000, 50), 5, 64, 8},
		{"five thousand", edges("a", 5000, 0), 3, 64, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := append(slices.Clone(c.nodes), controls(3)...)
			records, first, children := map[config.NodeID]feed.NodeRecord{}, map[config.NodeID]Candidate{}, map[config.NodeID]int{}
			for _, n := range c.nodes {
				records[n.Name] = n
			}
			choose := func(id config.NodeID) Candidate {
				if _, ok := first[id]; !ok {
					first[id] = Candidates(records[id], all, nil)[0]
					children[first[id].Node]++
				}
				return first[id]
			}
			for i, n := range c.nodes {
				if len(c.nodes) > 500 && i%(len(c.nodes)/100) != 0 {
					continue // it takes long to rank so many for each
				}
				depth := 1
				for at := n.Name; choose(at).Tier != TierRoot; at = choose(at).Node {
					if depth++; depth > c.depth {
						t.Fatalf("%s is more than %d deep", n.Name, c.depth)
					}
				}
			}
			atRoots := 0
			for _, c := range first {
				if c.Tier == TierRoot {
					atRoots++
				}
			}
			if atRoots > c.roots {
				t.Errorf("%d nodes choose control, want at most %d", atRoots, c.roots)
			}
			for id, n := range children {
				if n > c.wide && records[id].Name != "" {
					t.Errorf("%d nodes choose %s, want at most %d", n, id, c.wide)
				}
			}
		})
	}
}

func TestCandidatesInOrder(t *testing.T) {
	all := slices.Concat(edges("a", 60, 6), edges("b", 10, 0), controls(2))
	tiers := map[Tier]int{}
	for _, self := range all[:60] {
		candidates := Candidates(self, all, []string{"control-0:7000", "192.0.2.1:7000"})
		seen := map[string]bool{}
		for i, c := range candidates {
			if c.Address == self.Mesh || seen[c.Address] {
				t.Fatalf("%s has %s among its candidates, or twice", self.Name, c.Address)
			}
			seen[c.Address] = true
			if i > 0 && c.Tier < candidates[i-1].Tier && candidates[0].Tier != TierRoot {
				t.Fatalf("%s: %s comes after %s", self.Name, c.Tier, candidates[i-1].Tier)
			}
			tiers[c.Tier]++
		}
		if !seen["192.0.2.1:7000"] || !seen["control-1:7000"] {
			t.Errorf("%s doesn't know control", self.Name)
		}
		if first := candidates[0]; first.Tier == TierRack {
			i := slices.IndexFunc(all, func(n feed.NodeRecord) bool { return n.Name == first.Node })
			if all[i].Rack != self.Rack {
				t.Errorf("%s in %s takes %s in %s for a neighbour", self.Name, self.Rack, first.Node, all[i].Rack)
			}
		}
	}
	for tier := TierRack; tier <= TierBelow; tier++ {
		if tiers[tier] == 0 {
			t.Errorf("nobody has a candidate of tier %s", tier)
		}
	}
}

func TestCandidatesOfANodeThatKnowsNobody(t *testing.T) {
	got := Candidates(edge("a", "", 0), nil, []string{"a:1", "b:1"})
	if len(got) != 2 || got[0].Tier != TierRoot || got[1].Tier != TierRoot {
		t.Errorf("%v, want the two addresses of control", got)
	}
	if got := Candidates(edge("a", "", 0), nil, nil); len(got) != 0 {
		t.Errorf("%v out of nothing", got)
	}
}

func BenchmarkCandidates(b *testing.B) {
	all := append(edges("a", 5000, 100), controls(3)...)
	b.ReportAllocs()
	for b.Loop() {
		Candidates(all[17], all, nil)
	}
}

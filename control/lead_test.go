package control

import (
	"testing"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/rollout"
	"github.com/wherry/wherry/feed"
)

// edges are live, and hold what the feed has for them.
type edges struct {
	nobody
	keeper *feed.Keeper
	names  []config.NodeID
}

func (e edges) Seen() map[config.NodeID]rollout.Seen {
	all := map[config.NodeID]rollout.Seen{}
	e.keeper.View(func(s *feed.State) {
		for _, id := range e.names {
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

// What a leader does after its term is refused by the store, however late it finds out; what its successor does then holds.
func TestALeaderOfThePastDoesNothing(t *testing.T) {
	c := newControl(t)
	newJoiner(t, "osaka-1").mustJoin(c)
	o := c.o
	o.Nodes = edges{keeper: o.Keeper, names: []config.NodeID{"osaka-1"}}
	var acts []Act
	o.Act = func(a Act, do func() error) error {
		acts = append(acts, a)
		return do()
	}
	c = New(o)
	r, err := c.Apply(t.Context(), admin, api.ApplyRequest{Documents: []api.Document{site("shop", "")}})
	if err != nil {
		t.Fatal(err)
	}
	past, err := c.o.Store.Campaign(t.Context(), LeaderName)
	if err != nil {
		t.Fatal(err)
	}
	past.Resign()
	now, err := c.o.Store.Campaign(t.Context(), LeaderName)
	if err != nil {
		t.Fatal(err)
	}
	defer now.Resign()
	before, err := c.rolloutByID(t.Context(), r.Rollouts[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.stepRollouts(t.Context(), past); err != nil {
		t.Error(err)
	}
	if after, err := c.rolloutByID(t.Context(), r.Rollouts[0]); err != nil || after.at != before.at || len(acts) != 1 {
		t.Errorf("a leader of the past took a step: %v %v", after, err)
	}
	if err := c.stepRollouts(t.Context(), now); err != nil {
		t.Error(err)
	}
	if after, err := c.rolloutByID(t.Context(), r.Rollouts[0]); err != nil || after.at == before.at || after.Term != now.Number() {
		t.Errorf("the leader took no step: %v %v", after, err)
	}
	if err := c.Lead(t.Context(), past); err == nil {
		t.Error("it leads on after its term")
	}
}

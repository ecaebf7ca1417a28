package tree

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// TestNetworkFormsATree starts two roots and two clusters: entries reach all, objects ride along, and both roots hear of all.
func TestNetworkFormsATree(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.add(control("control-a")), w.add(control("control-b"))
		for i := range 12 {
			w.add(edge("lisbon", fmt.Sprint("rack-", i%3), i))
			w.add(edge("osaka", "", i))
		}
		w.enrol()
		w.startAll()
		head := w.control.Set("site/shop", []byte("first"))
		w.reach(5*time.Second, "all have the first entry", w.caughtUp(head))

		object := bytes.Repeat([]byte("x"), 1024)
		head = w.control.Set("site/shop", object)
		w.reach(100*time.Millisecond, "all have the second entry", w.caughtUp(head))
		for id, n := range w.nodes {
			if got, err := n.keeper.Object(feed.HashOf(object)); err != nil || !bytes.Equal(got, object) {
				t.Errorf("%s has the entry without its object: %v", id, err)
			}
		}
		for _, root := range []*node{a, b} {
			w.reach(time.Second, "the root knows where all are", func() bool {
				live := 0
				for _, s := range root.tree.Reports() {
					if s.Live && s.Position == head {
						live++
					}
				}
				return live == len(w.nodes)
			})
		}
		time.Sleep(3 * time.Minute) // nodes that knew nobody when they came have gone to control; now they know better
		direct := 0
		for _, n := range w.nodes {
			if len(n.path()) == 2 {
				direct++
			}
		}
		if direct != 2*headsMin {
			t.Errorf("%d nodes follow control itself, want the %d heads", direct, 2*headsMin)
		}
	})
}

// path returns who is above the node, with itself.
func (n *node) path() []config.NodeID {
	b, _, _ := n.tree.beat()
	return b.Path
}

// below adds n edges of one cluster and returns the first with children and one of them, once they are there.
func (w *world) relayAndLeaf() (relay, leaf *node) {
	w.t.Helper()
	w.reach(2*time.Minute, "there is a relay with a child", func() bool {
		for _, n := range w.nodes {
			if id, _, _ := n.tree.Parent(); id != "" && !w.nodes[id].options.Root {
				relay, leaf = w.nodes[id], n
				return true
			}
		}
		return false
	})
	return relay, leaf
}

func TestParentLost(t *testing.T) {
	for name, lose := range map[string]func(*node){
		"killed": func(n *node) { n.kill() },
		"silent": func(n *node) { n.host.Blackhole() },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				root := w.add(control("control-a"))
				for i := range 8 {
					w.add(edge("lisbon", "", i))
				}
				w.enrol()
				w.startAll()
				relay, leaf := w.relayAndLeaf()
				lose(relay)
				w.reach(5*time.Second, "the leaf has another parent", func() bool {
					id, _, _ := leaf.tree.Parent()
					return id != "" && id != relay.record.Name
				})
				w.reach(5*time.Second, "the root knows that the relay is away and the leaf isn't", func() bool {
					seen := root.tree.Reports()
					return !seen[relay.record.Name].Live && seen[leaf.record.Name].Live
				})
				if name == "silent" {
					relay.host.Heal()
				} else {
					relay.keeper = w.control.Keeper() // its disk is gone
					relay.options.Keeper = relay.keeper
					relay.start()
				}
				head := w.control.Purge(feed.Purge{Kind: feed.PurgeAll})
				w.reach(10*time.Second, "all catch up", w.caughtUp(head))
			})
		})
	}
}

// TestControlGone cuts control off: the nodes say so, keep together, and go on when it is back.
func TestControlGone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		root := w.add(control("control-a"))
		for i := range 6 {
			w.add(edge("lisbon", "", i))
		}
		w.enrol()
		w.startAll()
		head := w.control.Purge(feed.Purge{Kind: feed.PurgeAll})
		w.reach(5*time.Second, "all have it", w.caughtUp(head))
		late := w.nodes["lisbon-0"]
		late.kill()
		head = w.control.Purge(feed.Purge{Kind: feed.PurgeAll})
		w.reach(10*time.Second, "all others have the next one", w.caughtUp(head))
		root.kill()
		gone := time.Now()
		time.Sleep(time.Minute)
		for id, n := range w.nodes {
			if n != root && n != late && n.tree.Contact().After(gone.Add(time.Second)) {
				t.Errorf("%s says that control was there after it was gone", id)
			}
		}
		late.start()
		w.reach(30*time.Second, "it gets from its neighbours what they have", func() bool { return late.keeper.Position() == head })
		root.start()
		head = w.control.Purge(feed.Purge{Kind: feed.PurgeAll})
		w.reach(40*time.Second, "all have the next entry", w.caughtUp(head))
		w.reach(40*time.Second, "all have control", func() bool {
			for _, n := range w.nodes {
				if time.Since(n.tree.Contact()) > uprootedTime {
					return false
				}
			}
			return true
		})
	})
}

// TestComesBackToTheBestPlace restarts a relay: those that it lost come back to it in a minute or so.
func TestComesBackToTheBestPlace(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.add(control("control-a"))
		for i := range 8 {
			w.add(edge("lisbon", "", i))
		}
		w.enrol()
		w.startAll()
		relay, leaf := w.relayAndLeaf()
		time.Sleep(2 * time.Minute)
		before, _, _ := leaf.tree.Parent()
		if before != relay.record.Name {
			t.Fatalf("it left %s for %s without a reason", relay.record.Name, before)
		}
		relay.kill()
		time.Sleep(time.Second)
		relay.start()
		w.reach(5*time.Minute, "the leaf is back", func() bool { id, _, _ := leaf.tree.Parent(); return id == before })
	})
}

func TestTooFarBehind(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		root := w.add(control("control-a"))
		w.add(edge("lisbon", "", 0))
		w.enrol()
		for i := range 50 {
			w.control.Set("site/shop", fmt.Append(nil, i))
		}
		w.rebase(root)
		head := w.control.Set("site/shop", []byte("last"))
		w.startAll()
		w.reach(5*time.Second, "it has all by a checkpoint", w.caughtUp(head))
		if _, ok := w.nodes["lisbon-0"].keeper.Checkpoint(); !ok {
			t.Error("it has no checkpoint")
		}
		// A relay passes on the one that it has.
		late := w.add(edge("lisbon", "", 1))
		late.options.Control = func() []string { return nil }
		late.options.Record.Mesh = "lisbon-1:7000"
		late.options.Control = func() []string { return []string{"lisbon-0:7000"} }
		late.start()
		w.reach(5*time.Second, "the next one too", w.caughtUp(head))
	})
}

func (w *world) rebase(n *node) {
	w.t.Helper()
	var c feed.Checkpoint
	n.keeper.View(func(s *feed.State) { c, _ = w.control.Sign(s) })
	if err := n.keeper.Rebase(c); err != nil {
		w.t.Fatal(err)
	}
}

// TestFullNodeNamesItsChildren has places for two at each node; the tree gets deeper.
func TestFullNodeNamesItsChildren(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		root := w.add(control("control-a"))
		root.options.ChildrenMax = 2
		for i := range 12 {
			w.add(edge("lisbon", "", i)).options.ChildrenMax = 2
		}
		w.enrol()
		w.startAll()
		head := w.control.Purge(feed.Purge{Kind: feed.PurgeAll})
		w.reach(time.Minute, "all find a place", w.caughtUp(head))
		w.reach(time.Minute, "the root hears of all", func() bool {
			live := 0
			for _, s := range root.tree.Reports() {
				if s.Live {
					live++
				}
			}
			return live == len(w.nodes)
		})
	})
}

func TestDiskFull(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.add(control("control-a"))
		n := w.add(edge("lisbon", "", 0))
		w.enrol()
		w.startAll()
		head := w.control.Purge(feed.Purge{Kind: feed.PurgeAll})
		w.reach(5*time.Second, "it has it", w.caughtUp(head))
		n.keeper.Fail(fmt.Errorf("no space left on device"))
		head = w.control.Purge(feed.Purge{Kind: feed.PurgeAll})
		time.Sleep(20 * time.Second)
		n.keeper.Fail(nil)
		w.reach(5*time.Second, "it goes on when there is space, with the same parent", w.caughtUp(head))
	})
}

func TestAwait(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		root := w.add(control("control-a"))
		for i := range 6 {
			w.add(edge("lisbon", "", i))
		}
		w.enrol()
		w.startAll()
		head := w.control.Purge(feed.Purge{Kind: feed.PurgeAll})
		w.reach(10*time.Second, "all report", func() bool {
			seen := root.tree.Reports()
			for id := range w.nodes {
				if !seen[id].Live || seen[id].Position != head {
					return false
				}
			}
			return true
		})
		stuck, dead := w.nodes["lisbon-1"], w.nodes["lisbon-2"]
		dead.kill()
		stuck.keeper.Fail(fmt.Errorf("no space left on device"))
		time.Sleep(10 * time.Second)
		head = w.control.Purge(feed.Purge{Kind: feed.PurgeAll})
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		wanted := []config.NodeID{"lisbon-0", "lisbon-1", "lisbon-2", "lisbon-3", "never-there"}
		confirmed, away, pending := root.tree.Await(ctx, head, func() []config.NodeID { return wanted })
		if len(confirmed) != 2 || confirmed["lisbon-0"].IsZero() || confirmed["lisbon-3"].IsZero() {
			t.Errorf("confirmed: %v", confirmed)
		}
		if want := []config.NodeID{"lisbon-2", "never-there"}; !slices.Equal(away, want) {
			t.Errorf("away: %v, want %v", away, want)
		}
		if want := []config.NodeID{"lisbon-1"}; !slices.Equal(pending, want) {
			t.Errorf("pending: %v, want %v", pending, want)
		}
	})
}

package links

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
	"github.com/wherry/wherry/overlay"
	"github.com/wherry/wherry/overlay/exchange"
)

const (
	guestsMax        = 2048
	guestLinksMax    = 4                // of one
	guestSilence     = 10 * time.Second // a guest is asked for a sign of life more often; one that doesn't give any is gone
	guestLeaveBefore = 10 * time.Minute // its certificate ends, at the latest, it is sent away to come again with the next one
	guestLeaveSpread = 50 * time.Minute // so that not all nodes send it away at once
)

// guests counts the connections of machines that are no nodes; mu guards it.
type guests struct {
	mu  sync.Mutex
	of  map[config.NodeID]int
	all int
}

func (g *guests) enter(name config.NodeID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= guestsMax || g.of[name] >= guestLinksMax {
		return fmt.Errorf("this node has %d connections of such machines and %d of %s; at most %d and %d are taken", g.all, g.of[name], name, guestsMax, guestLinksMax)
	}
	g.all++
	g.of[name]++
	return nil
}

func (g *guests) leave(name config.NodeID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if g.of[name]--; g.of[name] == 0 {
		delete(g.of, name)
	}
}

// addGuest takes a machine in that is no node. It gets the service of its role, and nothing else.
func (l *Links) addGuest(ctx context.Context, who mesh.Who, c *overlay.Conn) {
	serve := l.serveOperator
	if who.Has(feed.RoleTunnel) {
		serve = l.serveAgent
	}
	if err := l.tunnels.guests.enter(who.Node); err != nil {
		c.Close(overlay.CodeRefused, err.Error())
		return
	}
	l.tending.Go(func() {
		defer l.tunnels.guests.leave(who.Node)
		defer c.Close(overlay.CodeDone, "done")
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var all sync.WaitGroup
		defer all.Wait()
		all.Go(func() { l.watchGuest(ctx, who, c, cancel) })
		serve(ctx, who, c)
		cancel()
	})
}

// watchGuest has leave called when it is time for the guest to come again, and closes a connection that isn't good any more.
func (l *Links) watchGuest(ctx context.Context, who mesh.Who, c *overlay.Conn, leave func()) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(l.o.Self))
	spread := time.Duration(h.Sum32()) * guestLeaveSpread / (1 << 32)
	until := who.Expires.Add(-guestLeaveBefore - spread)
	tick := time.NewTicker(tendInterval)
	defer tick.Stop()
	for {
		select {
		case <-c.Done():
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch _, err := l.o.Mesh.Admit(c.TLS()); {
		case err != nil:
			c.Close(overlay.CodeRefused, err.Error())
			return
		case c.Silence() > guestSilence:
			c.Close(overlay.CodeDone, "nothing came for too long")
			return
		case who.Has(feed.RoleTunnel) && time.Now().After(until):
			leave()
		}
	}
}

// serveAgent has an agent in the table of tunnels until it leaves.
func (l *Links) serveAgent(ctx context.Context, who mesh.Who, c *overlay.Conn) {
	if l.tunnels.table == nil {
		c.Close(overlay.CodeRefused, fmt.Sprintf("the node %s is no edge: tunnels end at edges", l.o.Self))
		return
	}
	session := newLane(c, ServiceTunnel)
	streams, stop := context.WithCancel(context.WithoutCancel(ctx)) // what is under way goes on while the agent leaves
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	all.Go(func() { sortStreams(streams, c, map[byte]*lane{ServiceTunnel: session}) })
	l.o.Log.Info("an agent has come", "agent", who.Node, "from", c.RemoteAddr())
	err := l.tunnels.table.Serve(ctx, session)
	l.o.Log.Info("an agent has gone", "agent", who.Node, "error", err)
}

// serveOperator lets who has dialed for it reach this machine's own services, and tunnels. What each connection may reach, the token says that it shows.
func (l *Links) serveOperator(ctx context.Context, _ mesh.Who, c *overlay.Conn) {
	session := newLane(c, ServiceForward)
	server := exchange.Server{Handler: l.tunnels.gate, Log: l.o.Log, Limits: exchange.Limits{DrainTimeout: time.Second}}
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { sortStreams(ctx, c, map[byte]*lane{ServiceForward: session}) })
	_ = server.Serve(ctx, session)
	c.Close(overlay.CodeDone, "the node stops")
}

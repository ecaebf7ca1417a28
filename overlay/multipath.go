package overlay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/wherry/wherry/overlay/loss"
	"github.com/wherry/wherry/overlay/udp"
	"github.com/wherry/wherry/overlay/wire"
)

// PathInfo is what is known of one path, for people and for the choice of paths.
type PathInfo struct {
	ID         int
	Remote     netip.AddrPort
	Label      wire.ID // 0: direct
	Primary    bool
	Bulk       bool // large streams go on it, too
	Alive      bool
	Smoothed   time.Duration // round trip
	Variance   time.Duration
	Min        time.Duration
	Arrived    uint64 // packets
	Lost       uint64
	Delivered  uint64 // bytes
	Received   uint64 // bytes of UDP payload
	InFlight   int
	Window     int
	Rate       float64 // bytes a second; 0 if the window alone decides
	PacketSize int
	Controller string // what it is doing
	Heard      time.Time
}

// Paths returns what is known of the connection's paths.
func (c *Conn) Paths() []PathInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []PathInfo
	for _, p := range c.paths {
		if p == nil || p.retired {
			continue
		}
		r := &p.track.RTT
		all = append(all, PathInfo{
			ID: int(p.id), Remote: p.remote.addr, Label: p.remote.label, Primary: p == c.primary, Bulk: p.bulk, Alive: p.usable(),
			Smoothed: r.Smoothed, Variance: r.Variance, Min: r.Min(), Arrived: p.track.Arrived, Lost: p.track.Lost,
			Delivered: p.track.Delivered(), Received: p.bytesIn, InFlight: p.track.InFlight(), Window: p.controller.Window(), Rate: p.controller.Rate(),
			PacketSize: p.size.Size, Controller: p.controller.State(), Heard: p.heard,
		})
	}
	return all
}

// ErrPaths says that a connection has as many paths as it can have.
var ErrPaths = errors.New("the connection has as many paths as it can have, or the peer doesn't know yet which were dropped")

// AddPath opens another path to the peer: to another of its addresses, or, with a label, through a node that forwards. Only who dialed can. It
// returns when the peer has answered on it.
func (c *Conn) AddPath(ctx context.Context, addr netip.AddrPort, label wire.ID) (id int, err error) {
	c.mu.Lock()
	id, err = c.addPath(remote{addr, label})
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			c.DropPath(id)
			return 0, fmt.Errorf("path to %v: %w", addr, context.Cause(ctx))
		case <-c.done:
			return 0, c.Err()
		case <-tick.C:
		}
		c.mu.Lock()
		p := c.paths[id]
		valid := p != nil && p.valid
		c.mu.Unlock()
		if valid {
			return id, nil
		}
	}
}

func (c *Conn) addPath(r remote) (int, error) {
	switch {
	case !c.dialed:
		return 0, errors.New("only the node that dialed opens paths")
	case c.err != nil:
		return 0, c.err
	case !c.confirmed:
		return 0, errors.New("the handshake isn't done")
	}
	id, err := c.pathNumber()
	if err != nil {
		return 0, err
	}
	p, err := c.newPath(id, r)
	if err != nil {
		return 0, err
	}
	p.bytesIn = packetMin // whoever opens a path may send a challenge
	p.succeed(c.paths[id])
	c.paths[id] = p
	p.demand()
	c.wakeUp()
	return int(id), nil
}

// DropPath stops using a path: what was on its way there leaves again on another one. The primary can't be dropped.
func (c *Conn) DropPath(id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id < 0 || id >= pathsMax || c.paths[id] == nil || c.paths[id] == c.primary {
		return
	}
	c.retire(time.Now(), c.paths[id])
	c.tell(c.paths[id], pathDropped, 0)
}

// ProbePath asks whether a path is alive, which also measures its round trip.
func (c *Conn) ProbePath(id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id >= 0 && id < pathsMax && c.paths[id] != nil && !c.paths[id].retired {
		c.paths[id].demand()
		c.wakeUp()
	}
}

// UsePath makes a path the primary one.
func (c *Conn) UsePath(id int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id < 0 || id >= pathsMax || c.paths[id] == nil || !c.paths[id].usable() {
		return fmt.Errorf("path %d isn't there, or doesn't answer", id)
	}
	if c.paths[id] != c.primary {
		c.use(c.paths[id])
	}
	return nil
}

// use makes p the primary path, and tells the peer, whose packets follow.
func (c *Conn) use(p *path) {
	c.primary = p
	c.at.Store(&p.remote.addr)
	c.tell(p, pathFirst, 0)
}

// suspect is told that a path is silent. Another one that answers takes over at once, with all that was on its way; the silent one is asked
// until it answers.
func (c *Conn) suspect(now time.Time, p *path) {
	other := c.alternative(p)
	if other == nil {
		return
	}
	p.dead = true
	p.probes = 0
	p.demand()
	c.abandon(now, p)
	if p == c.primary {
		p.was = true
		c.use(other)
	}
}

// abandon takes back what is on its way on a path.
func (c *Conn) abandon(now time.Time, p *path) {
	var r loss.Result
	p.track.GiveUpAll(now, &r, p.gone)
	p.idleSince = now
}

// alternative is the path beside p that answers, the quickest of several.
func (c *Conn) alternative(p *path) *path {
	var best *path
	for _, o := range c.paths {
		if o == nil || o == p || !o.usable() {
			continue
		}
		if best == nil || o.track.RTT.Smoothed < best.track.RTT.Smoothed {
			best = o
		}
	}
	return best
}

// recovered is told that a path has answered. What was the primary path until it fell silent is that again; whether it is the best is for
// who calls UsePath.
func (c *Conn) recovered(now time.Time, p *path) {
	if !p.valid || p.retired {
		return
	}
	if p.dead {
		p.dead = false
		p.pace = now
		c.wakeUp()
	}
	if p.was {
		p.was = false
		if c.primary != p {
			c.use(p)
		}
	}
}

// unsendable is told that the socket refused a packet of a path.
func (c *Conn) unsendable(p *path, err error) {
	now := time.Now()
	if errors.Is(err, udp.ErrTooLarge) {
		if !p.size.Refused(now) {
			p.shrink(now)
		}
		return
	}
	c.suspect(now, p)
}

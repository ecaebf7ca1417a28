package overlay

import (
	"time"

	"github.com/wherry/wherry/overlay/wire"
)

// What one side tells the other of a path: who dialed decides for both directions.
const (
	pathDropped = iota
	pathFirst
	pathBulk
	pathRest
)

// bulkFrom is how many bytes of a stream must have left, or wait to, until it goes over several paths: what is smaller is sooner whole on the best.
const bulkFrom = 256 << 10

// tell tells the peer of a path.
func (c *Conn) tell(p *path, state, rate uint64) {
	c.states++
	switch {
	case c.peer.Level >= wire.LevelPaths:
		c.control(wire.AppendInts(nil, wire.PathState, uint64(p.id), state, c.states, rate))
	case state == pathFirst:
		c.control(wire.AppendInts(nil, wire.PathUse, uint64(p.id), 1))
	}
	c.wakeUp()
}

// told is told that the peer has a control frame: what it says of a dropped path lets its number be used again.
func (c *Conn) told(control []byte) {
	var f wire.Frame
	if _, err := f.Parse(control); err != nil || f.Type != wire.PathState || f.Code != pathDropped {
		return
	}
	if p := c.paths[f.ID]; p != nil && p.retired {
		p.free = true
	}
}

// pathNumber is the number for another path: one that wasn't used, or one whose path both sides have dropped.
func (c *Conn) pathNumber() (byte, error) {
	for id := 1; id < int(min(pathsMax, c.peer.Paths)); id++ {
		if p := c.paths[id]; p == nil || p.free {
			return byte(id), nil
		}
	}
	return 0, ErrPaths
}

// retire stops using a path.
func (c *Conn) retire(now time.Time, p *path) {
	c.abandon(now, p)
	p.dead, p.retired, p.was, p.bulk = true, true, false, false
}

// pathState takes what the peer tells of a path.
func (c *Conn) pathState(now time.Time, f *wire.Frame) {
	if f.ID >= pathsMax || c.paths[f.ID] == nil {
		return
	}
	p := c.paths[f.ID]
	if f.Code == pathFirst {
		c.retell = 4 // acknowledgements of the path that it leaves may be lost
	}
	if c.dialed || f.Type != wire.PathState || f.Offset <= c.stateOf[f.ID] {
		return
	}
	c.stateOf[f.ID] = f.Offset
	switch f.Code {
	case pathDropped:
		if p == c.primary {
			other := c.alternative(p)
			if other == nil {
				return
			}
			c.primary = other
			c.at.Store(&other.remote.addr)
		}
		c.retire(now, p)
	case pathFirst:
		if f.Offset > c.first {
			c.first = f.Offset
			c.follow(p)
		}
	case pathBulk, pathRest:
		p.bulk, p.rateMax = f.Code == pathBulk, float64(f.Rate)
	}
}

// follow uses the path that the peer uses; if it doesn't answer, as soon as it does.
func (c *Conn) follow(p *path) {
	for _, o := range c.paths {
		if o != nil {
			o.was = o == p && !p.usable() && !p.retired
		}
	}
	if !p.usable() {
		return
	}
	c.primary = p
	c.at.Store(&p.remote.addr)
}

// UseForBulk says on which paths large streams go beside the primary one, in both directions, and how many bytes a second at most; 0 is as many as the
// path carries. Others carry none of them. Only who dialed decides.
func (c *Conn) UseForBulk(paths map[int]float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dialed || c.err != nil || !c.confirmed {
		return
	}
	for _, p := range c.paths {
		if p == nil || p.retired {
			continue
		}
		rate, bulk := paths[int(p.id)]
		switch {
		case bulk && (!p.bulk || p.rateMax != rate):
			p.bulk, p.rateMax = true, rate
			c.tell(p, pathBulk, uint64(rate))
		case !bulk && p.bulk:
			p.bulk = false
			c.tell(p, pathRest, 0)
		}
	}
}

// order is the paths that data may leave on, the primary one first.
func (c *Conn) order() (list [pathsMax]*path) {
	n := 0
	if c.primary.usable() || c.primary.valid {
		list[n] = c.primary
		n++
	}
	for _, p := range c.paths {
		if p != nil && p != c.primary && p.bulk && p.usable() {
			list[n] = p
			n++
		}
	}
	return list
}

// pendingOn says whether there is anything for a path that only its window holds back.
func (c *Conn) pendingOn(p *path) bool {
	if p == c.primary {
		return c.pending() || len(c.tail.queue) > 0
	}
	return c.pays(p)
}

// bulk says whether a stream is large.
func (s *Stream) bulk() bool {
	return s.out.sent >= bulkFrom || s.out.written-s.out.sent >= bulkFrom
}

// pays says whether large streams gain by a path beside the primary one: what leaves on it now must be there before the last of what waits would be
// by the primary one alone. So a slow path never holds up the end of a stream, and what waits for order is less than the difference of the round trips.
func (c *Conn) pays(p *path) bool {
	var waiting uint64
	for i := range c.active {
		for _, s := range c.active[i] {
			if s.bulk() && c.sendable(s) {
				waiting += min(s.out.written, s.out.limit) - s.out.sent
				for _, l := range s.out.lost {
					waiting += l.End - l.Start
				}
			}
		}
	}
	if waiting == 0 {
		return false
	}
	later := p.track.RTT.Smoothed - c.primary.track.RTT.Smoothed
	return later <= 0 || float64(waiting) > c.primary.rate()*later.Seconds()
}

// rate is what a path carries, in bytes a second.
func (p *path) rate() float64 {
	if r := p.controller.Rate(); r > 0 {
		return r
	}
	return float64(p.controller.Window()) / max(p.track.RTT.Smoothed, time.Millisecond).Seconds()
}

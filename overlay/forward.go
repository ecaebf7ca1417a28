package overlay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/wherry/wherry/overlay/udp"
	"github.com/wherry/wherry/overlay/wire"
)

const (
	routesMax = 256 // that one peer may have open through this node
	labelsMax = 16384
)

// ErrNoRoute says that the other node doesn't forward to where it was asked to.
var ErrNoRoute = errors.New("the node doesn't forward there")

// forwards is what this node forwards for others: packets in envelopes go from one of two addresses to the other, unopened. mu guards it.
type forwards struct {
	mu     sync.Mutex
	labels map[wire.ID]*forward
	credit float64 // bytes that may be forwarded now
	filled time.Time
	bytes  uint64
	over   uint64 // packets beyond the budget

	out batchOut // of the reader alone
}

// forward is one label.
type forward struct {
	owner *Conn // who asked for it; the label goes with the connection
	far   netip.AddrPort
	used  time.Time
}

// batchOut joins packets to one address, so that they leave with one call.
type batchOut struct {
	buffer  []byte
	segment int
	count   int
	to      netip.AddrPort
}

func (f *forwards) init() { f.labels = map[wire.ID]*forward{} }

// drop forgets the labels of a connection that is over.
func (f *forwards) drop(c *Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for label, fw := range f.labels {
		if fw.owner == c {
			delete(f.labels, label)
		}
	}
}

// open makes a label for packets between c's peer and far.
func (f *forwards) open(c *Conn, far netip.AddrPort) (wire.ID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, fw := range f.labels {
		if fw.owner == c {
			n++
		}
	}
	if n >= routesMax || len(f.labels) >= labelsMax {
		return 0, errors.New("too many routes are open")
	}
	label := wire.ID(random())
	f.labels[label] = &forward{owner: c, far: far, used: time.Now()}
	return label, nil
}

// target is where a packet that came from an address goes on to. forwarded is false if the label isn't one that this node forwards.
func (f *forwards) target(label wire.ID, from netip.AddrPort, size int, rate float64) (to netip.AddrPort, forwarded bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fw := f.labels[label]
	if fw == nil {
		return to, false
	}
	now := time.Now()
	if f.credit += now.Sub(f.filled).Seconds() * rate; f.credit > rate/4 {
		f.credit = rate / 4
	}
	f.filled = now
	if f.credit < float64(size) {
		f.over++
		return to, true
	}
	near := fw.owner.address()
	switch from {
	case near:
		to = fw.far
	case fw.far:
		to = near
	default:
		return to, true
	}
	f.credit -= float64(size)
	f.bytes += uint64(size)
	fw.used = now
	return to, true
}

// Forwarded is how many bytes this node has forwarded for others, and how many packets it dropped because they were beyond the budget.
func (e *Endpoint) Forwarded() (bytes, dropped uint64) {
	e.forwards.mu.Lock()
	defer e.forwards.mu.Unlock()
	return e.forwards.bytes, e.forwards.over
}

// envelope forwards a packet, or takes what is in it.
func (e *Endpoint) envelope(r *reader, b []byte, label wire.ID, from remote) {
	if e.options.Forward != nil {
		if to, ours := e.forwards.target(label, from.addr, len(b), e.options.ForwardRate); ours {
			if to.IsValid() {
				e.forwards.out.add(e.socket, b, to)
			}
			return
		}
	}
	if inner := b[wire.EnvelopeSize:]; len(inner) > 0 && wire.Kind(inner[0]) != wire.KindEnvelope {
		e.datagram(r, inner, remote{from.addr, label})
	}
}

func (o *batchOut) add(s *udp.Socket, b []byte, to netip.AddrPort) {
	if o.count > 0 && (o.to != to || len(b) > o.segment || len(o.buffer) < o.count*o.segment || o.count == udp.SegmentsMax ||
		len(o.buffer)+len(b) > udp.BatchMax) {
		o.flush(s)
	}
	if o.count == 0 {
		o.to, o.segment = to, len(b)
	}
	o.buffer = append(o.buffer, b...)
	o.count++
}

func (o *batchOut) flush(s *udp.Socket) {
	if o.count > 0 {
		_ = s.Write(o.buffer, o.segment, o.to)
	}
	o.buffer, o.count = o.buffer[:0], 0
}

// address is where the connection's packets go now.
func (c *Conn) address() netip.AddrPort {
	if a := c.at.Load(); a != nil {
		return *a
	}
	return netip.AddrPort{}
}

// routes are what this side has asked its peer to forward. It belongs to conn.mu.
type routes struct {
	next    uint64
	waiting map[uint64]chan wire.ID
}

// OpenRoute asks the peer to forward packets to another node, and returns the label for Conn.AddPath. The route lasts as long as this connection.
func (c *Conn) OpenRoute(ctx context.Context, to string) (wire.ID, error) {
	c.mu.Lock()
	if c.err != nil || len(to) > 255 {
		err := c.err
		c.mu.Unlock()
		return 0, errors.Join(err, ErrNoRoute)
	}
	if c.routes.waiting == nil {
		c.routes.waiting = map[uint64]chan wire.ID{}
	}
	id := c.routes.next
	c.routes.next++
	answer := make(chan wire.ID, 1)
	c.routes.waiting[id] = answer
	c.control(wire.AppendBytes(nil, wire.RouteOpen, []byte(to), id))
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.routes.waiting, id)
	}()
	select {
	case label := <-answer:
		if label == 0 {
			return 0, fmt.Errorf("route through %s to %s: %w", c.Peer(), to, ErrNoRoute)
		}
		return label, nil
	case <-c.done:
		return 0, c.Err()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// CloseRoute gives a label back.
func (c *Conn) CloseRoute(label wire.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.control(wire.AppendInts(nil, wire.RouteClose, uint64(label)&wire.IntMax))
	}
}

// routeFrame takes what the peer says of routes.
func (c *Conn) routeFrame(f *wire.Frame) error {
	e := c.endpoint
	switch f.Type {
	case wire.RouteOpen:
		var label wire.ID
		if e.options.Forward != nil {
			if far, err := e.options.Forward(c.name, string(f.Data)); err == nil && far.IsValid() {
				label, _ = e.forwards.open(c, far)
			}
		}
		c.control(wire.AppendInts(nil, wire.RouteLabel, f.ID, uint64(label)))
	case wire.RouteLabel:
		if answer := c.routes.waiting[f.ID]; answer != nil {
			select {
			case answer <- wire.ID(f.Code):
			default:
			}
		}
	case wire.RouteClose:
		e.forwards.mu.Lock()
		defer e.forwards.mu.Unlock()
		if fw := e.forwards.labels[wire.ID(f.ID)]; fw != nil && fw.owner == c {
			delete(e.forwards.labels, wire.ID(f.ID))
		}
	}
	return nil
}

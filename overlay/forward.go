package overlay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/wherry/wherry/overlay/wire"
)

// ErrNoRoute says that the other node doesn't forward to where it was asked to.
var ErrNoRoute = errors.New("the node doesn't forward there")

// Forwarded is how many bytes this node has forwarded for others, and how many packets it dropped because they were beyond the budget.
func (e *Endpoint) Forwarded() (bytes, dropped uint64) {
	return e.forwards.Forwarded()
}

// envelope forwards a packet, or takes what is in it.
func (e *Endpoint) envelope(r *reader, b []byte, label wire.ID, from remote) {
	if e.options.Forward != nil {
		if to, ours := e.forwards.Target(label, from.addr, len(b), e.options.ForwardRate); ours {
			if to.IsValid() {
				e.forwarding.Add(e.socket, b, to)
			}
			return
		}
	}
	if inner := b[wire.EnvelopeSize:]; len(inner) > 0 && wire.Kind(inner[0]) != wire.KindEnvelope {
		e.datagram(r, inner, remote{from.addr, label})
	}
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
				if label = wire.ID(random()); e.forwards.Open(label, c, c.address, far) != nil {
					label = 0
				}
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
		e.forwards.Close(wire.ID(f.ID), c)
	}
	return nil
}

package socket

import (
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/ledger"
)

// Graph is all sockets of a state, each once, in an order that numbers it.
type Graph struct {
	sockets []*Socket
	number  map[*Socket]int
	names   names
}

// Graph begins one that is to be written, with none.
func (t *Net) Graph() *Graph {
	g := &Graph{number: map[*Socket]int{}, names: t.now}
	g.names.left = slices.DeleteFunc(slices.Clone(g.names.left), func(s *Socket) bool { return s.now.peer == nil })
	return g
}

// Add adds a socket and those that it leads to.
func (g *Graph) Add(s *Socket) {
	if _, ok := g.number[s]; ok {
		return
	}
	g.number[s] = len(g.sockets)
	g.sockets = append(g.sockets, s)
	if s.now.peer != nil {
		g.Add(s.now.peer)
	}
	for _, p := range s.now.pending {
		g.Add(p)
	}
}

// Take makes a graph that was read and checked the network. Connections with the outside end, for who had their other
// end isn't here; but for what was left to be attached.
func (t *Net) Take(g *Graph) {
	for _, c := range t.outer {
		c.t = nil
	}
	t.outer, t.gate.called = nil, nil
	t.now, t.kept = g.names, ledger.Mark{}
	for _, s := range g.sockets {
		if s.outside && s.now.peer != nil && !slices.Contains(t.now.left, s) {
			t.Close(s)
		}
	}
}

// Make makes the sockets, when they're read, for others to point to: no more than the limits allow.
func (g *Graph) Make(c *ledger.Coder, l *ledger.Limits) { ledger.Things(c, &g.sockets, 2*l.Files) }

// Code writes or reads all.
func (g *Graph) Code(c *ledger.Coder) {
	for _, s := range g.sockets {
		g.code(c, s)
	}
	ledger.List(c, &g.names.bound, func(s **Socket) { g.Ref(c, s) })
	ledger.List(c, &g.names.left, func(s **Socket) { g.Ref(c, s) })
	ledger.Number(c, &g.names.ephemeral)
}

// Ref is a pointer to a socket.
func (g *Graph) Ref(c *ledger.Coder, p **Socket) { ledger.Ref(c, p, g.sockets, g.number) }

// Check makes sure that sockets which were read could have come about, and counts what they have. held are those that open files are of; it's changed.
func (g *Graph) Check(n *ledger.Counts, held map[*Socket]bool) error {
	for i, s := range g.sockets {
		n.Buffers += int64(s.now.buffer.Len())
		if s.now.buffer.Len() > bufferSize || s.now.status > closed || s.now.peer != nil && (s.now.peer.now.peer != s || s.now.peer == s) ||
			s.now.status != connected && (s.now.peer != nil || s.now.buffer.Len() > 0) || len(s.now.pending) > BacklogMax+1 {
			return ledger.Bad("socket", i)
		}
		if s.family != abi.AF_UNIX && s.family != abi.AF_INET && s.family != abi.AF_INET6 || s.now.local.family != s.family ||
			slices.ContainsFunc(s.now.options, func(o option) bool { return len(o.value) < 4 }) || len(s.now.options) > optionMax {
			return ledger.Bad("socket", i)
		}
		for _, o := range s.now.pending {
			if o == nil || held[o] || o.now.status != connected || s.now.status != listening || o.outside {
				return ledger.Bad("socket", i)
			}
			held[o] = true
			n.Files++
		}
	}
	return g.checkEnds(held)
}

// checkEnds looks which sockets the guest hasn't: they're of connections with the outside.
func (g *Graph) checkEnds(held map[*Socket]bool) error {
	for i, s := range g.sockets {
		if !held[s] {
			s.outside = true
		} else if s.outside {
			return ledger.Bad("socket", i)
		}
		if s.now.status == listening && s.outside {
			return ledger.Bad("socket", i)
		}
	}
	for i, s := range g.names.bound {
		if s == nil || !s.now.bound || !held[s] || slices.Contains(g.names.bound[:i], s) {
			return ledger.Bad("bound socket", i)
		}
	}
	for i, s := range g.names.left {
		if s == nil || !s.outside || s.now.status != connected || slices.Contains(g.names.left[:i], s) {
			return ledger.Bad("connection that was left", i)
		}
	}
	return nil
}

func (g *Graph) code(c *ledger.Coder, s *Socket) {
	ledger.Number(c, &s.ino)
	ledger.Number(c, &s.family)
	c.Bool(&s.outside)
	n := &s.now
	ledger.Number(c, &n.status)
	c.Queue(&n.buffer)
	g.Ref(c, &n.peer)
	for _, p := range [...]*bool{&n.ended, &n.reset, &n.noRead, &n.noWrite, &n.bound} {
		c.Bool(p)
	}
	for _, a := range [...]*address{&n.local, &n.remote} {
		ledger.Number(c, &a.family)
		ledger.Number(c, &a.port)
		ip := a.ip[:]
		c.Blob(&ip)
		if copy(a.ip[:], ip); len(ip) != len(a.ip) {
			c.Fail("address")
		}
		c.String(&a.path)
	}
	ledger.Number(c, &n.name)
	ledger.Number(c, &n.backlog)
	ledger.List(c, &n.pending, func(o **Socket) { g.Ref(c, o) })
	ledger.List(c, &n.options, func(o *option) { ledger.Number(c, &o.level); ledger.Number(c, &o.name); c.String(&o.value) })
	ledger.Number(c, &n.in)
	ledger.Number(c, &n.out)
}

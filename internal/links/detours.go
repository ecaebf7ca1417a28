package links

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/overlay"
	"github.com/wherry/wherry/overlay/route"
	"github.com/wherry/wherry/overlay/wire"
)

// detours are a link's ways through other nodes.
type detours struct {
	mu   sync.Mutex // protects what follows
	open []detour
	busy bool           // one is being opened
	seen map[int]uint64 // bytes that each path had carried
}

// detour is a path through a node.
type detour struct {
	via    config.NodeID
	path   int
	label  wire.ID
	helper *overlay.Conn
}

// route says what way a path of the link takes; known is false if the other side opened it.
func (d *detours) route(to config.NodeID, p *overlay.PathInfo) (way route.Route, known bool) {
	if p.Label == 0 {
		return route.Route{To: to}, true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range d.open {
		if o.path == p.ID {
			return route.Route{To: to, Via: o.via}, true
		}
	}
	return way, false
}

// path finds the path of a way, if it is open.
func (d *detours) path(way route.Route) (id int, open bool) {
	if way.Direct() {
		return 0, true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range d.open {
		if o.via == way.Via {
			return o.path, true
		}
	}
	return 0, false
}

// carried is how many bytes a path has carried, both ways, since this was asked last.
func (d *detours) carried(p *overlay.PathInfo) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil {
		d.seen = map[int]uint64{}
	}
	all := p.Delivered + p.Received
	n := all - min(d.seen[p.ID], all) // a path that has the number of one before begins anew
	d.seen[p.ID] = all
	return n
}

// begin says whether a path may be opened now; end has to follow.
func (d *detours) begin(via config.NodeID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy || via == "" || slices.ContainsFunc(d.open, func(o detour) bool { return o.via == via }) {
		return false
	}
	d.busy = true
	return true
}

func (d *detours) end(opened *detour) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy = false
	if opened != nil {
		d.open = append(d.open, *opened)
	}
}

// caps says how many bytes a second large streams may send on each path beside the one in use.
func (d *detours) caps(shares []route.Share) map[int]float64 {
	caps := map[int]float64{}
	for _, s := range shares {
		if id, open := d.path(s.Route); open {
			caps[id] = s.RateMax
		}
	}
	return caps
}

// closeOthers drops the paths that aren't wanted, but for the one in use.
func (d *detours) closeOthers(c *overlay.Conn, wanted []route.Route) {
	primary := -1
	for _, p := range c.Paths() {
		if p.Primary {
			primary = p.ID
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = slices.DeleteFunc(d.open, func(o detour) bool {
		if o.path == primary || slices.ContainsFunc(wanted, func(r route.Route) bool { return r.Via == o.via }) {
			return false
		}
		c.DropPath(o.path)
		o.helper.CloseRoute(o.label)
		return true
	})
}

// forward says where packets go that a peer wants forwarded: to where the mesh of the node is, if that is a plain address.
func (l *Links) forward(from, to string) (netip.AddrPort, error) {
	if _, ok := l.record(config.NodeID(from)); !ok {
		return netip.AddrPort{}, errors.New("only nodes' packets are forwarded")
	}
	r, ok := l.record(config.NodeID(to))
	if !ok {
		return netip.AddrPort{}, errors.New("there is no such node")
	}
	return netip.ParseAddrPort(r.Mesh)
}

// openDetour opens a path of a link through a node.
func (l *Links) openDetour(ctx context.Context, k *link, via config.NodeID) {
	if !k.detours.begin(via) {
		return
	}
	var opened *detour
	defer func() { k.detours.end(opened) }()
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	h, err := l.to(ctx, via)
	if err != nil {
		return
	}
	label, err := h.conn.OpenRoute(ctx, string(k.node))
	if errors.Is(err, overlay.ErrNoRoute) {
		l.refused(route.Route{To: k.node, Via: via})
	}
	if err != nil {
		return
	}
	id, err := k.conn.AddPath(ctx, h.conn.RemoteAddr(), label)
	if err != nil {
		h.conn.CloseRoute(label)
		return
	}
	opened = &detour{via: via, path: id, label: label, helper: h.conn}
}

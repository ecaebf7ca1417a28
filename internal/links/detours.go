package links

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/overlay"
	"github.com/wherry/wherry/overlay/wire"
)

const (
	detoursWanted = 2               // spare paths of a connection
	detourEvery   = 5 * time.Second // at most one is opened
	detourTimeout = 3 * time.Second
	gainNeeded    = 0.85 // of the primary's score, that another path must stay below
	gainLasts     = 5    // looks in a row
)

// detours are a link's ways through other nodes. They belong to the goroutine of tend.
type detours struct {
	via     map[int]config.NodeID // by path
	tried   time.Time
	better  int // the path that has been better than the primary
	lasting int // for so many looks
}

// forward says where packets go that a peer wants forwarded: to where the mesh of the node is, if that is a plain address.
func (l *Links) forward(_, to string) (netip.AddrPort, error) {
	r, ok := l.record(config.NodeID(to))
	if !ok {
		return netip.AddrPort{}, errors.New("there is no such node")
	}
	return netip.ParseAddrPort(r.Mesh)
}

// tendPaths keeps spare paths open, and goes over to one that is clearly better.
func (l *Links) tendPaths(ctx context.Context, k *link) {
	d := &k.detour
	if d.via == nil {
		d.via = map[int]config.NodeID{}
	}
	paths := k.conn.Paths()
	spare := 0
	for _, p := range paths {
		if !p.Primary {
			if p.Alive {
				spare++
			}
			k.conn.ProbePath(p.ID)
		}
	}
	if spare < detoursWanted && time.Since(d.tried) > detourEvery {
		d.tried = time.Now()
		l.openDetour(ctx, k)
	}
	k.detour.choose(k.conn, paths)
}

// choose uses another path when it has been better for some time. A path that dies is left at once; overlay does that.
func (d *detours) choose(c *overlay.Conn, paths []overlay.PathInfo) {
	var primary, best *overlay.PathInfo
	for i := range paths {
		p := &paths[i]
		switch {
		case p.Primary:
			primary = p
		case p.Alive && p.Smoothed > 0 && (best == nil || score(p) < score(best)):
			best = p
		}
	}
	if primary == nil || best == nil || primary.Smoothed == 0 || score(best) > gainNeeded*score(primary) {
		d.lasting = 0
		return
	}
	if d.better != best.ID {
		d.better, d.lasting = best.ID, 0
	}
	if d.lasting++; d.lasting >= gainLasts {
		d.lasting = 0
		_ = c.UsePath(best.ID)
	}
}

// score is how long a small exchange takes on a path, on average, in seconds: lower is better. A loss costs about a round trip and a half.
func score(p *overlay.PathInfo) float64 {
	lost := 0.0
	if n := p.Arrived + p.Lost; n >= 20 {
		lost = float64(p.Lost) / float64(n)
	}
	return (p.Smoothed + 2*p.Variance).Seconds() * (1 + 3*lost)
}

// openDetour opens a path through a node that isn't used for one yet: the nearest of those that there are links to, else any.
func (l *Links) openDetour(ctx context.Context, k *link) {
	ctx, cancel := context.WithTimeout(ctx, detourTimeout)
	defer cancel()
	helper := l.helper(k)
	if helper == "" {
		return
	}
	h, err := l.to(ctx, helper)
	if err != nil {
		return
	}
	label, err := h.conn.OpenRoute(ctx, string(k.node))
	if err != nil {
		return
	}
	id, err := k.conn.AddPath(ctx, h.conn.RemoteAddr(), wire.ID(label))
	if err != nil {
		h.conn.CloseRoute(label)
		return
	}
	k.detour.via[id] = helper
}

func (l *Links) helper(k *link) config.NodeID {
	used := map[config.NodeID]bool{l.o.Self: true, k.node: true}
	for _, n := range k.detour.via {
		used[n] = true
	}
	type near struct {
		node  config.NodeID
		round time.Duration
	}
	var list []near
	for _, other := range l.all() {
		if !used[other.node] {
			used[other.node] = true
			list = append(list, near{other.node, other.conn.Paths()[0].Smoothed})
		}
	}
	slices.SortFunc(list, func(a, b near) int { return cmp.Compare(a.round, b.round) })
	if len(list) > 0 {
		return list[0].node
	}
	for _, r := range l.o.Nodes() {
		if !used[r.Name] {
			return r.Name
		}
	}
	return ""
}

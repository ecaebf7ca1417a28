package tree

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

const (
	liveTime = 3 * time.Second
	// awayGrace is how long a child whose stream broke has to come again before it is said to be away.
	awayGrace = 300 * time.Millisecond
	// A relay forgets a node from which nothing has come for forgetTime, a root after rootForgetTime.
	forgetTime, rootForgetTime = time.Minute, 24 * time.Hour
)

// Seen is the latest report of a node.
type Seen struct {
	feed.Report
	At   time.Time // it arrived here
	Live bool      // it is young, and doesn't say that the node is away
}

// row is what is known of a node.
type row struct {
	report     feed.Report
	raw        []byte // the report as it is sent on
	at         time.Time
	positionAt time.Time     // that its position is known here
	via        config.NodeID // who said so: a child, a root, or this node itself
	fromRoot   bool
}

func (r *row) live(now time.Time) bool { return !r.report.Away && now.Sub(r.at) < liveTime }

// kid is a child, as far as reports are concerned.
type kid struct {
	left time.Time // zero: it is here
}

// reports are the latest reports of all nodes below and, of a root, of those below other roots. All methods may be called by anybody.
// Lost when the process dies; every node reports again within a second.
type reports struct {
	self     config.NodeID
	boot     string
	nodesMax int

	mu      sync.Mutex // protects what follows
	rows    map[config.NodeID]*row
	counts  map[config.NodeID]int // rows by via
	kids    map[config.NodeID]kid
	uplinks map[*uplink]struct{}
	parent  config.NodeID
	spoke   bool // the node has a report of its own
	count   uint64
	changed chan struct{} // nil: nobody waits
}

func newReports(self config.NodeID, nodesMax int, boot string) *reports {
	return &reports{
		self: self, boot: boot, nodesMax: nodesMax,
		rows: map[config.NodeID]*row{}, counts: map[config.NodeID]int{}, kids: map[config.NodeID]kid{}, uplinks: map[*uplink]struct{}{},
	}
}

// say makes r the node's own report.
func (p *reports) say(r feed.Report, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Node, r.Away = p.self, false
	if r.Boot == "" {
		r.Boot = p.boot
	}
	before := p.rows[p.self]
	own := &row{report: r, via: p.self, positionAt: now}
	if before != nil && before.report.Position == r.Position {
		own.positionAt = before.positionAt
	}
	p.set(p.self, own)
	p.spoke = true
	p.stamp(now)
	p.dirty(p.self, own, true)
}

// set changes or, with nil, removes a row. p.mu is held.
func (p *reports) set(id config.NodeID, r *row) {
	if before := p.rows[id]; before != nil {
		if p.counts[before.via]--; p.counts[before.via] == 0 {
			delete(p.counts, before.via)
		}
	}
	delete(p.rows, id)
	if r != nil {
		p.rows[id] = r
		p.counts[r.via]++
	}
}

// stamp makes the node's own report a new one. p.mu is held.
func (p *reports) stamp(now time.Time) {
	own := p.rows[p.self]
	p.count++
	own.report.Count, own.report.At, own.report.Parent, own.at = p.count, now, p.parent, now
	own.raw = nil
}

// encoded returns the report as it is sent. Of a node's own report that is too long the lists are left out, the longest first; that it is
// there counts more. p.mu is held.
func (r *row) encoded() []byte {
	for _, shorten := range [...]func(*feed.Report){
		nil,
		func(s *feed.Report) {
			s.Sites, s.Alerts = nil, append(slices.Clone(s.Alerts[:min(len(s.Alerts), 8)]), "the report is too long: its tallies of sites are left out")
		},
		func(s *feed.Report) { s.Refused, s.Holds, s.Alerts, s.Doors = nil, nil, nil, nil },
	} {
		if r.raw != nil {
			break
		}
		said := r.report
		if shorten != nil {
			shorten(&said)
		}
		text, err := json.Marshal(&said)
		if err != nil {
			panic("BUG: tree: " + err.Error())
		}
		if len(text) <= reportMax {
			r.raw = text
		}
	}
	return r.raw
}

// under says who the parent is.
func (p *reports) under(parent config.NodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parent = parent
}

func (p *reports) load() feed.Load {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own := p.rows[p.self]; own != nil {
		return own.report.Load
	}
	return feed.Load{}
}

// joined and left say that a child's stream began and ended.
func (p *reports) joined(id config.NodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kids[id] = kid{}
}

func (p *reports) left(id config.NodeID, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kids[id] = kid{left: now}
}

// sender is who sends reports.
type sender struct {
	id   config.NodeID
	root bool
}

// What becomes of a report; each is a label of the metric.
const (
	taken    = "taken"
	old      = "old"      // a newer one is known
	outside  = "outside"  // the sender may not speak for that node
	full     = "full"     // too many nodes are known
	unusable = "unusable" // it isn't a report
	tooMany  = "too many"
)

// bill is what a batch of reports came to.
type bill struct {
	became            map[string]int
	nodes             int // that the sender speaks for now
	fresh, freshBytes int // first reports of nodes that it didn't speak for before
}

// take takes reports of one sender. above are the nodes above this one. A report of a node below another one in the same batch may come
// before that one's.
func (p *reports) take(from sender, batch [][]byte, above []config.NodeID, now time.Time) (b bill) {
	b.became = map[string]int{}
	var parsed []*row
	for _, raw := range batch {
		r := &row{raw: raw, at: now, positionAt: now, via: from.id, fromRoot: from.root}
		if json.Unmarshal(raw, &r.report) != nil || !usable(&r.report) {
			b.became[unusable]++
			continue
		}
		parsed = append(parsed, r)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for progress := true; progress; {
		progress = false
		parsed = slices.DeleteFunc(parsed, func(r *row) bool {
			known := p.rows[r.report.Node]
			what := p.takeOne(from, r, above, now)
			if what == outside {
				return false
			}
			if what == taken && (known == nil || known.via != from.id) {
				b.fresh++
				b.freshBytes += frameHead + len(r.raw)
			}
			b.became[what]++
			progress = true
			return true
		})
	}
	b.became[outside] += len(parsed)
	b.nodes = p.counts[from.id]
	return b
}

// usable says whether a report can be compared with others of its node, and kept.
func usable(r *feed.Report) bool { return r.Boot != "" && r.Check() == nil }

func (p *reports) takeOne(from sender, r *row, above []config.NodeID, now time.Time) string {
	id := r.report.Node
	known := p.rows[id]
	switch {
	case id == p.self || slices.Contains(above, id) || !from.root && !p.below(from.id, r, known):
		return outside
	case known == nil && len(p.rows) >= p.nodesMax && !p.forgetOne(now):
		return full
	case known != nil && !newer(r, known, from, now):
		return old
	}
	urgent := known == nil || tellsMore(&r.report, &known.report)
	if known != nil && known.report.Position == r.report.Position {
		r.positionAt = known.positionAt
	}
	p.set(id, r)
	p.dirty(id, r, urgent)
	return taken
}

// below says whether a child may speak for a node: for itself, and for one whose parent is known to be below the child, but not for
// who is a child of this node or is control.
func (p *reports) below(child config.NodeID, r, known *row) bool {
	id := r.report.Node
	if id == child {
		return true
	}
	if k, ok := p.kids[id]; ok && k.left.IsZero() || known != nil && known.fromRoot && known.via == id {
		return false
	}
	parent := r.report.Parent
	for range depthMax {
		if parent == child {
			return true
		}
		above := p.rows[parent]
		if above == nil || above.via != child || parent == id {
			return false
		}
		parent = above.report.Parent
	}
	return false
}

// newer says whether r says more than what is known of the node. A node that was started again counts anew; when, only its own
// clock says, so if that was set back it is believed to the node itself, and when nothing has come of the other boot for a while.
func newer(r, known *row, from sender, now time.Time) bool {
	if r.report.Boot != known.report.Boot {
		return from.id == r.report.Node || r.report.Started.After(known.report.Started) || !known.live(now)
	}
	if r.report.Count == known.report.Count {
		return r.report.Away && !known.report.Away && known.via == from.id
	}
	return r.report.Count > known.report.Count
}

// tellsMore says whether somebody may be waiting for what is new in a report.
func tellsMore(r, before *feed.Report) bool {
	return r.Boot != before.Boot || r.Position != before.Position || r.Away != before.Away || r.Config != before.Config ||
		r.Program != before.Program || r.Parent != before.Parent || !maps.Equal(r.Holds, before.Holds) ||
		!slices.Equal(r.Refused, before.Refused) || !slices.Equal(r.Alerts, before.Alerts) || !maps.Equal(r.Doors, before.Doors)
}

// dirty notes that a row is to be sent on. p.mu is held.
func (p *reports) dirty(id config.NodeID, r *row, urgent bool) {
	for u := range p.uplinks {
		if !u.toRoot || !r.fromRoot {
			u.add(id, urgent)
		}
	}
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// forgetOne makes room by forgetting the node that was silent for longest, if it isn't live. p.mu is held.
func (p *reports) forgetOne(now time.Time) bool {
	var longest config.NodeID
	for id, r := range p.rows {
		if id != p.self && !r.live(now) && (longest == "" || r.at.Before(p.rows[longest].at)) {
			longest = id
		}
	}
	p.set(longest, nil)
	return longest != ""
}

// tick says who is away.
func (p *reports) tick(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, k := range p.kids {
		r := p.rows[id]
		gone := !k.left.IsZero() && now.Sub(k.left) >= awayGrace
		if r != nil && r.via == id && !r.report.Away && (gone || now.Sub(r.at) >= liveTime) {
			p.away(id, r, now)
		}
		if gone {
			delete(p.kids, id)
		}
	}
}

// forget forgets those of whom nothing has come for d.
func (p *reports) forget(now time.Time, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, r := range p.rows {
		if id != p.self && now.Sub(r.at) >= d {
			p.set(id, nil)
		}
	}
}

// again sends the node's own report again if it is older than d.
func (p *reports) again(now time.Time, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own := p.rows[p.self]; own != nil && now.Sub(own.at) >= d {
		p.stamp(now)
		p.dirty(p.self, own, false)
	}
}

// away says of a child that it isn't there. p.mu is held.
func (p *reports) away(id config.NodeID, r *row, now time.Time) {
	gone := *r
	gone.report.Away, gone.raw, gone.at = true, nil, now
	p.set(id, &gone)
	p.dirty(id, &gone, true)
}

// all returns what is known.
func (p *reports) all(now time.Time) map[config.NodeID]Seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := make(map[config.NodeID]Seen, len(p.rows))
	for id, r := range p.rows {
		seen[id] = Seen{r.report, r.at, r.live(now)}
	}
	return seen
}

// wait returns a channel that is closed at the next change.
func (p *reports) wait() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

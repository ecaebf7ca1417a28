package file

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// graph is all that a Table has, each thing once, in an order that numbers it.
type graph struct {
	nodes   []*node
	files   []*openFile
	streams []*stream
	pipes   []*pipe
	events  []*eventfd
	timers  []*timerfd
	epolls  []*epoll
	sockets []*socket

	nodeNumber   map[*node]int
	fileNumber   map[*openFile]int
	objectNumber map[object]int // in its own list

	fds    []slot
	bound  []*socket
	mounts []*node
	counts counts
}

// collect finds everything from where it can be reached.
func (t *Table) collect() *graph {
	g := &graph{
		fds: t.fds, bound: t.slots.bound, mounts: t.mounts, counts: t.now,
		nodeNumber: map[*node]int{}, fileNumber: map[*openFile]int{}, objectNumber: map[object]int{},
	}
	for _, n := range t.mounts {
		g.addNode(n)
	}
	g.addNode(t.now.cwd)
	for i := range t.fds {
		if f := t.fds[i].file; f != nil {
			g.addFile(f)
		}
	}
	return g
}

// addNode adds a node with all below it, and the directories above.
func (g *graph) addNode(n *node) {
	if n == nil || n.image {
		return
	}
	if _, ok := g.nodeNumber[n]; ok {
		return
	}
	g.nodeNumber[n] = len(g.nodes)
	g.nodes = append(g.nodes, n)
	g.addNode(n.now.parent)
	for _, c := range n.sorted() {
		g.addNode(c.node)
	}
	if n.socket != nil && n.socket.now.status != socketClosed {
		g.addObject(n.socket)
	}
}

func (g *graph) addFile(f *openFile) {
	if _, ok := g.fileNumber[f]; ok {
		return
	}
	g.fileNumber[f] = len(g.files)
	g.files = append(g.files, f)
	g.addNode(f.node)
	if _, ok := f.object.(*node); !ok {
		g.addObject(f.object)
	}
}

func (g *graph) addObject(o object) {
	if _, ok := g.objectNumber[o]; ok {
		return
	}
	switch o := o.(type) {
	case *stream:
		g.objectNumber[o] = len(g.streams)
		g.streams = append(g.streams, o)
	case *pipe:
		g.objectNumber[o] = len(g.pipes)
		g.pipes = append(g.pipes, o)
	case *eventfd:
		g.objectNumber[o] = len(g.events)
		g.events = append(g.events, o)
	case *timerfd:
		g.objectNumber[o] = len(g.timers)
		g.timers = append(g.timers, o)
	case *epoll:
		g.objectNumber[o] = len(g.epolls)
		g.epolls = append(g.epolls, o)
	case *socket:
		g.objectNumber[o] = len(g.sockets)
		g.sockets = append(g.sockets, o)
		if o.now.peer != nil {
			g.addObject(o.now.peer)
		}
		for _, p := range o.now.pending {
			g.addObject(p)
		}
	}
}

var errStateLimits = errors.New("file: the state has more files, memory or descriptors than the limits allow; raise them to those that it was made with")

var errState = errors.New("file: the state contradicts itself; make the snapshot anew")

func bad(what string, number int) error { return fmt.Errorf("%w (%s %d)", errState, what, number) }

// check makes sure that a graph which was read could have come about, and counts what a graph that was written doesn't say.
func (g *graph) check(t *Table) error {
	c := &g.counts
	c.files, c.nodes, c.memory, c.watches, c.buffers = len(g.files), len(g.nodes), 0, 0, 0
	if len(g.mounts) != len(t.o.Image.mounts) || c.output < 0 || c.cwd == nil || c.cwd.kind != nodeDir {
		return bad("directory", 0)
	}
	for _, f := range []func() error{g.checkNodes, g.checkFiles, g.checkPipes, g.checkEpolls, g.checkSockets} {
		if err := f(); err != nil {
			return err
		}
	}
	for i, n := range g.mounts {
		at := t.o.Image.mounts[i]
		if n.kind != nodeDir || n.fs != fsMemory+uint8(i) || n.now.parent != at.now.parent || n.now.name != at.now.name {
			return bad("writable directory", i)
		}
	}
	l := &t.limits
	if len(g.fds) > l.Descriptors || c.files > l.Files || c.nodes > l.Nodes+len(g.mounts) || c.memory > l.Memory || c.watches > l.Watches ||
		c.buffers > l.Buffers || l.Output > 0 && c.output > l.Output {
		return errStateLimits
	}
	return nil
}

func (g *graph) checkNodes() error {
	names := map[*node]uint32{}
	for i, n := range g.nodes {
		for name, e := range n.now.names {
			child := e.node
			if n.kind != nodeDir || child == nil || child.image || child.fs != n.fs || !validName(name) || e.cookie > n.now.cookie || e.cookie <= 0 ||
				n.now.cookie > cookieMax {
				return bad("directory", i)
			}
			if child.kind == nodeDir && (child.now.parent != n || child.now.name != name || slices.Contains(g.mounts, child)) {
				return bad("directory", i)
			}
			names[child]++
		}
		g.counts.memory += int64(len(n.now.pages)) * pageSize
		switch {
		case n.fs < fsMemory, n.kind == nodeDir && n.now.parent == nil, n.kind != nodeDir && n.now.parent != nil, n.kind != nodeDir && len(n.now.names) > 0,
			n.kind != nodeFile && len(n.now.pages) > 0, n.kind == nodeLink && (n.target == "" || strings.IndexByte(n.target, 0) >= 0):
			return bad("file", i)
		}
	}
	for i, n := range g.nodes {
		n.now.nlink = names[n]
		if n.kind != nodeDir {
			continue
		}
		steps, up := 0, n
		for ; !up.image && up.kind == nodeDir && steps <= 2*depthMax; up = up.now.parent {
			steps++
		}
		if !up.image || up.kind != nodeDir {
			return bad("directory", i)
		}
		root := slices.Contains(g.mounts, n)
		if names[n] > 1 || names[n] == 0 && !root && len(n.now.names) > 0 {
			return bad("directory", i)
		}
		if n.now.nlink = 0; root || names[n] > 0 {
			n.now.nlink = 2 + n.subdirectories()
		}
	}
	return nil
}

func validName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= nameMax && !slices.Contains([]byte(name), '/') && !slices.Contains([]byte(name), 0)
}

func (g *graph) checkFiles() error {
	for _, s := range g.fds {
		if s.file != nil {
			s.file.now.refs++
		}
	}
	hold := func(n *node) {
		if n != nil && !n.image {
			n.now.opens++
		}
	}
	hold(g.counts.cwd)
	sockets := map[object]bool{}
	for i, f := range g.files {
		hold(f.node)
		n, isNode := f.object.(*node)
		_, isSocket := f.object.(*socket)
		switch {
		case f.object == nil || f.now.refs == 0 || f.now.off < 0, isNode && n != f.node, !isNode && f.node != nil, isSocket && sockets[f.object]:
			return bad("open file", i)
		case isNode && f.now.flags&openPath == 0 && f.writable() && (n.kind != nodeFile && n.kind != nodeDevice || n.kind == nodeFile && n.image):
			return bad("open file", i)
		}
		sockets[f.object] = isSocket
		if p, ok := f.object.(*pipe); ok {
			p.now.readers += count(f.readable())
			p.now.writers += count(f.writable())
		}
	}
	for i, n := range g.nodes {
		if n.now.nlink == 0 && n.now.opens == 0 && n.kind != nodeDir {
			return bad("file", i)
		}
	}
	return nil
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (g *graph) checkPipes() error {
	for i, p := range g.pipes {
		n := 0
		for _, page := range p.now.pages {
			if page.n == 0 || int(page.off)+int(page.n) > pageSize {
				return bad("pipe", i)
			}
			n += int(page.n)
		}
		if n != p.now.buffer.len() || len(p.now.pages) > p.now.slots || p.now.slots > pipeSizeMax/pageSize || bits.OnesCount(uint(p.now.slots)) != 1 {
			return bad("pipe", i)
		}
		g.counts.buffers += int64(n)
	}
	for i, s := range g.streams {
		if s.number > 2 {
			return bad("stream", i)
		}
	}
	for i, f := range g.timers {
		if f.now.due < 0 || f.now.interval < 0 {
			return bad("timer", i)
		}
	}
	return nil
}

func (g *graph) checkEpolls() error {
	for i, p := range g.epolls {
		g.counts.watches += len(p.now.watches)
		for _, w := range p.now.watches {
			if w.file == nil {
				return bad("epoll", i)
			}
			if _, isNode := w.file.object.(*node); isNode {
				return bad("epoll", i)
			}
		}
	}
	level := map[*epoll]int{} // -1 while it's looked at
	var depth func(p *epoll, budget int) int
	depth = func(p *epoll, budget int) int {
		if d, ok := level[p]; ok {
			return d
		}
		level[p] = epollNestsMax + 1 // a circle finds this
		d := 0
		for _, w := range p.now.watches {
			if o, ok := w.file.object.(*epoll); ok && budget > 0 {
				d = max(d, 1+depth(o, budget-1))
			} else if ok {
				d = epollNestsMax + 1
			}
		}
		level[p] = d
		return d
	}
	for i, p := range g.epolls {
		if depth(p, 2*epollNestsMax) > epollNestsMax {
			return bad("epoll", i)
		}
	}
	return nil
}

func (g *graph) checkSockets() error {
	held := map[*socket]bool{}
	for _, f := range g.files {
		if s, ok := f.object.(*socket); ok {
			held[s] = true
		}
	}
	for i, s := range g.sockets {
		g.counts.buffers += int64(s.now.buffer.len())
		if s.now.buffer.len() > socketSize || s.now.status > socketClosed || s.now.peer != nil && (s.now.peer.now.peer != s || s.now.peer == s) ||
			s.now.status != socketConnected && (s.now.peer != nil || s.now.buffer.len() > 0) || len(s.now.pending) > backlogMax+1 {
			return bad("socket", i)
		}
		if s.family != abi.AF_UNIX && s.family != abi.AF_INET && s.family != abi.AF_INET6 || s.now.local.family != s.family ||
			slices.ContainsFunc(s.now.options, func(o option) bool { return len(o.value) < 4 }) || len(s.now.options) > socketOptionMax {
			return bad("socket", i)
		}
		for _, o := range s.now.pending {
			if o == nil || held[o] || o.now.status != socketConnected || s.now.status != socketListening || o.outside {
				return bad("socket", i)
			}
			held[o] = true
			g.counts.files++
		}
	}
	for i, s := range g.sockets {
		if !held[s] {
			s.outside = true
		} else if s.outside {
			return bad("socket", i)
		}
		if s.now.status == socketListening && s.outside {
			return bad("socket", i)
		}
	}
	for i, s := range g.bound {
		if s == nil || !s.now.bound || !held[s] || slices.Contains(g.bound[:i], s) {
			return bad("bound socket", i)
		}
	}
	return nil
}

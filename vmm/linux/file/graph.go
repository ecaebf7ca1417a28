package file

import (
	"math/bits"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/ledger"
	"github.com/wherry/wherry/vmm/linux/socket"
	"github.com/wherry/wherry/vmm/linux/tree"
)

// graph is all that a Table has, each thing once, in an order that numbers it.
type graph struct {
	nodes   *tree.Graph
	files   []*openFile
	streams []*stream
	pipes   []*pipe
	events  []*eventfd
	timers  []*timerfd
	epolls  []*epoll
	sockets *socket.Graph

	fileNumber   map[*openFile]int
	objectNumber map[object]int // in its own list; files of the tree and sockets have theirs

	fds    []slot
	counts ledger.Counts
}

// collect finds everything from where it can be reached.
func (t *Table) collect() *graph {
	g := &graph{
		nodes: t.tree.Graph(), sockets: t.net.Graph(), fds: t.slots.fds, counts: t.ledger.Now,
		fileNumber: map[*openFile]int{}, objectNumber: map[object]int{},
	}
	for i := range t.slots.fds {
		if f := t.slots.fds[i].file; f != nil {
			g.addFile(f)
		}
	}
	return g
}

func (g *graph) addFile(f *openFile) {
	if _, ok := g.fileNumber[f]; ok {
		return
	}
	g.fileNumber[f] = len(g.files)
	g.files = append(g.files, f)
	g.nodes.Add(f.node)
	g.addObject(f.object)
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
	case socketFile:
		g.sockets.Add(o.Socket)
	}
}

// check makes sure that a graph which was read could have come about, and counts what a graph that was written doesn't say.
func (g *graph) check(t *Table) error {
	c := &g.counts
	*c = ledger.Counts{Files: len(g.files), Ino: c.Ino, Output: c.Output, Exceeded: c.Exceeded}
	if c.Output < 0 {
		return ledger.Bad("output", 0)
	}
	if err := g.nodes.Check(c); err != nil {
		return err
	}
	for _, f := range []func() error{g.checkFiles, g.nodes.CheckHeld, g.checkPipes, g.checkEpolls, g.checkSockets} {
		if err := f(); err != nil {
			return err
		}
	}
	l := &t.ledger.Limits
	if len(g.fds) > l.Descriptors || c.Files > l.Files || c.Nodes > l.Nodes+t.o.Image.Writable() || c.Memory > l.Memory || c.Watches > l.Watches ||
		c.Buffers > l.Buffers || l.Output > 0 && c.Output > l.Output {
		return ledger.ErrStateLimits
	}
	return nil
}

func (g *graph) checkFiles() error {
	for _, s := range g.fds {
		if s.file != nil {
			s.file.now.refs++
		}
	}
	sockets := map[object]bool{}
	for i, f := range g.files {
		g.nodes.Hold(f.node)
		n, isNode := f.object.(treeFile)
		_, isSocket := f.object.(socketFile)
		switch {
		case f.object == nil || f.now.refs == 0 || f.now.off < 0, isNode && n.Node != f.node, !isNode && f.node != nil, isSocket && sockets[f.object]:
			return ledger.Bad("open file", i)
		case isNode && f.now.flags&abi.O_PATH == 0 && f.writable() && (n.Kind != tree.KindFile && n.Kind != tree.KindDevice || n.Kind == tree.KindFile && n.Image):
			return ledger.Bad("open file", i)
		}
		sockets[f.object] = isSocket
		if p, ok := f.object.(*pipe); ok {
			p.now.readers += count(f.readable())
			p.now.writers += count(f.writable())
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
				return ledger.Bad("pipe", i)
			}
			n += int(page.n)
		}
		if n != p.now.buffer.Len() || len(p.now.pages) > p.now.slots || p.now.slots > pipeSizeMax/pageSize || bits.OnesCount(uint(p.now.slots)) != 1 {
			return ledger.Bad("pipe", i)
		}
		g.counts.Buffers += int64(n)
	}
	for i, s := range g.streams {
		if s.number > 2 {
			return ledger.Bad("stream", i)
		}
	}
	for i, f := range g.timers {
		if f.now.due < 0 || f.now.interval < 0 {
			return ledger.Bad("timer", i)
		}
	}
	return nil
}

func (g *graph) checkEpolls() error {
	for i, p := range g.epolls {
		g.counts.Watches += len(p.now.watches)
		for _, w := range p.now.watches {
			if w.file == nil {
				return ledger.Bad("epoll", i)
			}
			if _, isNode := w.file.object.(treeFile); isNode {
				return ledger.Bad("epoll", i)
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
			return ledger.Bad("epoll", i)
		}
	}
	return nil
}

func (g *graph) checkSockets() error {
	held := map[*socket.Socket]bool{}
	for _, f := range g.files {
		if s, ok := f.object.(socketFile); ok {
			held[s.Socket] = true
		}
	}
	return g.sockets.Check(&g.counts, held)
}

package file

import (
	"github.com/wherry/wherry/vmm/linux/ledger"
	"github.com/wherry/wherry/vmm/linux/socket"
)

// code writes or reads the whole graph; l are the limits of the table that reads.
func (g *graph) code(c *ledger.Coder, l *ledger.Limits) {
	g.nodes.Make(c, l)
	ledger.Things(c, &g.files, l.Files)
	ledger.Things(c, &g.streams, 3)
	ledger.Things(c, &g.pipes, l.Files)
	ledger.Things(c, &g.events, l.Files)
	ledger.Things(c, &g.timers, l.Files)
	ledger.Things(c, &g.epolls, l.Files)
	g.sockets.Make(c, l)
	g.nodes.Code(c)
	for _, f := range g.files {
		g.nodes.Ref(c, &f.node)
		g.codeObject(c, f)
		c.String(&f.path)
		c.Blob(&f.content)
		ledger.Number(c, &f.now.off)
		ledger.Number(c, &f.now.flags)
	}
	for _, s := range g.streams {
		ledger.Number(c, &s.number)
		c.Queue(&s.now.buffer)
		c.Bool(&s.now.ended)
		ledger.Number(c, &s.now.edge)
	}
	g.codeAnonymous(c)
	g.sockets.Code(c)
	ledger.List(c, &g.fds, func(s *slot) { g.codeFile(c, &s.file); c.Bool(&s.cloexec) })
	n := &g.counts
	ledger.Number(c, &n.Ino)
	ledger.Number(c, &n.Output)
	c.Bool(&n.Exceeded)
}

func (g *graph) codeFile(c *ledger.Coder, p **openFile) { ledger.Ref(c, p, g.files, g.fileNumber) }

// codeObject is a pointer to a thing of any kind; a file of the tree is its own.
func (g *graph) codeObject(c *ledger.Coder, f *openFile) {
	kinds := [...]func(i int) (object, bool){
		func(int) (object, bool) { return treeFile{f.node}, f.node != nil },
		func(i int) (object, bool) { return at(g.streams, i) },
		func(i int) (object, bool) { return at(g.pipes, i) },
		func(i int) (object, bool) { return at(g.events, i) },
		func(i int) (object, bool) { return at(g.timers, i) },
		func(i int) (object, bool) { return at(g.epolls, i) },
	}
	kind, s := 0, (*socket.Socket)(nil)
	switch o := f.object.(type) {
	case *stream:
		kind = 1
	case *pipe:
		kind = 2
	case *eventfd:
		kind = 3
	case *timerfd:
		kind = 4
	case *epoll:
		kind = 5
	case socketFile:
		kind, s = len(kinds), o.Socket
	}
	ledger.Number(c, &kind)
	if kind == len(kinds) {
		if g.sockets.Ref(c, &s); c.Reading() && s != nil {
			f.object = socketFile{s}
		}
		return // one without a socket has no object, which check finds
	}
	i := g.objectNumber[f.object]
	ledger.Number(c, &i)
	if !c.Reading() {
		return
	}
	if kind < 0 || kind >= len(kinds) {
		c.Fail("kind")
		return
	}
	o, ok := kinds[kind](i)
	if !ok {
		c.Fail("pointer to a thing")
		return
	}
	f.object = o
}

func at[T any](s []*T, i int) (object, bool) {
	if i < 0 || i >= len(s) {
		return nil, false
	}
	return any(s[i]).(object), true
}

func (g *graph) codeAnonymous(c *ledger.Coder) {
	for _, p := range g.pipes {
		ledger.Number(c, &p.ino)
		c.Queue(&p.now.buffer)
		ledger.List(c, &p.now.pages, func(g *pipePage) { ledger.Number(c, &g.off); ledger.Number(c, &g.n) })
		ledger.Number(c, &p.now.slots)
		ledger.Number(c, &p.now.in)
		ledger.Number(c, &p.now.out)
	}
	for _, v := range g.events {
		ledger.Number(c, &v.ino)
		c.Bool(&v.semaphore)
		ledger.Number(c, &v.now.count)
		ledger.Number(c, &v.now.in)
		ledger.Number(c, &v.now.out)
	}
	for _, f := range g.timers {
		ledger.Number(c, &f.ino)
		c.Bool(&f.realtime)
		ledger.Number(c, &f.now.due)
		ledger.Number(c, &f.now.interval)
		ledger.Number(c, &f.now.set)
	}
	for _, p := range g.epolls {
		ledger.Number(c, &p.ino)
		ledger.List(c, &p.now.watches, func(w *watch) {
			ledger.Number(c, &w.fd)
			g.codeFile(c, &w.file)
			ledger.Number(c, &w.events)
			ledger.Number(c, &w.data)
			c.Bool(&w.fresh)
			ledger.Number(c, &w.in)
			ledger.Number(c, &w.out)
		})
	}
}

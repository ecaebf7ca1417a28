package file

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
)

const openPath = abi.O_PATH

// coder writes a graph, or reads one: each method does both, so that they can't differ. Numbers are varints, strings and lists have their length first,
// and a pointer is the number of what it points to.
type coder struct {
	g       *graph
	image   *Image
	limits  Limits // of the table that reads
	b       []byte
	reading bool
	pages   []*page
	err     error
}

func (c *coder) fail(what string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w (%s)", errState, what)
	}
	c.b = nil
}

func number[T ~int | ~int64 | ~uint64 | ~uint32 | ~uint16 | ~uint8](c *coder, p *T) {
	if !c.reading {
		c.b = binary.AppendVarint(c.b, int64(*p))
		return
	}
	v, n := binary.Varint(c.b)
	if *p = T(v); n <= 0 || int64(*p) != v {
		c.fail("number")
		*p = 0
		return
	}
	c.b = c.b[n:]
}

func (c *coder) bool(p *bool) {
	v := uint8(count(*p))
	number(c, &v)
	*p = v == 1
}

// length is that of a list: when it's read, of no more than there can be in the bytes that are left.
func (c *coder) length(n int) int {
	number(c, &n)
	if c.reading && (n < 0 || n > len(c.b)) {
		c.fail("length")
		return 0
	}
	return n
}

func (c *coder) bytes(p *[]byte) {
	n := c.length(len(*p))
	if !c.reading {
		c.b = append(c.b, *p...)
		return
	}
	*p = slices.Clone(c.b[:n])
	c.b = c.b[n:]
}

func (c *coder) string(p *string) {
	b := []byte(*p)
	c.bytes(&b)
	*p = string(b)
}

func (c *coder) queue(q *queue) {
	b := q.b[q.off:]
	c.bytes(&b)
	if c.reading {
		q.b = b
	}
}

func list[T any](c *coder, s *[]T, visit func(*T)) {
	n := c.length(len(*s))
	if c.reading {
		*s = make([]T, n)
	}
	for i := range *s {
		visit(&(*s)[i])
	}
}

// things makes the things of a kind, so that there's something to point to before any is read: no more than the table that reads may have.
func things[T any](c *coder, s *[]*T, most int) {
	n := c.length(len(*s))
	if !c.reading {
		return
	}
	if n > most {
		c.err, c.b, n = errStateLimits, nil, 0
	}
	*s = make([]*T, n)
	for i := range *s {
		(*s)[i] = new(T)
	}
}

// ref is a pointer to one of s: one more than its number, and 0 for none.
func ref[T any](c *coder, p **T, s []*T, find func(*T) (int, bool)) {
	n := 0
	if *p != nil && !c.reading {
		if i, ok := find(*p); ok {
			n = i + 1
		}
	}
	number(c, &n)
	if !c.reading {
		return
	}
	if n < 0 || n > len(s) {
		c.fail("pointer")
	} else if n > 0 {
		*p = s[n-1]
	}
}

func (c *coder) node(p **node) {
	n := uint64(0)
	switch {
	case *p == nil || c.reading:
	case (*p).image:
		n = (*p).ino
	default:
		n = uint64(len(c.image.nodes) + 1 + c.g.nodeNumber[*p])
	}
	number(c, &n)
	if !c.reading || n == 0 {
		return
	}
	switch n--; {
	case n < uint64(len(c.image.nodes)):
		*p = c.image.nodes[n]
	case n-uint64(len(c.image.nodes)) < uint64(len(c.g.nodes)):
		*p = c.g.nodes[n-uint64(len(c.image.nodes))]
	default:
		c.fail("pointer to a file")
	}
}

func (c *coder) file(p **openFile) {
	ref(c, p, c.g.files, func(f *openFile) (int, bool) { i, ok := c.g.fileNumber[f]; return i, ok })
}

func (c *coder) socket(p **socket) {
	ref(c, p, c.g.sockets, func(s *socket) (int, bool) { i, ok := c.g.objectNumber[s]; return i, ok })
}

// object is a pointer to a thing of any kind; a file is its own.
func (c *coder) object(f *openFile) {
	kinds := [...]func(i int) (object, bool){
		func(int) (object, bool) { return f.node, f.node != nil },
		func(i int) (object, bool) { return at(c.g.streams, i) },
		func(i int) (object, bool) { return at(c.g.pipes, i) },
		func(i int) (object, bool) { return at(c.g.events, i) },
		func(i int) (object, bool) { return at(c.g.timers, i) },
		func(i int) (object, bool) { return at(c.g.epolls, i) },
		func(i int) (object, bool) { return at(c.g.sockets, i) },
	}
	kind, i := 0, 0
	switch f.object.(type) {
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
	case *socket:
		kind = 6
	}
	if kind > 0 {
		i = c.g.objectNumber[f.object]
	}
	number(c, &kind)
	number(c, &i)
	if !c.reading {
		return
	}
	if kind < 0 || kind >= len(kinds) {
		c.fail("kind")
		return
	}
	o, ok := kinds[kind](i)
	if !ok {
		c.fail("pointer to a thing")
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

// all is the whole graph.
func (c *coder) all() {
	g := c.g
	things(c, &g.nodes, c.limits.Nodes+mountsMax)
	things(c, &g.files, c.limits.Files)
	things(c, &g.streams, 3)
	things(c, &g.pipes, c.limits.Files)
	things(c, &g.events, c.limits.Files)
	things(c, &g.timers, c.limits.Files)
	things(c, &g.epolls, c.limits.Files)
	things(c, &g.sockets, 2*c.limits.Files)
	for _, n := range g.nodes {
		c.visitNode(n)
	}
	for _, f := range g.files {
		c.node(&f.node)
		c.object(f)
		c.string(&f.path)
		c.bytes(&f.content)
		number(c, &f.now.off)
		number(c, &f.now.flags)
	}
	for _, s := range g.streams {
		number(c, &s.number)
		c.queue(&s.now.buffer)
		c.bool(&s.now.ended)
		number(c, &s.now.edge)
	}
	c.visitAnonymous()
	for _, s := range g.sockets {
		c.visitSocket(s)
	}
	list(c, &g.fds, func(s *slot) { c.file(&s.file); c.bool(&s.cloexec) })
	list(c, &g.bound, func(s **socket) { c.socket(s) })
	list(c, &g.mounts, func(n **node) { c.node(n) })
	n := &g.counts
	c.node(&n.cwd)
	number(c, &n.umask)
	number(c, &n.ino)
	number(c, &n.output)
	c.bool(&n.exceeded)
	number(c, &n.ephemeral)
}

func (c *coder) visitNode(n *node) {
	number(c, &n.ino)
	number(c, &n.kind)
	number(c, &n.fs)
	c.string(&n.target)
	s := n.socket
	if !c.reading && s != nil && s.now.status == socketClosed {
		s = nil
	}
	c.socket(&s)
	n.socket = s
	i := &n.now
	number(c, &i.mode)
	number(c, &i.atime)
	number(c, &i.mtime)
	number(c, &i.ctime)
	number(c, &i.seals)
	c.node(&i.parent)
	c.string(&i.name)
	number(c, &i.cookie)
	number(c, &i.bytes)
	if c.reading && (n.kind == 0 || n.kind > nodeSocket || n.kind == nodeDevice || n.kind == nodeProc || n.kind == nodeDescriptor || i.bytes < 0) {
		c.fail("kind of a file")
	}
	entries := n.sorted()
	list(c, &entries, func(e *child) { c.string(&e.name); c.node(&e.node); number(c, &e.cookie) })
	numbers := slices.Sorted(maps.Keys(i.pages))
	list(c, &numbers, func(at *int64) { c.page(n, at) })
	if c.reading && n.kind == nodeDir {
		i.names = make(map[string]entry, len(entries))
		for _, e := range entries {
			i.names[e.name] = entry{e.node, e.cookie}
		}
	} else if len(entries) > 0 && n.kind != nodeDir {
		c.fail("names in a file")
	}
}

// page is one of a memory file: its number in the file, and that in the State.
func (c *coder) page(n *node, at *int64) {
	number(c, at)
	i := len(c.pages)
	number(c, &i)
	if !c.reading {
		c.pages = append(c.pages, n.now.pages[*at])
		return
	}
	if i < 0 || i >= len(c.pages) || *at < 0 || *at > (1<<63-1)/pageSize {
		c.fail("page")
		return
	}
	if n.now.pages == nil {
		n.now.pages = map[int64]*page{}
	}
	n.now.pages[*at] = c.pages[i]
}

// sorted are a directory's own entries in the order in which they were made.
func (n *node) sorted() (list []child) {
	for name, e := range n.now.names {
		list = append(list, child{name, e.node, e.cookie})
	}
	slices.SortFunc(list, func(a, b child) int { return cmp.Compare(a.cookie, b.cookie) })
	return list
}

func (c *coder) visitAnonymous() {
	for _, p := range c.g.pipes {
		number(c, &p.ino)
		c.queue(&p.now.buffer)
		list(c, &p.now.pages, func(g *pipePage) { number(c, &g.off); number(c, &g.n) })
		number(c, &p.now.slots)
		number(c, &p.now.in)
		number(c, &p.now.out)
	}
	for _, v := range c.g.events {
		number(c, &v.ino)
		c.bool(&v.semaphore)
		number(c, &v.now.count)
		number(c, &v.now.in)
		number(c, &v.now.out)
	}
	for _, f := range c.g.timers {
		number(c, &f.ino)
		c.bool(&f.realtime)
		number(c, &f.now.due)
		number(c, &f.now.interval)
		number(c, &f.now.set)
	}
	for _, p := range c.g.epolls {
		number(c, &p.ino)
		list(c, &p.now.watches, func(w *watch) {
			number(c, &w.fd)
			c.file(&w.file)
			number(c, &w.events)
			number(c, &w.data)
			c.bool(&w.fresh)
			number(c, &w.in)
			number(c, &w.out)
		})
	}
}

func (c *coder) visitSocket(s *socket) {
	number(c, &s.ino)
	number(c, &s.family)
	c.bool(&s.outside)
	n := &s.now
	number(c, &n.status)
	c.queue(&n.buffer)
	c.socket(&n.peer)
	for _, p := range [...]*bool{&n.ended, &n.reset, &n.noRead, &n.noWrite, &n.bound} {
		c.bool(p)
	}
	for _, a := range [...]*address{&n.local, &n.remote} {
		number(c, &a.family)
		number(c, &a.port)
		ip := a.ip[:]
		c.bytes(&ip)
		if copy(a.ip[:], ip); len(ip) != len(a.ip) {
			c.fail("address")
		}
		c.string(&a.path)
	}
	number(c, &n.backlog)
	list(c, &n.pending, func(o **socket) { c.socket(o) })
	list(c, &n.options, func(o *option) { number(c, &o.level); number(c, &o.name); c.string(&o.value) })
	number(c, &n.in)
	number(c, &n.out)
}

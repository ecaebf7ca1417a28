package file

import (
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// epoll is an epoll instance (fs/eventpoll.c). Its watches stand in the order in which they are told: one that was told goes to the end, so that each has
// its turn when there's room for few.
type epoll struct {
	kept
	ino       uint64
	now, then epollState
}

type epollState struct{ watches []watch }

// watch is one descriptor's. Two of the same open file under different numbers are two watches.
type watch struct {
	fd     int
	file   *openFile
	events uint32
	data   uint64
	fresh  bool   // added or changed since it was told: what's ready is told even where EPOLLET waits for an edge
	in     uint64 // the edges that were told
	out    uint64
}

func (p *epoll) save() { p.then.watches = append(p.then.watches[:0], p.now.watches...) }
func (p *epoll) back() { p.now.watches = append(p.now.watches[:0], p.then.watches...) }

// EpollCreate is epoll_create1.
func (t *Table) EpollCreate(flags int) (int, abi.Errno) {
	if flags&^abi.EPOLL_CLOEXEC != 0 {
		return 0, abi.EINVAL
	}
	return t.install(&epoll{kept: t.made(), ino: t.newIno()}, nil, flags|abi.O_RDWR)
}

const (
	epollPrivate   = abi.EPOLLWAKEUP | abi.EPOLLONESHOT | abi.EPOLLET | abi.EPOLLEXCLUSIVE                                         // EP_PRIVATE_BITS
	epollExclusive = abi.EPOLLIN | abi.EPOLLOUT | abi.EPOLLERR | abi.EPOLLHUP | abi.EPOLLWAKEUP | abi.EPOLLET | abi.EPOLLEXCLUSIVE // EPOLLEXCLUSIVE_OK_BITS
)

// EpollCtl is epoll_ctl.
func (t *Table) EpollCtl(ep, op, fd int, event abi.EpollEvent) abi.Errno {
	epf, e := t.get(ep)
	if e != 0 {
		return e
	}
	f, e := t.getOpen(fd)
	if e != 0 {
		return e
	}
	if _, ok := f.object.(*node); ok {
		return abi.EPERM // what is always ready can't be polled
	}
	p, ok := epf.object.(*epoll)
	if !ok || f == epf {
		return abi.EINVAL
	}
	exclusive := op != abi.EPOLL_CTL_DEL && event.Events&abi.EPOLLEXCLUSIVE != 0
	inner, nested := f.object.(*epoll)
	if exclusive && (op == abi.EPOLL_CTL_MOD || nested || event.Events&^uint32(epollExclusive) != 0) {
		return abi.EINVAL
	}
	i := slices.IndexFunc(p.now.watches, func(w watch) bool { return w.fd == fd && w.file == f })
	switch op {
	case abi.EPOLL_CTL_ADD:
		if nested && (inner == p || inner.reaches(p, 0) || inner.depth(0)+t.above(p, 0) >= epollNestsMax) {
			return abi.ELOOP
		}
		if i >= 0 {
			return abi.EEXIST
		}
		return t.watch(p, fd, f, event)
	case abi.EPOLL_CTL_MOD, abi.EPOLL_CTL_DEL:
		if i < 0 {
			return abi.ENOENT
		}
		if op == abi.EPOLL_CTL_MOD && p.now.watches[i].events&abi.EPOLLEXCLUSIVE != 0 {
			return abi.EINVAL
		}
		t.keep(&p.kept, p)
		if op == abi.EPOLL_CTL_DEL {
			p.now.watches = slices.Delete(p.now.watches, i, i+1)
			t.now.watches--
			return 0
		}
		w := &p.now.watches[i]
		w.events, w.data, w.fresh = event.Events|abi.EPOLLERR|abi.EPOLLHUP, event.Data, true
		t.version++
		return 0
	}
	return abi.EINVAL
}

func (t *Table) watch(p *epoll, fd int, f *openFile, event abi.EpollEvent) abi.Errno {
	if t.now.watches >= t.limits.Watches {
		t.sweep(p)
		if t.now.watches >= t.limits.Watches {
			return abi.ENOSPC // as fs.epoll.max_user_watches
		}
	}
	t.keep(&p.kept, p)
	t.now.watches++
	t.version++
	p.now.watches = append(p.now.watches, watch{fd: fd, file: f, events: event.Events | abi.EPOLLERR | abi.EPOLLHUP, data: event.Data, fresh: true})
	return 0
}

// sweep forgets the watches of files that were closed.
func (t *Table) sweep(p *epoll) {
	if !slices.ContainsFunc(p.now.watches, gone) {
		return
	}
	t.keep(&p.kept, p)
	before := len(p.now.watches)
	p.now.watches = slices.DeleteFunc(p.now.watches, gone)
	t.now.watches -= before - len(p.now.watches)
}

func gone(w watch) bool { return w.file.now.refs == 0 }

// reaches says whether p watches q, itself or through others.
func (p *epoll) reaches(q *epoll, depth int) bool {
	if depth > epollNestsMax {
		return false // no deeper ones were let in
	}
	for _, w := range p.now.watches {
		if o, ok := w.file.object.(*epoll); ok && w.file.now.refs > 0 && (o == q || o.reaches(q, depth+1)) {
			return true
		}
	}
	return false
}

// depth is how many instances are below p in one another.
func (p *epoll) depth(level int) (deepest int) {
	if level > epollNestsMax {
		return 0
	}
	for _, w := range p.now.watches {
		if o, ok := w.file.object.(*epoll); ok && w.file.now.refs > 0 {
			deepest = max(deepest, 1+o.depth(level+1))
		}
	}
	return deepest
}

// above is how many instances are above p in one another.
func (t *Table) above(p *epoll, level int) (highest int) {
	if level > epollNestsMax {
		return 0
	}
	for i := range t.fds {
		if f := t.fds[i].file; f != nil {
			if o, ok := f.object.(*epoll); ok && o != p && slices.ContainsFunc(o.now.watches, func(w watch) bool { return w.file.object == object(p) }) {
				highest = max(highest, 1+t.above(o, level+1))
			}
		}
	}
	return highest
}

// EpollWait fills events with what is ready now; 0 when nothing is.
func (t *Table) EpollWait(ep int, events []abi.EpollEvent) (int, abi.Errno) {
	f, e := t.get(ep)
	if e != 0 {
		return 0, e
	}
	p, ok := f.object.(*epoll)
	if !ok || len(events) == 0 {
		return 0, abi.EINVAL
	}
	t.sweep(p)
	n, told := 0, 0
	count := len(p.now.watches)
	for i := 0; i < count && n < len(events); i++ {
		at := i - told
		mask, in, out := t.pending(&p.now.watches[at])
		if mask == 0 {
			continue
		}
		events[n] = abi.EpollEvent{Events: mask, Data: p.now.watches[at].data}
		n++
		t.keep(&p.kept, p)
		w := p.now.watches[at]
		w.fresh, w.in, w.out = false, in, out
		if w.events&abi.EPOLLONESHOT != 0 {
			w.events &= epollPrivate
		}
		copy(p.now.watches[at:], p.now.watches[at+1:])
		p.now.watches[count-1] = w
		told++
	}
	return n, 0
}

// pending is what a watch tells now, and the edges that it tells with it.
func (t *Table) pending(w *watch) (mask uint32, in, out uint64) {
	if w.events&^uint32(epollPrivate) == 0 || gone(*w) {
		return 0, 0, 0
	}
	in, out = w.file.object.edges(t, w.file)
	if w.events&abi.EPOLLET != 0 && !w.fresh {
		came := w.events&(abi.EPOLLIN|abi.EPOLLRDNORM|abi.EPOLLPRI|abi.EPOLLRDHUP) != 0 && in != w.in
		room := w.events&(abi.EPOLLOUT|abi.EPOLLWRNORM) != 0 && out != w.out
		ended := in != w.in && w.file.object.ready(t, w.file)&(abi.POLLHUP|abi.POLLERR) != 0
		if !came && !room && !ended {
			return 0, 0, 0
		}
	}
	return w.file.object.ready(t, w.file) & w.events, in, out
}

func (p *epoll) read(*Table, *openFile, [][]byte) (int, abi.Errno)  { return 0, abi.EINVAL }
func (p *epoll) write(*Table, *openFile, [][]byte) (int, abi.Errno) { return 0, abi.EINVAL }

func (p *epoll) ready(t *Table, _ *openFile) uint32 {
	for i := range p.now.watches {
		if mask, _, _ := t.pending(&p.now.watches[i]); mask != 0 {
			return abi.POLLIN | abi.POLLRDNORM
		}
	}
	return 0
}

// edges of an instance that another one watches by edges: each change of anything is one. It may be told once too often, never too rarely.
func (p *epoll) edges(t *Table, _ *openFile) (in, out uint64) { return t.version, 0 }

func (p *epoll) stat(_ *Table, _ *openFile, s *abi.Stat) { anonymous(s, p.ino) }

func (p *epoll) closed(t *Table, _ *openFile) {
	t.keep(&p.kept, p)
	t.now.watches -= len(p.now.watches)
	p.now.watches = nil
}

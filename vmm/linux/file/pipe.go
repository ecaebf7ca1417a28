package file

import "github.com/wherry/wherry/vmm/linux/abi"

// pipe holds bytes in pages, as Linux does: a page that's half read still counts, and a write continues the last page only where its own last bytes fit.
// So a pipe is full for a program exactly when it would be on Linux (fs/pipe.c).
type pipe struct {
	kept
	ino       uint64
	now, then pipeState
}

type pipeState struct {
	buffer           queue
	pages            []pipePage
	slots            int // pages that there may be
	readers, writers int
	in, out          uint64 // edges
}

// pipePage is where the bytes in a page begin, and how many there are.
type pipePage struct{ off, n uint16 }

func (p *pipe) save() { p.then.set(&p.now) }
func (p *pipe) back() { p.now.set(&p.then) }

func (s *pipeState) set(o *pipeState) {
	buffer, pages := s.buffer, s.pages
	*s = *o
	buffer.set(&o.buffer)
	s.buffer, s.pages = buffer, append(pages[:0], o.pages...)
}

// Pipe is pipe2.
func (t *Table) Pipe(flags int) (r, w int, e abi.Errno) {
	if flags&^(abi.O_CLOEXEC|abi.O_NONBLOCK|abi.O_DIRECT) != 0 || flags&abi.O_DIRECT != 0 {
		return 0, 0, abi.EINVAL // packets aren't made here
	}
	if t.now.files+2 > t.limits.Files {
		return 0, 0, abi.ENFILE
	}
	p := &pipe{kept: t.made(), ino: t.newIno(), now: pipeState{slots: pipeSize / pageSize, readers: 1, writers: 1}}
	if r, e = t.install(p, nil, flags|abi.O_RDONLY); e != 0 {
		return 0, 0, e
	}
	if w, e = t.install(p, nil, flags|abi.O_WRONLY); e != 0 {
		t.Close(r)
		return 0, 0, e
	}
	return r, w, 0
}

func (p *pipe) read(t *Table, _ *openFile, v [][]byte) (int, abi.Errno) {
	if total(v) == 0 {
		return 0, 0
	}
	if p.now.buffer.len() == 0 {
		if p.now.writers == 0 {
			return 0, 0
		}
		return 0, abi.EAGAIN
	}
	t.keep(&p.kept, p)
	full := len(p.now.pages) >= p.now.slots
	n := 0
	for _, b := range v {
		k := p.now.buffer.peek(b)
		p.now.buffer.drop(k)
		n += k
	}
	t.now.buffers -= int64(n)
	gone, rest := 0, n
	for rest > 0 {
		page := &p.now.pages[gone]
		k := min(rest, int(page.n))
		page.off, page.n = page.off+uint16(k), page.n-uint16(k)
		if rest -= k; page.n == 0 {
			gone++
		}
	}
	p.now.pages = p.now.pages[:copy(p.now.pages, p.now.pages[gone:])]
	if full && len(p.now.pages) < p.now.slots {
		p.now.out++
	}
	t.version++
	return n, 0
}

func (p *pipe) write(t *Table, _ *openFile, v [][]byte) (int, abi.Errno) {
	n := total(v)
	if n == 0 {
		return 0, 0
	}
	if p.now.readers == 0 {
		return 0, abi.EPIPE
	}
	room := p.accept(t, n)
	if room == 0 {
		return 0, abi.EAGAIN
	}
	rest := room
	for _, b := range v {
		b = b[:min(len(b), rest)]
		p.now.buffer.push(b)
		rest -= len(b)
	}
	t.now.buffers += int64(room)
	p.now.in++
	t.version++
	return room, 0
}

// accept gives n bytes their pages, and returns for how many there were some.
func (p *pipe) accept(t *Table, n int) (done int) {
	if int64(n) > t.limits.Buffers-t.now.buffers {
		return 0
	}
	last := n % pageSize
	if k := len(p.now.pages); k > 0 && last > 0 {
		if page := p.now.pages[k-1]; int(page.off)+int(page.n)+last <= pageSize {
			t.keep(&p.kept, p)
			p.now.pages[k-1].n += uint16(last)
			done = last
		}
	}
	for done < n && len(p.now.pages) < p.now.slots {
		t.keep(&p.kept, p)
		k := min(n-done, pageSize)
		p.now.pages = append(p.now.pages, pipePage{n: uint16(k)})
		done += k
	}
	return done
}

func (p *pipe) ready(_ *Table, f *openFile) (events uint32) {
	if f.readable() {
		if p.now.buffer.len() > 0 {
			events |= abi.POLLIN | abi.POLLRDNORM
		}
		if p.now.writers == 0 {
			events |= abi.POLLHUP
		}
	}
	if f.writable() {
		if len(p.now.pages) < p.now.slots {
			events |= abi.POLLOUT | abi.POLLWRNORM
		}
		if p.now.readers == 0 {
			events |= abi.POLLERR
		}
	}
	return events
}

func (p *pipe) edges(_ *Table, f *openFile) (in, out uint64) {
	if f.readable() {
		in = p.now.in
	}
	if f.writable() {
		out = p.now.out
	}
	return in, out
}

func (p *pipe) stat(_ *Table, _ *openFile, s *abi.Stat) {
	*s = abi.Stat{Dev: devPipes, Ino: p.ino, Nlink: 1, Mode: abi.S_IFIFO | 0o600, Blksize: pageSize}
}

// opened is for one more open file by /proc/self/fd.
func (p *pipe) opened(t *Table, f *openFile) {
	t.keep(&p.kept, p)
	if f.readable() {
		p.now.readers++
	}
	if f.writable() {
		p.now.writers++
	}
}

func (p *pipe) closed(t *Table, f *openFile) {
	t.keep(&p.kept, p)
	if f.readable() {
		p.now.readers--
	}
	if f.writable() {
		p.now.writers--
	}
	p.now.in++
	p.now.out++
	if p.now.readers == 0 && p.now.writers == 0 {
		t.now.buffers -= int64(p.now.buffer.len())
		p.now.buffer, p.now.pages = queue{}, nil
	}
}

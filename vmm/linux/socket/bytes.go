package socket

import (
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/iovec"
)

// Send is sendto and sendmsg without an address or control data. EPIPE comes with SIGPIPE, but for MSG_NOSIGNAL. MSG_DONTWAIT is the caller's.
func (t *Net) Send(s *Socket, v [][]byte, flags int) (int, abi.Errno) {
	if flags&abi.MSG_OOB != 0 {
		return 0, abi.EOPNOTSUPP
	}
	return t.send(s, v)
}

// Recv is recvfrom and recvmsg. Of flags MSG_PEEK has a meaning here; MSG_DONTWAIT and MSG_WAITALL are the caller's.
func (t *Net) Recv(s *Socket, v [][]byte, flags int) (int, abi.Errno) {
	if flags&abi.MSG_OOB != 0 {
		return 0, abi.EOPNOTSUPP
	}
	return t.receive(s, v, flags)
}

// unconnected is what reading and writing say where there's no connection.
func (s *Socket) unconnected(writing bool) abi.Errno {
	switch {
	case s.family == abi.AF_UNIX && !writing:
		return abi.EINVAL
	case s.family != abi.AF_UNIX && writing:
		return abi.EPIPE
	}
	return abi.ENOTCONN
}

func (t *Net) receive(s *Socket, v [][]byte, flags int) (int, abi.Errno) {
	switch {
	case s.now.status != connected:
		return 0, s.unconnected(false)
	case iovec.Total(v) == 0:
		return 0, 0
	case s.now.reset && s.now.buffer.Len() == 0:
		t.ledger.Keep(&s.kept, s)
		s.now.reset = false
		return 0, abi.ECONNRESET
	case s.now.buffer.Len() == 0 && (s.now.ended || s.now.noRead):
		return 0, 0
	case s.now.buffer.Len() == 0:
		return 0, abi.EAGAIN
	case flags&abi.MSG_PEEK != 0:
		n := min(iovec.Total(v), s.now.buffer.Len())
		iovec.Scatter(v, s.now.buffer.Bytes()[:n])
		return n, 0
	}
	t.ledger.Keep(&s.kept, s)
	before := s.spare()
	n := s.now.buffer.Pop(v)
	t.ledger.Now.Buffers -= int64(n)
	if p := s.now.peer; p != nil && before < low && s.spare() >= low {
		t.ledger.Keep(&p.kept, p)
		p.now.out++
	}
	t.ledger.Version++
	return n, 0
}

// low is how much room makes a socket writable.
const low = bufferSize / 3

// spare is for how many more bytes there's room on the way to s.
func (s *Socket) spare() int { return bufferSize - s.now.buffer.Len() }

func (t *Net) send(s *Socket, v [][]byte) (int, abi.Errno) {
	p := s.now.peer
	switch {
	case s.now.reset && s.family != abi.AF_UNIX: // which says EPIPE, and keeps the reset for who reads
		t.ledger.Keep(&s.kept, s)
		s.now.reset = false
		return 0, abi.ECONNRESET
	case s.now.status != connected:
		return 0, s.unconnected(true)
	case p == nil || s.now.noWrite:
		return 0, abi.EPIPE
	case iovec.Total(v) == 0:
		return 0, 0
	}
	room := min(int64(p.spare()), t.ledger.Limits.Buffers-t.ledger.Now.Buffers, int64(iovec.Total(v)))
	if room <= 0 {
		return 0, abi.EAGAIN
	}
	t.ledger.Keep(&p.kept, p)
	p.now.buffer.PushSome(v, int(room))
	t.ledger.Now.Buffers += room
	p.now.in++
	t.spoke = t.spoke || p.outside
	t.ledger.Version++
	return int(room), 0
}

// Shutdown is shutdown.
func (t *Net) Shutdown(s *Socket, how int) abi.Errno {
	switch {
	case how < abi.SHUT_RD || how > abi.SHUT_RDWR:
		return abi.EINVAL
	case s.now.status != connected:
		return abi.ENOTCONN
	}
	t.shutdown(s, how)
	return 0
}

func (t *Net) shutdown(s *Socket, how int) {
	t.ledger.Keep(&s.kept, s)
	p := s.now.peer
	if how != abi.SHUT_RD {
		s.now.noWrite = true
		if p != nil {
			t.ledger.Keep(&p.kept, p)
			p.now.ended = true
			p.now.in++
			t.spoke = t.spoke || p.outside
		}
	}
	if how != abi.SHUT_WR {
		s.now.noRead = true
		if p != nil && s.family == abi.AF_UNIX { // net/unix: the other end can't send any more
			t.ledger.Keep(&p.kept, p)
			p.now.noWrite = true
			p.now.out++
		}
	}
	s.now.in++
	t.ledger.Version++
}

// Ready is its POLL bits.
func (s *Socket) Ready() (events uint32) {
	switch s.now.status {
	case listening:
		if len(s.now.pending) > 0 {
			events = abi.POLLIN | abi.POLLRDNORM
		}
		return events
	case fresh:
		return abi.POLLOUT | abi.POLLWRNORM | abi.POLLHUP
	}
	if s.now.buffer.Len() > 0 {
		events |= abi.POLLIN | abi.POLLRDNORM
	}
	if s.now.ended || s.now.noRead {
		events |= abi.POLLIN | abi.POLLRDNORM | abi.POLLRDHUP
	}
	closed := s.now.peer == nil && s.family == abi.AF_UNIX
	if (s.now.ended || s.now.noRead) && s.now.noWrite || closed {
		events |= abi.POLLHUP
	}
	if s.now.reset {
		events |= abi.POLLERR | abi.POLLHUP | abi.POLLIN | abi.POLLRDNORM
	}
	if s.now.peer == nil || s.now.noWrite || s.now.peer.spare() >= low {
		events |= abi.POLLOUT | abi.POLLWRNORM
	}
	return events
}

// Edges change when something comes to read, and when there comes to be room.
func (s *Socket) Edges() (in, out uint64) { return s.now.in, s.now.out }

// Stat fills in what fstat says.
func (s *Socket) Stat(st *abi.Stat) {
	*st = abi.Stat{Dev: device, Ino: s.ino, Nlink: 1, Mode: abi.S_IFSOCK | 0o777, Blksize: blockSize}
}

// Close ends a socket of which the last descriptor is gone.
func (t *Net) Close(s *Socket) {
	t.ledger.Keep(&s.kept, s)
	for _, o := range s.now.pending {
		t.ledger.Now.Files--
		t.Close(o)
	}
	if s.now.bound {
		t.ledger.Keep(&t.kept, t)
		t.now.bound = slices.DeleteFunc(t.now.bound, func(o *Socket) bool { return o == s })
	}
	if slices.Contains(t.now.left, s) {
		t.ledger.Keep(&t.kept, t)
		t.now.left = slices.DeleteFunc(t.now.left, func(o *Socket) bool { return o == s })
	}
	if p := s.now.peer; p != nil {
		t.ledger.Keep(&p.kept, p)
		p.now.peer, p.now.ended = nil, true
		t.spoke = t.spoke || p.outside
		p.now.lost = s.now.buffer.Len()
		p.now.reset = p.now.lost > 0
		p.now.in++
		p.now.out++
	}
	t.ledger.Now.Buffers -= int64(s.now.buffer.Len())
	s.now.status, s.now.peer, s.now.pending, s.now.buffer = closed, nil, nil, iovec.Queue{}
	t.ledger.Version++
}

// Ino is its inode number.
func (s *Socket) Ino() uint64 { return s.ino }

// Listens says whether it waits for connections.
func (s *Socket) Listens() bool { return s.now.status == listening }

// Len is how many bytes there are to be read.
func (s *Socket) Len() int { return s.now.buffer.Len() }

// Local is getsockname.
func (s *Socket) Local() []byte { return s.now.local.bytes() }

// Remote is getpeername.
func (s *Socket) Remote() ([]byte, abi.Errno) {
	if s.now.status != connected {
		return nil, abi.ENOTCONN
	}
	return s.now.remote.bytes(), 0
}

package file

import (
	"encoding/binary"
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// Send is sendto and sendmsg without an address or control data. EPIPE comes with SIGPIPE, but for MSG_NOSIGNAL. MSG_DONTWAIT is the caller's.
func (t *Table) Send(fd int, v [][]byte, flags int) (int, abi.Errno) {
	s, e := t.socket(fd)
	if e != 0 {
		return 0, e
	}
	if flags&abi.MSG_OOB != 0 {
		return 0, abi.EOPNOTSUPP
	}
	return s.send(t, v)
}

// Recv is recvfrom and recvmsg. Of flags MSG_PEEK has a meaning here; MSG_DONTWAIT and MSG_WAITALL are the caller's.
func (t *Table) Recv(fd int, v [][]byte, flags int) (int, abi.Errno) {
	s, e := t.socket(fd)
	if e != 0 {
		return 0, e
	}
	if flags&abi.MSG_OOB != 0 {
		return 0, abi.EOPNOTSUPP
	}
	return s.receive(t, v, flags)
}

func (s *socket) read(t *Table, _ *openFile, v [][]byte) (int, abi.Errno)  { return s.receive(t, v, 0) }
func (s *socket) write(t *Table, _ *openFile, v [][]byte) (int, abi.Errno) { return s.send(t, v) }

// unconnected is what reading and writing say where there's no connection.
func (s *socket) unconnected(writing bool) abi.Errno {
	switch {
	case s.family == abi.AF_UNIX && !writing:
		return abi.EINVAL
	case s.family != abi.AF_UNIX && writing:
		return abi.EPIPE
	}
	return abi.ENOTCONN
}

func (s *socket) receive(t *Table, v [][]byte, flags int) (int, abi.Errno) {
	switch {
	case s.now.status != socketConnected:
		return 0, s.unconnected(false)
	case total(v) == 0:
		return 0, 0
	case s.now.reset && s.now.buffer.len() == 0:
		t.keep(&s.kept, s)
		s.now.reset = false
		return 0, abi.ECONNRESET
	case s.now.buffer.len() == 0 && (s.now.ended || s.now.noRead):
		return 0, 0
	case s.now.buffer.len() == 0:
		return 0, abi.EAGAIN
	case flags&abi.MSG_PEEK != 0:
		n := min(total(v), s.now.buffer.len())
		scatter(v, s.now.buffer.b[s.now.buffer.off:][:n])
		return n, 0
	}
	t.keep(&s.kept, s)
	before, n := s.spare(), 0
	for _, p := range v {
		k := s.now.buffer.peek(p)
		s.now.buffer.drop(k)
		n += k
	}
	t.now.buffers -= int64(n)
	if p := s.now.peer; p != nil && before < socketLow && s.spare() >= socketLow {
		t.keep(&p.kept, p)
		p.now.out++
	}
	t.version++
	return n, 0
}

// socketLow is how much room makes a socket writable.
const socketLow = socketSize / 3

// spare is for how many more bytes there's room on the way to s.
func (s *socket) spare() int { return socketSize - s.now.buffer.len() }

func (s *socket) send(t *Table, v [][]byte) (int, abi.Errno) {
	p := s.now.peer
	switch {
	case s.now.reset && s.family != abi.AF_UNIX: // which says EPIPE, and keeps the reset for who reads
		t.keep(&s.kept, s)
		s.now.reset = false
		return 0, abi.ECONNRESET
	case s.now.status != socketConnected:
		return 0, s.unconnected(true)
	case p == nil || s.now.noWrite:
		return 0, abi.EPIPE
	case total(v) == 0:
		return 0, 0
	}
	room := min(int64(p.spare()), t.limits.Buffers-t.now.buffers, int64(total(v)))
	if room <= 0 {
		return 0, abi.EAGAIN
	}
	t.keep(&p.kept, p)
	rest := int(room)
	for _, b := range v {
		b = b[:min(len(b), rest)]
		p.now.buffer.push(b)
		rest -= len(b)
	}
	t.now.buffers += room
	p.now.in++
	t.version++
	return int(room), 0
}

// Shutdown is shutdown.
func (t *Table) Shutdown(fd, how int) abi.Errno {
	s, e := t.socket(fd)
	switch {
	case e != 0:
		return e
	case how < abi.SHUT_RD || how > abi.SHUT_RDWR:
		return abi.EINVAL
	case s.now.status != socketConnected:
		return abi.ENOTCONN
	}
	s.shutdown(t, how)
	return 0
}

func (s *socket) shutdown(t *Table, how int) {
	t.keep(&s.kept, s)
	p := s.now.peer
	if how != abi.SHUT_RD {
		s.now.noWrite = true
		if p != nil {
			t.keep(&p.kept, p)
			p.now.ended = true
			p.now.in++
		}
	}
	if how != abi.SHUT_WR {
		s.now.noRead = true
		if p != nil && s.family == abi.AF_UNIX { // net/unix: the other end can't send any more
			t.keep(&p.kept, p)
			p.now.noWrite = true
			p.now.out++
		}
	}
	s.now.in++
	t.version++
}

func (s *socket) ready(*Table, *openFile) (events uint32) {
	switch s.now.status {
	case socketListening:
		if len(s.now.pending) > 0 {
			events = abi.POLLIN | abi.POLLRDNORM
		}
		return events
	case socketFresh:
		return abi.POLLOUT | abi.POLLWRNORM | abi.POLLHUP
	}
	if s.now.buffer.len() > 0 {
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
	if s.now.peer == nil || s.now.noWrite || s.now.peer.spare() >= socketLow {
		events |= abi.POLLOUT | abi.POLLWRNORM
	}
	return events
}

func (s *socket) edges(*Table, *openFile) (in, out uint64) { return s.now.in, s.now.out }

func (s *socket) stat(_ *Table, _ *openFile, st *abi.Stat) {
	*st = abi.Stat{Dev: devSockets, Ino: s.ino, Nlink: 1, Mode: abi.S_IFSOCK | 0o777, Blksize: pageSize}
}

func (s *socket) closed(t *Table, _ *openFile) {
	t.keep(&s.kept, s)
	for _, o := range s.now.pending {
		t.now.files--
		o.closed(t, nil)
	}
	if s.now.bound {
		t.keep(&t.slots.kept, &t.slots)
		t.bound = slices.DeleteFunc(t.bound, func(o *socket) bool { return o == s })
	}
	if p := s.now.peer; p != nil {
		t.keep(&p.kept, p)
		p.now.peer, p.now.ended = nil, true
		p.now.reset = s.now.buffer.len() > 0
		p.now.in++
		p.now.out++
	}
	t.now.buffers -= int64(s.now.buffer.len())
	s.now.status, s.now.peer, s.now.pending, s.now.buffer = socketClosed, nil, nil, queue{}
	t.version++
}

// Getsockname is getsockname.
func (t *Table) Getsockname(fd int) ([]byte, abi.Errno) {
	s, e := t.socket(fd)
	if e != 0 {
		return nil, e
	}
	return s.now.local.bytes(), 0
}

// Getpeername is getpeername.
func (t *Table) Getpeername(fd int) ([]byte, abi.Errno) {
	s, e := t.socket(fd)
	if e != 0 {
		return nil, e
	}
	if s.now.status != socketConnected {
		return nil, abi.ENOTCONN
	}
	return s.now.remote.bytes(), 0
}

// kernelOptions are answered, and can't be set.
func (t *Table) kernelOption(s *socket, name int) (uint32, bool) {
	switch name {
	case abi.SO_TYPE:
		return abi.SOCK_STREAM, true
	case abi.SO_DOMAIN:
		return uint32(s.family), true
	case abi.SO_PROTOCOL:
		if s.family == abi.AF_UNIX {
			return 0, true
		}
		return abi.IPPROTO_TCP, true
	case abi.SO_ACCEPTCONN:
		if s.now.status == socketListening {
			return 1, true
		}
		return 0, true
	case abi.SO_ERROR:
		if s.now.reset {
			t.keep(&s.kept, s)
			s.now.reset = false
			return uint32(abi.ECONNRESET), true
		}
		return 0, true
	}
	return 0, false
}

// Setsockopt is setsockopt. What is set is told by Getsockopt; SO_REUSEADDR and IPV6_V6ONLY do what they say, others nothing.
func (t *Table) Setsockopt(fd, level, name int, value []byte) abi.Errno {
	s, e := t.socket(fd)
	switch {
	case e != 0:
		return e
	case !s.known(level, name):
		return abi.ENOPROTOOPT
	case len(value) < 4 || len(value) > 16:
		return abi.EINVAL
	}
	if _, fixed := t.kernelOption(s, name); fixed && level == abi.SOL_SOCKET {
		return abi.ENOPROTOOPT
	}
	t.keep(&s.kept, s)
	i := slices.IndexFunc(s.now.options, func(o option) bool { return o.level == level && o.name == name })
	switch {
	case i >= 0:
		s.now.options[i].value = string(value)
	case len(s.now.options) == socketOptionMax:
		return abi.ENOMEM
	default:
		s.now.options = append(s.now.options, option{level, name, string(value)})
	}
	return 0
}

// Getsockopt is getsockopt; the caller cuts it to the program's buffer.
func (t *Table) Getsockopt(fd, level, name int) ([]byte, abi.Errno) {
	s, e := t.socket(fd)
	switch {
	case e != 0:
		return nil, e
	case !s.known(level, name):
		return nil, abi.ENOPROTOOPT
	}
	word := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	if level == abi.SOL_SOCKET {
		if v, ok := t.kernelOption(s, name); ok {
			return word(v), 0
		}
		if name == abi.SO_PEERCRED {
			return append(word(uint32(t.o.PID)), make([]byte, 8)...), 0
		}
	}
	for _, o := range s.now.options {
		if o.level == level && o.name == name {
			return []byte(o.value), 0
		}
	}
	switch {
	case level == abi.SOL_SOCKET && (name == abi.SO_SNDBUF || name == abi.SO_RCVBUF):
		return word(socketSize), 0
	case level == abi.SOL_SOCKET && name == abi.SO_LINGER:
		return make([]byte, 8), 0
	case level == abi.SOL_SOCKET && (name == abi.SO_RCVTIMEO || name == abi.SO_SNDTIMEO):
		return make([]byte, 16), 0
	}
	return word(0), 0
}

func (s *socket) known(level, name int) bool {
	switch level {
	case abi.SOL_SOCKET:
		return name > 0 && name <= abi.SO_INCOMING_CPU
	case abi.IPPROTO_TCP:
		return s.family != abi.AF_UNIX && name > 0 && name <= abi.TCP_FASTOPEN && name != abi.TCP_INFO
	case abi.IPPROTO_IP:
		return s.family != abi.AF_UNIX && name > 0 && name < 64
	case abi.IPPROTO_IPV6:
		return s.family == abi.AF_INET6 && name > 0 && name < 128
	}
	return false
}

func (s *socket) flag(level, name int) bool {
	for _, o := range s.now.options {
		if o.level == level && o.name == name {
			return binary.LittleEndian.Uint32([]byte(o.value)) != 0
		}
	}
	return false
}

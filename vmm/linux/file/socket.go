package file

import (
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
)

type socketStatus uint8

const (
	socketFresh socketStatus = iota
	socketListening
	socketConnected
	socketClosed
)

// socket is a stream socket: of AF_UNIX, AF_INET or AF_INET6. There's no network: connections are within the process, or made by Dial.
type socket struct {
	kept
	ino       uint64
	family    uint16
	outside   bool // it's a Conn's
	now, then socketState
}

type socketState struct {
	status        socketStatus
	buffer        queue   // bytes to be read here
	peer          *socket // the other end, till one of both is closed
	ended         bool    // nothing comes after the bytes
	reset         bool    // the other end went with bytes unread: told once
	noRead        bool    // by shutdown
	noWrite       bool
	bound         bool
	local, remote address
	backlog       int
	pending       []*socket // connected and not accepted
	options       []option
	in, out       uint64 // edges
}

type option struct {
	level, name int
	value       string
}

func (s *socket) save() { s.then.set(&s.now) }
func (s *socket) back() { s.now.set(&s.then) }

func (s *socketState) set(o *socketState) {
	buffer, pending, options := s.buffer, s.pending, s.options
	*s = *o
	buffer.set(&o.buffer)
	s.buffer, s.pending, s.options = buffer, append(pending[:0], o.pending...), append(options[:0], o.options...)
}

func (t *Table) newSocket(family uint16) *socket {
	return &socket{kept: t.made(), ino: t.newIno(), family: family, now: socketState{local: address{family: family}, remote: address{family: family}}}
}

// checkSocket says whether there are such sockets here.
func checkSocket(family, kind, protocol int) abi.Errno {
	const flags = abi.SOCK_NONBLOCK | abi.SOCK_CLOEXEC
	switch {
	case kind&^(flags|0xf) != 0:
		return abi.EINVAL
	case family != abi.AF_UNIX && family != abi.AF_INET && family != abi.AF_INET6:
		return abi.EAFNOSUPPORT
	case kind&0xf != abi.SOCK_STREAM:
		return abi.ESOCKTNOSUPPORT
	case protocol != 0 && (family == abi.AF_UNIX && protocol != abi.AF_UNIX || family != abi.AF_UNIX && protocol != abi.IPPROTO_TCP):
		return abi.EPROTONOSUPPORT
	}
	return 0
}

// Socket is socket.
func (t *Table) Socket(family, kind, protocol int) (int, abi.Errno) {
	if e := checkSocket(family, kind, protocol); e != 0 {
		return 0, e
	}
	return t.install(t.newSocket(uint16(family)), nil, kind&^0xf|abi.O_RDWR)
}

// Socketpair is socketpair.
func (t *Table) Socketpair(family, kind, protocol int) (a, b int, e abi.Errno) {
	if e := checkSocket(family, kind, protocol); e != 0 {
		return 0, 0, e
	}
	if family != abi.AF_UNIX {
		return 0, 0, abi.EOPNOTSUPP
	}
	if t.now.files+2 > t.limits.Files {
		return 0, 0, abi.ENFILE
	}
	x, y := t.newSocket(abi.AF_UNIX), t.newSocket(abi.AF_UNIX)
	x.join(y)
	if a, e = t.install(x, nil, kind&^0xf|abi.O_RDWR); e != 0 {
		return 0, 0, e
	}
	if b, e = t.install(y, nil, kind&^0xf|abi.O_RDWR); e != 0 {
		t.Close(a)
		return 0, 0, e
	}
	return a, b, 0
}

// join connects two sockets that are new.
func (s *socket) join(o *socket) {
	s.now.status, s.now.peer = socketConnected, o
	o.now.status, o.now.peer = socketConnected, s
}

func (t *Table) socket(fd int) (*socket, abi.Errno) {
	f, e := t.getOpen(fd)
	if e != 0 {
		return nil, e
	}
	if s, ok := f.object.(*socket); ok {
		return s, 0
	}
	return nil, abi.ENOTSOCK
}

// Bind is bind.
func (t *Table) Bind(fd int, sockaddr []byte) abi.Errno {
	s, e := t.socket(fd)
	if e != 0 {
		return e
	}
	a, e := parseAddress(sockaddr)
	switch {
	case e != 0:
		return e
	case a.family != s.family && s.family == abi.AF_UNIX:
		return abi.EINVAL
	case a.family != s.family:
		return abi.EAFNOSUPPORT
	case s.now.bound || s.now.status != socketFresh:
		return abi.EINVAL
	}
	if s.family == abi.AF_UNIX {
		e = t.bindUnix(s, &a)
	} else {
		e = t.bindPort(s, &a)
	}
	if e != 0 {
		return e
	}
	t.keep(&s.kept, s)
	s.now.local, s.now.bound = a, true
	t.keep(&t.slots.kept, &t.slots)
	t.bound = append(t.bound, s)
	return 0
}

func (t *Table) bindUnix(s *socket, a *address) abi.Errno {
	if a.path == "" {
		a.path = "\x00" + hex5(t.newIno()) // autobind (unix(7))
	}
	if a.path[0] == 0 {
		if slices.ContainsFunc(t.bound, func(o *socket) bool { return o.family == abi.AF_UNIX && o.now.local.path == a.path }) {
			return abi.EADDRINUSE
		}
		return 0
	}
	w, e := t.fresh(abi.AT_FDCWD, a.path, false)
	switch {
	case e == abi.EEXIST:
		return abi.EADDRINUSE
	case e != 0:
		return e
	}
	n := t.newNode(nodeSocket, 0o777&^t.now.umask)
	n.fs, n.socket = w.parent.fs, s
	t.link(w.parent, w.name, n)
	return 0
}

func (t *Table) bindPort(s *socket, a *address) abi.Errno {
	if !a.any() && !a.loopback() {
		return abi.EADDRNOTAVAIL
	}
	if a.port != 0 {
		if t.taken(s, a) {
			return abi.EADDRINUSE
		}
		return 0
	}
	for range portLast - portFirst + 1 {
		if t.now.ephemeral++; t.now.ephemeral < portFirst || t.now.ephemeral > portLast {
			t.now.ephemeral = portFirst
		}
		if a.port = t.now.ephemeral; !t.taken(s, a) {
			return 0
		}
	}
	return abi.EADDRINUSE
}

// taken says whether a bound socket has the port already, at an address that overlaps.
func (t *Table) taken(s *socket, a *address) bool {
	return slices.ContainsFunc(t.bound, func(o *socket) bool {
		b := &o.now.local
		if o == s || b.port != a.port || o.family == abi.AF_UNIX || !a.overlaps(s.only6(), b, o.only6()) {
			return false
		}
		both := s.flag(abi.SOL_SOCKET, abi.SO_REUSEADDR) && o.flag(abi.SOL_SOCKET, abi.SO_REUSEADDR)
		return !both || o.now.status == socketListening
	})
}

func (s *socket) only6() bool {
	return s.family == abi.AF_INET6 && s.flag(abi.IPPROTO_IPV6, abi.IPV6_V6ONLY)
}

// Listen is listen.
func (t *Table) Listen(fd, backlog int) abi.Errno {
	s, e := t.socket(fd)
	if e != 0 {
		return e
	}
	if s.now.status != socketFresh && s.now.status != socketListening || s.family == abi.AF_UNIX && !s.now.bound {
		return abi.EINVAL
	}
	if !s.now.bound { // a port of its own
		a := address{family: s.family}
		if e := t.bindPort(s, &a); e != 0 {
			return e
		}
		t.keep(&t.slots.kept, &t.slots)
		t.bound = append(t.bound, s)
		t.keep(&s.kept, s)
		s.now.local, s.now.bound = a, true
	}
	t.keep(&s.kept, s)
	s.now.status, s.now.backlog = socketListening, max(min(backlog, backlogMax), 1)
	if backlog < 0 {
		s.now.backlog = backlogMax
	}
	t.version++
	return 0
}

// Accept is accept4.
func (t *Table) Accept(fd, flags int) (conn int, peer []byte, e abi.Errno) {
	if flags&^(abi.SOCK_NONBLOCK|abi.SOCK_CLOEXEC) != 0 {
		return 0, nil, abi.EINVAL
	}
	s, e := t.socket(fd)
	switch {
	case e != 0:
		return 0, nil, e
	case s.now.status != socketListening:
		return 0, nil, abi.EINVAL
	case len(s.now.pending) == 0:
		return 0, nil, abi.EAGAIN
	}
	conn, e = t.free(0)
	if e != 0 {
		return 0, nil, e
	}
	t.keep(&s.kept, s)
	o := s.now.pending[0]
	s.now.pending = slices.Delete(s.now.pending, 0, 1)
	t.now.files-- // it was counted while it was pending
	t.version++
	t.set(conn, t.newFile(o, nil, flags&^abi.O_CLOEXEC|abi.O_RDWR), flags&abi.O_CLOEXEC != 0)
	return conn, o.now.remote.bytes(), 0
}

// Connect is connect: to a socket that listens in the process. There's no other network: ENETUNREACH.
func (t *Table) Connect(fd int, sockaddr []byte) abi.Errno {
	s, e := t.socket(fd)
	if e != 0 {
		return e
	}
	a, e := parseAddress(sockaddr)
	switch {
	case e != 0:
		return e
	case a.family != s.family && s.family == abi.AF_UNIX:
		return abi.EINVAL
	case a.family != s.family:
		return abi.EAFNOSUPPORT
	case s.now.status == socketConnected || s.now.status == socketClosed:
		return abi.EISCONN
	case s.now.status == socketListening && s.family != abi.AF_UNIX:
		return abi.EISCONN
	case s.now.status == socketListening:
		return abi.EINVAL
	case s.family != abi.AF_UNIX && !a.any() && !a.loopback():
		return abi.ENETUNREACH
	}
	l, e := t.listener(&a)
	if e != 0 {
		return e
	}
	if s.family != abi.AF_UNIX && !s.now.bound {
		local := address{family: s.family}
		local.setLoopback()
		if e := t.bindPort(s, &local); e != 0 {
			return abi.EADDRNOTAVAIL
		}
		t.keep(&s.kept, s)
		s.now.local = local
	}
	return t.offer(l, s, a)
}

// offer makes the other end of a connection and puts it into the listener's queue.
func (t *Table) offer(l, s *socket, to address) abi.Errno {
	switch {
	case len(l.now.pending) > l.now.backlog:
		return abi.EAGAIN
	case t.now.files >= t.limits.Files:
		return abi.ENFILE
	}
	t.now.files++
	o := t.newSocket(l.family)
	o.now.local, o.now.remote = to.as(l.family), s.now.local.as(l.family)
	if l.family != abi.AF_UNIX && o.now.local.any() {
		o.now.local.setLoopback()
	}
	t.keep(&s.kept, s)
	s.join(o)
	s.now.remote = to
	s.now.out++
	t.keep(&l.kept, l)
	l.now.pending = append(l.now.pending, o)
	l.now.in++
	t.version++
	return 0
}

// listener finds who listens at an address.
func (t *Table) listener(a *address) (*socket, abi.Errno) {
	if a.family == abi.AF_UNIX && a.path != "" && a.path[0] != 0 {
		w, e := t.exist(abi.AT_FDCWD, a.path, true)
		switch {
		case e != 0:
			return nil, e
		case w.node == nil || w.node.kind != nodeSocket || w.node.socket == nil || w.node.socket.now.status != socketListening:
			return nil, abi.ECONNREFUSED
		}
		return w.node.socket, 0
	}
	for _, s := range t.bound {
		if s.now.status == socketListening && (a.family == abi.AF_UNIX) == (s.family == abi.AF_UNIX) && a.reaches(&s.now.local, s.only6()) {
			return s, 0
		}
	}
	return nil, abi.ECONNREFUSED
}

package socket

import (
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/iovec"
	"github.com/wherry/wherry/vmm/linux/ledger"
)

type status uint8

const (
	fresh status = iota
	listening
	connected
	closed
)

// Socket is a stream socket.
type Socket struct {
	kept      ledger.Mark
	ino       uint64
	family    uint16
	outside   bool // it's a Conn's
	now, then state
}

type state struct {
	status        status
	buffer        iovec.Queue // bytes to be read here
	peer          *Socket     // the other end, till one of both is closed
	ended         bool        // nothing comes after the bytes
	reset         bool        // the other end went with bytes unread: told once
	lost          int         // how many
	noRead        bool        // by shutdown
	noWrite       bool
	bound         bool
	name          uint64 // the inode number of its name in the tree of files
	local, remote address
	backlog       int
	pending       []*Socket // connected and not accepted
	options       []option
	in, out       uint64 // edges
}

type option struct {
	level, name int
	value       string
}

// Save keeps what can change.
func (s *Socket) Save() { s.then.set(&s.now) }

// Back puts back what Save kept.
func (s *Socket) Back() { s.now.set(&s.then) }

func (s *state) set(o *state) {
	buffer, pending, options := s.buffer, s.pending, s.options
	*s = *o
	buffer.Set(&o.buffer)
	s.buffer, s.pending, s.options = buffer, append(pending[:0], o.pending...), append(options[:0], o.options...)
}

func (t *Net) newSocket(family uint16) *Socket {
	return &Socket{kept: t.ledger.Made(), ino: t.ledger.Ino(), family: family, now: state{local: address{family: family}, remote: address{family: family}}}
}

// Check says whether there are such sockets here.
func Check(family, kind, protocol int) abi.Errno {
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

// Socket makes a socket; Check has said that there are such.
func (t *Net) Socket(family int) *Socket { return t.newSocket(uint16(family)) }

// Pair makes two sockets of AF_UNIX that are connected.
func (t *Net) Pair() (a, b *Socket) {
	a, b = t.newSocket(abi.AF_UNIX), t.newSocket(abi.AF_UNIX)
	a.join(b)
	return a, b
}

// join connects two sockets that are new.
func (s *Socket) join(o *Socket) {
	s.now.status, s.now.peer = connected, o
	o.now.status, o.now.peer = connected, s
}

// Bind is bind.
func (t *Net) Bind(s *Socket, sockaddr []byte) abi.Errno {
	a, e := parseAddress(sockaddr)
	switch {
	case e != 0:
		return e
	case a.family != s.family && s.family == abi.AF_UNIX:
		return abi.EINVAL
	case a.family != s.family:
		return abi.EAFNOSUPPORT
	case s.now.bound || s.now.status != fresh:
		return abi.EINVAL
	}
	ino := uint64(0)
	if s.family == abi.AF_UNIX {
		ino, e = t.bindUnix(&a)
	} else {
		e = t.bindPort(s, &a)
	}
	if e != 0 {
		return e
	}
	t.ledger.Keep(&s.kept, s)
	s.now.local, s.now.bound, s.now.name = a, true, ino
	t.ledger.Keep(&t.kept, t)
	t.now.bound = append(t.now.bound, s)
	return 0
}

// bindUnix gives the inode number of a name in the tree of files; abstract ones have none.
func (t *Net) bindUnix(a *address) (ino uint64, e abi.Errno) {
	if a.path == "" {
		a.path = "\x00" + hex5(t.ledger.Ino()) // autobind (unix(7))
	}
	if a.path[0] == 0 {
		if slices.ContainsFunc(t.now.bound, func(o *Socket) bool { return o.family == abi.AF_UNIX && o.now.local.path == a.path }) {
			return 0, abi.EADDRINUSE
		}
		return 0, 0
	}
	return t.paths.MakeSocket(a.path)
}

func (t *Net) bindPort(s *Socket, a *address) abi.Errno {
	if !a.any() && !a.loopback() {
		return abi.EADDRNOTAVAIL
	}
	if a.port != 0 {
		if t.taken(s, a) {
			return abi.EADDRINUSE
		}
		return 0
	}
	t.ledger.Keep(&t.kept, t)
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
func (t *Net) taken(s *Socket, a *address) bool {
	return slices.ContainsFunc(t.now.bound, func(o *Socket) bool {
		b := &o.now.local
		if o == s || b.port != a.port || o.family == abi.AF_UNIX || !a.overlaps(s.only6(), b, o.only6()) {
			return false
		}
		both := s.flag(abi.SOL_SOCKET, abi.SO_REUSEADDR) && o.flag(abi.SOL_SOCKET, abi.SO_REUSEADDR)
		return !both || o.now.status == listening
	})
}

func (s *Socket) only6() bool {
	return s.family == abi.AF_INET6 && s.flag(abi.IPPROTO_IPV6, abi.IPV6_V6ONLY)
}

// Listen is listen.
func (t *Net) Listen(s *Socket, backlog int) abi.Errno {
	if s.now.status != fresh && s.now.status != listening || s.family == abi.AF_UNIX && !s.now.bound {
		return abi.EINVAL
	}
	if !s.now.bound { // a port of its own
		a := address{family: s.family}
		if e := t.bindPort(s, &a); e != 0 {
			return e
		}
		t.ledger.Keep(&t.kept, t)
		t.now.bound = append(t.now.bound, s)
		t.ledger.Keep(&s.kept, s)
		s.now.local, s.now.bound = a, true
	}
	t.ledger.Keep(&s.kept, s)
	s.now.status, s.now.backlog = listening, max(min(backlog, BacklogMax), 1)
	if backlog < 0 {
		s.now.backlog = BacklogMax
	}
	t.ledger.Version++
	return 0
}

// Waiting says whether Accept has something to give: EAGAIN when not, EINVAL when it never has.
func (s *Socket) Waiting() abi.Errno {
	switch {
	case s.now.status != listening:
		return abi.EINVAL
	case len(s.now.pending) == 0:
		return abi.EAGAIN
	}
	return 0
}

// Accept takes the connection that waits longest. It was counted as a file while it was pending, and isn't any more.
func (t *Net) Accept(s *Socket) (conn *Socket, peer []byte) {
	t.ledger.Keep(&s.kept, s)
	o := s.now.pending[0]
	s.now.pending = slices.Delete(s.now.pending, 0, 1)
	t.ledger.Now.Files--
	t.ledger.Version++
	return o, o.now.remote.bytes()
}

// Connect is connect: to a socket that listens in the process, or to the gate. There's no other network: ENETUNREACH.
func (t *Net) Connect(s *Socket, sockaddr []byte) abi.Errno {
	a, e := parseAddress(sockaddr)
	switch {
	case e != 0:
		return e
	case a.family != s.family && s.family == abi.AF_UNIX:
		return abi.EINVAL
	case a.family != s.family:
		return abi.EAFNOSUPPORT
	case s.now.status == connected || s.now.status == closed:
		return abi.EISCONN
	case s.now.status == listening && s.family != abi.AF_UNIX:
		return abi.EISCONN
	case s.now.status == listening:
		return abi.EINVAL
	case s.family != abi.AF_UNIX && a.addr() == gateAddr && !s.only6():
		return t.call(s, a)
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
		t.ledger.Keep(&s.kept, s)
		s.now.local = local
	}
	return t.offer(l, s, a)
}

// offer makes the other end of a connection and puts it into the listener's queue.
func (t *Net) offer(l, s *Socket, to address) abi.Errno {
	switch {
	case len(l.now.pending) > l.now.backlog:
		return abi.EAGAIN
	case t.ledger.Now.Files >= t.ledger.Limits.Files:
		return abi.ENFILE
	}
	t.ledger.Now.Files++
	o := t.newSocket(l.family)
	o.now.local, o.now.remote = to.as(l.family), s.now.local.as(l.family)
	if l.family != abi.AF_UNIX && o.now.local.any() {
		o.now.local.setLoopback()
	}
	t.ledger.Keep(&s.kept, s)
	s.join(o)
	s.now.remote = to
	s.now.out++
	t.ledger.Keep(&l.kept, l)
	l.now.pending = append(l.now.pending, o)
	l.now.in++
	t.ledger.Version++
	return 0
}

// listener finds who listens at an address.
func (t *Net) listener(a *address) (*Socket, abi.Errno) {
	if a.family == abi.AF_UNIX && a.path != "" && a.path[0] != 0 {
		ino, e := t.paths.FindSocket(a.path)
		if e != 0 {
			return nil, e
		}
		for _, s := range t.now.bound {
			if s.now.status == listening && s.now.name == ino && ino != 0 {
				return s, 0
			}
		}
		return nil, abi.ECONNREFUSED
	}
	for _, s := range t.now.bound {
		if s.now.status == listening && (a.family == abi.AF_UNIX) == (s.family == abi.AF_UNIX) && a.reaches(&s.now.local, s.only6()) {
			return s, 0
		}
	}
	return nil, abi.ECONNREFUSED
}

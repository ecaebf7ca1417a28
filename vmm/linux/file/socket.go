package file

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/socket"
)

// socketFile is what an open socket is of.
type socketFile struct{ *socket.Socket }

func (s socketFile) read(t *Table, _ *openFile, v [][]byte) (int, abi.Errno) {
	return t.net.Recv(s.Socket, v, 0)
}

func (s socketFile) write(t *Table, _ *openFile, v [][]byte) (int, abi.Errno) {
	return t.net.Send(s.Socket, v, 0)
}

func (s socketFile) ready(*Table, *openFile) uint32           { return s.Ready() }
func (s socketFile) edges(*Table, *openFile) (in, out uint64) { return s.Edges() }
func (s socketFile) stat(_ *Table, _ *openFile, st *abi.Stat) { s.Stat(st) }
func (s socketFile) closed(t *Table, _ *openFile)             { t.net.Close(s.Socket) }

func (t *Table) socket(fd int) (*socket.Socket, abi.Errno) {
	f, e := t.getOpen(fd)
	if e != 0 {
		return nil, e
	}
	if s, ok := f.object.(socketFile); ok {
		return s.Socket, 0
	}
	return nil, abi.ENOTSOCK
}

// Socket is socket.
func (t *Table) Socket(family, kind, protocol int) (int, abi.Errno) {
	if e := socket.Check(family, kind, protocol); e != 0 {
		return 0, e
	}
	return t.install(socketFile{t.net.Socket(family)}, nil, kind&^0xf|abi.O_RDWR)
}

// Socketpair is socketpair.
func (t *Table) Socketpair(family, kind, protocol int) (a, b int, e abi.Errno) {
	if e := socket.Check(family, kind, protocol); e != 0 {
		return 0, 0, e
	}
	if family != abi.AF_UNIX {
		return 0, 0, abi.EOPNOTSUPP
	}
	if t.ledger.Now.Files+2 > t.ledger.Limits.Files {
		return 0, 0, abi.ENFILE
	}
	x, y := t.net.Pair()
	if a, e = t.install(socketFile{x}, nil, kind&^0xf|abi.O_RDWR); e != 0 {
		return 0, 0, e
	}
	if b, e = t.install(socketFile{y}, nil, kind&^0xf|abi.O_RDWR); e != 0 {
		t.Close(a)
		return 0, 0, e
	}
	return a, b, 0
}

// Bind is bind.
func (t *Table) Bind(fd int, sockaddr []byte) abi.Errno {
	s, e := t.socket(fd)
	if e != 0 {
		return e
	}
	return t.net.Bind(s, sockaddr)
}

// Listen is listen.
func (t *Table) Listen(fd, backlog int) abi.Errno {
	s, e := t.socket(fd)
	if e != 0 {
		return e
	}
	return t.net.Listen(s, backlog)
}

// Accept is accept4.
func (t *Table) Accept(fd, flags int) (conn int, peer []byte, e abi.Errno) {
	if flags&^(abi.SOCK_NONBLOCK|abi.SOCK_CLOEXEC) != 0 {
		return 0, nil, abi.EINVAL
	}
	s, e := t.socket(fd)
	if e != 0 {
		return 0, nil, e
	}
	if e := s.Waiting(); e != 0 {
		return 0, nil, e
	}
	if conn, e = t.free(0); e != 0 {
		return 0, nil, e
	}
	o, peer := t.net.Accept(s)
	t.set(conn, t.newFile(socketFile{o}, nil, flags&^abi.O_CLOEXEC|abi.O_RDWR), flags&abi.O_CLOEXEC != 0)
	return conn, peer, 0
}

// Connect is connect: to a socket that listens in the process, or to the gate. There's no other network: ENETUNREACH.
func (t *Table) Connect(fd int, sockaddr []byte) abi.Errno {
	s, e := t.socket(fd)
	if e != 0 {
		return e
	}
	return t.net.Connect(s, sockaddr)
}

// Send is sendto and sendmsg without an address or control data. EPIPE comes with SIGPIPE, but for MSG_NOSIGNAL. MSG_DONTWAIT is the caller's.
func (t *Table) Send(fd int, v [][]byte, flags int) (int, abi.Errno) {
	s, e := t.socket(fd)
	if e != 0 {
		return 0, e
	}
	return t.net.Send(s, v, flags)
}

// Recv is recvfrom and recvmsg. Of flags MSG_PEEK has a meaning here; MSG_DONTWAIT and MSG_WAITALL are the caller's.
func (t *Table) Recv(fd int, v [][]byte, flags int) (int, abi.Errno) {
	s, e := t.socket(fd)
	if e != 0 {
		return 0, e
	}
	return t.net.Recv(s, v, flags)
}

// Shutdown is shutdown.
func (t *Table) Shutdown(fd, how int) abi.Errno {
	s, e := t.socket(fd)
	if e != 0 {
		return e
	}
	return t.net.Shutdown(s, how)
}

// Getsockname is getsockname.
func (t *Table) Getsockname(fd int) ([]byte, abi.Errno) {
	s, e := t.socket(fd)
	if e != 0 {
		return nil, e
	}
	return s.Local(), 0
}

// Getpeername is getpeername.
func (t *Table) Getpeername(fd int) ([]byte, abi.Errno) {
	s, e := t.socket(fd)
	if e != 0 {
		return nil, e
	}
	return s.Remote()
}

// Setsockopt is setsockopt. What is set is told by Getsockopt; SO_REUSEADDR and IPV6_V6ONLY do what they say, others nothing.
func (t *Table) Setsockopt(fd, level, name int, value []byte) abi.Errno {
	s, e := t.socket(fd)
	if e != 0 {
		return e
	}
	return t.net.SetOption(s, level, name, value)
}

// Getsockopt is getsockopt; the caller cuts it to the program's buffer.
func (t *Table) Getsockopt(fd, level, name int) ([]byte, abi.Errno) {
	s, e := t.socket(fd)
	if e != 0 {
		return nil, e
	}
	return t.net.Option(s, level, name, t.o.PID)
}

// Port is that of the guest's TCP socket that was bound first of those which listen, 0 when none does.
func (t *Table) Port() int { return t.net.Port() }

// Dial connects to the guest's listening TCP socket: ECONNREFUSED when nobody listens on port, EAGAIN when its queue is full.
func (t *Table) Dial(port int) (*Conn, abi.Errno) { return t.net.Dial(port) }

// Spoke reports, once, whether the guest has sent something to the outside, or ended a connection with it.
func (t *Table) Spoke() bool { return t.net.Spoke() }

// Attach is a connection that was dialled before the checkpoint and that both sides have left open; nil if there is none but those that are attached.
func (t *Table) Attach() *Conn { return t.net.Attach() }

// ConnectGate is Connect to the gate.
func (t *Table) ConnectGate(fd int) abi.Errno { return t.Connect(fd, socket.GateSockaddr()) }

// Gate opens the way out to connections or closes it: then they are ECONNREFUSED, and those that nobody has taken end.
func (t *Table) Gate(open bool) { t.net.Gate(open) }

// Called takes the connection that waits longest at the gate, nil if none does.
func (t *Table) Called() *Conn { return t.net.Called() }

// Listening says whether something listens on the TCP port.
func (t *Table) Listening(port int) bool { return t.net.Listening(port) }

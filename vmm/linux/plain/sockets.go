package plain

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/space"
)

var sockets = map[abi.Call]Call{
	abi.SYS_SOCKET: {func(p Process, a *Args) (uint64, abi.Errno) {
		return number(p.Files.Socket(fd(a[0]), fd(a[1]), fd(a[2])))
	}, "dxd"},
	abi.SYS_SOCKETPAIR:  {callSocketpair, "dxdx"},
	abi.SYS_BIND:        {callBind, "dxd"},
	abi.SYS_LISTEN:      {func(p Process, a *Args) (uint64, abi.Errno) { return 0, p.Files.Listen(fd(a[0]), fd(a[1])) }, "dd"},
	abi.SYS_GETSOCKNAME: {callGetsockname, "dxx"},
	abi.SYS_GETPEERNAME: {callGetpeername, "dxx"},
	abi.SYS_SETSOCKOPT:  {callSetsockopt, "dddxd"},
	abi.SYS_GETSOCKOPT:  {callGetsockopt, "dddxx"},
	abi.SYS_SHUTDOWN:    {func(p Process, a *Args) (uint64, abi.Errno) { return 0, p.Files.Shutdown(fd(a[0]), fd(a[1])) }, "dd"},
}

// AddressMax bounds a socket's address (sizeof struct sockaddr_storage), and optionMax an option's value.
const (
	AddressMax = 128
	optionMax  = 1024
)

// Bytes reads n bytes at va, at most so many.
func Bytes(s *space.Space, va, n, most uint64) ([]byte, abi.Errno) {
	if n > most {
		return nil, abi.EINVAL
	}
	b := make([]byte, n)
	return b, s.CopyIn(b, va)
}

// PutSized writes b to at, and its length to size, which says how much room there is.
func PutSized(s *space.Space, at, size uint64, b []byte) abi.Errno {
	room, e := s.Word32(size)
	if e != 0 {
		return e
	}
	if int32(room) < 0 {
		return abi.EINVAL
	}
	if e := s.CopyOut(at, b[:min(len(b), int(room))]); e != 0 {
		return e
	}
	return s.PutWord32(size, uint32(len(b)))
}

func callSocketpair(p Process, a *Args) (uint64, abi.Errno) {
	x, y, e := p.Files.Socketpair(fd(a[0]), fd(a[1]), fd(a[2]))
	if e != 0 {
		return 0, e
	}
	return 0, p.putPair(a[3], x, y)
}

func callBind(p Process, a *Args) (uint64, abi.Errno) {
	b, e := Bytes(p.Space, a[1], uint64(uint32(a[2])), AddressMax)
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Bind(fd(a[0]), b)
}

func callGetsockname(p Process, a *Args) (uint64, abi.Errno) {
	b, e := p.Files.Getsockname(fd(a[0]))
	if e != 0 {
		return 0, e
	}
	return 0, PutSized(p.Space, a[1], a[2], b)
}

func callGetpeername(p Process, a *Args) (uint64, abi.Errno) {
	b, e := p.Files.Getpeername(fd(a[0]))
	if e != 0 {
		return 0, e
	}
	return 0, PutSized(p.Space, a[1], a[2], b)
}

func callSetsockopt(p Process, a *Args) (uint64, abi.Errno) {
	b, e := Bytes(p.Space, a[3], uint64(uint32(a[4])), optionMax)
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Setsockopt(fd(a[0]), fd(a[1]), fd(a[2]), b)
}

func callGetsockopt(p Process, a *Args) (uint64, abi.Errno) {
	b, e := p.Files.Getsockopt(fd(a[0]), fd(a[1]), fd(a[2]))
	if e != 0 {
		return 0, e
	}
	return 0, PutSized(p.Space, a[3], a[4], b)
}

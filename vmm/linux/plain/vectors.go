package plain

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/space"
)

const iovMax = 1024 // UIO_MAXIOV

// Vectors reads an array of iovecs, all of which the program may access, up to ChunkMax bytes: more is done by another call.
func Vectors(s *space.Space, at, n uint64, access uint32) ([]abi.Iovec, uint64, abi.Errno) {
	if n > iovMax {
		return nil, 0, abi.EINVAL
	}
	b := make([]byte, n*abi.IovecSize)
	if e := s.CopyIn(b, at); e != 0 {
		return nil, 0, e
	}
	var out []abi.Iovec
	total, room := uint64(0), uint64(ChunkMax)
	for i := range n {
		var v abi.Iovec
		v.Get(b[i*abi.IovecSize:])
		if int64(v.Len) < 0 || total+v.Len > 1<<63 {
			return nil, 0, abi.EINVAL
		}
		total += v.Len
		v.Len = min(v.Len, room)
		if v.Len == 0 {
			continue
		}
		got := s.Reach(v.Base, v.Len, access)
		if got == 0 && len(out) == 0 {
			return nil, 0, abi.EFAULT
		}
		short := got < v.Len
		v.Len = got
		out = append(out, v)
		if room -= got; short {
			break
		}
	}
	return out, ChunkMax - room, 0
}

// Scatter writes b to the memory that v names, which has room for it.
func Scatter(s *space.Space, v []abi.Iovec, b []byte) abi.Errno {
	for _, part := range v {
		n := min(part.Len, uint64(len(b)))
		if e := s.CopyOut(part.Base, b[:n]); e != 0 {
			return e
		}
		b = b[n:]
	}
	return 0
}

// Msghdr reads a struct msghdr.
func Msghdr(s *space.Space, va uint64) (abi.Msghdr, abi.Errno) {
	var b [abi.MsghdrSize]byte
	var m abi.Msghdr
	if e := s.CopyIn(b[:], va); e != 0 {
		return m, e
	}
	m.Get(b[:])
	return m, 0
}

package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	messagesMax  = 8       // of one read
	bufferWanted = 8 << 20 // bytes of the system's buffers
)

// kernel is Linux's sendmsg with UDP_SEGMENT and recvmmsg with UDP_GRO.
type kernel struct {
	raw      syscall.RawConn
	v6       bool        // the socket is of IPv6, and takes IPv4 as mapped addresses
	segments atomic.Bool // the kernel cuts up what is written

	headers  [messagesMax]mmsghdr
	iovecs   [messagesMax]unix.Iovec
	names    [messagesMax]unix.RawSockaddrInet6 // has room for IPv4's
	controls [messagesMax][64]byte
	buffers  [messagesMax][]byte
	messages [messagesMax]Message
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	n      uint32
	_      [4]byte
}

func newSystem(conn *net.UDPConn) system {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	k := &kernel{raw: raw}
	gro := false
	err = raw.Control(func(fd uintptr) {
		s := int(fd)
		domain, err := unix.GetsockoptInt(s, unix.SOL_SOCKET, unix.SO_DOMAIN)
		k.v6 = err == nil && domain == unix.AF_INET6
		// Who may not exceed the system's bound gets as much as it allows.
		for force, plain := range map[int]int{unix.SO_RCVBUFFORCE: unix.SO_RCVBUF, unix.SO_SNDBUFFORCE: unix.SO_SNDBUF} {
			if unix.SetsockoptInt(s, unix.SOL_SOCKET, force, bufferWanted) != nil {
				_ = unix.SetsockoptInt(s, unix.SOL_SOCKET, plain, bufferWanted)
			}
		}
		// PROBE: never fragment, and don't believe what ICMP says of the path (RFC 8899 finds it out).
		_ = unix.SetsockoptInt(s, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		if k.v6 {
			_ = unix.SetsockoptInt(s, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
		}
		gro = unix.SetsockoptInt(s, unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
		k.segments.Store(unix.SetsockoptInt(s, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 0) == nil)
	})
	if err != nil {
		return nil
	}
	size := 2048
	if gro {
		size = 1 << 16
	}
	for i := range k.headers {
		k.buffers[i] = make([]byte, max(size, DatagramMax))
		k.iovecs[i].Base = &k.buffers[i][0]
		k.iovecs[i].SetLen(len(k.buffers[i]))
		h := &k.headers[i].header
		h.Name = (*byte)(unsafe.Pointer(&k.names[i]))
		h.Iov, h.Iovlen = &k.iovecs[i], 1
		h.Control = &k.controls[i][0]
	}
	return k
}

func (k *kernel) read() ([]Message, error) {
	for i := range k.headers {
		h := &k.headers[i].header
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(len(k.controls[i]))
	}
	var n int
	var errno syscall.Errno
	err := k.raw.Read(func(fd uintptr) bool {
		for {
			r, _, e := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&k.headers[0])), messagesMax, unix.MSG_DONTWAIT, 0, 0)
			n, errno = int(r), e
			if e != unix.EINTR {
				return e != unix.EAGAIN
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if errno != 0 {
		if errno == unix.ECONNREFUSED { // an ICMP of some earlier write
			return nil, nil
		}
		return nil, fmt.Errorf("recvmmsg: %w", errno)
	}
	for i := range n {
		h := &k.headers[i]
		k.messages[i] = Message{k.buffers[i][:h.n], int(h.n), fromRaw(&k.names[i])}
		if s := segmentOf(k.controls[i][:h.header.Controllen]); s > 0 && s < int(h.n) {
			k.messages[i].Segment = s
		}
	}
	return k.messages[:n], nil
}

// segmentOf finds UDP_GRO's size among control messages; 0 if there is none.
func segmentOf(b []byte) int {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		if h.Len < unix.SizeofCmsghdr || uint64(h.Len) > uint64(len(b)) {
			return 0
		}
		if h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && h.Len >= unix.SizeofCmsghdr+2 {
			return int(binary.NativeEndian.Uint16(b[unix.SizeofCmsghdr:]))
		}
		b = b[min(len(b), unix.CmsgSpace(int(h.Len)-unix.SizeofCmsghdr)):]
	}
	return 0
}

func fromRaw(sa *unix.RawSockaddrInet6) netip.AddrPort {
	if sa.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), ntohs(v4.Port))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), ntohs(sa.Port))
}

func ntohs(v uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], v)
	return binary.BigEndian.Uint16(b[:])
}

// toRaw writes the address into sa and returns its length, as the socket's family wants it.
func (k *kernel) toRaw(sa *unix.RawSockaddrInet6, to netip.AddrPort) uint32 {
	if k.v6 {
		sa.Family, sa.Port, sa.Addr = unix.AF_INET6, ntohs(to.Port()), to.Addr().As16()
		return unix.SizeofSockaddrInet6
	}
	v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
	v4.Family, v4.Port, v4.Addr = unix.AF_INET, ntohs(to.Port()), to.Addr().As4()
	return unix.SizeofSockaddrInet4
}

var errFamily = errors.New("a socket of IPv4 can't send to an address of IPv6: listen on [::]")

func (k *kernel) write(b []byte, segment int, to netip.AddrPort) error {
	if !k.v6 && !to.Addr().Is4() {
		return errFamily
	}
	for len(b) > 0 {
		n := min(segment, len(b))
		if k.segments.Load() {
			n = len(b)
		}
		err := k.send(b[:n], segment, to)
		if n > segment && (errors.Is(err, unix.EIO) || errors.Is(err, unix.EINVAL)) {
			k.segments.Store(false) // the device can't
			continue
		}
		if err != nil {
			return tooLarge(err)
		}
		b = b[n:]
	}
	return nil
}

func (k *kernel) send(b []byte, segment int, to netip.AddrPort) error {
	var sa unix.RawSockaddrInet6
	var control [unix.SizeofCmsghdr + 8]byte
	iov := unix.Iovec{Base: &b[0]}
	iov.SetLen(len(b))
	h := unix.Msghdr{Name: (*byte)(unsafe.Pointer(&sa)), Namelen: k.toRaw(&sa, to), Iov: &iov, Iovlen: 1}
	if len(b) > segment {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.SizeofCmsghdr + 2)
		binary.NativeEndian.PutUint16(control[unix.SizeofCmsghdr:], uint16(segment))
		h.Control = &control[0]
		h.SetControllen(len(control))
	}
	var errno syscall.Errno
	err := k.raw.Write(func(fd uintptr) bool {
		for {
			_, _, errno = unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&h)), unix.MSG_DONTWAIT)
			if errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	})
	switch {
	case err != nil:
		return err
	case errno == unix.ENOBUFS, errno == unix.ECONNREFUSED, errno == unix.EPERM: // lost: a full queue, an ICMP of before, a firewall
		return nil
	case errno != 0:
		return errno
	}
	return nil
}

func tooLarge(err error) error {
	if errors.Is(err, unix.EMSGSIZE) {
		return ErrTooLarge
	}
	return err
}

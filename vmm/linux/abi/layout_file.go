package abi

import "encoding/binary"

var le = binary.LittleEndian

// StatSize is the size of a Stat.
const StatSize = 144

// Stat is struct stat (arch/x86/include/uapi/asm/stat.h). Times are nanoseconds since 1970.
type Stat struct {
	Dev, Ino, Nlink     uint64
	Mode, UID, GID      uint32
	Rdev                uint64
	Size, Blksize       int64
	Blocks              int64
	Atime, Mtime, Ctime int64
}

// Put writes the structure.
func (s *Stat) Put(b []byte) {
	_ = b[StatSize-1]
	clear(b[:StatSize])
	le.PutUint64(b[0:], s.Dev)
	le.PutUint64(b[8:], s.Ino)
	le.PutUint64(b[16:], s.Nlink)
	le.PutUint32(b[24:], s.Mode)
	le.PutUint32(b[28:], s.UID)
	le.PutUint32(b[32:], s.GID)
	le.PutUint64(b[40:], s.Rdev)
	le.PutUint64(b[48:], uint64(s.Size))
	le.PutUint64(b[56:], uint64(s.Blksize))
	le.PutUint64(b[64:], uint64(s.Blocks))
	PutTimespec(b[72:], s.Atime)
	PutTimespec(b[88:], s.Mtime)
	PutTimespec(b[104:], s.Ctime)
}

// StatxSize is the size of a statx.
const StatxSize = 256

// PutStatx writes s as struct statx (include/uapi/linux/stat.h), with the basic fields and no others.
func (s *Stat) PutStatx(b []byte) {
	_ = b[StatxSize-1]
	clear(b[:StatxSize])
	le.PutUint32(b[0:], STATX_BASIC_STATS)
	le.PutUint32(b[4:], uint32(s.Blksize))
	le.PutUint32(b[16:], uint32(s.Nlink))
	le.PutUint32(b[20:], s.UID)
	le.PutUint32(b[24:], s.GID)
	le.PutUint16(b[28:], uint16(s.Mode))
	le.PutUint64(b[32:], s.Ino)
	le.PutUint64(b[40:], uint64(s.Size))
	le.PutUint64(b[48:], uint64(s.Blocks))
	// tv_nsec has 32 bits here and 32 reserved ones behind it, which PutTimespec leaves 0.
	PutTimespec(b[64:], s.Atime)
	PutTimespec(b[96:], s.Ctime)
	PutTimespec(b[112:], s.Mtime)
	le.PutUint32(b[128:], major(s.Rdev))
	le.PutUint32(b[132:], minor(s.Rdev))
	le.PutUint32(b[136:], major(s.Dev))
	le.PutUint32(b[140:], minor(s.Dev))
}

// Device is the number of a device as stat has it.
func Device(major, minor uint32) uint64 {
	return uint64(minor&0xff) | uint64(major&0xfff)<<8 | uint64(minor&^0xff)<<12 | uint64(major&^0xfff)<<32
}

func major(dev uint64) uint32 { return uint32(dev>>8)&0xfff | uint32(dev>>32)&^0xfff }
func minor(dev uint64) uint32 { return uint32(dev)&0xff | uint32(dev>>12)&^0xff }

// StatfsSize is the size of a Statfs.
const StatfsSize = 120

// Statfs is struct statfs (include/uapi/asm-generic/statfs.h).
type Statfs struct {
	Type, Bsize           uint64
	Blocks, Bfree, Bavail uint64
	Files, Ffree          uint64
	Namelen, Frsize       uint64
	Flags                 uint64
}

// Put writes the structure.
func (s *Statfs) Put(b []byte) {
	_ = b[StatfsSize-1]
	clear(b[:StatfsSize])
	for i, v := range [...]uint64{s.Type, s.Bsize, s.Blocks, s.Bfree, s.Bavail, s.Files, s.Ffree, 0, s.Namelen, s.Frsize, s.Flags} {
		le.PutUint64(b[8*i:], v)
	}
}

// DirentSize is the size that PutDirent needs for a name: a multiple of 8.
func DirentSize(name string) int { return (19 + len(name) + 1 + 7) &^ 7 }

// PutDirent writes a struct linux_dirent64 and returns its size. next is where the directory's reading goes on after this entry.
func PutDirent(b []byte, ino uint64, next int64, kind byte, name string) int {
	n := DirentSize(name)
	_ = b[n-1]
	le.PutUint64(b[0:], ino)
	le.PutUint64(b[8:], uint64(next))
	le.PutUint16(b[16:], uint16(n))
	b[18] = kind
	clear(b[19+copy(b[19:n], name) : n])
	return n
}

// PollFDSize is the size of a PollFD.
const PollFDSize = 8

// PollFD is struct pollfd.
type PollFD struct {
	FD              int32
	Events, Revents uint16
}

// Put writes the structure.
func (p *PollFD) Put(b []byte) {
	le.PutUint32(b[0:], uint32(p.FD))
	le.PutUint16(b[4:], p.Events)
	le.PutUint16(b[6:], p.Revents)
}

// Get reads the structure.
func (p *PollFD) Get(b []byte) {
	p.FD, p.Events, p.Revents = int32(le.Uint32(b)), le.Uint16(b[4:]), le.Uint16(b[6:])
}

// EpollEventSize is the size of an EpollEvent: packed, on x86-64 only.
const EpollEventSize = 12

// EpollEvent is struct epoll_event (include/uapi/linux/eventpoll.h).
type EpollEvent struct {
	Events uint32
	Data   uint64
}

// Put writes the structure.
func (e *EpollEvent) Put(b []byte) {
	le.PutUint32(b[0:], e.Events)
	le.PutUint64(b[4:], e.Data)
}

// Get reads the structure.
func (e *EpollEvent) Get(b []byte) { e.Events, e.Data = le.Uint32(b), le.Uint64(b[4:]) }

// IovecSize is the size of an Iovec.
const IovecSize = 16

// Iovec is struct iovec.
type Iovec struct{ Base, Len uint64 }

// Get reads the structure.
func (v *Iovec) Get(b []byte) { v.Base, v.Len = le.Uint64(b), le.Uint64(b[8:]) }

// MsghdrSize is the size of a Msghdr.
const MsghdrSize = 56

// Msghdr is struct user_msghdr (include/linux/socket.h).
type Msghdr struct {
	Name       uint64
	Namelen    uint32
	Iov        uint64
	Iovlen     uint64
	Control    uint64
	Controllen uint64
	Flags      uint32
}

// Get reads the structure.
func (m *Msghdr) Get(b []byte) {
	_ = b[MsghdrSize-1]
	m.Name, m.Namelen = le.Uint64(b), le.Uint32(b[8:])
	m.Iov, m.Iovlen = le.Uint64(b[16:]), le.Uint64(b[24:])
	m.Control, m.Controllen, m.Flags = le.Uint64(b[32:]), le.Uint64(b[40:]), le.Uint32(b[48:])
}

// Put writes the structure, which the kernel does for the lengths and flags after recvmsg.
func (m *Msghdr) Put(b []byte) {
	_ = b[MsghdrSize-1]
	clear(b[:MsghdrSize])
	le.PutUint64(b[0:], m.Name)
	le.PutUint32(b[8:], m.Namelen)
	le.PutUint64(b[16:], m.Iov)
	le.PutUint64(b[24:], m.Iovlen)
	le.PutUint64(b[32:], m.Control)
	le.PutUint64(b[40:], m.Controllen)
	le.PutUint32(b[48:], m.Flags)
}

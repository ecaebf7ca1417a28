package file

import (
	"encoding/binary"
	"math"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// eventfd is a counter (fs/eventfd.c).
type eventfd struct {
	kept
	ino       uint64
	semaphore bool
	now, then eventState
}

type eventState struct{ count, in, out uint64 }

func (v *eventfd) save() { v.then = v.now }
func (v *eventfd) back() { v.now = v.then }

// Eventfd is eventfd2.
func (t *Table) Eventfd(initial uint32, flags int) (int, abi.Errno) {
	if flags&^(abi.EFD_SEMAPHORE|abi.EFD_CLOEXEC|abi.EFD_NONBLOCK) != 0 {
		return 0, abi.EINVAL
	}
	o := &eventfd{kept: t.made(), ino: t.newIno(), semaphore: flags&abi.EFD_SEMAPHORE != 0, now: eventState{count: uint64(initial)}}
	return t.install(o, nil, flags&^abi.EFD_SEMAPHORE|abi.O_RDWR)
}

func (v *eventfd) read(t *Table, _ *openFile, to [][]byte) (int, abi.Errno) {
	if total(to) < 8 {
		return 0, abi.EINVAL
	}
	if v.now.count == 0 {
		return 0, abi.EAGAIN
	}
	t.keep(&v.kept, v)
	n := v.now.count
	if v.semaphore {
		n = 1
	}
	v.now.count -= n
	v.now.out++
	t.version++
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	scatter(to, b[:])
	return 8, 0
}

func (v *eventfd) write(t *Table, _ *openFile, from [][]byte) (int, abi.Errno) {
	if total(from) != 8 {
		return 0, abi.EINVAL
	}
	var b [8]byte
	gather(b[:], from)
	n := binary.LittleEndian.Uint64(b[:])
	switch {
	case n == math.MaxUint64:
		return 0, abi.EINVAL
	case n > math.MaxUint64-1-v.now.count:
		return 0, abi.EAGAIN
	}
	t.keep(&v.kept, v)
	v.now.count += n
	v.now.in++
	t.version++
	return 8, 0
}

func (v *eventfd) ready(*Table, *openFile) (events uint32) {
	if v.now.count > 0 {
		events |= abi.POLLIN
	}
	if v.now.count < math.MaxUint64-1 {
		events |= abi.POLLOUT
	}
	return events
}

func (v *eventfd) edges(*Table, *openFile) (in, out uint64) { return v.now.in, v.now.out }

func (v *eventfd) stat(_ *Table, _ *openFile, s *abi.Stat) { anonymous(s, v.ino) }

func (v *eventfd) closed(*Table, *openFile) {}

// anonymous is what stat says of things that aren't files (fs/anon_inodes.c).
func anonymous(s *abi.Stat, ino uint64) {
	*s = abi.Stat{Dev: devAnonymous, Ino: ino, Nlink: 1, Mode: 0o600, Blksize: pageSize}
}

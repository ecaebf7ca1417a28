package file

import "github.com/wherry/wherry/vmm/linux/abi"

// Poll fills in Revents and returns how many have some.
func (t *Table) Poll(fds []abi.PollFD) (n int) {
	for i := range fds {
		p := &fds[i]
		p.Revents = 0
		if p.FD < 0 {
			continue
		}
		f, e := t.getOpen(int(p.FD))
		if e != 0 {
			p.Revents = abi.POLLNVAL
		} else {
			starved := t.starved
			p.Revents = uint16(f.object.ready(t, f)) & (p.Events | abi.POLLERR | abi.POLLHUP)
			if p.Events&(abi.POLLIN|abi.POLLRDNORM) == 0 { // Rust asks at a program's start whether 0, 1 and 2 are open: that isn't wanting input
				t.starved = starved
			}
		}
		if p.Revents != 0 {
			n++
		}
	}
	return n
}

// What the sets of select stand for (fs/select.c).
const (
	selectRead   = abi.POLLRDNORM | abi.POLLRDBAND | abi.POLLIN | abi.POLLHUP | abi.POLLERR
	selectWrite  = abi.POLLWRBAND | abi.POLLWRNORM | abi.POLLOUT | abi.POLLERR
	selectExcept = abi.POLLPRI
)

// Select changes the sets, bitmaps of n bits or nil, to what is ready now.
func (t *Table) Select(n int, read, write, except []uint64) (count int, e abi.Errno) {
	if n < 0 {
		return 0, abi.EINVAL
	}
	n = min(n, t.ledger.Limits.Descriptors)
	sets := [...]struct {
		bits []uint64
		mask uint32
	}{{read, selectRead}, {write, selectWrite}, {except, selectExcept}}
	asked := func(bits []uint64, fd int) bool { return fd/64 < len(bits) && bits[fd/64]>>(fd%64)&1 != 0 }
	for fd := range n {
		if _, e := t.getOpen(fd); e != 0 && (asked(read, fd) || asked(write, fd) || asked(except, fd)) {
			return 0, abi.EBADF
		}
	}
	for fd := range n {
		for _, s := range sets {
			if !asked(s.bits, fd) {
				continue
			}
			if f := t.slots.fds[fd].file; f.object.ready(t, f)&s.mask != 0 {
				count++
			} else {
				s.bits[fd/64] &^= 1 << (fd % 64)
			}
		}
	}
	return count, 0
}

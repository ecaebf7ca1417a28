//go:build linux && amd64

package file

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/wherry/wherry/vmm/linux/abi"
)

func (b *both) make() {
	if len(b.fds) > 20 {
		return
	}
	switch rapid.IntRange(0, 3).Draw(b.T, "thing") {
	case 0:
		var p [2]int
		r, w, e := b.table.Pipe(abi.O_NONBLOCK)
		if b.compare("pipe", e, unix.Pipe2(p[:], unix.O_NONBLOCK)) {
			b.add(r, p[0])
			b.add(w, p[1])
			b.table.Fcntl(w, abi.F_SETPIPE_SZ, 8192)
			unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, 8192)
		}
	case 1:
		flags := rapid.SampledFrom([]int{0, unix.EFD_SEMAPHORE}).Draw(b.T, "flags") | unix.EFD_NONBLOCK
		first := rapid.SampledFrom([]uint{0, 2}).Draw(b.T, "first")
		got, e := b.table.Eventfd(uint32(first), flags)
		want, err := unix.Eventfd(first, flags)
		if b.compare("eventfd", e, err) {
			b.add(got, want)
		}
	case 2:
		got, e := b.table.EpollCreate(0)
		want, err := unix.EpollCreate1(0)
		if b.compare("epoll_create", e, err) {
			b.add(got, want)
		}
	case 3:
		x, y, e := b.table.Socketpair(abi.AF_UNIX, abi.SOCK_STREAM|abi.SOCK_NONBLOCK, 0)
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
		if b.compare("socketpair", e, err) {
			b.add(x, p[0])
			b.add(y, p[1])
		}
	}
}

// transfer reads or writes. Sockets get little: how much the kernel keeps for one is its own affair.
func (b *both) transfer() {
	fd := b.fd()
	n := rapid.SampledFrom([]int{0, 1, 8, 8, 9, 100, 3000, 4096, 5000, 12000}).Draw(b.T, "length")
	var s abi.Stat
	if b.table.Fstat(fd[0], &s); s.Mode&abi.S_IFMT == abi.S_IFSOCK {
		n = min(n, 100)
	}
	if rapid.Bool().Draw(b.T, "write") {
		p := make([]byte, n)
		if n >= 8 {
			binary.LittleEndian.PutUint64(p, rapid.SampledFrom([]uint64{0, 1, 3, 1<<64 - 1, 1<<64 - 2}).Draw(b.T, "value"))
		}
		got, e := b.table.Write(fd[0], p)
		want, err := unix.Write(fd[1], p)
		if b.compare(fmt.Sprint("write ", fd, n), e, err) {
			b.equal(fmt.Sprint("write ", fd, n), got, want)
		}
		return
	}
	x, y := make([]byte, n), make([]byte, n)
	got, e := b.table.Readv(fd[0], [][]byte{x[:n/3], x[n/3:]})
	want, err := unix.Readv(fd[1], [][]byte{y[:n/3], y[n/3:]})
	if b.compare(fmt.Sprint("read ", fd, n), e, err) {
		b.equal(fmt.Sprint("read ", fd, n), got, want)
		if !bytes.Equal(x, y) {
			b.Fatalf("read %v: other bytes than on this kernel", fd)
		}
	}
}

func (b *both) control() {
	ep, fd := b.fd(), b.fd()
	op := rapid.SampledFrom([]int{unix.EPOLL_CTL_ADD, unix.EPOLL_CTL_ADD, unix.EPOLL_CTL_ADD, unix.EPOLL_CTL_MOD, unix.EPOLL_CTL_DEL}).Draw(b.T, "operation")
	events := rapid.SampledFrom([]uint32{
		unix.EPOLLIN, unix.EPOLLOUT, unix.EPOLLIN | unix.EPOLLOUT, unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, unix.EPOLLIN | unix.EPOLLONESHOT, 0,
	}).Draw(b.T, "events")
	for _, o := range b.fds { // nested and by edges: may be told once too often
		if o == fd && events&unix.EPOLLET != 0 {
			if f, e := b.table.get(fd[0]); e == 0 {
				if _, ok := f.object.(*epoll); ok {
					events &^= unix.EPOLLET
				}
			}
		}
	}
	e := b.table.EpollCtl(ep[0], op, fd[0], abi.EpollEvent{Events: events, Data: uint64(fd[0])})
	err := unix.EpollCtl(ep[1], op, fd[1], &unix.EpollEvent{Events: events, Fd: int32(fd[0])})
	b.compare(fmt.Sprintf("epoll_ctl %v %d %v %#x", ep, op, fd, events), e, err)
}

func (b *both) wait() {
	ep := b.fd()
	var got [64]abi.EpollEvent
	var want [64]unix.EpollEvent
	n, e := b.table.EpollWait(ep[0], got[:])
	m, err := unix.EpollWait(ep[1], want[:], 0)
	if !b.compare(fmt.Sprint("epoll_wait ", ep), e, err) {
		return
	}
	var x, y [][2]uint64
	for _, v := range got[:n] {
		x = append(x, [2]uint64{v.Data, uint64(v.Events)})
	}
	for _, v := range want[:m] {
		y = append(y, [2]uint64{uint64(v.Fd), uint64(v.Events)})
	}
	order := func(a, b [2]uint64) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }
	slices.SortFunc(x, order)
	slices.SortFunc(y, order)
	b.equal(fmt.Sprint("epoll_wait ", ep), x, y)
}

func (b *both) poll() {
	var x []abi.PollFD
	var y []unix.PollFd
	const events = unix.POLLIN | unix.POLLOUT | unix.POLLRDHUP | abi.POLLRDNORM | abi.POLLWRNORM
	for _, fd := range b.fds {
		x = append(x, abi.PollFD{FD: int32(fd[0]), Events: events})
		y = append(y, unix.PollFd{Fd: int32(fd[1]), Events: events})
	}
	x = append(x, abi.PollFD{FD: 1000, Events: events}, abi.PollFD{FD: -1})
	y = append(y, unix.PollFd{Fd: 1 << 20, Events: events}, unix.PollFd{Fd: -1})
	n := b.table.Poll(x)
	m, err := unix.Poll(y, 0)
	if err != nil {
		b.Fatal(err)
	}
	for i, fd := range b.fds {
		b.equal(fmt.Sprintf("poll %v", fd), fmt.Sprintf("%#x", x[i].Revents), fmt.Sprintf("%#x", y[i].Revents))
	}
	b.equal("poll", n, m)
}

func (b *both) end() {
	fd := b.fd()
	switch rapid.IntRange(0, 2).Draw(b.T, "operation") {
	case 0:
		if b.compare("close", b.table.Close(fd[0]), unix.Close(fd[1])) {
			b.fds = slices.DeleteFunc(b.fds, func(o [2]int) bool { return o == fd })
		}
	case 1:
		how := rapid.IntRange(0, 2).Draw(b.T, "how")
		b.compare(fmt.Sprint("shutdown ", fd, how), b.table.Shutdown(fd[0], how), unix.Shutdown(fd[1], how))
	case 2:
		got, e := b.table.Ioctl(fd[0], abi.FIONREAD, 0)
		want, err := unix.IoctlGetInt(fd[1], abi.FIONREAD)
		if b.compare(fmt.Sprint("FIONREAD ", fd), e, err) {
			b.equal("FIONREAD", got, want)
		}
	}
}

// TestReadinessLikeTheKernel does the same to pipes, eventfds, sockets and epoll instances of a Table and of the kernel that the test runs on.
func TestReadinessLikeTheKernel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b := &both{T: r, table: newTable(t, Options{})}
		defer b.close()
		r.Repeat(map[string]func(*rapid.T){
			"make": func(*rapid.T) { b.make() }, "transfer": func(*rapid.T) { b.transfer() }, "more": func(*rapid.T) { b.transfer() },
			"control": func(*rapid.T) { b.control() }, "and control": func(*rapid.T) { b.control() }, "wait": func(*rapid.T) { b.wait() },
			"poll": func(*rapid.T) { b.poll() }, "end": func(*rapid.T) { b.end() }, "checkpoint": func(*rapid.T) { b.checkpoint() },
		})
	})
}

//go:build linux

package link

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/ring"
)

const (
	// ringSize is one ring with its header; the records have the power of two below.
	ringSize = 2 << 20
	// Files is how many descriptors Remote has.
	Files = 5
)

// Pair makes the memory and the pipes of a link: this process's end, and the files for the other process's Open, in their order.
func Pair() (_ *Ends, remote []*os.File, err error) {
	memory, err := newMemory()
	if err != nil {
		return nil, nil, err
	}
	files := []*os.File{memory}
	mine := &Ends{first: true}
	// Of each pipe one end is ours: we hear for data, hear for room, ring for data, ring for room; and the other side does the opposite.
	for i, own := range []**os.File{&mine.hearData, &mine.hearRoom, &mine.ringData, &mine.ringRoom} {
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
			closeAll(append(files, mine.pipes()...))
			return nil, nil, fmt.Errorf("pipes between the edge and its monitor: %w", err)
		}
		read, write := os.NewFile(uintptr(fds[0]), "bell"), os.NewFile(uintptr(fds[1]), "bell")
		if i < 2 {
			*own, files = read, append(files, write)
		} else {
			*own, files = write, append(files, read)
		}
	}
	if err := mine.mapMemory(int(memory.Fd()), true); err != nil {
		closeAll(append(files, mine.pipes()...))
		return nil, nil, err
	}
	return mine, files, nil
}

// Open takes what Pair made for this process: descriptors from first on.
func Open(first int) (*Ends, error) {
	e := &Ends{}
	for i, own := range []**os.File{&e.ringData, &e.ringRoom, &e.hearData, &e.hearRoom} {
		fd := first + 1 + i
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, fmt.Errorf("descriptor %d isn't one of a link's: %w", fd, err)
		}
		*own = os.NewFile(uintptr(fd), "bell")
	}
	err := e.mapMemory(first, false)
	return e, errors.Join(err, unix.Close(first))
}

// Ends are a process's ends of both rings.
type Ends struct {
	first                                  bool // who made them
	hearData, hearRoom, ringData, ringRoom *os.File
	memory                                 []byte
	in                                     *ring.Receiver
	out                                    *ring.Sender
}

// newMemory is zeros, of a size that stays: a process that could cut it would have the other one die of SIGBUS.
func newMemory() (*os.File, error) {
	fd, err := unix.MemfdCreate("wherry-monitor", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memory between the edge and its monitor (memfd_create): %w; use a Linux kernel of 5.10 or later, and let it through where system calls are filtered", err)
	}
	f := os.NewFile(uintptr(fd), "wherry-monitor")
	err = unix.Ftruncate(fd, 2*ringSize)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("memory between the edge and its monitor: %w", err), f.Close())
	}
	return f, nil
}

func (e *Ends) mapMemory(fd int, format bool) (err error) {
	if e.memory, err = unix.Mmap(fd, 0, 2*ringSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("mapping the memory between the edge and its monitor: %w", err)
	}
	to, from := e.memory[:ringSize:ringSize], e.memory[ringSize:]
	if format {
		if err := errors.Join(ring.Format(to), ring.Format(from)); err != nil {
			return err
		}
	}
	if !e.first {
		to, from = from, to
	}
	var raw [3]syscall.RawConn
	for i, f := range []*os.File{e.ringData, e.ringRoom, e.hearData} {
		if raw[i], err = f.SyscallConn(); err != nil {
			return err
		}
	}
	if e.out, err = ring.NewSender(to, bell{raw[0]}); err != nil {
		return err
	}
	if e.in, err = ring.NewReceiver(from, bell{raw[1]}); err != nil {
		return err
	}
	e.in.SleepBy(newListener(raw[2]))
	return nil
}

func (e *Ends) pipes() []*os.File { return []*os.File{e.hearData, e.hearRoom, e.ringData, e.ringRoom} }

// awaitRoom has senders look again each time that the other side has made room, until the pipe ends.
func (e *Ends) awaitRoom() {
	var b [64]byte
	for {
		if _, err := e.hearRoom.Read(b[:]); err != nil {
			return
		}
		e.out.Ring()
	}
}

// closePipes ends what sleeps by them.
func (e *Ends) closePipes() { closeAll(e.pipes()) }

func (e *Ends) unmap() error { return unix.Munmap(e.memory) }

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // nothing is written that could be lost
		}
	}
}

// bell wakes the other process. A full pipe has woken it already, and one without a reader is of a process that has gone.
type bell struct{ pipe syscall.RawConn }

// Notify implements ring.Bell.
func (b bell) Notify(*atomic.Uint32, uint32) { _ = b.pipe.Control(ringOnce) } // one that is closed wakes nobody

var one = [1]byte{1}

// ringOnce writes a byte, which doesn't wait: Go's scheduler isn't told, which would take this thread's processor for its while where who is woken comes first.
func ringOnce(fd uintptr) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(&one)), uintptr(len(one)))
}

// listener sleeps until the other process rings. It belongs to who receives.
type listener struct {
	pipe syscall.RawConn
	read func(fd uintptr) bool
	n    int
	err  error
	b    [64]byte
}

func newListener(pipe syscall.RawConn) *listener {
	l := &listener{pipe: pipe}
	l.read = func(fd uintptr) bool {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(&l.b)), uintptr(len(l.b)))
		l.n, l.err = int(n), nil
		if errno != 0 {
			l.err = errno
		}
		return errno != syscall.EAGAIN
	}
	return l
}

var _ ring.Doorbell = (*listener)(nil)

// Wait implements ring.Doorbell. It ends with the pipe, not with the context.
func (l *listener) Wait(_ context.Context, word *atomic.Uint32, value uint32) error {
	if word.Load() != value {
		return nil
	}
	switch err := l.pipe.Read(l.read); {
	case err != nil:
		return err
	case l.err != nil && l.err != syscall.EINTR: // after which who waits looks again
		return l.err
	case l.err == nil && l.n == 0:
		return errGone
	}
	return nil
}

// Notify implements ring.Bell: nobody sleeps here but who receives.
func (*listener) Notify(*atomic.Uint32, uint32) {}

var errGone = errors.New("the other process has ended")

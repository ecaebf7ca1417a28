package linkem

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchPackets bounds how long a thread only takes packets, or only delivers them.
const batchPackets = 64

// A wait costs the machine 5 to 20 µs, more than all else that is done for a packet. A thread that would wait more often than each
// moderationEvery, over moderationWaits waits, collects packets for so long instead, as network cards do; below that rate each packet is on time.
const (
	moderationEvery = 50 * time.Microsecond
	moderationWaits = 8
)

// Cable joins two places by a device in each and a Link in each direction.
type Cable struct {
	A, B        netip.Addr // of the device in the first and in the second place
	tunA, tunB  *tun
	there, back *direction
}

// direction is one of the two ways over a cable.
type direction struct {
	from, to *tun
	epoch    time.Time // where the link's times count from
	wake     int       // an eventfd that ends a wait

	threadID atomic.Int32 // of the carrying thread, 0 while there is none

	waits     [moderationWaits]time.Duration // when the last ones began; the carrying thread's
	waitsNext int

	mu   sync.Mutex // guards link; held for single packets only, never during a call of the kernel
	link *Link
}

func (c *Cable) lay(name string, a, b *Place, seed uint64, there, back []Shape) (err error) {
	if c.tunA, err = openTUN(a, name+"a", c.A); err != nil {
		return err
	}
	if c.tunB, err = openTUN(b, name+"b", c.B); err != nil {
		return err
	}
	epoch := time.Now()
	if c.there, err = newDirection(c.tunA, c.tunB, epoch, 2*seed, there); err != nil {
		return err
	}
	c.back, err = newDirection(c.tunB, c.tunA, epoch, 2*seed+1, back)
	return err
}

func newDirection(from, to *tun, epoch time.Time, seed uint64, shapes []Shape) (*direction, error) {
	link, err := NewLink(seed, shapes...)
	if err != nil {
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &direction{from: from, to: to, epoch: epoch, wake: wake, link: link}, nil
}

func (c *Cable) close() error {
	var errs []error
	for _, d := range []*direction{c.there, c.back} {
		if d != nil {
			errs = append(errs, unix.Close(d.wake))
		}
	}
	for _, t := range []*tun{c.tunA, c.tunB} {
		if t != nil {
			errs = append(errs, t.close())
		}
	}
	return errors.Join(errs...)
}

// Reshape changes both directions for the packets that leave from now on.
func (c *Cable) Reshape(there, back []Shape) error {
	return errors.Join(c.there.reshape(there), c.back.reshape(back))
}

// Stats is what has happened in each direction so far.
func (c *Cable) Stats() (there, back LinkStats) { return c.there.stats(), c.back.stats() }

// QueuedBytes is what waits in the queues of each direction.
func (c *Cable) QueuedBytes() (there, back int) { return c.there.queuedBytes(), c.back.queuedBytes() }

// Missed is how many packets the devices dropped because the emulator was too slow to take them: above 0 the machine isn't fit for the
// rate, and what was measured isn't the link.
func (c *Cable) Missed() (int64, error) {
	a, errA := c.tunA.missed()
	b, errB := c.tunB.missed()
	return a + b, errors.Join(errA, errB)
}

// CPU is the processor time that both carrying threads have used; 0 while they don't run.
func (c *Cable) CPU() time.Duration { return c.there.cpu() + c.back.cpu() }

func (d *direction) cpu() time.Duration {
	thread := d.threadID.Load()
	if thread == 0 {
		return 0
	}
	// The clock of a thread's processor time, as pthread_getcpuclockid makes it.
	clock := ^thread<<3 | 4 | 2
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

func (d *direction) now() time.Duration { return time.Since(d.epoch) }

func (d *direction) reshape(shapes []Shape) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer unix.Write(d.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return d.link.Reshape(d.now(), shapes...)
}

func (d *direction) stats() LinkStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.link.Stats()
}

func (d *direction) queuedBytes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.link.QueuedBytes()
}

// carry takes packets from one device and delivers them to the other until ctx is done.
func (d *direction) carry(ctx context.Context) error {
	runtime.LockOSThread() // for good: the thread ends with its priority
	if err := beRealTime(); err != nil {
		return err
	}
	d.threadID.Store(int32(unix.Gettid()))
	defer d.threadID.Store(0)
	defer context.AfterFunc(ctx, func() { unix.Write(d.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) })()
	buf := make([]byte, packetBytesRoom)
	for ctx.Err() == nil {
		delivered, err := d.deliver(buf)
		if err != nil {
			return err
		}
		taken, err := d.take(buf)
		if err != nil {
			return err
		}
		if delivered+taken > 0 {
			continue
		}
		if err := d.wait(); err != nil {
			return err
		}
	}
	return nil
}

// deliver writes packets that have arrived.
func (d *direction) deliver(buf []byte) (packets int, err error) {
	for ; packets < batchPackets; packets++ {
		d.mu.Lock()
		n, ok := d.link.Pop(d.now(), buf)
		d.mu.Unlock()
		if !ok {
			break
		}
		// EINVAL is the kernel's word for a packet whose first bits were corrupted: it never was IP.
		if _, err := rawCall(unix.SYS_WRITE, d.to.fd, buf[:n]); err != 0 && err != unix.EINVAL && err != unix.EINTR {
			return packets, fmt.Errorf("deliver a packet to %s: %w", d.to.place.name, err)
		}
	}
	return packets, nil
}

// take reads packets that have been sent.
func (d *direction) take(buf []byte) (packets int, err error) {
	for ; packets < batchPackets; packets++ {
		n, err := rawCall(unix.SYS_READ, d.from.fd, buf)
		if err == unix.EAGAIN || err == unix.EINTR {
			break
		}
		if err != 0 {
			return packets, fmt.Errorf("take a packet from %s: %w", d.from.place.name, err)
		}
		d.mu.Lock()
		d.link.Push(d.now(), buf[:n])
		d.mu.Unlock()
	}
	return packets, nil
}

// wait returns when a packet was sent, when one may have arrived, or when somebody wakes it.
func (d *direction) wait() error {
	d.mu.Lock()
	next, some := d.link.Next()
	d.mu.Unlock()
	now := d.now()
	fds := [2]unix.PollFd{{Fd: int32(d.wake), Events: unix.POLLIN}, {Fd: int32(d.from.fd), Events: unix.POLLIN}}
	listenTo := uintptr(len(fds))
	if d.moderated(now) {
		next, some = now+moderationEvery, true
		listenTo = 1
	}
	var timeout *unix.Timespec
	if some {
		t := unix.NsecToTimespec(int64(max(next-now, 0)))
		timeout = &t
	}
	_, _, err := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds)), listenTo, uintptr(unsafe.Pointer(timeout)), 0, 0, 0)
	if err != 0 && err != unix.EINTR {
		return fmt.Errorf("wait for packets: %w", err)
	}
	if fds[0].Revents != 0 {
		var count [8]byte
		unix.Read(d.wake, count[:])
	}
	return nil
}

// moderated says that waits came so close that this one should be long.
func (d *direction) moderated(now time.Duration) bool {
	oldest := d.waits[d.waitsNext]
	d.waits[d.waitsNext] = now
	d.waitsNext = (d.waitsNext + 1) % moderationWaits
	return oldest > 0 && now-oldest < moderationWaits*moderationEvery
}

// rawCall reads or writes, or waits in wait, without telling Go's scheduler. Else its monitor takes the thread's processor away at each wait, and
// looks every 20 µs whether it can again, which costs a twentieth of a core, and is accounted to whom is measured. A thread that waits
// like this keeps a processor (Run adds them), and the signal by which the collector stops the world ends the wait.
func rawCall(number uintptr, fd int, buf []byte) (int, syscall.Errno) {
	n, _, err := unix.RawSyscall(number, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)))
	return int(n), err
}

// beRealTime lets the calling thread run as soon as its timer fires, before all others. Such threads have no timer slack either. Threads
// that it starts don't inherit it.
func beRealTime() error {
	err := setPolicy(unix.SCHED_RR, unix.SCHED_FLAG_RESET_ON_FORK, 1)
	if err != nil {
		return fmt.Errorf("give the emulator's thread real-time priority: %w: this needs root (CAP_SYS_NICE)", err)
	}
	return nil
}

// beOrdinary takes beRealTime back.
func beOrdinary() error { return setPolicy(unix.SCHED_NORMAL, 0, 0) }

func setPolicy(policy uint32, flags uint64, priority uint32) error {
	return unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Flags: flags, Priority: priority}, 0)
}

//go:build linux && amd64

package kvm

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// timer interrupts one thread's KVM_RUN by SIGURG.
type timer struct {
	id     int32
	thread int // that it interrupts; 0: there is none
}

// sigevent is struct sigevent.
type sigevent struct {
	value  uint64
	signal int32
	notify int32
	thread int32
	_      [44]byte
}

const (
	notifyThread = 4 // SIGEV_THREAD_ID
	// ringMin keeps a timer from ringing more often than anything is done.
	ringMin = 50 * time.Microsecond
	// ringAgain is how long it waits at least until it rings again.
	ringAgain = time.Millisecond
)

// ring interrupts the calling thread, which is locked, after d. One that rings too late or for nothing does no harm.
func (t *timer) ring(thread int, d time.Duration) error {
	if t.thread != thread {
		t.stop()
		event := sigevent{signal: int32(unix.SIGURG), notify: notifyThread, thread: int32(thread)}
		if _, _, errno := unix.RawSyscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&t.id))); errno != 0 {
			return errno
		}
		t.thread = thread
	}
	// It rings again and again: the first ring is lost when it comes before the thread is in KVM_RUN.
	again := unix.NsecToTimespec(max(d, ringAgain).Nanoseconds())
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(d, ringMin).Nanoseconds()), Interval: again}
	if _, _, errno := unix.RawSyscall6(unix.SYS_TIMER_SETTIME, uintptr(t.id), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// quiet has it ring no more, until the next ring.
func (t *timer) quiet() {
	if t.thread != 0 {
		var never unix.ItimerSpec
		_, _, _ = unix.RawSyscall6(unix.SYS_TIMER_SETTIME, uintptr(t.id), 0, uintptr(unsafe.Pointer(&never)), 0, 0, 0)
	}
}

// stop forgets the timer.
func (t *timer) stop() {
	if t.thread != 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_TIMER_DELETE, uintptr(t.id), 0, 0)
		t.thread = 0
	}
}

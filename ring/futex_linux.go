package ring

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// futexSlice is how long a thread sleeps in the system before it looks at its context, which the system knows nothing about.
const futexSlice = 20 * time.Millisecond

const (
	futexWait = 0 // FUTEX_WAIT, not private: the word is in memory of several processes
	futexWake = 1 // FUTEX_WAKE
)

// Futex is the doorbell between processes that share the word's memory. Who waits keeps a thread.
type Futex struct{}

var _ Doorbell = Futex{}

// Wait implements Doorbell.
func (Futex) Wait(ctx context.Context, word *atomic.Uint32, value uint32) error {
	slice := syscall.NsecToTimespec(futexSlice.Nanoseconds())
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		_, _, errno := syscall.Syscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait, uintptr(value), uintptr(unsafe.Pointer(&slice)), 0, 0)
		switch errno {
		case 0, syscall.EAGAIN: // rung, or the word has another value
			return nil
		case syscall.ETIMEDOUT, syscall.EINTR:
		default:
			return fmt.Errorf("waiting on a futex: %w", errno)
		}
	}
}

// Notify implements Bell.
func (Futex) Notify(word *atomic.Uint32, n uint32) {
	// It fails only for a word that isn't mapped or aligned, which would have faulted before.
	_, _, _ = syscall.Syscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake, uintptr(min(n, math.MaxInt32)), 0, 0, 0)
}

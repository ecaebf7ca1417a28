package trace

import (
	"fmt"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// Kind is what an Event tells.
type Kind uint8

const (
	// Call: a system call has returned. Name, Args, Result.
	Call Kind = iota + 1
	// Wait: a system call waits. Name, Args.
	Wait
	// Page: an access got its page. Addr, Code.
	Page
	// Fault: a fault or exception became signal Name. Addr.
	Fault
	// Signal: signal Name was given to its handler.
	Signal
	// End: the program has ended. Name says how, Result is its status.
	End
)

// Event is something that happened, as linux.Options.Trace is told.
type Event struct {
	Kind   Kind
	Task   int
	Name   string
	Args   string // as strace writes them
	Result int64
	Errno  abi.Errno
	Addr   uint64
	Code   uint32
}

// String is a line as strace writes it.
func (e Event) String() string {
	switch e.Kind {
	case Call:
		if e.Errno != 0 {
			return fmt.Sprintf("[%d] %s(%s) = -1 %s (%s)", e.Task, e.Name, e.Args, e.Errno.Name(), e.Errno.Error())
		}
		if e.Result > 1<<16 || e.Result < 0 {
			return fmt.Sprintf("[%d] %s(%s) = %#x", e.Task, e.Name, e.Args, uint64(e.Result))
		}
		return fmt.Sprintf("[%d] %s(%s) = %d", e.Task, e.Name, e.Args, e.Result)
	case Wait:
		return fmt.Sprintf("[%d] %s(%s) …", e.Task, e.Name, e.Args)
	case Page:
		return fmt.Sprintf("[%d] --- page at %#x, code %#x ---", e.Task, e.Addr, e.Code)
	case Fault:
		return fmt.Sprintf("[%d] --- %s at %#x ---", e.Task, e.Name, e.Addr)
	case Signal:
		return fmt.Sprintf("[%d] --- %s handled ---", e.Task, e.Name)
	}
	return fmt.Sprintf("+++ %s %d +++", e.Name, e.Result)
}

// TextMax bounds a string in a trace, as strace's -s does.
const TextMax = 48

// Quote writes a string as strace does.
func Quote(s string) string {
	if len(s) > TextMax {
		return fmt.Sprintf("%q...", s[:TextMax])
	}
	return fmt.Sprintf("%q", s)
}

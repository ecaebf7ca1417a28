package signals

import (
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// Max bounds the signals that wait for one task or for the process (RLIMIT_SIGPENDING).
const Max = 128

// Queue is signals that wait, in the order of arrival. It is replaced, never changed, so that checkpoints share it.
type Queue []abi.Siginfo

// Bit is s in a set of signals: bit n-1 for signal n.
func Bit(s abi.Signal) uint64 { return 1 << (s - 1) }

// Set is the signals that wait.
func (q Queue) Set() (s uint64) {
	for _, i := range q {
		s |= Bit(i.Signo)
	}
	return s
}

// Put appends info. A signal that isn't a real-time one waits once.
func (q Queue) Put(info abi.Siginfo) (Queue, bool) {
	if info.Signo < abi.SIGRTMIN && q.Set()&Bit(info.Signo) != 0 {
		return q, true
	}
	if len(q) >= Max {
		return q, false
	}
	return append(slices.Clip(q), info), true
}

// Take removes the first of signal s.
func (q Queue) Take(s abi.Signal) (abi.Siginfo, Queue) {
	i := slices.IndexFunc(q, func(i abi.Siginfo) bool { return i.Signo == s })
	info := q[i]
	if len(q) == 1 {
		return info, nil
	}
	return info, append(append(Queue{}, q[:i]...), q[i+1:]...)
}

const (
	// Never are signals that can't be blocked.
	Never = uint64(1)<<(abi.SIGKILL-1) | 1<<(abi.SIGSTOP-1)
	// Synchronous are those of faults: they go first.
	Synchronous = uint64(1)<<(abi.SIGSEGV-1) | 1<<(abi.SIGBUS-1) | 1<<(abi.SIGILL-1) | 1<<(abi.SIGTRAP-1) | 1<<(abi.SIGFPE-1) | 1<<(abi.SIGSYS-1)
	// Ignored are those that do nothing where no handler is. Stopping isn't done: there is no shell that would continue the program.
	Ignored = uint64(1)<<(abi.SIGCHLD-1) | 1<<(abi.SIGCONT-1) | 1<<(abi.SIGURG-1) | 1<<(abi.SIGWINCH-1) |
		1<<(abi.SIGSTOP-1) | 1<<(abi.SIGTSTP-1) | 1<<(abi.SIGTTIN-1) | 1<<(abi.SIGTTOU-1)
)

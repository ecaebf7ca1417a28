package linux

import (
	"fmt"
	"strings"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/plain"
)

// TraceKind is what an Event tells.
type TraceKind uint8

const (
	// TraceCall: a system call has returned. Name, Args, Result.
	TraceCall TraceKind = iota + 1
	// TraceWait: a system call waits. Name, Args.
	TraceWait
	// TracePage: an access got its page. Addr, Code.
	TracePage
	// TraceFault: a fault or exception became signal Name. Addr.
	TraceFault
	// TraceSignal: signal Name was given to its handler.
	TraceSignal
	// TraceEnd: the program has ended. Name says how, Result is its status.
	TraceEnd
)

// Event is something that happened, as Options.Trace is told.
type Event struct {
	Kind   TraceKind
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
	case TraceCall:
		if e.Errno != 0 {
			return fmt.Sprintf("[%d] %s(%s) = -1 %s (%s)", e.Task, e.Name, e.Args, e.Errno.Name(), e.Errno.Error())
		}
		if e.Result > 1<<16 || e.Result < 0 {
			return fmt.Sprintf("[%d] %s(%s) = %#x", e.Task, e.Name, e.Args, uint64(e.Result))
		}
		return fmt.Sprintf("[%d] %s(%s) = %d", e.Task, e.Name, e.Args, e.Result)
	case TraceWait:
		return fmt.Sprintf("[%d] %s(%s) …", e.Task, e.Name, e.Args)
	case TracePage:
		return fmt.Sprintf("[%d] --- page at %#x, code %#x ---", e.Task, e.Addr, e.Code)
	case TraceFault:
		return fmt.Sprintf("[%d] --- %s at %#x ---", e.Task, e.Name, e.Addr)
	case TraceSignal:
		return fmt.Sprintf("[%d] --- %s handled ---", e.Task, e.Name)
	}
	return fmt.Sprintf("+++ %s %d +++", e.Name, e.Result)
}

func (p *Process) trace(e Event) {
	if p.options.Trace != nil {
		p.options.Trace(e)
	}
}

// textMax bounds a string in a trace, as strace's -s does.
const textMax = 48

// describe writes a call's arguments by its pattern: a letter each, d for a number, x for an address or flags, s for a text, b for bytes whose length is
// in the next argument, f for a descriptor of a directory.
func (p *Process) describe(pattern string, a *args) string {
	var out []string
	for i := range min(len(pattern), len(a)) {
		v := a[i]
		switch pattern[i] {
		case 'd':
			out = append(out, fmt.Sprint(int64(int32(v))))
		case 'l':
			out = append(out, fmt.Sprint(int64(v)))
		case 'f':
			if int32(v) == abi.AT_FDCWD {
				out = append(out, "AT_FDCWD")
			} else {
				out = append(out, fmt.Sprint(int32(v)))
			}
		case 's':
			s, e := p.space.Text(v, plain.PathMax)
			if e != 0 {
				out = append(out, fmt.Sprintf("%#x", v))
				continue
			}
			out = append(out, quote(s))
		case 'b':
			b := make([]byte, min(a[i+1], textMax+1))
			if p.space.CopyIn(b, v) != 0 {
				out = append(out, fmt.Sprintf("%#x", v))
				continue
			}
			out = append(out, quote(string(b)))
		default:
			out = append(out, fmt.Sprintf("%#x", v))
		}
	}
	return strings.Join(out, ", ")
}

func quote(s string) string {
	if len(s) > textMax {
		return fmt.Sprintf("%q...", s[:textMax])
	}
	return fmt.Sprintf("%q", s)
}

package linux

import (
	"fmt"
	"time"

	"github.com/wherry/wherry/vmm/linux/tally"
)

// String says what s was, behind "the program".
func (s Stop) String() string {
	switch s.Kind {
	case Exited:
		return fmt.Sprintf("exited with status %d", s.Status)
	case Killed:
		text := fmt.Sprintf("was killed by %v at %#x, instruction %#x", s.Signal, s.Addr, s.RIP)
		if s.Reason != "" {
			text += ": " + s.Reason
		}
		return text
	case WantsInput:
		return "waits for standard input"
	case LimitPassed:
		return "passed its limit: " + s.Limit
	case Idle:
		return "waits for a connection"
	case Deadlock:
		return "can never go on: all of its threads wait for each other"
	}
	return s.Kind.String()
}

// CPU is the CPU time spent in Run since Load, Resume or Restore.
func (p *Process) CPU() time.Duration { return time.Duration(p.counters.CPU) }

// Metrics are counts since Load or Resume.
type Metrics = tally.Metrics

// Metrics returns p's counts.
func (p *Process) Metrics() Metrics {
	m := p.counters.Metrics()
	m.Faults, m.Pages, m.Tasks = p.space.Faults(), p.space.Pages(), len(p.tasks)
	return m
}

// Renew has the limits of CPU time, instructions and output begin anew: the next Run is another call's. Those that were passed stay so.
func (p *Process) Renew() {
	p.cpuBase, p.instructionsBase = p.cpuTime, p.counters.Instructions
	p.Files.RenewOutput()
}

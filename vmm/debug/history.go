package debug

import (
	"errors"
	"fmt"
	"time"

	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/snap"
)

// Bounds of what is kept to go back.
const (
	marksMax     = 48
	markBytesMax = 1 << 30
	// eventBytesMax bounds what came from outside. When it is reached, history begins anew.
	eventBytesMax = 64 << 20
	eventBytes    = 1 << 10 // that an event takes at most, beside its own
	// markEvery is after how many instructions another mark is made, markNear how far before a place that somebody went back to: he may go back further.
	markEvery = 25_000_000
	markNear  = 5_000
)

// history is what it takes to be at an earlier place again.
type history struct {
	marks    []*mark // by place; the first is where history begins
	events   []event // in order
	next     int     // the event that comes next; all are known while it is len(events)
	bytes    int64   // of events
	furthest uint64  // the place where the program has been
}

// mark is the program at a place.
type mark struct {
	at       uint64
	next     int
	outputs  [2]int64
	moment   linux.Moment
	snapshot *snap.Snapshot
}

// eventKind is what came from outside.
type eventKind uint8

const (
	eventInput eventKind = iota + 1 // bytes on standard input
	eventEnd                        // of standard input
	eventPass                       // of time, while all threads waited
	eventRegisters
	eventMemory
	eventSignal  // sent by the debugger
	eventVerdict // of a signal that the program stopped at
)

// event is something that came from outside, before instruction at+1.
type event struct {
	kind      eventKind
	stopped   bool // the program was stopped at a signal: it is before that is handled
	at        uint64
	task      int32
	signal    abi.Signal
	verdict   linux.Verdict
	addr      uint64
	bytes     []byte
	passed    time.Duration
	registers linux.TaskRegisters
}

// idle reports whether e comes when all threads wait.
func (e *event) idle() bool { return e.kind == eventInput || e.kind == eventEnd || e.kind == eventPass }

// size is about how much memory e takes.
func (e *event) size() int64 { return int64(len(e.bytes)) + eventBytes }

// past reports whether the program has been further than at.
func (h *history) past(at uint64) bool { return at < h.furthest }

func (h *history) coming() *event {
	if h.next < len(h.events) {
		return &h.events[h.next]
	}
	return nil
}

func (h *history) close() error {
	var errs []error
	for _, m := range h.marks {
		errs = append(errs, m.snapshot.Close())
	}
	h.marks = nil
	return errors.Join(errs...)
}

// before is the index of the last mark below at, or at it; -1 if there is none.
func (h *history) before(at uint64) int {
	i := len(h.marks) - 1
	for i >= 0 && h.marks[i].at > at {
		i--
	}
	return i
}

// mark keeps the program as it is now, if there is no mark here yet.
func (s *Session) mark() error {
	h := &s.history
	at := s.at()
	i := h.before(at)
	if i >= 0 && h.marks[i].at == at {
		return nil
	}
	snapshot, err := snap.Take(s.machine, s.process)
	if err != nil {
		return fmt.Errorf("keeping the program as it is, to go back to: %w", err)
	}
	m := &mark{at: at, next: h.next, outputs: [2]int64{s.outputs[0].at, s.outputs[1].at}, moment: s.process.Moment(), snapshot: snapshot}
	h.marks = append(h.marks, nil)
	copy(h.marks[i+2:], h.marks[i+1:])
	h.marks[i+1] = m
	return h.thin()
}

// thin forgets marks that are close together until there are few enough: never the first or the last.
func (h *history) thin() error {
	var bytes int64
	for _, m := range h.marks {
		bytes += m.snapshot.Size()
	}
	for len(h.marks) > 2 && (len(h.marks) > marksMax || bytes > markBytesMax) {
		places := make([]uint64, len(h.marks))
		for i, m := range h.marks {
			places[i] = m.at
		}
		best := needless(places)
		m := h.marks[best]
		bytes -= m.snapshot.Size()
		h.marks = append(h.marks[:best], h.marks[best+1:]...)
		if err := m.snapshot.Close(); err != nil {
			return err
		}
	}
	return nil
}

// needless is the index of the mark whose loss costs least: how long the way from the one before becomes, against how far from the last that is.
func needless(places []uint64) (best int) {
	last := places[len(places)-1]
	lowest := 0.0
	for i := 1; i < len(places)-1; i++ {
		cost := float64(places[i+1]-places[i-1]) / float64(last-places[i]+markEvery)
		if best == 0 || cost < lowest {
			best, lowest = i, cost
		}
	}
	return best
}

// nextMark is where the next one is made, by a program that hasn't been there.
func (h *history) nextMark() uint64 { return h.marks[len(h.marks)-1].at + markEvery }

// change does something to the program and remembers it. In the past, what came after is forgotten.
func (s *Session) change(e event) error {
	e.at, e.stopped = s.at(), s.signal != nil
	if err := s.do(&e); err != nil || s.live {
		return err
	}
	h := &s.history
	if h.past(e.at) || h.next < len(h.events) {
		for i := range h.events[h.next:] {
			h.bytes -= h.events[h.next+i].size()
		}
		h.events = h.events[:h.next]
		h.furthest = e.at
		for n := len(h.marks); n > 1 && h.marks[n-1].at > e.at; n-- {
			if err := h.marks[n-1].snapshot.Close(); err != nil {
				return err
			}
			h.marks = h.marks[:n-1]
		}
		for _, o := range s.outputs {
			o.shown = o.at
		}
	}
	h.events = append(h.events, e)
	h.next = len(h.events)
	if h.bytes += e.size(); h.bytes > eventBytesMax {
		return s.forget()
	}
	return nil
}

// forget has history begin here.
func (s *Session) forget() error {
	err := s.history.close()
	s.history = history{furthest: s.at()}
	return errors.Join(err, s.mark())
}

// do has an event happen.
func (s *Session) do(e *event) error {
	switch e.kind {
	case eventInput:
		if n := s.process.WriteStdin(e.bytes); n < len(e.bytes) {
			return fmt.Errorf("BUG: the program takes %d bytes of input, and took %d", n, len(e.bytes))
		}
	case eventEnd:
		s.process.CloseStdin()
	case eventPass:
		s.process.Pass(e.passed)
	case eventRegisters:
		return s.process.SetTaskRegisters(e.task, e.registers)
	case eventMemory:
		return s.process.WriteMemory(e.addr, e.bytes)
	case eventSignal:
		return s.process.Signal(e.task, e.signal)
	}
	return nil
}

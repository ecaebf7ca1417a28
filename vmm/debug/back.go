package debug

import (
	"context"
	"errors"
	"fmt"

	"github.com/wherry/wherry/vmm"
)

// back goes to the last place before this one where the program stops: at the thread's instruction before, or at a breakpoint or watched access.
func (s *Session) back(ctx context.Context, o Order) (Stop, error) {
	here := s.at()
	until := here
	for i := s.history.before(here); i >= 0; i = min(i, s.history.before(until)) - 1 {
		m := s.history.marks[i]
		if m.at == here {
			continue
		}
		found, err := s.look(ctx, m, until, o)
		switch {
		case err != nil:
			return Stop{}, err
		case ctx.Err() != nil:
			return Stop{Reason: Interrupted, Thread: o.Thread}, s.goTo(here)
		case found.found:
			return found.stop, s.goTo(found.at)
		}
		until = m.at
	}
	first := s.history.marks[0].at
	if err := s.goTo(first); err != nil {
		return Stop{}, err
	}
	return Stop{Reason: Beginning, Thread: s.someThread()}, nil
}

// look runs from m to a place and returns what it would have stopped at last.
func (s *Session) look(ctx context.Context, m *mark, until uint64, o Order) (scan, error) {
	if err := s.open(m); err != nil {
		return scan{}, err
	}
	found := &scan{step: o.Step, task: o.Thread}
	s.goal = goal{order: o, replay: true, until: until, scan: found}
	if !o.Step {
		s.apply()
	}
	_, err := s.advance(ctx)
	return *found, err
}

// goTo has the program be at a place where it has been.
func (s *Session) goTo(at uint64) error {
	m := s.history.marks[s.history.before(at)]
	if err := s.open(m); err != nil {
		return err
	}
	s.goal = goal{replay: true, until: at}
	if at > m.at+2*markNear {
		s.goal.mark = at - markNear
	}
	if _, err := s.advance(context.Background()); err != nil {
		return err
	}
	if s.at() != at {
		return fmt.Errorf("BUG: the program was to be at its instruction %d again and is at %d", at, s.at())
	}
	return nil
}

// open has the session go on from m.
func (s *Session) open(m *mark) error {
	machine, process, err := m.snapshot.Open(s.options.Machine, s.options.Linux)
	if err != nil {
		return fmt.Errorf("going back to instruction %d: %w", m.at, err)
	}
	err = s.machine.Close()
	s.machine, s.process = machine, process
	if err = errors.Join(err, s.take()); err != nil {
		return err
	}
	s.stopper.(vmm.Counter).CountFrom(m.at) // those with marks are
	process.Place(m.moment)
	s.history.next = m.next
	for i, o := range s.outputs {
		o.at = m.outputs[i]
	}
	return nil
}

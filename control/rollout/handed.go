package rollout

import (
	"maps"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
)

// TakenOver is the state for a leader that hasn't taken a step with it yet. Nobody has watched the nodes since the last step, and the clock of who took that
// may be a day ahead of this one's or behind it: what counts from now on are the times since then, as if the step had been now.
func (s State) TakenOver(now time.Time) State {
	if s.IsOver() {
		return s
	}
	p := s.Phases[s.Phase]
	last := p.Began
	see := func(t time.Time) {
		if t.After(last) {
			last = t
		}
	}
	see(p.Adopted)
	see(s.Deaf)
	for _, m := range s.Marks {
		see(m.Given)
		see(m.Lost)
	}
	by := now.Sub(last)
	move := func(t time.Time) time.Time {
		if t.IsZero() {
			return t
		}
		return t.Add(by)
	}
	s.Phases = slices.Clone(s.Phases)
	p.Began, p.Adopted, s.Deaf = move(p.Began), move(p.Adopted), move(s.Deaf)
	s.Phases[s.Phase] = p
	s.Marks, s.Others = moved(s.Marks, move), moved(s.Others, move)
	return s
}

func moved(marks map[config.NodeID]Mark, move func(time.Time) time.Time) map[config.NodeID]Mark {
	marks = maps.Clone(marks)
	for id, m := range marks {
		m.Given, m.Lost = move(m.Given), move(m.Lost)
		marks[id] = m
	}
	return marks
}

package rollout

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
)

const (
	// adoptWithin is how long a live node may take to adopt.
	adoptWithin = 10 * time.Second
	// programWithin is how long it may take to fetch a program, and to hand over to it.
	programWithin = 2 * time.Minute
	// evidenceMin is how many requests of one node are needed to say that it does well.
	evidenceMin = 3
	// patience bounds the wait for that, as a multiple of the time to bake.
	patience = 3
)

// Steering is what a person wants: "", pause, resume or abort.
type Steering string

// Input is what is known.
type Input struct {
	Now   time.Time
	Seen  map[config.NodeID]Seen
	Steer Steering
	By    string // who steers
}

// Step returns the next state; changed is false if there is nothing to do now.
func (s State) Step(in Input) (next State, changed bool) {
	next = s
	next.Phases, next.Before = slices.Clone(s.Phases), maps.Clone(s.Before)
	switch {
	case s.IsOver():
		return s, false
	case in.Steer == "abort":
		next.end(Aborted, "aborted by "+in.By, in.Now)
		return next, true
	case in.Steer == "pause" && s.State == Running:
		next.State, next.Why = Paused, "paused by "+in.By
		return next, true
	case in.Steer == "resume" && s.State == Paused:
		next.State, next.Why = Running, ""
		return next, true
	}
	marked := next.mark(in)
	if why := next.worse(in); why != "" {
		next.end(Reverted, why, in.Now)
		return next, true
	}
	if s.State == Paused {
		return next, marked
	}
	return next, next.advance(in) || marked
}

func (s *State) end(state, why string, now time.Time) {
	s.State, s.Why, s.Ended = state, why, now
	if p := &s.Phases[s.Phase]; p.Ended.IsZero() {
		p.Ended, p.Verdict = now, why
	}
}

// mark notes which process of each node has adopted the change.
func (s *State) mark(in Input) (changed bool) {
	for _, id := range s.candidates() {
		n, m := in.Seen[id], s.Before[id]
		if n.Live && !m.Adopted && s.adopted(&n) {
			m.Adopted, m.Boot = true, n.Boot
			s.Before[id] = m
			changed = true
		}
	}
	return changed
}

// candidates are the nodes that have been given the change.
func (s *State) candidates() (ids []config.NodeID) {
	for _, p := range s.Phases[:s.Phase+1] {
		ids = append(ids, p.Nodes...)
	}
	return ids
}

func (s *State) adopted(n *Seen) bool {
	if s.software() {
		return n.Program == s.Program
	}
	return n.Holds[s.Key] == s.To.Revision
}

// advance goes on to the next phase if this one has done well for long enough.
func (s *State) advance(in Input) (changed bool) {
	p := &s.Phases[s.Phase]
	if p.Adopted.IsZero() {
		if slices.ContainsFunc(p.Nodes, func(id config.NodeID) bool { n := in.Seen[id]; return n.Live && !s.Before[id].Adopted }) {
			return false
		}
		p.Adopted, changed = in.Now, true
	}
	if p.All && !s.software() && s.Phase == 0 && len(p.Nodes) == 0 { // nobody to watch
		s.finish(p, in.Now, "no edge is live; it holds for those that come")
		return true
	}
	baked := in.Now.Sub(p.Adopted)
	if baked < s.bake(p) {
		return changed
	}
	note, enough := s.evidence(p, in)
	if !enough && baked < patience*s.Bake {
		return changed
	}
	if s.Phase == len(s.Phases)-1 {
		s.finish(p, in.Now, note)
		return true
	}
	p.Ended, p.Verdict = in.Now, note
	s.Phase++
	s.Phases[s.Phase].Began = in.Now
	return true
}

// bake is how long a phase is watched. A wave of software needs no more than a look whether it lives; the last phase of it has nobody in it.
func (s *State) bake(p *Phase) time.Duration {
	switch {
	case len(p.Nodes) == 0:
		return 0
	case s.software() && s.Phase > 0:
		return min(s.Bake, 2*time.Second)
	}
	return s.Bake
}

func (s *State) finish(p *Phase, now time.Time, note string) {
	p.Ended, p.Verdict = now, note
	s.State, s.Ended, s.Why = Done, now, note
}

// worse says why the change is to be taken back, or returns the empty string.
func (s *State) worse(in Input) string {
	died := 0
	for i := range s.Phases[:s.Phase+1] {
		p := &s.Phases[i]
		for _, id := range p.Nodes {
			n, m := in.Seen[id], s.Before[id]
			if why := s.refusal(p, id, &n, &m, in.Now); why != "" {
				return why
			}
			if m.Adopted && (!n.Live || n.Boot != m.Boot) {
				if died++; i == 0 || died*5 > len(s.candidates()) {
					return fmt.Sprintf("%s %s %s after it had adopted it", p.Name, id, fate(n.Live))
				}
			}
		}
		if why := s.gate(p, in); why != "" {
			return why
		}
	}
	return ""
}

func fate(live bool) string {
	if live {
		return "was started again"
	}
	return "is away"
}

// refusal says why a node doesn't adopt what it was given.
func (s *State) refusal(p *Phase, id config.NodeID, n *Seen, m *Mark, now time.Time) string {
	for _, r := range n.Refused {
		if r.Key == s.Key && r.Ref == s.To {
			return fmt.Sprintf("%s %s can't use it: %s", p.Name, id, r.Why)
		}
	}
	within := adoptWithin
	if s.software() {
		within = programWithin
	}
	if n.Live && !m.Adopted && !p.Began.IsZero() && now.Sub(p.Began) > within && s.State == Running {
		return fmt.Sprintf("%s %s hasn't adopted it after %s", p.Name, id, within)
	}
	return ""
}

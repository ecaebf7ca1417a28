package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
)

const (
	// evidenceMin of a phase's nodes that have had requests are needed to say that it does well.
	evidenceMin = 0.5
	// patience bounds the wait for that, as a multiple of the time to bake.
	patience = 3
	// badPatience is the least of it where many of few requests failed: by then a node's own are enough to tell.
	badPatience = 15 * time.Second
	// waveBake is long enough to see that a node died: it counts as live for 3 s after its last report.
	waveBake = 5 * time.Second
	// canaryWithin is how long is waited for an edge to try the change on.
	canaryWithin = 10 * time.Minute
	// deafWithin is how long control may hear of less than half of the nodes without the change.
	deafWithin = time.Minute
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

// Step returns the next state; changed is false if there is nothing to do now. A roll-out that is paused doesn't go on, and is still taken
// back if it does badly.
func (s State) Step(in Input) (next State, changed bool) {
	next = s
	next.Phases, next.Marks = slices.Clone(s.Phases), maps.Clone(s.Marks)
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
	case in.Steer != "":
		return s, false
	}
	changed = next.listen(in)
	changed = next.mark(in) || changed
	why, notes := next.worse(in)
	if why != "" && !next.Emergency {
		next.end(Reverted, why+"; reverted", in.Now)
		return next, true
	}
	if why != "" {
		notes = append(notes, why)
	}
	if s.State == Paused || !next.Deaf.IsZero() {
		return next, changed
	}
	return next, next.advance(in, notes) || changed
}

func (s *State) end(state, why string, now time.Time) {
	s.State, s.Why, s.Ended = state, why, now
	if p := &s.Phases[s.Phase]; p.Ended.IsZero() {
		p.Ended, p.Verdict = now, why
	}
}

// advance goes on to the next phase if this one has done well for long enough.
func (s *State) advance(in Input, notes []string) (changed bool) {
	p := &s.Phases[s.Phase]
	if s.Phase == 0 && len(p.Nodes) > 0 && !s.tried(p) && !s.Emergency {
		return s.replace(in)
	}
	if p.Adopted.IsZero() {
		if slices.ContainsFunc(p.Nodes, func(id config.NodeID) bool { return s.awaited(p, id, in) }) {
			return false
		}
		p.Adopted, changed = in.Now, true
		if s.Phase == 0 {
			s.Why = ""
		}
	}
	baked := in.Now.Sub(p.Adopted)
	if baked < s.bake(p) {
		return changed
	}
	verdict, enough, bad := s.verdict(p, in, notes)
	if wait := patience * s.bake(p); !enough && (baked < wait || bad && baked < badPatience) {
		return changed
	}
	if p.Ended, p.Verdict = in.Now, verdict; s.Phase == len(s.Phases)-1 {
		s.State, s.Ended, s.Why = Done, in.Now, verdict
		return true
	}
	s.Phase++
	s.enter(in.Seen, in.Now)
	return true
}

// tried says whether a node of the phase has adopted the change.
func (s *State) tried(p *Phase) bool {
	return slices.ContainsFunc(p.Nodes, func(id config.NodeID) bool { return s.Marks[id].Adopted })
}

// awaited says whether a node is there and may still adopt the change.
func (s *State) awaited(p *Phase, id config.NodeID, in Input) bool {
	n := in.Seen[id]
	m, marked := s.Marks[id]
	given := p.Began
	if marked {
		given = m.Given
	}
	return n.Live && !m.Adopted && (marked || !s.adopted(&n)) && in.Now.Sub(given) <= s.adoptWithin()
}

// replace takes another canary for one that isn't there. Who isn't there needn't be asked for long: nobody is harmed meanwhile.
func (s *State) replace(in Input) (changed bool) {
	p := &s.Phases[0]
	if slices.ContainsFunc(p.Nodes, func(id config.NodeID) bool { return in.Seen[id].Live || !s.Marks[id].Given.IsZero() }) {
		return false
	}
	for i := range s.Phases[1:] {
		later := &s.Phases[i+1]
		k := slices.IndexFunc(later.Nodes, func(id config.NodeID) bool { return in.Seen[id].Live })
		if k < 0 {
			continue
		}
		canary := later.Nodes[k]
		later.Nodes = slices.Concat(later.Nodes[:k], later.Nodes[k+1:], p.Nodes)
		p.Nodes = []config.NodeID{canary}
		s.Why, s.Marks = "", map[config.NodeID]Mark{}
		s.enter(in.Seen, in.Now)
		return true
	}
	const waits = "waits for an edge to try it on: none is there"
	switch {
	case in.Now.Sub(p.Began) > canaryWithin:
		s.end(Reverted, fmt.Sprintf("no edge was there for %s to try it on: apply it again, or with --emergency; reverted", canaryWithin), in.Now)
	case s.Why == waits:
		return false
	default:
		s.Why = waits
	}
	return true
}

// bake is how long a phase is watched. A wave of software is watched until it shows that it lives.
func (s *State) bake(p *Phase) time.Duration {
	switch {
	case len(p.Nodes) == 0:
		return 0
	case s.software() && s.Phase > 0:
		return min(s.Bake, waveBake)
	}
	return s.Bake
}

// verdict says what speaks for a phase, and whether that is enough; bad, that it isn't because too few requests are known of which many failed.
func (s *State) verdict(p *Phase, in Input, notes []string) (text string, enough, bad bool) {
	adopted := 0
	for _, id := range p.Nodes {
		n := in.Seen[id]
		if m, marked := s.Marks[id]; m.Adopted || !marked && n.Live && s.adopted(&n) {
			adopted++
		}
	}
	switch {
	case len(p.Nodes) == 0 && len(s.Phases) == 1:
		return "there is no edge; it holds for those that come", true, false
	case len(p.Nodes) == 0:
		return "it holds for those that come", true, false
	case adopted == 0:
		return strings.Join(append([]string{"nobody of it was there; it holds for them when they come back"}, notes...), "; "), true, false
	}
	parts := []string{fmt.Sprintf("%d of %d adopted it", adopted, len(p.Nodes))}
	j := s.judge(p, in)
	for _, c := range []struct {
		of Count
		by string
	}{{j.clients, "of clients"}, {j.probes, "of their own"}} {
		if c.of.Requests > 0 {
			parts = append(parts, fmt.Sprintf("%d requests %s, %d errors", c.of.Requests, c.by, c.of.Errors))
		}
	}
	enough = float64(j.silent) <= evidenceMin*float64(j.nodes)
	switch {
	case s.Site == "" || s.To.IsZero():
		enough = true // a change of no site in particular has no requests of its own
	case !enough:
		parts = append(parts, "too few requests to judge by")
	case j.asBad != "" && j.clients.Requests+j.probes.Requests < knownMin:
		// Whose fault they are can't be told from so few: a short bake on a busy machine must not let a bad change through.
		enough, bad = false, true
	}
	if j.asBad != "" {
		parts = append(parts, j.asBad)
	}
	return strings.Join(append(parts, notes...), "; "), enough, bad
}

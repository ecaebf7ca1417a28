package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
)

const (
	// documentWithin is how long a node that is there may take to adopt.
	documentWithin = 10 * time.Second
	// programWithin is how long it may take to fetch a program, and to hand over to it.
	programWithin = 2 * time.Minute
	// lostWithin is how long a node may not be live before it counts as dead; strangerWithin, if control has never heard of it: the leader
	// may have changed, and a new one hears of everybody within seconds.
	lostWithin     = 2 * time.Second
	strangerWithin = 10 * time.Second
	// faultsMax is the share of nodes after the first phase that may have a fault of their own, such as a full disk.
	faultsMax = 0.2
)

func (s *State) adoptWithin() time.Duration {
	if s.software() {
		return programWithin
	}
	return documentWithin + s.Fetch
}

func (s *State) adopted(n *Seen) bool {
	if s.software() {
		return n.Program == s.Program || s.Program.IsZero() && n.Own
	}
	return n.Holds[s.Key] == s.To.Revision
}

// listen notes since when control hears of less than half of the nodes without the change: it is cut off itself then, and those with
// the change aren't dead.
func (s *State) listen(in Input) (changed bool) {
	there, live := 0, 0
	for id, m := range s.Others {
		if !m.Given.IsZero() {
			there++
			if in.Seen[id].Live {
				live++
			}
		}
	}
	switch deaf := live*2 < there; {
	case deaf && s.Deaf.IsZero():
		s.Deaf = in.Now
		return true
	case !deaf && !s.Deaf.IsZero():
		s.Deaf = time.Time{}
		return true
	}
	return false
}

// mark notes which process of each node has adopted the change, and who isn't there.
func (s *State) mark(in Input) (changed bool) {
	for _, id := range s.given() {
		m, marked := s.Marks[id]
		if !marked {
			continue
		}
		n := in.Seen[id]
		was := m
		switch {
		case n.Live && m.Given.IsZero():
			m = s.markOf(n, in.Now)
		case n.Live && !m.Adopted && s.adopted(&n) && (s.software() || n.Boot == m.Boot):
			m.Adopted = true
			if s.Site == "" && n.Boot == m.Boot {
				m.AdoptedClients, m.AdoptedProbes = countOf(&n.Report, s.Site, false), countOf(&n.Report, s.Site, true)
			}
			m.Boot = n.Boot
		}
		switch {
		case n.Live:
			m.Lost = time.Time{}
		case m.Lost.IsZero() && !m.Given.IsZero():
			m.Lost = in.Now
		}
		if m.Adopted != was.Adopted || !m.Given.Equal(was.Given) || !m.Lost.Equal(was.Lost) {
			s.Marks[id] = m
			changed = true
		}
	}
	return changed
}

// worse says why the change is to be taken back, or returns the empty string; notes are what is wrong and isn't reason enough.
func (s *State) worse(in Input) (why string, notes []string) {
	if !s.Deaf.IsZero() && in.Now.Sub(s.Deaf) > deafWithin {
		return fmt.Sprintf("control has heard of less than half of the nodes without it for %s", deafWithin), nil
	}
	faults, given := 0, 0
	for i := range s.Phases[:s.Phase+1] {
		p := &s.Phases[i]
		j := s.judge(p, in)
		given += len(p.Nodes)
		for _, id := range p.Nodes {
			fault := s.fault(id, in)
			if fault == "" {
				fault = j.worse[id]
			}
			if fault == "" {
				continue
			}
			fault = string(id) + " " + fault
			if i == 0 && len(s.Phases) > 1 {
				return "canary " + fault, nil
			}
			if faults++; len(notes) < 3 {
				notes = append(notes, fault)
			}
		}
		if j.together != "" && len(p.Nodes) > 1 {
			return fmt.Sprintf("the %d nodes of phase %s together %s", len(p.Nodes), p.Name, j.together), nil
		}
	}
	switch {
	case faults == 1 && float64(faults) > faultsMax*float64(given):
		return notes[0], nil
	case float64(faults) > faultsMax*float64(given):
		return fmt.Sprintf("%d of %d nodes do badly: %s", faults, given, notes[0]), nil
	}
	return "", notes
}

// fault says what is wrong with a node since it was given the change.
func (s *State) fault(id config.NodeID, in Input) string {
	n := in.Seen[id]
	for _, r := range n.Refused {
		if r.Key == s.Key && r.Ref == s.To {
			return "can't use it: " + r.Why
		}
	}
	m, marked := s.Marks[id]
	if !marked || m.Given.IsZero() {
		return ""
	}
	when := "after it had adopted it"
	if !m.Adopted {
		when = "when it was given it"
	}
	switch {
	case !n.Live:
		within := lostWithin
		if n.Node == "" || s.software() && !m.Adopted {
			within = strangerWithin
		}
		if s.Deaf.IsZero() && !m.Lost.IsZero() && in.Now.Sub(m.Lost) >= within {
			return "went away " + when
		}
	case n.Boot != m.Boot:
		return "was started again " + when + said(&n)
	case !m.Adopted && in.Now.Sub(m.Given) > s.adoptWithin() && s.State == Running:
		return fmt.Sprintf("hasn't adopted it after %s%s", s.adoptWithin(), said(&n))
	}
	return ""
}

// said is what the node itself says, such as that its program died and it runs the former one.
func said(n *Seen) string {
	i := slices.IndexFunc(n.Alerts, func(a string) bool { return a != "" })
	if i < 0 {
		return ""
	}
	const lengthMax = 200
	text := []rune(n.Alerts[i])
	return " (it says: " + string(text[:min(len(text), lengthMax)]) + ")"
}

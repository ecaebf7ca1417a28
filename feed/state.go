package feed

import (
	"fmt"
	"maps"
	"slices"
)

// PurgesMax is how many purges a state remembers. Who was away for longer takes all that it has for stale.
const PurgesMax = 16384

// NewState returns the state before the first entry of an epoch.
func NewState(epoch uint64) *State {
	return &State{Position: Position{Epoch: epoch}, Docs: map[string]Doc{}}
}

// Follows says whether an entry is the next one: nil, ErrOld, ErrGap, or ErrFork with what is wrong.
func (s *State) Follows(e *Entry) error { return follows(s.Position, s.Head, e) }

func follows(at Position, head Hash, e *Entry) error {
	virgin := at == Position{} && e.Position.Seq == 1
	switch next := at.Seq + 1; {
	case virgin && e.Prev.IsZero():
		return nil
	case e.Position.Epoch < at.Epoch, e.Position.Epoch == at.Epoch && e.Position.Seq < next:
		return ErrOld
	case e.Position.Epoch > at.Epoch, e.Position.Seq > next:
		return fmt.Errorf("at %s comes %s: %w", at, e.Position, ErrGap)
	case e.Prev != head:
		return fmt.Errorf("at %s: %w", at, ErrFork)
	}
	return nil
}

// Apply takes an entry that follows; head is HashOf its signed bytes.
func (s *State) Apply(e *Entry, head Hash) {
	for _, c := range e.Changes {
		if c.Doc == nil {
			delete(s.Docs, c.Key)
		} else {
			s.Docs[c.Key] = *c.Doc
		}
	}
	if e.Purge != nil {
		s.Purges = append(s.Purges, PurgeAt{e.Position.Seq, *e.Purge})
		if n := len(s.Purges); n > PurgesMax {
			s.PurgeFloor = s.Purges[n-PurgesMax/2-1].Seq
			s.Purges = slices.Clone(s.Purges[n-PurgesMax/2:])
		}
	}
	s.Position, s.Head = e.Position, head
}

// Clone returns a state that can be kept.
func (s *State) Clone() *State {
	out := *s
	out.Docs, out.Purges = maps.Clone(s.Docs), slices.Clone(s.Purges)
	return &out
}

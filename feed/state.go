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

// Hold returns what holds of documents for any node.
func (s *State) Hold(keys ...string) (list []Ref) {
	for _, key := range keys {
		doc := s.Docs[key]
		for _, v := range append([]Variant{{Ref: doc.Ref}}, doc.Variants...) {
			if !v.IsZero() && !slices.Contains(list, v.Ref) {
				list = append(list, v.Ref)
			}
		}
	}
	return list
}

// Follows says whether an entry is the next one: nil, ErrOld, ErrGap, or ErrFork with what is wrong.
func (s *State) Follows(e *Entry) error { return follows(s.Position, s.Head, e) }

func follows(at Position, head Hash, e *Entry) error {
	// An epoch that follows a restore goes on with the number and the head of the backup. So an entry 1 that follows nothing has nothing
	// before it in any epoch.
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
		// Append moves what is left to a new array when the old one is full, once in some thousand purges.
		s.Purges = append(s.Purges, PurgeAt{e.Position.Seq, *e.Purge})
		*s = *s.bounded()
	}
	s.Position, s.Head = e.Position, head
}

// bounded returns a state that has no more purges than it may have.
func (s *State) bounded() *State {
	over := len(s.Purges) - PurgesMax
	if over <= 0 {
		return s
	}
	out := *s
	out.PurgeFloor, out.Purges = s.Purges[over-1].Seq, s.Purges[over:]
	return &out
}

// Clone returns a state that can be kept.
func (s *State) Clone() *State {
	out := *s
	out.Docs, out.Purges = maps.Clone(s.Docs), slices.Clone(s.Purges)
	return &out
}

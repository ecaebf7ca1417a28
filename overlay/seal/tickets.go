package seal

import (
	"crypto/rand"
	"crypto/tls"
	"sync"
)

const ticketsMax = 4096 // sessions that are kept for peers that come back; the oldest go first

// Tickets are the sessions that peers may resume, each once (RFC 8446 §8.1): who shows a ticket again makes a handshake from the beginning, so that
// early data can't be replayed. All are lost with the process, and so nothing from before a restart is taken a second time after it.
type Tickets struct {
	mu       sync.Mutex // protects what follows
	sessions map[[16]byte]*tls.SessionState
	order    [][16]byte // as they were given out; used ones stay in it until it is their turn
}

// Wrap keeps a session, and returns the ticket for it.
func (t *Tickets) Wrap(_ tls.ConnectionState, s *tls.SessionState) ([]byte, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sessions == nil {
		t.sessions = map[[16]byte]*tls.SessionState{}
	}
	if len(t.order) == ticketsMax {
		delete(t.sessions, t.order[0])
		t.order = append(t.order[:0], t.order[1:]...)
	}
	t.sessions[id], t.order = s, append(t.order, id)
	return id[:], nil
}

// Unwrap gives a session out for its ticket, once.
func (t *Tickets) Unwrap(ticket []byte, _ tls.ConnectionState) (*tls.SessionState, error) {
	if len(ticket) != 16 {
		return nil, nil
	}
	id := [16]byte(ticket)
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	delete(t.sessions, id)
	return s, nil
}

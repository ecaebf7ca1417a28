package exchangetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/wherry/wherry/overlay/exchange"
)

// WindowBytes is what a direction of a stream holds.
const WindowBytes = 64 << 10

// ErrGone is what calls return once a session has been killed.
var ErrGone = errors.New("the session is gone")

// Session is one side of a pair.
type Session struct {
	peer     string
	other    *Session
	incoming chan *Stream
	room     chan struct{} // holds one for each stream that this side opened
	shared   *shared
}

var _ exchange.Session = (*Session)(nil)

// shared is what both sides of a pair have in common.
type shared struct {
	gone chan struct{}

	mu      sync.Mutex // protects what follows
	killed  bool
	streams map[*Stream]struct{} // of both sides
}

// Pair returns two sides of a session, named a and b, that may have streamsMax streams from each side at a time.
func Pair(a, b string, streamsMax int) (ofA, ofB *Session) {
	s := &shared{gone: make(chan struct{}), streams: map[*Stream]struct{}{}}
	ofA = &Session{peer: b, shared: s, incoming: make(chan *Stream, streamsMax), room: make(chan struct{}, streamsMax)}
	ofB = &Session{peer: a, shared: s, incoming: make(chan *Stream, streamsMax), room: make(chan struct{}, streamsMax)}
	ofA.other, ofB.other = ofB, ofA
	return ofA, ofB
}

// Kill ends the session for both sides, as when a machine dies.
func (s *Session) Kill() {
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	if s.shared.killed {
		return
	}
	s.shared.killed = true
	defer close(s.shared.gone)
	for stream := range s.shared.streams {
		stream.fail(ErrGone)
	}
	clear(s.shared.streams)
}

// Close is Kill: nobody waits for the other side in memory.
func (s *Session) Close() error {
	s.Kill()
	return nil
}

// Streams returns how many streams are open on both sides.
func (s *Session) Streams() int {
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	return len(s.shared.streams)
}

// Done implements exchange.Session.
func (s *Session) Done() <-chan struct{} { return s.shared.gone }

// Peer implements exchange.Session.
func (s *Session) Peer() string { return s.peer }

// OpenStream implements exchange.Session.
func (s *Session) OpenStream(ctx context.Context) (exchange.Stream, error) {
	select {
	case <-s.shared.gone:
		return nil, ErrGone
	case <-ctx.Done():
		return nil, ctx.Err()
	case s.room <- struct{}{}:
	}
	out, in := newHalf(), newHalf()
	mine := &Stream{session: s, out: out, in: in}
	theirs := &Stream{session: s.other, out: in, in: out}
	mine.free = func() { <-s.room }
	mine.other, theirs.other = theirs, mine
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	if s.shared.killed {
		return nil, ErrGone
	}
	s.shared.streams[mine], s.shared.streams[theirs] = struct{}{}, struct{}{}
	select {
	case s.other.incoming <- theirs:
	default:
		return nil, fmt.Errorf("%s accepts no streams", s.peer)
	}
	return mine, nil
}

// AcceptStream implements exchange.Session.
func (s *Session) AcceptStream(ctx context.Context) (exchange.Stream, error) {
	select {
	case stream := <-s.incoming:
		return stream, nil
	case <-s.shared.gone:
		return nil, ErrGone
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// forget takes a stream whose both directions are through from the session.
func (s *Session) forget(stream *Stream) {
	s.shared.mu.Lock()
	_, open := s.shared.streams[stream]
	delete(s.shared.streams, stream)
	s.shared.mu.Unlock()
	if open && stream.free != nil {
		stream.free()
	}
}

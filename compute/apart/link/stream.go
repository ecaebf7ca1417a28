//go:build linux

package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/wherry/wherry/compute/apart/wire"
)

// Stream is a call: bodies both ways, and the answer's head. One goroutine reads, one writes; any may cancel.
type Stream struct {
	// Head is what who opened it said; of streams that the other side opened.
	Head []byte

	link   *Link
	id     uint64
	opener bool            // this side opened it
	ctx    context.Context // of the call
	cancel context.CancelCauseFunc
	leave  func() bool // ends that ctx cancels

	mu       sync.Mutex // guards what follows
	changed  sync.Cond
	answer   []byte // the head, for who opened it
	answered bool
	in       []byte // received and not read, from at on
	at       int
	inEnd    error // nothing comes behind in: io.EOF, or why
	read     int   // bytes of which the other side hasn't been told
	credit   int   // bytes that may be sent
	ended    bool  // this side's body has ended
	over     error // nobody wants anything more
}

// ErrOver says that the other side doesn't want more of a body.
var ErrOver = errors.New("the call is over")

// Number tells the stream from the link's others.
func (s *Stream) Number() uint64 { return s.id }

// Context ends when who opened the stream cancels it, or with the link.
func (s *Stream) Context() context.Context { return s.ctx }

// take has a frame of the other side's do what it says.
func (s *Stream) take(f wire.Frame, head, body []byte) error {
	switch f.Kind {
	case wire.Head:
		s.mu.Lock()
		again := s.answered
		s.answer, s.answered = append([]byte(nil), head...), true
		s.mu.Unlock()
		if again {
			return fmt.Errorf("%w: a second head in stream %d", ErrBroken, s.id)
		}
		return s.receive(body, f.End)
	case wire.Data:
		return s.receive(body, f.End)
	case wire.Fail:
		s.endIn(wire.ParseError(body))
	case wire.Cancel:
		if s.opener {
			return fmt.Errorf("%w: stream %d is cancelled by who was asked", ErrBroken, s.id)
		}
		s.finish(context.Canceled)
	case wire.Credit:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.credit += int(min(f.N, Window+1)); s.credit > Window {
			return fmt.Errorf("%w: %d bytes of credit", ErrBroken, s.credit)
		}
		s.changed.Broadcast()
	}
	return nil
}

// receive takes a piece of the other side's body.
func (s *Stream) receive(body []byte, end bool) error {
	s.mu.Lock()
	if s.inEnd != nil && s.over == nil {
		s.mu.Unlock()
		return fmt.Errorf("%w: a piece behind the end of stream %d", ErrBroken, s.id)
	}
	if len(s.in)-s.at+s.read+len(body) > Window {
		s.mu.Unlock()
		return fmt.Errorf("%w: more than the window in stream %d", ErrBroken, s.id)
	}
	if s.over == nil && len(body) > 0 {
		if s.at > 0 && len(s.in)+len(body) > cap(s.in) {
			s.in, s.at = s.in[:copy(s.in, s.in[s.at:])], 0
		}
		s.in = append(s.in, body...)
	}
	if !end {
		s.changed.Broadcast()
		s.mu.Unlock()
		return nil
	}
	s.mu.Unlock()
	s.endIn(io.EOF)
	return nil
}

// endIn ends what comes; for who opened the stream that ends it.
func (s *Stream) endIn(why error) {
	s.mu.Lock()
	if s.inEnd == nil {
		s.inEnd = why
	}
	if s.opener && s.over == nil {
		s.over = ErrOver
	}
	s.changed.Broadcast()
	s.mu.Unlock()
	if s.opener {
		s.done()
	}
}

// done lets go of a stream that is over.
func (s *Stream) done() {
	s.link.forget(s)
	s.mu.Lock()
	leave := s.leave
	s.mu.Unlock()
	if leave != nil {
		leave()
	}
}

// finish ends both directions.
func (s *Stream) finish(why error) {
	s.mu.Lock()
	if s.inEnd == nil {
		s.inEnd = why
	}
	if s.over == nil {
		s.over = why
	}
	leave := s.leave
	s.changed.Broadcast()
	s.mu.Unlock()
	if s.cancel != nil {
		s.cancel(why)
	}
	if leave != nil {
		leave()
	}
}

// Cancel ends a stream that this side opened: nobody wants anything more of it. What is read ends with why.
func (s *Stream) Cancel(why error) {
	s.mu.Lock()
	over := s.over != nil
	if !over {
		s.over, s.inEnd = why, why
		s.in, s.at = nil, 0
		s.changed.Broadcast()
	}
	s.mu.Unlock()
	if over {
		return
	}
	s.done()
	_ = s.link.send(s.link.ctx, wire.Frame{Kind: wire.Cancel, Stream: s.id}, nil, nil) // a link that is over has cancelled all
}

// Answer waits for the answer's head.
func (s *Stream) Answer() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.answered && s.inEnd == nil {
		s.changed.Wait()
	}
	switch {
	case s.answered:
		return s.answer, nil
	case s.inEnd == io.EOF:
		return nil, fmt.Errorf("%w: stream %d ends without an answer", ErrBroken, s.id)
	}
	return nil, s.inEnd
}

// Read implements io.Reader, with the other side's body.
func (s *Stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	for len(s.in) == s.at && s.inEnd == nil && len(p) > 0 {
		s.changed.Wait()
	}
	if len(s.in) == s.at && len(p) > 0 {
		defer s.mu.Unlock()
		return 0, s.inEnd
	}
	n := copy(p, s.in[s.at:])
	s.at += n
	if s.at == len(s.in) {
		s.in, s.at = s.in[:0], 0
	}
	s.read += n
	var give int
	if s.read >= Window/2 && s.inEnd == nil {
		give, s.read = s.read, 0
	}
	s.mu.Unlock()
	if give > 0 {
		_ = s.link.send(s.ctx, wire.Frame{Kind: wire.Credit, N: uint32(give), Stream: s.id}, nil, nil) // who isn't there needs none
	}
	return n, nil
}

// SendHead answers, with the beginning of a body, or all of it.
func (s *Stream) SendHead(head, body []byte, end bool) error {
	if len(head) > wire.HeadMax || len(body) > wire.PieceMax {
		return fmt.Errorf("a head of %d bytes; %d are taken", len(head), wire.HeadMax)
	}
	s.mu.Lock()
	if s.over != nil {
		defer s.mu.Unlock()
		return s.over
	}
	s.credit -= len(body) // the window is larger than a piece, and nothing was sent before
	s.ended = end
	s.mu.Unlock()
	return s.link.send(s.ctx, wire.Frame{Kind: wire.Head, End: end, N: uint32(len(head)), Stream: s.id}, head, body)
}

// Write implements io.Writer, with this side's body. It waits while the other side has no room.
func (s *Stream) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		s.mu.Lock()
		for s.credit == 0 && s.over == nil {
			s.changed.Wait()
		}
		if s.over != nil || s.ended {
			defer s.mu.Unlock()
			if s.over == nil {
				return n, ErrOver
			}
			return n, s.over
		}
		part := p[:min(len(p), s.credit, wire.PieceMax)]
		s.credit -= len(part)
		s.mu.Unlock()
		if err := s.link.send(s.ctx, wire.Frame{Kind: wire.Data, Stream: s.id}, nil, part); err != nil {
			return n, err
		}
		n, p = n+len(part), p[len(part):]
	}
	return n, nil
}

// CloseWrite ends this side's body.
func (s *Stream) CloseWrite() error {
	if !s.endOut() {
		return nil
	}
	return s.link.send(s.ctx, wire.Frame{Kind: wire.Data, End: true, Stream: s.id}, nil, nil)
}

// Fail ends this side's body with an error, which the other side reads. From who was asked it is the answer.
func (s *Stream) Fail(why error) {
	if s.endOut() {
		_ = s.link.send(s.ctx, wire.Frame{Kind: wire.Fail, Stream: s.id}, nil, wire.AppendError(nil, why)) // who isn't there needs none
	}
}

// endOut reports whether this side's body ends now.
func (s *Stream) endOut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.ended || s.over != nil
	s.ended = true
	return !was
}

// Close ends a stream that the other side has opened, and those who read and write it. Handle's return does it, too.
func (s *Stream) Close() {
	s.Fail(errNoAnswer)
	s.link.forget(s)
	s.finish(ErrOver)
}

var errNoAnswer = errors.New("the call ended without an answer")

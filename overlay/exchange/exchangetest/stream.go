package exchangetest

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/overlay/exchange"
)

// ResetError is what a stream's calls return when the peer has reset it.
type ResetError struct{ Code uint64 }

func (e *ResetError) Error() string { return fmt.Sprintf("stream reset with code %d", e.Code) }

// ResetCode returns the code.
func (e *ResetError) ResetCode() uint64 { return e.Code }

// Stream is one side of a stream.
type Stream struct {
	session  *Session
	other    *Stream
	in, out  *half
	free     func() // of the side that opened it
	Priority atomic.Int32

	mu      sync.Mutex // protects what follows
	onReset func()
	wasHit  bool
}

var _ exchange.Stream = (*Stream)(nil)

// Read implements exchange.Stream.
func (s *Stream) Read(p []byte) (int, error) { return s.in.read(p) }

// Write implements exchange.Stream.
func (s *Stream) Write(p []byte) (int, error) { return s.out.write(p) }

// CloseWrite implements exchange.Stream.
func (s *Stream) CloseWrite() error { return s.out.finish() }

// Close implements exchange.Stream.
func (s *Stream) Close() error {
	err := s.out.finish()
	s.in.stop()
	s.session.forget(s)
	return err
}

// Reset implements exchange.Stream.
func (s *Stream) Reset(code uint64) {
	mine, theirs := net.ErrClosed, error(&ResetError{code})
	s.in.reset(mine, theirs)
	s.out.reset(theirs, mine)
	s.session.forget(s)
	s.other.hit()
}

// OnReset has f called once, when the peer resets the stream or the session dies.
func (s *Stream) OnReset(f func()) {
	s.mu.Lock()
	hit := s.wasHit
	s.onReset = f
	s.mu.Unlock()
	if hit {
		f()
	}
}

func (s *Stream) hit() {
	s.mu.Lock()
	f := s.onReset
	first := !s.wasHit
	s.wasHit = true
	s.mu.Unlock()
	if f != nil && first {
		f()
	}
}

// fail fails the stream. Its session's lock is held.
func (s *Stream) fail(err error) {
	s.in.reset(err, err)
	s.out.reset(err, err)
	s.hit()
}

// SetReadDeadline implements exchange.Stream.
func (s *Stream) SetReadDeadline(at time.Time) error { return s.in.setDeadline(&s.in.reading, at) }

// SetWriteDeadline implements exchange.Stream.
func (s *Stream) SetWriteDeadline(at time.Time) error { return s.out.setDeadline(&s.out.writing, at) }

// SetPriority implements exchange.Stream.
func (s *Stream) SetPriority(urgency int) { s.Priority.Store(int32(urgency)) }

// half is one direction.
type half struct {
	mu       sync.Mutex // protects all
	cond     sync.Cond
	buf      []byte
	from     int // of buf, what wasn't read
	finished bool
	stopped  bool
	readErr  error // of the reader, at once
	writeErr error // of the writer, at once
	reading  deadline
	writing  deadline
}

type deadline struct {
	timer  *time.Timer
	at     time.Time
	passed bool
}

func newHalf() *half {
	h := &half{}
	h.cond.L = &h.mu
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.readErr != nil:
			return 0, h.readErr
		case h.stopped:
			return 0, net.ErrClosed
		case h.reading.passed:
			return 0, os.ErrDeadlineExceeded
		case h.from < len(h.buf):
			n := copy(p, h.buf[h.from:])
			if h.from += n; h.from == len(h.buf) {
				h.buf, h.from = h.buf[:0], 0
			}
			h.cond.Broadcast()
			return n, nil
		case h.finished:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		}
		h.cond.Wait()
	}
}

func (h *half) write(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.writeErr != nil:
			return n, h.writeErr
		case h.stopped:
			return n, &ResetError{}
		case h.finished:
			return n, net.ErrClosed
		case h.writing.passed:
			return n, os.ErrDeadlineExceeded
		case len(p) == 0:
			return n, nil
		}
		if room := WindowBytes - (len(h.buf) - h.from); room > 0 {
			if h.from > 0 && len(h.buf)+len(p) > WindowBytes {
				h.buf, h.from = h.buf[:copy(h.buf, h.buf[h.from:])], 0
			}
			k := min(room, len(p))
			h.buf = append(h.buf, p[:k]...)
			n, p = n+k, p[k:]
			h.cond.Broadcast()
			continue
		}
		h.cond.Wait()
	}
}

func (h *half) finish() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.writeErr != nil {
		return h.writeErr
	}
	h.finished = true
	h.cond.Broadcast()
	return nil
}

func (h *half) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	h.cond.Broadcast()
}

// reset fails both ends, unless they have failed before. What is under way is lost, but not the end of a whole: it has arrived.
func (h *half) reset(reader, writer error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readErr == nil {
		h.readErr = reader
	}
	if h.writeErr == nil {
		h.writeErr = writer
	}
	h.cond.Broadcast()
}

func (h *half) setDeadline(d *deadline, at time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.at, d.passed = at, false
	if d.timer != nil {
		d.timer.Stop()
	}
	defer h.cond.Broadcast()
	if at.IsZero() {
		return nil
	}
	wait := time.Until(at)
	if wait <= 0 {
		d.passed = true
		return nil
	}
	d.timer = time.AfterFunc(wait, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if d.at.Equal(at) {
			d.passed = true
			h.cond.Broadcast()
		}
	})
	return nil
}

package overlay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/wherry/wherry/overlay/repair"
	"github.com/wherry/wherry/overlay/spans"
	"github.com/wherry/wherry/overlay/wire"
)

// StreamError is the end of a stream that the peer has broken off.
type StreamError struct{ Code uint64 }

// ResetCode is the code with which the peer broke it off.
func (e *StreamError) ResetCode() uint64 { return e.Code }

func (e *StreamError) Error() string {
	return fmt.Sprintf("the peer broke the stream off with code %d", e.Code)
}

// ErrStreamReset ends a stream that this side has broken off.
var ErrStreamReset = errors.New("the stream was broken off")

// DefaultPriority is RFC 9218's default urgency; 0 goes first, 7 last.
const DefaultPriority = 3

const priorities = 8

// errWriteClosed is what Write says after CloseWrite.
var errWriteClosed = errors.New("the stream is closed for writing")

// Stream is bytes in order both ways. All its fields belong to conn.mu.
type Stream struct {
	conn     *Conn
	id       uint64
	priority int

	out outgoing
	in  incoming
}

// outgoing is what this side writes.
type outgoing struct {
	buffer   spans.Blocks
	written  uint64    // all that Write took
	sent     uint64    // has left at least once
	acked    uint64    // has arrived without a gap
	islands  spans.Set // has arrived behind a gap
	lost     spans.Set // must leave again
	limit    uint64    // the peer takes no more
	fin      bool      // written is the end
	finSent  bool
	finAcked bool
	err      error // no more is sent
	settled  bool  // the peer knows all, or that there is no more
	largest  int   // bytes of its largest piece
	queued   bool  // the connection has it on its list
	onReset  func()

	cond    *sync.Cond
	timer   *time.Timer
	expired bool
}

// incoming is what the peer writes.
type incoming struct {
	buffer  spans.Blocks
	read    uint64    // the reader has taken
	whole   uint64    // is here without a gap
	islands spans.Set // is here behind a gap
	highest uint64    // end of the farthest byte that came: what flow control counts
	limit   uint64    // the peer may send up to here
	window  uint64
	updated time.Time // when limit was last raised
	final   uint64
	known   bool // final is
	err     error
	rows    []repair.Row // parity for the bytes from rowsAt to the end
	rowsAt  uint64
	stopped bool // the reader wants no more
	settled bool

	cond    *sync.Cond
	timer   *time.Timer
	expired bool
}

func newStream(c *Conn, id uint64) *Stream {
	s := &Stream{conn: c, id: id, priority: DefaultPriority}
	s.out.limit, s.in.limit, s.in.window = c.peer.Stream, c.own.Stream, c.own.Stream
	s.out.cond, s.in.cond = sync.NewCond(&c.mu), sync.NewCond(&c.mu)
	return s
}

// ID is the stream's number: even ones were opened by who dialed.
func (s *Stream) ID() uint64 { return s.id }

// SetPriority says before which other streams this one is sent: 0 first, 7 last.
func (s *Stream) SetPriority(p int) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.priority = min(max(p, 0), priorities-1)
}

// Read returns what has arrived in order; io.EOF at the end.
func (s *Stream) Read(p []byte) (int, error) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	in := &s.in
	for {
		switch {
		case in.stopped:
			return 0, os.ErrClosed
		case in.whole > in.read && in.err == nil:
			n := int(min(uint64(len(p)), in.whole-in.read))
			in.buffer.Read(in.read, p[:n])
			in.read += uint64(n)
			s.dropRead()
			c.consumed(s, n)
			return n, nil
		case in.err != nil:
			return 0, in.err
		case in.known && in.read == in.final:
			s.settle()
			return 0, io.EOF
		case c.err != nil:
			return 0, c.err
		case in.expired:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		}
		in.cond.Wait()
	}
}

// Write takes p to be sent in order. It waits while too much is waiting already.
func (s *Stream) Write(p []byte) (written int, err error) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &s.out
	for {
		switch {
		case out.err != nil:
			return written, out.err
		case out.fin:
			return written, errWriteClosed
		case c.err != nil:
			return written, c.err
		case out.expired:
			return written, os.ErrDeadlineExceeded
		case len(p) == 0:
			return written, nil
		}
		room := c.sendRoom(s)
		if room == 0 {
			out.cond.Wait()
			continue
		}
		n := min(len(p), room)
		out.buffer.Write(out.written, p[:n])
		out.written += uint64(n)
		p, written = p[n:], written+n
		c.activate(s)
		c.wakeUp()
	}
}

// CloseWrite says that no more will be written; the peer reads io.EOF after all that was.
func (s *Stream) CloseWrite() error {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	s.closeWrite()
	return nil
}

func (s *Stream) closeWrite() {
	if s.out.fin || s.out.err != nil || s.conn.err != nil {
		return
	}
	s.out.fin = true
	s.conn.activate(s)
	s.conn.wakeUp()
	s.out.cond.Broadcast()
}

// Close is CloseWrite, and the peer is told that nobody reads any more.
func (s *Stream) Close() error {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	s.closeWrite()
	s.stop(0)
	return nil
}

// Reset breaks both directions off; what the peer hasn't read by then may be lost.
func (s *Stream) Reset(code uint64) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	s.reset(code, ErrStreamReset)
	s.stop(code)
}

// OnReset has f called once the peer wants no more of what this side writes, or the connection is gone: at once, and not when the stream is
// next used. f must neither block nor use the stream. A later call replaces f.
func (s *Stream) OnReset(f func()) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.out.onReset = f
	if s.out.err != nil || s.conn.err != nil {
		s.tellReset()
	}
}

func (s *Stream) tellReset() {
	if f := s.out.onReset; f != nil {
		s.out.onReset = nil
		f()
	}
}

// reset ends the outgoing direction.
func (s *Stream) reset(code uint64, err error) {
	out := &s.out
	if out.err != nil || out.settled {
		return
	}
	out.err = err
	out.lost = nil
	s.conn.control(wire.AppendInts(nil, wire.Reset, s.id, code, out.sent))
	out.settled = true
	out.buffer.Free()
	out.cond.Broadcast()
	s.tellReset()
	s.settle()
}

// stop ends the incoming direction.
func (s *Stream) stop(code uint64) {
	in := &s.in
	if in.stopped {
		return
	}
	in.stopped = true
	if !in.settled && !(in.known && in.whole == in.final) {
		s.conn.control(wire.AppendInts(nil, wire.Stop, s.id, code))
	}
	s.conn.consumed(s, int(in.whole-in.read))
	in.read = in.whole
	in.buffer.Free()
	in.cond.Broadcast()
	s.settle()
}

// settle takes the stream off the connection's table when both directions are done.
func (s *Stream) settle() {
	in, out := &s.in, &s.out
	// A reader that wants no more still counts what comes, so that both sides agree on the connection's flow control.
	in.settled = in.settled || in.err != nil || in.known && (in.read == in.final || in.stopped && in.whole == in.final)
	out.settled = out.settled || out.finAcked && out.acked == out.written
	if in.settled && out.settled {
		s.conn.forget(s)
	}
}

// fail ends both directions because the connection did.
func (s *Stream) fail() {
	s.tellReset()
	s.in.cond.Broadcast()
	s.out.cond.Broadcast()
	for _, t := range []*time.Timer{s.in.timer, s.out.timer} {
		if t != nil {
			t.Stop()
		}
	}
}

// ready says whether there is something to send that the peer takes.
func (s *Stream) ready() bool {
	out := &s.out
	if out.err != nil {
		return false
	}
	return len(out.lost) > 0 || out.sent < min(out.written, out.limit) || out.fin && !out.finSent && out.sent == out.written
}

// next takes at most most bytes that are to be sent now, and whether the end comes with them. credit is how many the connection's flow control
// lets be sent for the first time; fresh is how many of those are used.
func (s *Stream) next(most int, credit uint64) (piece spans.Span, fin bool, fresh uint64) {
	out := &s.out
	piece, ok := out.lost.Pop(uint64(most))
	if !ok {
		piece = spans.Span{Start: out.sent, End: min(out.written, out.limit, out.sent+uint64(most), out.sent+credit)}
		fresh = piece.End - piece.Start
		out.sent = piece.End
	}
	fin = out.fin && piece.End == out.written && !out.finSent
	out.finSent = out.finSent || fin
	return piece, fin, fresh
}

// arrived is told that the peer has a piece.
func (s *Stream) arrived(start, end uint64, fin bool) {
	out := &s.out
	if out.settled {
		return
	}
	out.finAcked = out.finAcked || fin
	out.lost.Remove(start, end)
	if start <= out.acked {
		out.acked = out.islands.Reach(max(out.acked, end))
		out.buffer.Drop(out.acked)
		out.cond.Broadcast()
	} else {
		out.islands.Add(start, end)
	}
	if out.finAcked {
		s.settle()
	}
}

// wasLost is told that a piece didn't arrive.
func (s *Stream) wasLost(start, end uint64, fin bool) {
	out := &s.out
	if out.settled {
		return
	}
	if fin && !out.finAcked {
		out.finSent = false
	}
	start = max(start, out.acked)
	if start < end {
		out.lost.Add(start, end)
		for _, island := range out.islands {
			out.lost.Remove(island.Start, island.End)
		}
	}
	if s.ready() {
		s.conn.activate(s)
	}
}

// islandsMax bounds the gaps of a stream: more than a window of full packets can have.
const islandsMax = 1 << 15

var (
	errFlow  = errors.New("the peer sent more than it may")
	errFinal = errors.New("the peer changed the end of a stream")
	errGaps  = errors.New("the peer sent a stream with too many gaps")
)

// take puts bytes that came where they belong. fresh is by how much the farthest byte moved: what the connection's flow control counts.
func (s *Stream) take(offset uint64, p []byte, fin bool) (fresh uint64, err error) {
	in := &s.in
	end := offset + uint64(len(p))
	if err := in.check(end, fin); err != nil {
		return 0, err
	}
	if end > in.highest {
		fresh, in.highest = end-in.highest, end
	}
	if in.settled || in.err != nil {
		return fresh, nil
	}
	if in.stopped {
		s.skip(offset, end)
		return fresh, nil
	}
	if end > in.whole {
		if offset < in.whole {
			p, offset = p[in.whole-offset:], in.whole
		}
		in.buffer.Write(offset, p)
		if offset == in.whole {
			in.whole = in.islands.Reach(end)
			in.cond.Signal()
		} else {
			in.islands.Add(offset, end)
			if len(in.islands) > islandsMax {
				return 0, errGaps
			}
		}
	}
	if fin {
		in.cond.Signal()
	}
	if len(in.rows) > 0 {
		return fresh, s.rebuild()
	}
	return fresh, nil
}

// skip counts bytes that nobody will read.
func (s *Stream) skip(offset, end uint64) {
	in := &s.in
	if end > in.whole {
		if offset <= in.whole {
			was := in.whole
			in.whole = in.islands.Reach(end)
			s.conn.consumed(s, int(in.whole-was))
			in.read = in.whole
		} else {
			in.islands.Add(offset, end)
		}
	}
	s.settle()
}

// check refuses what is beyond the flow control's limit or contradicts the known end (RFC 9000 §4.5).
func (in *incoming) check(end uint64, fin bool) error {
	switch {
	case end > in.limit:
		return errFlow
	case in.known && end > in.final, fin && in.known && end != in.final, fin && end < in.highest:
		return errFinal
	}
	if fin {
		in.final, in.known = end, true
	}
	return nil
}

// broken is told that the peer gave up at final bytes.
func (s *Stream) broken(code, final uint64) (fresh uint64, err error) {
	in := &s.in
	if err := in.check(final, true); err != nil {
		return 0, err
	}
	if in.settled || in.err != nil {
		return 0, nil
	}
	fresh, in.highest = final-in.highest, final
	s.conn.consumed(s, int(final-in.read))
	in.read = final
	in.err = &StreamError{code}
	in.buffer.Free()
	in.cond.Broadcast()
	s.settle()
	return fresh, nil
}

package h2

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// stream is a request that is being answered. Its fields are protected by the connection's mu.
type stream struct {
	c        *conn
	id       uint32
	err      error // why it is over; nil while it is open
	cond     sync.Cond
	progress time.Time // when the client took something, or there was something new to take

	// What is to be sent.
	window   int64
	next     *stream // in line
	inLine   bool
	sent     int64 // bytes of content
	hit      Hit
	left     int64    // of the hit's content
	queued   []byte   // a handler's, which waits until it has been copied, or has gone
	buf      *[]byte  // which queued is a part of when the handler has gone
	ending   bool     // the stream ends with queued
	answered bool     // to its end, before the request was complete
	rest     int64    // of the connection's restBytes
	spared   bool     // it isn't reset for that: there is room for the rest of the request
	begun    bool     // the final response's header section is out
	last     []byte   // the header block of the response's trailers
	writing  deadline // passes: the stream is reset
	cancel   func()   // of the request's context; nil without a handler

	// What is received.
	handling  bool  // the handler runs
	remoteEnd bool  // the request is complete
	length    int64 // its Content-Length, -1 if unknown
	received  int64
	trailer   http.Header // as announced: the handler's, until it has read the content to its end
	arrived   []Field     // the trailers
	body      []byte      // not read yet; the array is used again when it is empty
	read      int         // how much of body has been read
	heldBytes int64       // of the window, not given back
	credit    int64       // read, to be given back
	reading   deadline
	closed    bool // by the handler: it reads no more
}

var (
	// errLeft is what errors of a client that has gone are. io.ErrUnexpectedEOF is what net/http has for it on HTTP/1.1.
	errLeft  = io.ErrUnexpectedEOF
	errReset = fmt.Errorf("the client has reset the stream: %w", errLeft)
	// errReturned is what who uses a response after its handler gets.
	errReturned = errors.New("the handler has returned")
)

func (c *conn) newStream(id uint32) *stream {
	s := &stream{c: c, id: id, window: c.initialWindow, length: -1, progress: c.read}
	s.cond.L = &c.mu
	if len(c.streams) == 0 {
		c.tell(http.StateActive)
	}
	c.streams[id] = s
	return s
}

// stalled says whether the client has taken nothing of what there is for it for so long, and nobody but the connection watches that.
// A stream that waits for its turn is as good as the connection.
func (s *stream) stalled(now time.Time, limit time.Duration) bool {
	if s.hit == nil && s.handling || now.Sub(s.progress) < limit {
		return false
	}
	return !s.inLine || now.Sub(s.c.progress) >= limit
}

// drop forgets the stream; err says why, to those who still use it.
func (c *conn) drop(s *stream, err error) {
	if s.err != nil {
		return
	}
	s.err = err
	delete(c.streams, s.id)
	c.line.remove(s)
	if s.hit != nil {
		s.hit.Done(s.sent, c.server.now(), err)
		s.hit = nil
	}
	s.release()
	c.forget(s)
	c.restBytes -= s.rest
	s.writing.stop()
	s.reading.stop()
	if s.cancel != nil {
		s.cancel()
	}
	s.cond.Broadcast()
	if len(c.streams) == 0 {
		c.idleSince = c.server.now()
		c.tell(http.StateIdle)
		if c.departed() {
			c.wake()
		}
	}
}

// expire resets a stream whose response takes too long.
func (s *stream) expire() {
	if s.err == nil {
		s.c.reset(s.id, codeInternal, os.ErrDeadlineExceeded)
		s.c.flush()
	}
}

// release gives back the buffer that a handler left.
func (s *stream) release() {
	s.queued = nil
	if s.buf != nil {
		s.c.server.putBuffer(s.buf)
		s.buf = nil
	}
}

// reset ends a stream, known or not, with RST_STREAM (§5.4.2).
func (c *conn) reset(id uint32, why code, err error) {
	c.next.out = appendReset(c.room(), id, why)
	if len(c.resets) < resetsKept {
		c.resets = append(c.resets, id)
	} else {
		c.resets[c.resetNext] = id
		c.resetNext = (c.resetNext + 1) % resetsKept
	}
	if s := c.streams[id]; s != nil {
		c.drop(s, err)
	}
}

// wasReset says whether frames on a stream that has gone may be of the time when the client didn't know that.
func (c *conn) wasReset(id uint32) bool { return slices.Contains(c.resets, id) }

// finish is called when the response has been sent to its end.
func (c *conn) finish(s *stream) {
	if s.remoteEnd {
		c.drop(s, errReturned)
		return
	}
	s.answered, s.progress = true, c.server.now()
	s.release()
	s.writing.stop()
	if s.spared && c.closing != leaving {
		if s.cancel != nil {
			s.cancel()
		}
		return
	}
	c.stops = append(c.stops, s.id)
}

// takeRest makes room for the rest of a request whose response is about to end, with all that is left of it at once: some clients
// (curl 7.88) don't read any more when they have the response, but go on to send until they have no window. So the room has to come
// before the end of the response, and no RST_STREAM, which would make them lose what they haven't read. What comes is read and
// thrown away. Who has more to send than that gets RST_STREAM (§8.1), and whoever doesn't heed it is the guard's.
func (c *conn) takeRest(s *stream) {
	if s.remoteEnd || s.err != nil || s.spared {
		return
	}
	s.closed = true
	c.forget(s)
	room := restBytesMax - c.restBytes
	s.spared = room > 0
	if s.length >= 0 {
		rest := s.length - s.received
		s.spared = rest <= room
		room = min(room, rest)
	}
	if room <= 0 {
		return
	}
	s.rest = room
	c.restBytes += room
	if more := c.restBytes - c.aheadBytes; more > 0 {
		c.next.out = appendWindowUpdate(c.room(), 0, uint32(more))
		c.heldBytes -= more
		c.aheadBytes += more
	}
	c.next.out = appendWindowUpdate(c.room(), s.id, uint32(room))
	s.heldBytes -= room
}

// forget throws away what the handler hasn't read.
func (c *conn) forget(s *stream) {
	c.taken(int64(len(s.body) - s.read))
	s.body, s.read = nil, 0
}

// taken takes note that n bytes of content are in memory no more.
func (c *conn) taken(n int64) {
	c.bodyBytes -= n
	c.giveBack(n)
}

// giveBack opens the connection's window by n bytes that nobody holds any more. Updates are saved up.
func (c *conn) giveBack(n int64) {
	ahead := min(n, c.aheadBytes-c.restBytes)
	c.aheadBytes -= ahead
	n -= ahead
	if c.creditBytes += n; c.creditBytes >= connWindow/4 {
		c.next.out = appendWindowUpdate(c.room(), 0, uint32(c.creditBytes))
		c.heldBytes -= c.creditBytes
		c.creditBytes = 0
	}
}

// giveBack opens the stream's window.
func (s *stream) giveBack(n int64) {
	if s.credit += n; s.credit >= streamWindow/4 && !s.remoteEnd && !s.answered {
		s.c.next.out = appendWindowUpdate(s.c.room(), s.id, uint32(s.credit))
		s.heldBytes -= s.credit
		s.credit = 0
	}
}

// deadline is a time at which a stream's reading or writing fails. It is protected by the connection's mu.
type deadline struct {
	timer  *time.Timer
	passed bool
}

// set makes expire run at that time, with mu held; the zero time is never.
func (d *deadline) set(mu *sync.Mutex, at time.Time, expire func()) {
	d.stop()
	d.passed = false
	if at.IsZero() {
		return
	}
	left := time.Until(at)
	if left <= 0 {
		d.passed = true
		expire()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		mu.Lock()
		defer mu.Unlock()
		if d.timer == timer {
			d.passed, d.timer = true, nil
			expire()
		}
	})
	d.timer = timer
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

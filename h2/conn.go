package h2

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/net/http2/hpack"
)

const (
	// readBytes is the buffer of a connection that isn't at rest: two frames of the largest size.
	readBytes = 2 * (frameHeaderBytes + frameSizeMax)
	// restBytes is what a connection at rest reads into.
	restBytes = 64
	// restAfter is how long a connection keeps its buffer that has nothing to read.
	restAfter = 2 * time.Second
	// tickMax is how long nobody may look at what has come to a halt, on a connection that isn't at rest.
	tickMax = 2 * time.Second
	// pongWithin is how long the answer to a PING may take.
	pongWithin = 15 * time.Second
	// drainNotice is how long a client may go on to open streams after it was told that the connection ends (RFC 9113 §6.8), if
	// it doesn't answer the PING that says that it knows.
	drainNotice = time.Second
	// lingering is how long a connection that ends with an error is read, so that the reset of TCP doesn't overtake the GOAWAY.
	lingering      = 250 * time.Millisecond
	lingeringBytes = 64 << 10

	streamWindow = 256 << 10 // what a client may send ahead of a handler
	connWindow   = 1 << 20   // and of all handlers of a connection
	// restBytesMax is how much of requests that are answered already a client may still send on a connection at a time, and
	// restWithin for how long: see takeRest.
	restBytesMax = 16 << 20
	restWithin   = 10 * time.Second
	// resetsKept is how many streams that we have reset are remembered, because the client may not know it yet.
	resetsKept = 256
)

// Where a connection is on its way to its end.
const (
	staying   = iota
	announced // GOAWAY said that there will be a last stream
	leaving   // GOAWAY said which one
)

// The PINGs that we send, by their data.
var (
	pingAlive = [8]byte{'a', 'l', 'i', 'v', 'e'}
	pingDrain = [8]byte{'d', 'r', 'a', 'i', 'n'}
)

// conn is a connection. One goroutine, the reader, runs serve.
type conn struct {
	server   *Server
	peer     Peer
	nc       net.Conn
	eager    Eager // nc, if it is one
	ctx      context.Context
	cancel   context.CancelFunc
	remote   string
	handlers sync.WaitGroup // handlers, and pump

	// The reader's.
	buf      *[]byte // nil at rest
	from, to int     // what of it has yet to be handled
	little   [restBytes]byte
	prefaced bool
	settled  bool      // the client's first SETTINGS was there
	read     time.Time // when something came
	partial  time.Time // when the frame was begun that isn't whole yet; zero: there is none
	ticking  bool      // a read deadline is set that comes soon
	pinged   time.Time // zero: no PING is out
	decoder  *hpack.Decoder
	section  section
	guard    guard

	mu sync.Mutex // protects what follows

	streams   map[uint32]*stream
	running   int      // handlers
	last      uint32   // the highest stream that the client has opened
	resets    []uint32 // of the streams that we reset, the latest; next to be replaced is resetNext
	resetNext int
	idleSince time.Time
	closing   int // staying …
	noticed   time.Time
	failed    bool // GOAWAY said why the connection ends
	over      bool // all is done
	ended     bool // the reader has ended

	// Flow control of what we send (RFC 9113 §5.2) and of what we get.
	window        int64
	initialWindow int64
	heldBytes     int64 // got, and not yet given back by WINDOW_UPDATE
	creditBytes   int64 // read by handlers, to be given back
	restBytes     int64 // that may still come of requests that are answered
	aheadBytes    int64 // given back before they came, for restBytes; what that doesn't need any more isn't given back again
	bodyBytes     int64 // in memory, for handlers
	dataSent      int   // DATA frames since the guard was told

	// What is to be sent: next first, then a DATA frame of each stream in line.
	next, spare batch
	stops       []uint32 // streams with a whole response to half a request: to be reset in the batch after the one at hand
	rest        batch    // the one that the system hasn't taken all of
	line        line
	writing     bool // a goroutine writes
	broken      error
	progress    time.Time // when DATA was sent
	renewed     time.Time // when the write deadline was put off
	shrinkTable bool      // the next header block has to begin with a size update (RFC 7541 §4.2)
	wrote       sync.Cond // a batch has been taken
}

// finished is a hit whose last byte is in a batch.
type finished struct {
	hit  Hit
	sent int64
}

func newConn(s *Server, p Peer) *conn {
	c := &conn{
		server: s, peer: p, nc: p.Conn, remote: p.Conn.RemoteAddr().String(), streams: map[uint32]*stream{},
		window: defaultWindow, initialWindow: defaultWindow,
	}
	c.ctx, c.cancel = context.WithCancel(context.WithValue(p.Context, http.LocalAddrContextKey, p.Conn.LocalAddr()))
	c.eager, _ = p.Conn.(Eager)
	c.wrote.L = &c.mu
	c.decoder = hpack.NewDecoder(defaultTableSize, c.section.take)
	c.decoder.SetMaxStringLength(2 * s.limits.HeaderBytes) // as takeBlock
	c.read = s.now()
	c.idleSince = c.read
	c.guard.refill(c.read)
	return c
}

func (c *conn) tell(state http.ConnState) {
	if c.peer.State != nil {
		c.peer.State(state)
	}
}

// serve reads until the connection ends.
func (c *conn) serve() {
	defer c.end()
	defer func() {
		if v := recover(); v != nil {
			c.server.log.Printf("BUG: panic on an HTTP/2 connection from %s: %v\n%s", c.remote, v, debug.Stack())
		}
	}()
	c.mu.Lock()
	c.next.out = appendSettings(c.room(), c.settings()...)
	c.next.out = appendWindowUpdate(c.next.out, 0, connWindow-defaultWindow)
	c.mu.Unlock()
	for goOn := c.tick(); goOn && c.fill(); {
		goOn = c.handleAll()
	}
}

func (c *conn) settings() []setting {
	l := &c.server.limits
	return []setting{
		{settingStreams, uint32(l.Streams)},
		{settingWindow, streamWindow},
		{settingHeaderList, uint32(l.HeaderBytes)},
		{settingNoPriorities, 1},
	}
}

// fill reads something into the buffer.
func (c *conn) fill() bool {
	for {
		var n int
		var err error
		if c.buf == nil {
			if n, err = c.nc.Read(c.little[:]); n > 0 {
				c.buf, c.from = c.server.ins.Get().(*[]byte), 0
				c.to = copy(*c.buf, c.little[:n])
			}
		} else {
			if c.from > 0 {
				c.to = copy(*c.buf, (*c.buf)[c.from:c.to])
				c.from = 0
			}
			n, err = c.nc.Read((*c.buf)[c.to:])
			c.to += n
		}
		switch {
		case n > 0:
			c.read, c.pinged = c.server.now(), time.Time{}
			return c.ticking || c.tick()
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded) || !c.tick():
			return false
		}
	}
}

// handleAll handles all whole frames in the buffer, and then sees that the answers are written.
func (c *conn) handleAll() (goOn bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.flush()
	for !c.failed && !c.over {
		p := (*c.buf)[c.from:c.to]
		if !c.prefaced {
			if n := min(len(p), len(preface)); string(p[:n]) != preface[:n] {
				return c.fail(breaks(codeProtocol, "no connection preface")) // §3.4
			} else if n < len(preface) {
				break
			}
			c.prefaced = true
			c.from += len(preface)
			continue
		}
		f, size, length := parseFrame(p)
		if length > frameSizeMax {
			return c.fail(breaks(codeFrameSize, "a frame that is too large")) // §4.2
		}
		if size == 0 {
			break
		}
		c.from += size
		if !c.handle(&f) {
			return false
		}
		if len(c.next.out) >= batchBytes {
			c.flush()
		}
	}
	if c.from == c.to {
		c.partial = time.Time{}
	} else if c.partial.IsZero() || c.from > 0 {
		c.partial = c.read
	}
	return !c.failed && !c.over
}

// handle handles a frame. What is wrong with it ends the stream or the connection (RFC 9113 §5.4).
func (c *conn) handle(f *frame) (goOn bool) {
	err := c.dispatch(f)
	c.guard.earn(earnData * c.dataSent)
	c.dataSent = 0
	if err == nil {
		return !c.failed
	}
	if err.stream == 0 {
		return c.fail(err)
	}
	if !c.guard.spend(costError) {
		return c.fail(breaks(codeEnhanceCalm, "too many errors"))
	}
	if s := c.streams[err.stream]; err.refusal != 0 && (s == nil || !s.answered) {
		c.refused(err.refusal)
	}
	c.reset(err.stream, err.code, err)
	return true
}

// failure is what is wrong with a frame.
type failure struct {
	stream  uint32 // 0: the connection is at an end
	code    code
	why     string
	refusal Refusal // 0: it isn't counted as one
}

func (f *failure) Error() string { return f.why }

// breaks is what ends the connection.
func breaks(why code, text string) *failure {
	if why == codeEnhanceCalm {
		return &failure{0, why, text, RefusedFlood}
	}
	return &failure{0, why, text, RefusedMalformed}
}

// resets is what ends a stream; stream 0 is the connection.
func resets(stream uint32, why code, text string) *failure {
	if stream == 0 {
		return breaks(why, text)
	}
	return &failure{stream, why, text, 0}
}

// malformed is a request that isn't one (§8.1.1).
func malformed(stream uint32, text string) *failure {
	return &failure{stream, codeProtocol, text, RefusedMalformed}
}

// fail ends the connection with GOAWAY (§5.4.1).
func (c *conn) fail(err *failure) (goOn bool) {
	if !c.failed {
		c.failed = true
		c.refused(err.refusal)
		c.server.log.Printf("HTTP/2 connection from %s ends: %s", c.remote, err.why)
		c.next.out = appendGoAway(c.room(), c.last, err.code)
	}
	return false
}

func (c *conn) refused(why Refusal) {
	if c.peer.Refused != nil {
		c.peer.Refused(why)
	}
}

// tick looks at what may have come to a halt and sets the deadline for the next look.
func (c *conn) tick() (goOn bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.flush()
	now := c.server.now()
	c.guard.refill(now)
	if c.failed || c.over || !c.checkSilence(now) {
		return false
	}
	for _, s := range c.streams {
		switch stall := c.server.limits.Stall; {
		case s.answered && now.Sub(s.progress) >= restWithin:
			c.reset(s.id, codeNone, errReturned)
		case !s.answered && stall > 0 && s.stalled(now, stall):
			c.reset(s.id, codeCancel, os.ErrDeadlineExceeded)
		}
	}
	if c.closing == announced && now.Sub(c.noticed) >= drainNotice {
		c.leave()
	}
	if c.departed() {
		return false
	}
	if c.buf != nil && c.from == c.to && c.section.stream == 0 && len(c.streams) == 0 && now.Sub(c.read) >= restAfter {
		c.server.ins.Put(c.buf)
		c.buf = nil
	}
	c.setDeadline(now)
	return true
}

// checkSilence says whether the client isn't silent for too long.
func (c *conn) checkSilence(now time.Time) bool {
	l := &c.server.limits
	switch quiet := now.Sub(c.read); {
	case !c.settled:
		return l.Header <= 0 || now.Sub(c.idleSince) < l.Header
	case c.section.stream != 0:
		if l.Header > 0 && now.Sub(c.section.begun) >= l.Header {
			return c.fail(&failure{0, codeEnhanceCalm, "a header section that doesn't end", RefusedSlow})
		}
	case len(c.streams) == 0:
		if !c.partial.IsZero() && l.Header > 0 && now.Sub(c.partial) >= l.Header {
			return c.fail(&failure{0, codeEnhanceCalm, "a frame that doesn't end", RefusedSlow})
		}
		if l.Idle > 0 && quiet >= l.Idle && now.Sub(c.idleSince) >= l.Idle {
			c.leave()
			return false
		}
	case l.Ping > 0 && quiet >= l.Ping:
		if c.pinged.IsZero() {
			c.pinged = now
			c.next.out = appendPing(c.room(), 0, pingAlive[:])
		}
		return now.Sub(c.pinged) < pongWithin
	}
	return true
}

// setDeadline sets when tick is called if nothing comes before: soon, unless the connection is at rest.
func (c *conn) setDeadline(now time.Time) {
	l := &c.server.limits
	next := tickMax
	c.ticking = true
	for _, limit := range [...]time.Duration{l.Idle, l.Header, l.Stall, l.Ping} {
		if limit > 0 {
			next = min(next, max(limit/8, time.Millisecond))
		}
	}
	if c.closing == announced {
		next = min(next, drainNotice)
	}
	if c.buf == nil && c.settled && c.closing == staying {
		c.ticking, next = false, 0
		if l.Idle > 0 {
			next = max(l.Idle-now.Sub(later(c.read, c.idleSince)), time.Millisecond)
		}
	}
	if next == 0 {
		_ = c.nc.SetReadDeadline(time.Time{}) // a connection without deadlines is one of a test
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(next))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// wake makes the reader call tick.
func (c *conn) wake() { _ = c.nc.SetReadDeadline(time.Unix(1, 0)) }

// drain begins to end the connection: requests on their way still arrive.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beginDrain()
	c.flush()
}

// beginDrain is drain with mu held.
func (c *conn) beginDrain() {
	if c.ended || c.failed || c.closing != staying {
		return
	}
	if !c.settled { // nothing has been asked yet
		c.closing = leaving
		c.wake()
		return
	}
	c.closing, c.noticed = announced, c.server.now()
	c.next.out = appendGoAway(c.room(), lastStreamMax, codeNone) // §6.8
	c.next.out = appendPing(c.next.out, 0, pingDrain[:])
	c.wake()
}

// leave takes no more streams.
func (c *conn) leave() {
	if c.closing == leaving {
		return
	}
	c.closing = leaving
	c.next.out = appendGoAway(c.room(), c.last, codeNone)
	for _, s := range c.streams {
		if s.answered {
			c.reset(s.id, codeNone, errReturned)
		}
	}
}

// departed says whether nothing is left to do on a connection that ends.
func (c *conn) departed() bool { return c.closing == leaving && len(c.streams) == 0 }

// end closes the connection, and with it all that isn't complete.
func (c *conn) end() {
	c.mu.Lock()
	err := error(errClosed)
	for _, s := range c.streams {
		c.drop(s, err)
	}
	c.line = line{}
	c.flush()
	for c.writing {
		c.wrote.Wait()
	}
	c.ended = true
	linger := c.failed && c.broken == nil
	c.mu.Unlock()
	if linger {
		c.linger()
	}
	c.cancel()
	c.nc.Close()
	if c.buf != nil {
		c.server.ins.Put(c.buf)
		c.buf = nil
	}
	c.tell(http.StateClosed)
}

func (c *conn) linger() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(lingering))
	for left := lingeringBytes; left > 0 && c.buf != nil; {
		n, err := c.nc.Read(*c.buf)
		if left -= n; err != nil {
			return
		}
	}
}

// errClosed says that the client has gone, to handlers.
var errClosed = fmt.Errorf("the connection has ended: %w", errLeft)

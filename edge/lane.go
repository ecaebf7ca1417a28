package edge

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge/gate"
	"github.com/wherry/wherry/edge/joint"
	"github.com/wherry/wherry/edge/stall"
)

// The lane answers plain hits on HTTP/1.1 connections without net/http. It has no goroutine and no buffer of its own: it lives in
// laneConn.Read, behind the gate, which net/http calls, in the connection's goroutine and with its own buffer, to get the next request. What the
// lane can answer it answers there and reads on; all else it returns, and net/http never sees the difference.
//
//	client ─ conn ─┬────────────┬─ laneConn ─ http.Server (HTTP/1.1)
//	               └─ tls.Conn ─┤
//	                            └─ others ─── secondServer (HTTP/2)
//
// That is right only where the bytes that come next are the beginning of a request, and net/http holds none before them. See
// atBoundary, and when the version of Go changes: the order in which net/http.(*conn).serve sets the state, sets the read
// deadline and peeks, and its connReader, which may hold one byte.

// lane is what the connections of one Serve share. The limits are those of the servers beside it.
type lane struct {
	edge         *Edge
	others       *handover
	tls          *tls.Config
	idle, header time.Duration
	headMax      int // for the gate: twice limits.header_size, so that admit can tell what is between
}

func newLane(e *Edge) *lane {
	limits := e.limits()
	l := &lane{edge: e, others: newHandover(), idle: limits.IdleTimeout, header: limits.HeaderTimeout}
	if l.headMax = 2 * int(limits.HeaderSize); l.headMax == 0 {
		l.headMax = http.DefaultMaxHeaderBytes
	}
	if e.tls != nil {
		l.tls = e.tls.Clone()
		for _, p := range [...]string{"h2", "http/1.1"} {
			if !slices.Contains(l.tls.NextProtos, p) {
				l.tls.NextProtos = append(l.tls.NextProtos, p)
			}
		}
	}
	return l
}

// take returns c as the first server sees it.
func (l *lane) take(c *conn) net.Conn {
	c.lane = &laneConn{Conn: c, base: c, lane: l, gate: gate.Gate{HeadMax: l.headMax}}
	if c.secure {
		c.lane.Conn = tls.Server(c, l.tls)
		return secureLaneConn{c.lane}
	}
	return c.lane
}

// phase says who may close a connection.
const (
	phaseNetHTTP   = iota // net/http has it; it closes as it likes
	phaseWaiting          // the lane waits for a request
	phaseAnswering        // the lane writes a response, which has to be whole: who wants to close leaves phaseEnding
	phaseEnding           // the lane closes when it has written its response
	phaseClosing          // the lane has ended: whoever comes closes
)

// Where a connection that the first server has is on its way to the second one.
const (
	stays = iota
	moves // once the first server lets it go
	moved
)

// laneConn is a client's connection as the server for HTTP/1.1 sees it.
type laneConn struct {
	net.Conn // over which HTTP is spoken: base, or TLS above it
	base     *conn
	lane     *lane
	gate     gate.Gate

	// Owned by the goroutine that serves the connection. While net/http reads ahead in another one, the state is active and they
	// aren't touched.
	window    int         // the size of net/http's empty buffer
	given     bool        // net/http has got bytes since the connection was new or idle
	deadlines int         // how often net/http has set the read deadline since then
	ended     bool        // there is nothing more to read: the handshake failed, or the connection moves
	renewed   time.Time   // when the lane put the write deadline off; zero: it has set none
	sni       config.Host // the name that the client gave to TLS
	version   string      // of TLS

	phase atomic.Int32
	begun atomic.Bool // net/http has got a part of a request
	hits  atomic.Bool // the lane has answered
	where atomic.Int32
}

var _ io.ReaderFrom = (*laneConn)(nil)

func (c *laneConn) under() *conn { return c.base }

// protocol returns what the log calls the protocol.
func (c *laneConn) protocol() string {
	if c.moved() {
		return "HTTP/2.0"
	}
	return "HTTP/1.1"
}

func (c *laneConn) major() int {
	if c.moved() {
		return 2
	}
	return 1
}

func (c *laneConn) moved() bool { return c.where.Load() == moved }

func (c *laneConn) answering() bool {
	phase := c.phase.Load()
	return phase == phaseAnswering || phase == phaseEnding
}

// idle is called when net/http has answered a request.
func (c *laneConn) idle() { c.given, c.deadlines = false, 0 }

// SetReadDeadline counts, so that atBoundary knows where net/http is.
func (c *laneConn) SetReadDeadline(t time.Time) error {
	if http.ConnState(c.base.state.Load()) == http.StateIdle {
		c.deadlines++
	}
	return c.Conn.SetReadDeadline(t)
}

// unanswered returns what the lane doesn't answer.
func (c *laneConn) unanswered(p []byte) (int, error) {
	if c.ended {
		return 0, io.EOF
	}
	state := c.State()
	switch {
	case state != http.StateNew && state != http.StateIdle || !c.atBoundary(state, len(p)):
		return c.Conn.Read(p)
	case state == http.StateNew:
		return c.first(p)
	default:
		return c.pass(p)
	}
}

// atBoundary says whether the next byte is the first of a request, with none before it left in net/http. On a new connection that
// is so until net/http has got a byte. Later, its buffer may hold the beginning of a request that came behind another one. So it
// has to be where it waits for an idle connection, which it does between two settings of the deadline and with less than four
// bytes; then a buffer that offers all of its room has none.
func (c *laneConn) atBoundary(state http.ConnState, size int) bool {
	if c.given {
		return false
	}
	if state == http.StateNew {
		c.window = size
		return true
	}
	return c.deadlines == 1 && size == c.window
}

// preface begins an HTTP/2 connection without TLS by prior knowledge (RFC 9113 §3.4). net/http looks at as much.
const preface = "PRI * HTTP/2.0"

// first is pass for a new connection, which may be one for HTTP/2.
func (c *laneConn) first(p []byte) (n int, err error) {
	if !c.wait() {
		return c.end()
	}
	n, err = c.Conn.Read(p)
	for err == nil && n < len(preface) && string(p[:n]) == preface[:n] {
		var m int
		m, err = c.Conn.Read(p[n:])
		n += m
	}
	if c.base.secure || n < len(preface) || string(p[:len(preface)]) != preface {
		return c.passed(p, n, err)
	}
	if !c.leave(false) {
		return c.end()
	}
	c.base.ahead = slices.Clone(p[:n])
	c.ended = true
	c.where.Store(moves)
	return 0, io.EOF
}

// pass answers what the lane can answer. It returns what it can't, as the first n bytes of p.
func (c *laneConn) pass(p []byte) (n int, err error) {
	if !c.wait() {
		return c.end()
	}
	n, err = c.Conn.Read(p)
	return c.passed(p, n, err)
}

// passed goes on where pass has read the first n bytes of p with err.
func (c *laneConn) passed(p []byte, n int, err error) (left int, failed error) {
	defer func() {
		if v := recover(); v != nil { // net/http would recover too, but then find the connection in the middle of a response
			c.lane.edge.log.Error("BUG: panic in the lane", "client", c.base.client, "panic", v, "stack", string(debug.Stack()))
			left, failed = c.end()
		}
	}()
	var renewed time.Time // when the read deadline was put off
	for {
		if !c.phase.CompareAndSwap(phaseWaiting, phaseAnswering) {
			return c.end()
		}
		used, at, whole := c.answerAll(p[:n])
		if used > 0 && !c.hits.Load() {
			c.hits.Store(true)
		}
		if !whole {
			return c.end()
		}
		if used < n || err != nil || n == 0 {
			if !c.leave(used > 0 || !renewed.IsZero()) {
				return c.end()
			}
			return copy(p, p[used:n]), err
		}
		if c.lane.idle > 0 && at.Sub(renewed) >= stall.Renewal(c.lane.idle) {
			renewed = at
			_ = c.Conn.SetReadDeadline(time.Now().Add(c.lane.idle + stall.Renewal(c.lane.idle)))
		}
		if !c.phase.CompareAndSwap(phaseAnswering, phaseWaiting) || !c.mayWait() {
			return c.end()
		}
		n, err = c.Conn.Read(p)
	}
}

// end makes net/http close the connection.
func (c *laneConn) end() (int, error) {
	c.phase.Store(phaseClosing)
	return 0, io.EOF
}

// wait begins to wait for a request, unless the node drains.
func (c *laneConn) wait() bool {
	c.phase.Store(phaseWaiting)
	return c.mayWait()
}

// mayWait says whether there may be another request. It comes after phaseWaiting is set: either it sees the node drain, or what
// drains the node sees the connection wait.
func (c *laneConn) mayWait() bool { return !c.base.owner.draining.Load() }

// leave gives the connection back to net/http, with deadlines as if it had never been away: answered tells that it has.
func (c *laneConn) leave(answered bool) bool {
	if !c.phase.CompareAndSwap(phaseAnswering, phaseNetHTTP) && !c.phase.CompareAndSwap(phaseWaiting, phaseNetHTTP) {
		return false
	}
	if !c.renewed.IsZero() {
		c.renewed = time.Time{}
		_ = c.Conn.SetWriteDeadline(time.Time{})
	}
	if answered && c.lane.header > 0 && http.ConnState(c.base.state.Load()) == http.StateNew {
		// net/http set this one when the connection came, and will do so again only for the next request.
		_ = c.Conn.SetReadDeadline(time.Now().Add(c.lane.header))
	}
	return true
}

// drain closes the connection if it is new and no request has begun. Others are net/http's to close.
func (c *laneConn) drain() {
	if c.phase.Load() == phaseNetHTTP && (c.base.secure || !c.base.touched.Load()) && !c.begun.Load() {
		c.base.Close()
		return
	}
	if phase := c.phase.Load(); phase == phaseWaiting || phase == phaseAnswering {
		c.Close()
	}
}

// Close closes the connection, but not under a response that the lane writes, and not one that moves.
func (c *laneConn) Close() error {
	switch {
	case c.moved() || c.phase.CompareAndSwap(phaseAnswering, phaseEnding) || c.phase.Load() == phaseEnding:
		return nil
	case c.where.CompareAndSwap(moves, moved):
		var nc net.Conn = c.base
		if c.base.secure {
			nc = c.Conn
		}
		if c.lane.others.push(nc) {
			return nil
		}
		c.where.Store(stays)
	}
	c.phase.CompareAndSwap(phaseWaiting, phaseClosing)
	return c.Conn.Close()
}

// ReadFrom lets net/http hand files to the system.
func (c *laneConn) ReadFrom(src io.Reader) (int64, error) {
	if from, ok := c.Conn.(io.ReaderFrom); ok {
		return from.ReadFrom(src)
	}
	return io.Copy(writerOnly{c.Conn}, src)
}

// CloseWrite ends our direction, where the connection knows such a thing.
func (c *laneConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return joint.ErrNoHalfClose
}

// handover is the listener of the second server: it accepts the connections that the first one lets go.
type handover struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// push returns false when nobody takes c any more.
func (h *handover) push(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.closed:
		return false
	}
}

func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr is for messages.
func (h *handover) Addr() net.Addr { return handoverAddr{} }

type handoverAddr struct{}

func (handoverAddr) Network() string { return "lane" }
func (handoverAddr) String() string  { return "the lane" }

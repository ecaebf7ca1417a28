package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge/hop"
	"github.com/wherry/wherry/edge/joint"
	"github.com/wherry/wherry/h2"
	"github.com/wherry/wherry/socket"
)

// spareConnections is how many cleartext connections beyond limits.connections are taken for as long as it takes to tell them
// 503; those beyond that are closed at once.
const spareConnections = 64

// conn is one connection of a client.
type conn struct {
	net.Conn                   // nil for QUIC
	direct       io.ReadWriter // Conn, with less: one call at a time in each direction
	owner        *connections
	secure       bool
	over         bool // beyond limits.connections: gets 503
	born         time.Time
	client       netip.Addr
	forwardedFor []string // client as the value of X-Forwarded-For, shared by the connection's requests

	touched     atomic.Bool // the client has sent something
	timedOut    atomic.Bool // a read since the connection was idle ended by its deadline
	handled     atomic.Bool // a request has reached ServeHTTP since the connection was idle
	multiplexed atomic.Bool // HTTP/2: a stream that is refused doesn't close the connection
	closing     sync.Once
	program     compute.Connection // to programs that keep memory for a client's connection

	// Set by net/http's state hook, which is called by the goroutine that serves the connection, and read by drain.
	state atomic.Int32 // http.ConnState

	lane  *laneConn // the connection's first server sees it through this; nil when there is no lane
	ahead []byte    // what Read returns first: read already by the lane

	seal *h2.Seal // of an HTTP/2 connection over TLS; set before that is served

	// While the lane writes through TLS, what is written stays in cork.
	corked bool
	cork   []byte
}

type connKey struct{}

// Read notes what drain and track want to know.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(p, c.ahead)
		c.ahead = c.ahead[n:]
		return n, nil
	}
	n, err := c.direct.Read(p)
	if n > 0 && !c.touched.Load() {
		c.touched.Store(true)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.timedOut.Store(true)
	}
	return n, err
}

// Write keeps what it gets for the lane while that has the cork in.
func (c *conn) Write(p []byte) (int, error) {
	if c.corked {
		c.cork = append(c.cork, p...)
		return len(p), nil
	}
	if c.seal != nil {
		return c.seal.Write(p)
	}
	return c.direct.Write(p)
}

// ReadFrom lets net/http hand files to the system.
func (c *conn) ReadFrom(src io.Reader) (int64, error) {
	if from, ok := c.Conn.(io.ReaderFrom); ok {
		return from.ReadFrom(src)
	}
	return io.Copy(writerOnly{c.Conn}, src)
}

// CloseWrite ends our direction, where the connection knows such a thing.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return joint.ErrNoHalfClose
}

// Close closes the connection and gives its place to another.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.closing.Do(func() { c.owner.remove(c) })
	return err
}

// connOf returns ours of a connection that net/http has.
func connOf(c net.Conn) *conn {
	if l, ok := c.(interface{ under() *conn }); ok {
		return l.under()
	}
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	ours, _ := c.(*conn)
	return ours
}

// withConn is http.Server.ConnContext.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, connOf(c))
}

// connections are the open connections of all listeners, and the goroutines that net/http serves them with.
type connections struct {
	metrics *Metrics
	changed chan struct{} // has a token after served went down

	draining atomic.Bool // set under mu

	mu     sync.Mutex // protects what follows
	open   map[*conn]struct{}
	served int // goroutines of net/http
}

func (s *connections) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// add takes c in if there is room for it among limit connections.
func (s *connections) add(c *conn, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() && c.Conn != nil { // one over QUIC has shaken hands before it comes here, and is told to go away
		return false
	}
	if n := len(s.open); n >= limit {
		if c.secure || n >= limit+spareConnections {
			s.metrics.refused[refusedConnections].Inc()
			return false
		}
		c.over = true
	}
	s.open[c] = struct{}{}
	s.metrics.connections.Set(float64(len(s.open)))
	return true
}

func (s *connections) remove(c *conn) {
	c.program.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	s.metrics.connections.Set(float64(len(s.open)))
}

// firstPatience is how long a connection that was just made when the doors closed may take to the beginning of its first request: the client has
// been told by nobody that it comes too late.
const firstPatience = time.Second

// awaitFirst returns when no connection is so new that its first request may be on its way.
func (s *connections) awaitFirst(ctx context.Context) {
	again := time.NewTicker(firstPatience / 100)
	defer again.Stop()
	for s.hasNew(time.Now().Add(-firstPatience)) {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// hasNew says whether a connection was made after since on which no request has begun.
func (s *connections) hasNew(since time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if c.born.After(since) && http.ConnState(c.state.Load()) == http.StateNew && (c.lane == nil || !c.lane.hits.Load()) {
			return true
		}
	}
	return false
}

// drain takes no more connections and closes those on which no request has begun: net/http would wait 5 s for them.
func (s *connections) drain() {
	for _, c := range s.startDraining() {
		switch {
		case http.ConnState(c.state.Load()) != http.StateNew:
		case c.lane != nil && !c.lane.moved():
			c.lane.drain()
		case c.secure || !c.touched.Load():
			c.Close()
		}
	}
}

// cutOff closes the connections on which the lane writes. What is net/http's has contexts that end.
func (s *connections) cutOff() {
	s.mu.Lock()
	all := s.allOpen()
	s.mu.Unlock()
	for _, c := range all {
		if c.lane != nil && c.lane.answering() {
			c.Close()
		}
	}
}

func (s *connections) startDraining() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining.Store(true)
	return s.allOpen()
}

// allOpen is called with mu held.
func (s *connections) allOpen() []*conn {
	all := make([]*conn, 0, len(s.open))
	for c := range s.open {
		all = append(all, c)
	}
	return all
}

// track is http.Server.ConnState: it counts the goroutines and the requests that ended before a step could refuse them.
func (e *Edge) track(nc net.Conn, state http.ConnState) {
	c := connOf(nc)
	if c == nil {
		return
	}
	if c.lane != nil && c.lane.moved() {
		_, first := nc.(interface{ under() *conn })
		if first { // the other server has it, and counts its goroutine from here on
			return
		}
		if state == http.StateNew {
			c.state.Store(int32(state))
			return
		}
	}
	before := http.ConnState(c.state.Swap(int32(state)))
	switch state {
	case http.StateNew:
		e.conns.mu.Lock()
		e.conns.served++
		e.conns.mu.Unlock()
	case http.StateIdle:
		c.timedOut.Store(false)
		c.handled.Store(false)
		if c.lane != nil {
			c.lane.idle()
		}
	case http.StateClosed, http.StateHijacked:
		// On a connection that was idle before, net/http calls a request active only if it hadn't read it in one piece.
		begun := before == http.StateActive || before == http.StateIdle && c.lane != nil && c.lane.given
		unread := begun && !c.handled.Load() && !c.multiplexed.Load()
		if unread && state == http.StateClosed && !e.draining.Load() {
			e.countUnread(c)
		}
		e.conns.mu.Lock()
		e.conns.served--
		e.conns.mu.Unlock()
		select {
		case e.conns.changed <- struct{}{}:
		default:
		}
	}
}

// countUnread counts a request whose header section net/http gave up on.
func (e *Edge) countUnread(c *conn) {
	why := refusedMalformed
	if c.timedOut.Load() {
		why = refusedHeaderTimeout
	}
	e.countRefused(why)
}

func (e *Edge) countRefused(why reason) {
	e.metrics.refused[why].Inc()
	e.tally.refused.Add(1)
}

// wait returns when no connection is served any more.
func (s *connections) wait() {
	for {
		s.mu.Lock()
		n := s.served
		s.mu.Unlock()
		if n == 0 {
			return
		}
		<-s.changed
	}
}

// inFlight counts requests. Unlike a sync.WaitGroup it may go up again while somebody waits: the stream of an HTTP/2 connection may
// begin when that has gone already.
type inFlight struct {
	n     atomic.Int64
	ended chan struct{} // has a token after n went down to 0
}

func (f *inFlight) begin() { f.n.Add(1) }

func (f *inFlight) end() {
	if f.n.Add(-1) == 0 {
		select {
		case f.ended <- struct{}{}:
		default:
		}
	}
}

// wait returns when there was no request for a moment.
func (f *inFlight) wait() {
	for f.n.Load() != 0 {
		<-f.ended
	}
}

// listener makes a conn of each connection that it accepts, and turns those away that are too many.
type listener struct {
	net.Listener
	edge   *Edge
	secure bool
	lane   *lane // nil: all connections go to net/http as they are
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: nc, direct: socket.Of(nc), owner: &l.edge.conns, secure: l.secure, born: time.Now(), client: hop.ClientAddr(nc.RemoteAddr().String())}
		c.forwardedFor = []string{c.client.String()}
		if !l.edge.conns.add(c, l.edge.limits().Connections) {
			nc.Close()
			continue
		}
		if l.lane == nil {
			return c, nil
		}
		return l.lane.take(c), nil
	}
}

func (e *Edge) limits() *config.Limits { return &e.routes.Load().snapshot.Limits }

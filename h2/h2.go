package h2

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits bound what a client may take.
type Limits struct {
	// Streams is how many requests a connection may have open.
	Streams int
	// HeaderBytes is how large a header list may be as RFC 9113 §6.5.2 counts it. A larger one is Options.Oversized's.
	HeaderBytes int
	// Header is how long a client may take for the preface, and for a frame that it has begun while no request needs it.
	// 0: any time
	Header time.Duration
	// Idle is how long a connection may be without a request.
	// 0: any time
	Idle time.Duration
	// Stall is how long a client may take nothing of what is there for it.
	// 0: any time
	Stall time.Duration
	// Ping is how long a client with requests may be silent before it is asked whether it is alive.
	// 0: it isn't asked
	Ping time.Duration
}

// Options are the neighbours of a Server. Handler and Limits are required.
type Options struct {
	Handler http.Handler
	Limits  Limits
	// Oversized answers requests whose header section is too large, of which it sees the beginning.
	// default: they are answered with 431
	Oversized http.Handler
	// ErrorLog is told of handlers that panic and of connections that break the protocol.
	// default: nobody is told
	ErrorLog *log.Logger
	// default: time.Now
	Now func() time.Time
}

// Hit is a response that is there already. Its methods are called by one goroutine at a time, with locks held: they don't wait.
type Hit interface {
	// AppendHeader appends the header block (see AppendStatus and AppendField).
	AppendHeader(dst []byte) []byte
	// Size is how many bytes of content are to be sent.
	Size() int64
	// AppendContent appends the next n bytes of content.
	AppendContent(dst []byte, n int) ([]byte, error)
	// Done is the last call: all was handed to the system, or err says why only sent bytes of content were.
	Done(sent int64, at time.Time, err error)
}

// Peer is a connection and what the server is to know of it.
type Peer struct {
	// Conn is closed by the server. If it is Eager, most is written without another goroutine.
	Conn net.Conn
	// Context is the parent of the requests' contexts.
	Context context.Context
	// TLS is the state of the connection; nil for cleartext.
	TLS *tls.ConnectionState
	// Hit returns the answer to a GET or HEAD without content, or nil if that is for the handler. It keeps nothing of r but the
	// strings, which don't change. It may be nil.
	Hit func(r *Request) Hit
	// State is told that the connection is active, idle or closed, as http.Server.ConnState. It may be nil, and must not wait.
	State func(http.ConnState)
	// Refused is told of what reaches no handler, once each, and of requests that turn out to be malformed when they have. It may be
	// nil, and must not wait.
	Refused func(Refusal)
}

// Refusal is why the server refuses a request, or goes on with a connection no more.
type Refusal int

const (
	RefusedMalformed Refusal = iota + 1 // a request or a connection that breaks the protocol
	RefusedHeader                       // a header section that is too large
	RefusedSlow                         // a header section, or a frame on a connection without requests, that doesn't end in time
	RefusedFlood                        // frames that lead to nothing, requests that are taken back, errors: too many of them
)

// Eager is a connection that can write without waiting.
type Eager interface {
	net.Conn
	// WriteSome takes all of p and writes what can be written at once. If it says that there is a rest, p may not change and nothing
	// else may be written until Flush has returned.
	WriteSome(p []byte) (rest bool, err error)
	// Flush writes the rest.
	Flush() error
}

// Server serves connections. It is safe for use by many goroutines.
type Server struct {
	handler   http.Handler
	oversized http.Handler // may be nil
	limits    Limits
	log       *log.Logger
	now       func() time.Time

	ins   sync.Pool // of *[]byte with readBytes
	outs  sync.Pool // of *[]byte with room for a batch
	bufs  sync.Pool // of *[]byte with bufferBytes
	corks sync.Pool // of *[]byte

	mu       sync.Mutex // protects what follows
	conns    map[*conn]struct{}
	draining bool
	closed   bool
	gone     chan struct{} // closed when there is no connection any more; nil unless somebody waits
}

// New returns a Server.
func New(o Options) *Server {
	s := &Server{handler: o.Handler, oversized: o.Oversized, limits: o.Limits, log: o.ErrorLog, now: o.Now, conns: map[*conn]struct{}{}}
	if s.log == nil {
		s.log = log.New(io.Discard, "", 0)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.ins.New = func() any { b := make([]byte, readBytes); return &b }
	s.outs.New = func() any { b := make([]byte, 0, batchBytes+batchSlack); return &b }
	s.corks.New = func() any { return new([]byte) }
	s.bufs.New = func() any { b := make([]byte, 0, bufferBytes); return &b }
	return s
}

// ServeConn serves a connection until it ends, and returns when its handlers have.
func (s *Server) ServeConn(p Peer) {
	c := newConn(s, p)
	if !s.add(c) {
		p.Conn.Close()
		c.tell(http.StateClosed)
		return
	}
	c.serve()
	s.remove(c)
	c.handlers.Wait()
}

func (s *Server) putBuffer(b *[]byte) {
	*b = (*b)[:0]
	s.bufs.Put(b)
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.draining {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.gone != nil {
		close(s.gone)
		s.gone = nil
	}
}

// all is called with mu held.
func (s *Server) all() []*conn {
	all := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

// Shutdown takes no more requests and waits until those that were begun are answered, or until ctx ends; then it says why.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	var gone chan struct{}
	if len(s.conns) > 0 {
		if s.gone == nil {
			s.gone = make(chan struct{})
		}
		gone = s.gone
	}
	all := s.all()
	s.mu.Unlock()
	for _, c := range all {
		c.drain()
	}
	if gone == nil {
		return nil
	}
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes all connections.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	all := s.all()
	s.mu.Unlock()
	for _, c := range all {
		c.nc.Close()
	}
	return nil
}

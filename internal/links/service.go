package links

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wherry/wherry/overlay"
	"github.com/wherry/wherry/overlay/exchange"
	"github.com/wherry/wherry/overlay/tunnel"
)

// The services of a connection; each stream's first byte names one.
const (
	serviceHTTP = 'h'
	// ServiceTunnel is of agents, and of nodes that ask each other's agents.
	ServiceTunnel = 't'
	// ServiceForward is of operators, who reach a node's own services.
	ServiceForward = 'f'
)

const (
	nameTimeout   = 10 * time.Second // until a stream must have named its service
	unhandledMax  = 64
	codeNoService = uint64(exchange.CodeRefused)
)

// lane is one service's part of a connection: a session for exchange and tunnel.
type lane struct {
	conn    *overlay.Conn
	service byte
	came    chan *overlay.Stream
}

var _ exchange.Session = (*lane)(nil)

func newLane(c *overlay.Conn, service byte) *lane {
	return &lane{conn: c, service: service, came: make(chan *overlay.Stream, unhandledMax)}
}

func (l *lane) OpenStream(ctx context.Context) (exchange.Stream, error) {
	s, err := l.conn.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	return &named{Stream: s, service: l.service}, nil
}

// OpenEarly is OpenStream for what may arrive twice.
func (l *lane) OpenEarly(ctx context.Context) (exchange.Stream, error) {
	s, err := l.conn.OpenEarly(ctx)
	if err != nil {
		return nil, err
	}
	return &named{Stream: s, service: l.service}, nil
}

func (l *lane) AcceptStream(ctx context.Context) (exchange.Stream, error) {
	select {
	case s := <-l.came:
		return s, nil
	case <-l.conn.Done():
		return nil, l.conn.Err()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *lane) Done() <-chan struct{} { return l.conn.Done() }

func (l *lane) Peer() string { return l.conn.Peer() }

// Close ends the connection: it is of whoever has the lane for himself.
func (l *lane) Close() error {
	l.conn.Close(overlay.CodeDone, "done")
	return nil
}

// Single is a connection to a node for one service alone.
type Single struct{ lane *lane }

var _ tunnel.Session = (*Single)(nil)

// NewSingle makes one of a connection that nobody else uses.
func NewSingle(c *overlay.Conn, service byte) *Single {
	return &Single{&lane{conn: c, service: service}}
}

// OpenStream implements exchange.Session.
func (s *Single) OpenStream(ctx context.Context) (exchange.Stream, error) {
	return s.lane.OpenStream(ctx)
}

// AcceptStream implements exchange.Session.
func (s *Single) AcceptStream(ctx context.Context) (exchange.Stream, error) {
	for {
		stream, err := s.lane.conn.AcceptStream(ctx)
		if err != nil {
			return nil, err
		}
		if service, ok := serviceOf(stream); ok && service == s.lane.service {
			return stream, nil
		}
		stream.Reset(codeNoService)
	}
}

// Done implements exchange.Session.
func (s *Single) Done() <-chan struct{} { return s.lane.Done() }

// Peer implements exchange.Session.
func (s *Single) Peer() string { return s.lane.Peer() }

// Close implements tunnel.Session.
func (s *Single) Close() error { return s.lane.Close() }

// serviceOf reads a stream's first byte. It comes with what makes the stream known, so nobody waits for it for long.
func serviceOf(s *overlay.Stream) (service byte, ok bool) {
	var first [1]byte
	_ = s.SetReadDeadline(time.Now().Add(nameTimeout))
	_, err := s.Read(first[:])
	_ = s.SetReadDeadline(time.Time{})
	return first[0], err == nil
}

// named is a stream whose first byte is still to be sent: it goes with what is written first.
type named struct {
	*overlay.Stream
	service byte
	once    sync.Once
}

func (n *named) name(p []byte) (rest []byte, err error) {
	rest = p
	n.once.Do(func() {
		first := append([]byte{n.service}, p[:min(len(p), 4096)]...)
		var written int
		written, err = n.Stream.Write(first)
		rest = p[max(written-1, 0):]
	})
	return rest, err
}

func (n *named) Write(p []byte) (int, error) {
	rest, err := n.name(p)
	if err != nil || len(rest) == 0 {
		return len(p) - len(rest), err
	}
	written, err := n.Stream.Write(rest)
	return len(p) - len(rest) + written, err
}

func (n *named) CloseWrite() error {
	if _, err := n.name(nil); err != nil {
		return err
	}
	return n.Stream.CloseWrite()
}

func (n *named) Close() error {
	_, err := n.name(nil)
	return errors.Join(err, n.Stream.Close())
}

// sort hands each stream that the peer opens to the lane of its service, until the connection is over.
func sortStreams(ctx context.Context, c *overlay.Conn, lanes map[byte]*lane) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		all.Go(func() {
			service, ok := serviceOf(s)
			l := lanes[service]
			if !ok || l == nil {
				s.Reset(codeNoService)
				return
			}
			select {
			case l.came <- s:
			case <-c.Done():
			case <-ctx.Done():
				s.Reset(codeNoService)
			}
		})
	}
}

package overlay

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/wherry/wherry/overlay/congest"
	"github.com/wherry/wherry/overlay/labels"
	"github.com/wherry/wherry/overlay/seal"
	"github.com/wherry/wherry/overlay/udp"
	"github.com/wherry/wherry/overlay/wire"
)

// Options of an Endpoint. Server, Client and Admit are needed.
type Options struct {
	// Server is TLS's configuration for connections that come; it must ask for the client's certificate.
	Server *tls.Config
	// Client is TLS's configuration for a connection to the node of that name.
	Client func(name string) *tls.Config
	// Admit says who the peer is, or why it isn't let in. It is called once the certificates are proven.
	Admit func(tls.ConnectionState) (name string, err error)

	// Controller is the congestion controller; the default is congest.KindDefault.
	Controller congest.Kind
	// HandshakeTimeout bounds the handshake; the default is 10 s.
	HandshakeTimeout time.Duration
	// IdleTimeout ends a connection from whose peer nothing comes; the default is 30 s.
	IdleTimeout time.Duration
	// KeepAlive is after how long without a packet the peer is asked whether it is there; 0: never.
	KeepAlive time.Duration
	// StreamsMax is how many streams the peer may have open; the default is 1,000.
	StreamsMax int
	// WindowMax and StreamWindowMax bound the bytes that wait for readers of a connection and of a stream; the defaults are 64 and 32 MiB.
	WindowMax, StreamWindowMax int
	// SendBufferMax bounds the bytes of a stream that were written and haven't arrived; the default is 64 MiB.
	SendBufferMax int
	// ConnectionsMax bounds the connections; the default is 10,000.
	ConnectionsMax int
	// Forward says where packets go that the peer `from` wants forwarded to the node `to`; nil: this node forwards nothing. It is called under the
	// connection's lock, and must not wait.
	Forward func(from, to string) (netip.AddrPort, error)
	// ForwardRate bounds what is forwarded, in bytes a second; the default is 12.5 million (100 Mbit/s).
	ForwardRate float64
	// Secret makes the tokens by which a peer believes that its connection isn't known here any more: the same one must be given after a
	// restart. Without it the peer finds out by the idle timeout.
	Secret []byte
}

const (
	windowStart   = 8 << 20 // of a connection; half of it for a stream: a long fast path isn't slowed down in its first round trips
	sendBufferMin = 256 << 10
	halfOpenFree  = 32 // handshakes under way, above which a stranger must prove its address first
	halfOpenMax   = 1024
	acceptMax     = 1024
)

// alpn names the protocol in TLS's handshake.
const alpn = "wherry-overlay/1"

// Endpoint is a UDP socket with connections to other nodes. Make one with New, and Run it.
type Endpoint struct {
	options Options
	socket  *udp.Socket
	secret  [32]byte // for cookies
	ranges  [wire.RangesMax]wire.Range

	ready    chan struct{} // closed when Run runs
	accepted chan *Conn
	spawned  sync.WaitGroup

	mu       sync.RWMutex
	conns    map[wire.ID]*Conn  // by our name for them
	peers    map[wire.ID]*Conn  // by the peer's name for them
	strange  map[stranger]*Conn // by the peer's first packet, while they are half open
	halfOpen int
	running  bool
	closed   bool

	handshakes Handshakes
	tickets    seal.Tickets
	forwards   labels.Table
	forwarding labels.Joiner // of readAll alone
}

// stranger is how packets of a connection are known before the peer knows our name for it.
type stranger struct {
	addr remote
	id   wire.ID
}

// ErrClosed says that the endpoint's Run has returned.
var ErrClosed = errors.New("the endpoint is closed")

// New makes an Endpoint of conn, which belongs to it from then on.
func New(conn net.PacketConn, o Options) (*Endpoint, error) {
	if o.Server == nil || o.Client == nil || o.Admit == nil {
		return nil, errors.New("overlay: Options need Server, Client and Admit")
	}
	o.Controller = cmp.Or(o.Controller, congest.KindDefault)
	o.HandshakeTimeout = cmp.Or(o.HandshakeTimeout, 10*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 30*time.Second)
	o.StreamsMax = cmp.Or(o.StreamsMax, 1000)
	o.WindowMax = cmp.Or(o.WindowMax, 64<<20)
	o.StreamWindowMax = cmp.Or(o.StreamWindowMax, 32<<20)
	o.SendBufferMax = cmp.Or(o.SendBufferMax, 64<<20)
	o.ConnectionsMax = cmp.Or(o.ConnectionsMax, 10_000)
	o.ForwardRate = cmp.Or(o.ForwardRate, 12.5e6)
	if _, err := congest.New(o.Controller, congest.Options{Packet: packetMin}); err != nil {
		return nil, err
	}
	e := &Endpoint{
		options: o, socket: udp.New(conn), ready: make(chan struct{}), accepted: make(chan *Conn, acceptMax),
		conns: map[wire.ID]*Conn{}, peers: map[wire.ID]*Conn{}, strange: map[stranger]*Conn{},
	}
	e.options.Server = withProtocol(o.Server)
	e.options.Server.WrapSession, e.options.Server.UnwrapSession = e.tickets.Wrap, e.tickets.Unwrap
	_, err := rand.Read(e.secret[:])
	if len(o.Secret) == 0 {
		e.options.Secret = e.secret[:]
	}
	return e, err
}

func withProtocol(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos, c.MinVersion = []string{alpn}, tls.VersionTLS13
	return c
}

// Addr is where the endpoint listens.
func (e *Endpoint) Addr() netip.AddrPort { return e.socket.Addr() }

// Run reads packets and runs the connections until ctx ends; then it closes all of them and returns when their goroutines are gone.
func (e *Endpoint) Run(ctx context.Context) error {
	e.mu.Lock()
	if e.running || e.closed {
		e.mu.Unlock()
		return ErrClosed
	}
	e.running = true
	close(e.ready)
	e.mu.Unlock()
	stop := context.AfterFunc(ctx, e.stop)
	defer stop()
	err := e.readAll()
	e.stop()
	e.spawned.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// stop closes the connections, lets them say so, and then the socket.
func (e *Endpoint) stop() {
	e.mu.Lock()
	was := e.closed
	e.closed, e.running = true, false
	var all []*Conn
	for _, c := range e.conns {
		all = append(all, c)
	}
	e.mu.Unlock()
	if was {
		return
	}
	for _, c := range all {
		c.Close(CodeDone, "the node stops")
	}
	e.spawned.Wait()
	close(e.accepted)
	e.socket.Close()
}

// start runs the connection's pump, unless the endpoint is about to end.
func (e *Endpoint) start(c *Conn) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !e.running:
		return ErrClosed
	case len(e.conns) >= e.options.ConnectionsMax:
		return fmt.Errorf("there are %d connections already", len(e.conns))
	}
	e.conns[c.local] = c
	if !c.dialed {
		e.strange[c.stranger] = c
		e.halfOpen++
	}
	e.spawned.Go(func() {
		c.pump()
		e.remove(c)
	})
	return nil
}

func (e *Endpoint) remove(c *Conn) {
	_ = c.quic.Close()
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c.local)
	if e.peers[c.remote] == c {
		delete(e.peers, c.remote)
	}
	e.settleLocked(c)
	e.forwards.Drop(c)
}

func (e *Endpoint) settleLocked(c *Conn) {
	if e.strange[c.stranger] == c {
		delete(e.strange, c.stranger)
		e.halfOpen--
	}
}

// known is told that a connection's handshake is done; called under the connection's lock.
func (e *Endpoint) known(c *Conn, early bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case c.dialed:
	case early:
		e.handshakes.Early++
		e.handshakes.Resumed++
	case c.tls.DidResume:
		e.handshakes.Resumed++
	default:
		e.handshakes.Full++
	}
	e.settleLocked(c)
	e.peers[c.remote] = c
}

// arrive hands a connection to Accept; called under the connection's lock.
func (e *Endpoint) arrive(c *Conn) {
	select {
	case e.accepted <- c:
	default:
		c.fail(&CloseError{Code: CodeBusy, Reason: "too many connections wait to be accepted"}, true)
	}
}

// Accept waits for a connection that another node dialed.
func (e *Endpoint) Accept(ctx context.Context) (*Conn, error) {
	select {
	case c, ok := <-e.accepted:
		if !ok {
			return nil, ErrClosed
		}
		return c, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Dial connects to the node of that name at addr, and returns when both know each other. It waits for Run.
func (e *Endpoint) Dial(ctx context.Context, addr netip.AddrPort, name string) (*Conn, error) {
	c, err := e.dial(ctx, addr, name)
	if err != nil {
		return nil, err
	}
	if err := e.wait(ctx, c, c.established); err != nil {
		return nil, err
	}
	return c, nil
}

// dial begins a connection.
func (e *Endpoint) dial(ctx context.Context, addr netip.AddrPort, name string) (*Conn, error) {
	select {
	case <-e.ready:
	case <-ctx.Done():
		return nil, fmt.Errorf("dial %s at %v: %w", name, addr, context.Cause(ctx))
	}
	c, err := e.newConn(true, remote{addr: addr})
	if err != nil {
		return nil, err
	}
	config := withProtocol(e.options.Client(name))
	original := wire.ID(random())
	c.remote, c.name = original, name
	c.mu.Lock()
	err = c.startHandshake(config, original, c.primary.remote, time.Now())
	c.mu.Unlock()
	if err == nil {
		err = e.start(c)
	}
	if err != nil {
		if c.quic != nil {
			_ = c.quic.Close()
		}
		return nil, fmt.Errorf("dial %s at %v: %w", name, addr, err)
	}
	return c, nil
}

// wait waits until a connection that was dialed has come so far.
func (e *Endpoint) wait(ctx context.Context, c *Conn, far <-chan struct{}) error {
	select {
	case <-far:
		return nil
	case <-c.done:
		return fmt.Errorf("dial %s at %v: %w", c.Peer(), c.RemoteAddr(), c.Err())
	case <-ctx.Done():
		c.Close(CodeDone, "given up")
		return fmt.Errorf("dial %s at %v: %w", c.Peer(), c.RemoteAddr(), context.Cause(ctx))
	}
}

func random() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])>>2 | 1 // it fits into a frame's integer, and isn't zero
}

func (e *Endpoint) newConn(dialed bool, to remote) (*Conn, error) {
	now := time.Now()
	c := &Conn{
		endpoint: e, dialed: dialed, local: wire.NewID(random()),
		wake: make(chan struct{}, 1), done: make(chan struct{}), established: make(chan struct{}), begun: make(chan struct{}),
		streams: map[uint64]*Stream{}, takenMax: uint64(e.options.StreamsMax),
		window: windowStart, gotLimit: windowStart, lastHeard: now, lastSent: now,
	}
	c.own = wire.Params{
		Data: windowStart, Stream: windowStart / 2, Streams: uint64(e.options.StreamsMax), Idle: e.options.IdleTimeout,
		Paths: pathsMax, Size: sizeMax, Level: wire.LevelRepair, Token: seal.Token(e.options.Secret, c.local),
	}
	c.openCond, c.inboxCond = sync.NewCond(&c.mu), sync.NewCond(&c.mu)
	p, err := c.newPath(0, to)
	if err != nil {
		return nil, err
	}
	p.valid = dialed
	c.paths[0], c.primary = p, p
	c.at.Store(&p.remote.addr)
	return c, nil
}

// sizeMax is the largest packet that is taken.
const sizeMax = 16 << 10

func (e *Endpoint) find(id wire.ID) *Conn {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.conns[id]
}

// reader is what readAll needs for a batch.
type reader struct {
	nonce   [12]byte
	packets []opened
	damaged int
	conn    *Conn
	acks    *batch
}

func (e *Endpoint) readAll() error {
	r := &reader{acks: newBatch()}
	for {
		messages, err := e.socket.Read()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("overlay: read: %w", err)
		}
		for i := range messages {
			m := &messages[i]
			for b := m.Data; len(b) > 0; {
				n := min(max(m.Segment, 1), len(b))
				e.datagram(r, b[:n:n], remote{addr: m.From})
				b = b[n:]
			}
		}
		e.flush(r)
		e.forwarding.Flush(e.socket)
	}
}

// flush hands what was opened to its connection.
func (e *Endpoint) flush(r *reader) {
	if r.conn == nil {
		return
	}
	now := time.Now()
	r.conn.process(now, r.packets, r.damaged)
	r.conn.afterwards(now, r.acks)
	r.conn, r.packets, r.damaged = nil, r.packets[:0], 0
}

// datagram finds out whose a packet is.
func (e *Endpoint) datagram(r *reader, b []byte, from remote) {
	kind, id, err := wire.KindOf(b)
	if err != nil {
		return
	}
	switch kind {
	case wire.KindData:
		c := r.conn
		if c == nil || c.local != id {
			e.flush(r)
			if c = e.find(id); c == nil {
				e.unknown(b, id, from)
				return
			}
			r.conn = c
		}
		if o, ok := c.open(b, from, &r.nonce); ok {
			r.packets = append(r.packets, o)
		} else if c.opener.Load() == nil {
			c.hold(b, from)
		} else {
			r.damaged++
		}
	case wire.KindInitial, wire.KindHandshake, wire.KindEarly:
		e.flush(r)
		e.hello(b, from)
	case wire.KindEnvelope:
		e.envelope(r, b, id, from)
	case wire.KindReset:
		e.flush(r)
		e.mu.RLock()
		c := e.peers[id]
		e.mu.RUnlock()
		if c != nil {
			c.wasReset(b)
		}
	case wire.KindRetry:
		e.flush(r)
		if c := e.find(id); c != nil {
			c.retry(b)
		}
	}
}

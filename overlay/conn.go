package overlay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/overlay/loss"
	"github.com/wherry/wherry/overlay/seal"
	"github.com/wherry/wherry/overlay/spans"
	"github.com/wherry/wherry/overlay/wire"
)

// CloseError is how a connection ended.
type CloseError struct {
	Code   uint64
	Reason string
	Remote bool // the peer closed it
}

func (e *CloseError) Error() string {
	who := "this side"
	if e.Remote {
		who = "the peer"
	}
	return fmt.Sprintf("%s closed the connection: %s (code %d)", who, e.Reason, e.Code)
}

// Codes of CloseError that the transport itself uses; others are the application's.
const (
	CodeDone      = 0    // nothing is wrong
	CodeProtocol  = 1    // the peer broke the rules
	CodeRefused   = 2    // the peer isn't let in
	CodeBusy      = 3    // too many connections
	CodeHandshake = 0x10 // TLS's handshake failed
)

var (
	// ErrIdle ends a connection from whose peer nothing came for the idle timeout.
	ErrIdle = errors.New("nothing came from the peer for too long: it is down, or no path to it is left")
	// ErrReset ends a connection that the peer says it doesn't know, as after a restart.
	ErrReset = errors.New("the peer doesn't know the connection: it was started anew")
	// errHandshakeTime ends a handshake.
	errHandshakeTime = errors.New("the peer didn't answer: it is down, not reachable by UDP, or it doesn't let us in")
)

const (
	controlMax   = 4096 // frames that wait to be sent or confirmed
	datagramsMax = 64
)

// Conn is a connection to another node: streams, over one or several paths. mu guards all fields below it; the crypto keys, which change
// rarely, are read without it.
type Conn struct {
	endpoint *Endpoint
	dialed   bool    // this side opened it
	local    wire.ID // names it in packets to us
	stranger stranger
	at       atomic.Pointer[netip.AddrPort] // where the primary path leads
	wake     chan struct{}
	done     chan struct{}
	opener   atomic.Pointer[openers]
	newest   [pathsMax]atomic.Uint64 // per path, the number after the newest packet received: what short numbers are expanded by

	mu          sync.Mutex
	remote      wire.ID // names it in packets to the peer
	own, peer   wire.Params
	name        string // of the peer, once it is verified; until then, whom this side dialed
	shook       bool   // it is
	tls         tls.ConnectionState
	hs          *handshake // nil when it is over
	quic        *tls.QUICConn
	sealer      *seal.Key
	writeKey    *seal.Key // sealer and opener, until the peer is let in
	readKeys    *openers
	sealPhase   byte
	seals       uint64 // with this key
	confirmed   bool   // the peer has our keys
	established chan struct{}
	begun       chan struct{} // closed when this side, that dialed, can send something
	beginOnce   sync.Once
	held        []helloPacket // that came before there were keys for them
	err         error         // why it is over
	closing     []byte        // the close frame to send once
	looks       time.Time     // when pump looks again
	lastHeard   time.Time
	unanswered  time.Time // when the first packet left since then that asks for an answer; zero: none did
	lastSent    time.Time

	paths   [pathsMax]*path
	primary *path
	retell  int              // acknowledgements that also tell of the other paths
	states  uint64           // that this side has told of its paths
	stateOf [pathsMax]uint64 // the number of the newest that the peer has told of each
	first   uint64           // and of the one in use

	streams  map[uint64]*Stream
	opened   uint64 // streams that this side has opened in all
	openMax  uint64 // and may open
	taken    uint64 // that the peer has opened in all
	takenMax uint64 // and may open
	openCond *sync.Cond
	accepts  []*Stream
	active   [priorities][]*Stream // what has something to send, the next one first

	tail       tail
	frames     [][]byte  // control frames that wait to be sent
	raised     []*Stream // whose limits are to be sent
	raiseAll   bool
	raiseCount bool

	sentFresh  uint64 // bytes of streams sent for the first time
	sendLimit  uint64 // and how many may be
	got        uint64 // sum of the streams' farthest bytes
	gotLimit   uint64
	used       uint64 // of got, taken by readers
	window     uint64
	windowTime time.Time

	outbox, inbox [][]byte // datagrams
	inboxCond     *sync.Cond

	crypto     spans.Pieces // TLS's words after the handshake: tickets
	cryptoSent uint64
	routes     routes
	stats      Stats
}

// Stats counts what a connection did.
type Stats struct {
	PacketsSent, PacketsReceived uint64
	BytesSent, BytesReceived     uint64 // of UDP payload
	Lost, Spurious, Timeouts     uint64 // packets
	Duplicates, Damaged          uint64
	Early                        uint64 // packets sent before the handshake
	EarlyRefused                 bool   // they were sent again after it
	Parity                       uint64 // bytes sent, beside those of streams
	Repaired                     uint64 // bytes rebuilt by the peer's parity
}

// Peer is the other node's name, as its certificate and the endpoint's Admit have it; before a handshake is done, as it was dialed.
func (c *Conn) Peer() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.name
}

// Done is closed when the connection is over; Err then says why.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Silence is for how long the peer hasn't answered although it was asked; 0 if it has, or nothing was asked.
func (c *Conn) Silence() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unanswered.IsZero() {
		return 0
	}
	return time.Since(c.unanswered)
}

// Err is why the connection is over; nil while it isn't.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// TLS is what the handshake agreed upon.
func (c *Conn) TLS() tls.ConnectionState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tls
}

// RemoteAddr is where the primary path leads.
func (c *Conn) RemoteAddr() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.primary.remote.addr
}

// Close ends the connection at once: what wasn't acknowledged may not arrive. The peer is told code and reason.
func (c *Conn) Close(code uint64, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail(&CloseError{Code: code, Reason: reason}, true)
}

// fail ends the connection. tell sends the peer a close frame.
func (c *Conn) fail(err error, tell bool) {
	if c.err != nil {
		return
	}
	c.err = err
	if tell {
		var closed *CloseError
		if !errors.As(err, &closed) {
			closed = &CloseError{Code: CodeProtocol, Reason: err.Error()}
		}
		reason := closed.Reason[:min(len(closed.Reason), 200)]
		c.closing = wire.AppendBytes(nil, wire.Close, []byte(reason), closed.Code)
	}
	for _, s := range c.streams {
		s.fail()
	}
	c.openCond.Broadcast()
	c.inboxCond.Broadcast()
	close(c.done)
	c.wakeUp()
}

// wakeUp lets pump look for something to send.
func (c *Conn) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// await waits on cond, whose lock is mu, until ready says true, the connection is over or ctx ends.
func (c *Conn) await(ctx context.Context, cond *sync.Cond, ready func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		cond.Broadcast()
	})
	defer stop()
	for !ready() {
		switch {
		case c.err != nil:
			return c.err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		cond.Wait()
	}
	return nil
}

// OpenStream opens a stream; it waits while the peer allows no more.
func (c *Conn) OpenStream(ctx context.Context) (*Stream, error) { return c.openStream(ctx, false) }

func (c *Conn) openStream(ctx context.Context, early bool) (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.await(ctx, c.openCond, func() bool {
		return c.err == nil && c.opened < c.openMax && (c.confirmed || early && c.dialed && c.key() != nil)
	}); err != nil {
		return nil, err
	}
	id := c.opened << 1
	if !c.dialed {
		id |= 1
	}
	c.opened++
	s := newStream(c, id)
	c.streams[id] = s
	return s, nil
}

// AcceptStream waits for a stream that the peer opens.
func (c *Conn) AcceptStream(ctx context.Context) (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.await(ctx, c.openCond, func() bool { return len(c.accepts) > 0 }); err != nil {
		return nil, err
	}
	s := c.accepts[0]
	c.accepts = c.accepts[1:]
	return s, nil
}

// stream finds the stream of a frame; nil if it is over. A new one of the peer's opens all before it (RFC 9000 §3.2).
func (c *Conn) stream(id uint64) (*Stream, error) {
	if s := c.streams[id]; s != nil {
		return s, nil
	}
	n := id >> 1
	if (id&1 == 0) == c.dialed {
		if n >= c.opened {
			return nil, fmt.Errorf("frame for stream %d, which isn't open", id)
		}
		return nil, nil
	}
	if n < c.taken {
		return nil, nil
	}
	if n >= c.takenMax {
		return nil, fmt.Errorf("the peer opened stream %d, %d are allowed", n, c.takenMax)
	}
	if len(c.accepts) > 2*c.endpoint.options.StreamsMax {
		// A stream that was broken off makes room for another one before anybody has taken it.
		return nil, errors.New("the peer opens and breaks off streams faster than they are taken")
	}
	for ; c.taken <= n; c.taken++ {
		s := newStream(c, c.taken<<1|id&1)
		c.streams[s.id] = s
		c.accepts = append(c.accepts, s)
	}
	c.openCond.Broadcast()
	return c.streams[id], nil
}

// forget takes a stream off the table; one of the peer's makes room for another.
func (c *Conn) forget(s *Stream) {
	if c.streams[s.id] != s {
		return
	}
	delete(c.streams, s.id)
	s.out.buffer.Free()
	s.in.buffer.Free()
	if (s.id&1 == 0) != c.dialed {
		c.takenMax++
		c.raiseCount = true
		c.wakeUp()
	}
}

// SendDatagram sends b once: it arrives whole, or not at all, in any order. It is dropped where too many wait.
func (c *Conn) SendDatagram(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if most := c.primary.size.Size - overhead - 9; len(b) > most {
		return fmt.Errorf("datagram of %d bytes: this path takes %d", len(b), most)
	}
	if len(c.outbox) < datagramsMax {
		c.outbox = append(c.outbox, append([]byte(nil), b...))
		c.wakeUp()
	}
	return nil
}

// ReceiveDatagram waits for a datagram.
func (c *Conn) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.await(ctx, c.inboxCond, func() bool { return len(c.inbox) > 0 }); err != nil {
		return nil, err
	}
	b := c.inbox[0]
	c.inbox = c.inbox[1:]
	return b, nil
}

// control queues a frame that must arrive.
func (c *Conn) control(frame []byte) {
	if len(c.frames) >= controlMax {
		c.fail(&CloseError{Code: CodeBusy, Reason: "too many control frames wait"}, true)
		return
	}
	c.frames = append(c.frames, frame)
	c.wakeUp()
}

// activate puts a stream that has something to send on its list.
func (c *Conn) activate(s *Stream) {
	if !s.out.queued && s.ready() {
		s.out.queued = true
		c.active[s.priority] = append(c.active[s.priority], s)
	}
}

// sendRoom is how many bytes a Write may leave with us now: enough to keep the paths full, and no more.
func (c *Conn) sendRoom(s *Stream) int {
	keep := sendBufferMin
	for _, p := range c.paths {
		if p != nil && p.usable() {
			keep += 8 * p.controller.Window() // what is lost twice holds up round trips of what comes behind it
		}
	}
	waiting := int(s.out.written - s.out.acked)
	return max(min(keep, c.endpoint.options.SendBufferMax)-waiting, 0)
}

// consumed is told that a reader took n bytes: the peer may send more. Windows grow when they, and not the path, seem to be what slows the
// peer down: half a window in less than two round trips, or nearly all of one used while a gap was waited for.
func (c *Conn) consumed(s *Stream, n int) {
	now := time.Now()
	c.used += uint64(n)
	if spans.Grow(&c.window, &c.windowTime, &c.gotLimit, c.used, c.got, c.round(), now, c.endpoint.options.WindowMax) {
		c.raiseAll = true
		c.wakeUp()
	}
	in := &s.in
	if !in.known && spans.Grow(&in.window, &in.updated, &in.limit, in.read, in.highest, c.round(), now, c.endpoint.options.StreamWindowMax) && !in.stopped {
		c.raised = append(c.raised, s)
		c.wakeUp()
	}
}

// round is the smoothed round trip of the primary path.
func (c *Conn) round() time.Duration {
	if r := c.primary.track.RTT.Smoothed; r > 0 {
		return r
	}
	return 100 * time.Millisecond
}

// Stats returns the counts until now.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	for _, p := range c.paths {
		if p != nil {
			s.Lost += p.track.Lost
			s.Spurious += p.track.Spurious
		}
	}
	return s
}

// frame is what a packet carried that matters when it is lost.
type frame struct {
	stream     *Stream
	start, end uint64
	fin        bool
	control    []byte  // must be sent again
	raised     *Stream // its limit must be sent again
	raiseAll   bool
	raiseCount bool
}

// cargo is the frames of one packet.
type cargo = loss.Few[frame]

func (c *Conn) packetArrived(p *loss.Packet[cargo]) {
	p.Frames.Each(func(f *frame) {
		if f.stream != nil {
			f.stream.arrived(f.start, f.end, f.fin)
		}
		if f.control != nil {
			c.told(f.control)
		}
	})
}

func (c *Conn) packetLost(p *loss.Packet[cargo]) {
	p.Frames.Each(c.again)
}

// again queues what a packet carried once more.
func (c *Conn) again(f *frame) {
	switch {
	case f.stream != nil:
		f.stream.wasLost(f.start, f.end, f.fin)
	case f.control != nil:
		c.control(f.control)
	case f.raised != nil:
		c.raised = append(c.raised, f.raised)
	case f.raiseAll:
		c.raiseAll = true
	case f.raiseCount:
		c.raiseCount = true
	}
}

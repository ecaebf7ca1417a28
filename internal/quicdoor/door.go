package quicdoor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// Door is a UDP socket of HTTP/3. One goroutine reads it, which is quic-go's; all else may be called at any time.
type Door struct {
	*net.UDPConn // quic-go writes to it as it is
	*signer

	batch  *ipv4.PacketConn // reads the socket
	buffer []byte           // of the goroutine that reads
	recent recent           // of the goroutine that reads
	said   bool             // that we are away; of the goroutine that reads

	leaving atomic.Bool
	away    atomic.Bool // the next program reads the socket
	next    atomic.Pointer[peer]

	mu    sync.Mutex // held while deadlines are set
	ended bool       // quic-go doesn't read any more

	former atomic.Pointer[former] // until it is gone
}

// former is the program before this one.
type former struct {
	*peer
	*signer // of its connection IDs; nil: it hasn't said
	// Of the goroutine that reads: whether it may have packets for us, and until when that is believed if it doesn't say that it is away.
	queued bool
	until  time.Time
}

var (
	_ quic.OOBCapablePacketConn  = (*Door)(nil)
	_ quic.ConnectionIDGenerator = (*Door)(nil)
)

// New makes a door of a socket.
func New(socket *net.UDPConn) *Door {
	return &Door{UDPConn: socket, signer: randomSigner(), batch: ipv4.NewPacketConn(socket), buffer: make([]byte, passedMax)}
}

// Inherit makes a door of a socket that another program reads, with what that has given by Successor; the door closes it.
func Inherit(socket *net.UDPConn, from net.PacketConn) (*Door, error) {
	d := New(socket)
	u, ok := from.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("a %T isn't what the former program passes packets through", from)
	}
	p, err := newPeer(u)
	if err != nil {
		return nil, err
	}
	f := &former{peer: p, queued: true, until: time.Now().Add(queuedMax)}
	if m, ok := p.receive(d.buffer); ok {
		f.signer, _ = parseHello(m)
	}
	d.former.Store(f)
	return d, nil
}

const (
	// queuedEvery is how often a program that doesn't have the socket alone yet looks what the other one has passed on.
	queuedEvery = 5 * time.Millisecond
	queuedMax   = time.Minute
)

// Close closes the socket, and the ways to other programs.
func (d *Door) Close() error {
	d.Stay()
	d.alone()
	return d.UDPConn.Close()
}

// passBufferBytes is how much may wait for the next program: some hundred first packets of connections.
const passBufferBytes = 1 << 20

// Successor begins to hand over: what it returns is for the next program, and to be closed when that has it.
func (d *Door) Successor() (net.PacketConn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	var ends [2]*net.UnixConn
	var errs []error
	for i, fd := range fds {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, passBufferBytes) // the system may grant less
		f := os.NewFile(uintptr(fd), "quic")
		c, err := net.FilePacketConn(f)
		ends[i], _ = c.(*net.UnixConn)
		errs = append(errs, err, f.Close())
	}
	var ours *peer
	if err = errors.Join(errs...); err == nil {
		ours, err = newPeer(ends[0])
	}
	if err != nil {
		for _, c := range ends {
			if c != nil {
				_ = c.Close()
			}
		}
		return nil, fmt.Errorf("a way for packets to the next program: %w", err)
	}
	ours.send(appendHello(nil, d.signer))
	d.Stay()
	d.next.Store(ours)
	return ends[1], nil
}

// Stay takes Successor back: there won't be a next program.
func (d *Door) Stay() {
	if p := d.next.Swap(nil); p != nil {
		_ = p.conn.Close()
	}
}

// alone forgets the former program.
func (d *Door) alone() {
	if f := d.former.Swap(nil); f != nil {
		_ = f.conn.Close()
	}
}

// Leave takes no new connections from now on: what begins one goes to the next program, if there is one.
func (d *Door) Leave() { d.leaving.Store(true) }

// Away leaves the socket to the next program, which serves now, and passes back what is ours. Leave comes before.
func (d *Door) Away() {
	if d.next.Load() == nil {
		return
	}
	d.away.Store(true)
	d.wakeAt(time.Unix(1, 0))
}

// wakeAt ends the reading of the socket for a moment, unless quic-go has ended it altogether.
func (d *Door) wakeAt(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ended {
		_ = d.UDPConn.SetReadDeadline(t)
	}
}

// SetReadDeadline is how quic-go ends its reading.
func (d *Door) SetReadDeadline(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = !t.IsZero()
	if p := d.next.Load(); p != nil {
		_ = p.conn.SetReadDeadline(t)
	}
	return d.UDPConn.SetReadDeadline(t)
}

// ReadBatch implements what quic-go reads packets by.
func (d *Door) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	for {
		if d.away.Load() {
			return d.readPassed(ms)
		}
		if f := d.former.Load(); f != nil && f.queued {
			now := time.Now()
			n, away := d.take(f.peer, ms)
			if f.queued = !away && now.Before(f.until); f.queued {
				d.wakeAt(now.Add(queuedEvery))
			} else {
				d.wakeAt(time.Time{})
			}
			if n > 0 {
				return n, nil
			}
			if d.away.Load() { // set after we looked: its wake may be lost
				continue
			}
		}
		n, err := d.batch.ReadBatch(ms, flags)
		if errors.Is(err, os.ErrDeadlineExceeded) && !d.hasEnded() {
			continue
		}
		if err != nil || n == 0 {
			return n, err
		}
		if n = d.sort(ms[:n]); n > 0 {
			return n, nil
		}
	}
}

func (d *Door) hasEnded() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ended
}

// readPassed waits for what the next program passes back.
func (d *Door) readPassed(ms []ipv4.Message) (int, error) {
	next := d.next.Load()
	if next == nil {
		return 0, net.ErrClosed
	}
	if !d.said {
		d.said = true
		next.send([]byte(awayMessage)) // behind all that was read and passed
	}
	for {
		size, err := next.conn.Read(d.buffer)
		if err != nil {
			return 0, err
		}
		var p passed
		if p.parse(d.buffer[:size]) && p.fill(&ms[0]) {
			n, _ := d.take(next, ms[1:])
			n++
			if f := d.former.Load(); f != nil {
				n = d.pick(ms[:n], func(m *ipv4.Message, packet []byte) bool { return d.made(destination(packet)) || !d.passBack(m, f) })
			}
			if n > 0 {
				return n, nil
			}
		}
	}
}

// take fills ms with what another program has passed to us, and says whether that was all.
func (d *Door) take(from *peer, ms []ipv4.Message) (n int, away bool) {
	for n < len(ms) {
		m, ok := from.receive(d.buffer)
		if !ok || string(m) == awayMessage {
			return n, ok
		}
		var p passed
		if p.parse(m) && p.fill(&ms[n]) {
			n++
		}
	}
	return n, false
}

// fill makes a message of quic-go's of a packet.
func (p *passed) fill(m *ipv4.Message) bool {
	if len(p.packet) > len(m.Buffers[0]) || len(p.control) > cap(m.OOB) {
		return false
	}
	m.N, m.NN = copy(m.Buffers[0], p.packet), copy(m.OOB[:cap(m.OOB)], p.control)
	m.OOB, m.Addr, m.Flags = m.OOB[:cap(m.OOB)], net.UDPAddrFromAddrPort(p.from), 0
	return true
}

// sort leaves our packets in front, and returns how many those are. Others are passed on.
func (d *Door) sort(ms []ipv4.Message) int {
	leaving, former := d.leaving.Load(), d.former.Load()
	return d.pick(ms, func(m *ipv4.Message, packet []byte) bool {
		return former == nil && !leaving && !longHeader(packet) || d.ours(m, packet, former, leaving)
	})
}

// pick leaves the packets in front that are ours.
func (d *Door) pick(ms []ipv4.Message, ours func(m *ipv4.Message, packet []byte) bool) (n int) {
	for i := range ms {
		m := &ms[i]
		packet := m.Buffers[0][:m.N]
		if ours(m, packet) {
			// The buffers have to stay where they are: quic-go knows them by their places.
			if n != i {
				to := &ms[n]
				to.N, to.NN, to.Addr, to.Flags = copy(to.Buffers[0], packet), copy(to.OOB, m.OOB[:m.NN]), m.Addr, m.Flags
			}
			n++
		}
	}
	return n
}

// ours says whether a packet is of a connection that we have, had or shall have. What is another program's is passed on.
func (d *Door) ours(m *ipv4.Message, packet []byte, former *former, leaving bool) bool {
	id := destination(packet)
	switch {
	case d.made(id):
		return true
	case former != nil && (!longHeader(packet) || former.signer != nil && former.made(id)):
		return !d.passBack(m, former) // one that isn't its own either may be of a program before it
	case !longHeader(packet):
		if leaving {
			d.passOn(m)
		}
		return !leaving
	case d.recent.has(id):
		return true
	case leaving:
		d.passOn(m)
		return false
	}
	if len(id) > 0 && len(id) <= idMax { // in case that we leave before the client knows an ID of ours
		d.recent.add(id)
	}
	return true
}

// passBack passes a packet to the former program. If that is gone, and its connections with it, it returns false: quic-go tells their clients.
func (d *Door) passBack(m *ipv4.Message, to *former) bool {
	if to.pass(m, d.buffer) {
		return true
	}
	d.alone()
	return false
}

// passOn passes a packet on to the next program, if there is one.
func (d *Door) passOn(m *ipv4.Message) {
	if to := d.next.Load(); to != nil {
		to.pass(m, d.buffer)
	}
}

// recent are the IDs by which the latest connections began.
type recent struct {
	ids [recentMax]struct {
		size byte
		id   [idMax]byte
	}
	at int
}

const recentMax = 256

func (r *recent) add(id []byte) {
	to := &r.ids[r.at]
	to.size = byte(copy(to.id[:], id))
	r.at = (r.at + 1) % recentMax
}

func (r *recent) has(id []byte) bool {
	for i := range r.ids {
		if known := &r.ids[i]; len(id) > 0 && int(known.size) == len(id) && string(known.id[:known.size]) == string(id) {
			return true
		}
	}
	return false
}

// peer is another program, through one end of a pair of sockets. Nothing waits for it.
type peer struct {
	conn *net.UnixConn
	raw  syscall.RawConn
}

func newPeer(c *net.UnixConn) (*peer, error) {
	raw, err := c.SyscallConn()
	return &peer{c, raw}, err
}

// pass passes a packet on. It returns false if the other program is gone.
func (p *peer) pass(m *ipv4.Message, buffer []byte) bool {
	from, ok := m.Addr.(*net.UDPAddr)
	if !ok {
		return true
	}
	packet := passed{from.AddrPort(), m.OOB[:m.NN], m.Buffers[0][:m.N]}
	out := packet.append(buffer[:0])
	return len(out) == 0 || p.send(out)
}

// send sends a message, or drops it where the system keeps no more of them. It returns false if the other end is gone.
func (p *peer) send(m []byte) bool {
	var sent error
	err := p.raw.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), m, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
		return true
	})
	return err == nil && !errors.Is(sent, unix.ECONNREFUSED) && !errors.Is(sent, unix.ENOTCONN) && !errors.Is(sent, unix.EPIPE)
}

// receive returns a message if one is there.
func (p *peer) receive(buffer []byte) (m []byte, ok bool) {
	n := -1
	err := p.raw.Read(func(fd uintptr) bool {
		n, _, _ = unix.Recvfrom(int(fd), buffer, unix.MSG_DONTWAIT)
		return true
	})
	if err != nil || n <= 0 {
		return nil, false
	}
	return buffer[:n], true
}

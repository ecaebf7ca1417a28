package quicdoor

import (
	"errors"
	"fmt"
	"net"
	"os"
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

	leaving atomic.Bool
	away    atomic.Bool // the next program reads the socket
	ended   atomic.Bool // quic-go doesn't read any more
	next    atomic.Pointer[peer]

	former atomic.Pointer[former] // until it is gone
}

// former is the program before this one.
type former struct {
	*peer
	*signer      // of its connection IDs; nil: it hasn't said
	queued  bool // it may have left packets for us; of the goroutine that reads
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
	f := &former{peer: p, queued: true}
	if m, ok := p.receive(d.buffer); ok {
		f.signer, _ = parseHello(m)
	}
	d.former.Store(f)
	return d, nil
}

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
	_ = d.UDPConn.SetReadDeadline(time.Unix(1, 0)) // wakes who reads; quic-go has none of its own but to end
}

// SetReadDeadline is how quic-go ends its reading.
func (d *Door) SetReadDeadline(t time.Time) error {
	d.ended.Store(!t.IsZero())
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
			if n := d.take(f.peer, ms); n > 0 {
				return n, nil
			}
			f.queued = false
		}
		n, err := d.batch.ReadBatch(ms, flags)
		if errors.Is(err, os.ErrDeadlineExceeded) && d.away.Load() && !d.ended.Load() {
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

// readPassed waits for what the next program passes back.
func (d *Door) readPassed(ms []ipv4.Message) (int, error) {
	next := d.next.Load()
	if next == nil {
		return 0, net.ErrClosed
	}
	for {
		size, err := next.conn.Read(d.buffer)
		if err != nil {
			return 0, err
		}
		var p passed
		if p.parse(d.buffer[:size]) && p.fill(&ms[0]) {
			return 1 + d.take(next, ms[1:]), nil
		}
	}
}

// take fills ms with what another program has passed to us.
func (d *Door) take(from *peer, ms []ipv4.Message) (n int) {
	for n < len(ms) {
		m, ok := from.receive(d.buffer)
		if !ok {
			return n
		}
		var p passed
		if p.parse(m) && p.fill(&ms[n]) {
			n++
		}
	}
	return n
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
func (d *Door) sort(ms []ipv4.Message) (n int) {
	leaving, former := d.leaving.Load(), d.former.Load()
	for i := range ms {
		m := &ms[i]
		packet := m.Buffers[0][:m.N]
		if former == nil && !leaving && !longHeader(packet) || d.ours(m, packet, former, leaving) {
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
	case former != nil && former.signer != nil && former.made(id):
		if former.pass(m, d.buffer) {
			return false
		}
		d.alone() // it is gone, and its connections with it: quic-go tells their clients
		return true
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

package quicdoor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"

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
	next    atomic.Pointer[peer]

	queue *peer // of the goroutine that reads; what the former program has left, until it is empty
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
	var err error
	d.queue, err = newPeer(u)
	return d, err
}

// Close closes the socket, and the way to another program.
func (d *Door) Close() error {
	d.Stay()
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

// Leave takes no new connections from now on: what begins one goes to the next program, if there is one.
func (d *Door) Leave() { d.leaving.Store(true) }

// ReadBatch implements what quic-go reads packets by.
func (d *Door) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	for {
		if d.queue != nil {
			if n := d.takeQueued(ms); n > 0 {
				return n, nil
			}
			_ = d.queue.conn.Close()
			d.queue = nil
		}
		n, err := d.batch.ReadBatch(ms, flags)
		if err != nil || n == 0 {
			return n, err
		}
		if n = d.sort(ms[:n]); n > 0 {
			return n, nil
		}
	}
}

// takeQueued fills ms with what the former program has passed on.
func (d *Door) takeQueued(ms []ipv4.Message) (n int) {
	for n < len(ms) {
		m, ok := d.queue.receive(d.buffer)
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
	leaving := d.leaving.Load()
	for i := range ms {
		m := &ms[i]
		packet := m.Buffers[0][:m.N]
		if !leaving {
			if longHeader(packet) {
				d.note(packet)
			}
			continue
		}
		if d.ours(packet) {
			// The buffers have to stay where they are: quic-go knows them by their places.
			if n != i {
				to := &ms[n]
				to.N, to.NN, to.Addr, to.Flags = copy(to.Buffers[0], packet), copy(to.OOB, m.OOB[:m.NN]), m.Addr, m.Flags
			}
			n++
			continue
		}
		d.pass(m)
	}
	if !leaving {
		return len(ms)
	}
	return n
}

// ours says, while we leave, whether a packet is of a connection that we have or had.
func (d *Door) ours(packet []byte) bool {
	id := destination(packet)
	return d.made(id) || longHeader(packet) && d.recent.has(id)
}

// note remembers what begins a connection, for the case that we leave before it knows our ID.
func (d *Door) note(packet []byte) {
	if id := destination(packet); len(id) > 0 && len(id) <= idMax && !d.made(id) {
		d.recent.add(id)
	}
}

// pass passes a packet on to the next program.
func (d *Door) pass(m *ipv4.Message) {
	to := d.next.Load()
	from, ok := m.Addr.(*net.UDPAddr)
	if to == nil || !ok {
		return
	}
	p := passed{from.AddrPort(), m.OOB[:m.NN], m.Buffers[0][:m.N]}
	if out := p.append(d.buffer[:0]); len(out) > 0 {
		to.send(out)
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
	if r.has(id) {
		return
	}
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

// send sends a message, or drops it where the other end is full or gone.
func (p *peer) send(m []byte) {
	_ = p.raw.Write(func(fd uintptr) bool {
		_ = unix.Sendto(int(fd), m, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
		return true
	})
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

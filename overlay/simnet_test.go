package overlay

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/internal/simnet"
	"github.com/wherry/wherry/overlay/seal"
	"github.com/wherry/wherry/overlay/wire"
)

// hosts are alice, bob and carol on a network in memory.
type hosts struct {
	net               *simnet.Network
	alice, bob, carol *simnet.Host
}

func newHosts(link simnet.Link) *hosts {
	n := simnet.New(simnet.Options{Seed: 7})
	h := &hosts{net: n}
	h.alice = n.Host("alice", netip.MustParseAddr("192.0.2.1"))
	h.bob = n.Host("bob", netip.MustParseAddr("192.0.2.2"))
	h.carol = n.Host("carol", netip.MustParseAddr("192.0.2.3"))
	n.SetLink(h.alice, h.bob, link)
	n.SetLink(h.alice, h.carol, link)
	n.SetLink(h.carol, h.bob, link)
	return h
}

func listen(t testing.TB, h *simnet.Host) net.PacketConn {
	t.Helper()
	return must(h.ListenPacket("udp", ":4000"))
}

func at(h *simnet.Host) netip.AddrPort { return netip.AddrPortFrom(h.Addrs()[0], 4000) }

func dial(t testing.TB, a, b *Endpoint, to *simnet.Host) (client, server *Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client, err := a.Dial(ctx, at(to), to.Name())
	if err != nil {
		t.Fatal(err)
	}
	if server, err = b.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// rough is a socket whose packets are copied, damaged and held back at random.
type rough struct {
	net.PacketConn
	mu                    sync.Mutex
	random                *rand.Rand
	copied, damaged, late float64
}

func (r *rough) WriteTo(b []byte, a net.Addr) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.random.Float64() < r.damaged {
		bad := bytes.Clone(b)
		bad[r.random.IntN(len(bad))] ^= 1 << r.random.IntN(8)
		return r.PacketConn.WriteTo(bad, a)
	}
	if r.random.Float64() < r.copied {
		_, _ = r.PacketConn.WriteTo(b, a)
	}
	if r.random.Float64() < r.late {
		held := bytes.Clone(b)
		time.AfterFunc(time.Duration(r.random.IntN(80))*time.Millisecond, func() { _, _ = r.PacketConn.WriteTo(held, a) })
		return len(b), nil
	}
	return r.PacketConn.WriteTo(b, a)
}

// exchange sends n bytes on each of some streams both ways at once, and checks them.
func exchange(t *testing.T, client, server *Conn, streams, n int) {
	t.Helper()
	var all sync.WaitGroup
	check := func(s *Stream, from byte, err error) {
		if err != nil {
			t.Error(err)
			return
		}
		got, err := io.ReadAll(s)
		if want := pattern(n, from+byte(s.ID()>>1)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("stream %d: %d bytes, equal %v, %v", s.ID(), len(got), bytes.Equal(got, want), err)
		}
	}
	write := func(s *Stream, from byte) {
		if _, err := s.Write(pattern(n, from+byte(s.ID()>>1))); err != nil {
			t.Errorf("stream %d: %v", s.ID(), err)
		}
		_ = s.CloseWrite()
	}
	for range streams {
		all.Go(func() {
			s, err := client.OpenStream(context.Background())
			if err != nil {
				t.Error(err)
				return
			}
			all.Go(func() { write(s, 1) })
			check(s, 100, nil)
		})
		all.Go(func() {
			s, err := server.AcceptStream(context.Background())
			if err != nil {
				t.Error(err)
				return
			}
			all.Go(func() { write(s, 100) })
			check(s, 1, err)
		})
	}
	all.Wait()
	for name, c := range map[string]*Conn{"client": client, "server": server} {
		c.mu.Lock()
		for end := time.Now().Add(2 * time.Minute); len(c.streams) > 0 && time.Now().Before(end); {
			// The last acknowledgements are on their way, and may be lost several times.
			c.mu.Unlock()
			time.Sleep(time.Second)
			c.mu.Lock()
		}
		if len(c.streams) != 0 {
			t.Errorf("%s: %d streams are left", name, len(c.streams))
		}
		c.mu.Unlock()
	}
}

func TestEveryByteArrivesOnceOnRoughNetworks(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		link                  simnet.Link
		copied, damaged, late float64
	}{
		{name: "perfect", link: simnet.Link{Latency: 10 * time.Millisecond}},
		{name: "5 % lost", link: simnet.Link{Latency: 20 * time.Millisecond, Loss: 0.05}},
		{name: "30 % lost", link: simnet.Link{Latency: 5 * time.Millisecond, Loss: 0.3}},
		{name: "jitter", link: simnet.Link{Latency: 20 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.01}},
		{name: "slow with a short queue", link: simnet.Link{Latency: 20 * time.Millisecond, RateBytesPerSecond: 500_000, QueueBytes: 20_000}},
		{name: "small packets only", link: simnet.Link{Latency: 20 * time.Millisecond, MTUBytes: 1280}},
		{name: "copied, damaged and late", link: simnet.Link{Latency: 10 * time.Millisecond, Loss: 0.02}, copied: 0.1, damaged: 0.05, late: 0.1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHosts(tt.link)
				wrap := func(c net.PacketConn, seed uint64) net.PacketConn {
					return &rough{PacketConn: c, random: rand.New(rand.NewPCG(seed, 1)), copied: tt.copied, damaged: tt.damaged, late: tt.late}
				}
				a := run(t, wrap(listen(t, h.alice), 1), options("alice"))
				b := run(t, wrap(listen(t, h.bob), 2), options("bob"))
				client, server := dial(t, a, b, h.bob)
				exchange(t, client, server, 5, 200_000)
				t.Logf("%+v", client.Stats())
			})
		})
	}
}

func TestAPathIsFilled(t *testing.T) {
	for _, loss := range []float64{0, 0.001, 0.01, 0.05} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// 100 Mbit/s, 100 ms, a queue of the product of both.
				h := newHosts(simnet.Link{Latency: 50 * time.Millisecond, RateBytesPerSecond: 12_500_000, QueueBytes: 1_250_000, Loss: loss})
				h.net.SetPath(h.bob, h.alice, simnet.Link{Latency: 50 * time.Millisecond})
				a, b := run(t, listen(t, h.alice), options("alice")), run(t, listen(t, h.bob), options("bob"))
				client, server := dial(t, a, b, h.bob)
				began := time.Now()
				const n = 60 << 20
				s, _ := client.OpenStream(context.Background())
				go func() {
					_, _ = s.Write(make([]byte, n))
					_ = s.CloseWrite()
				}()
				r, _ := server.AcceptStream(context.Background())
				got, err := io.Copy(io.Discard, r)
				if err != nil || got != n {
					t.Fatalf("%d bytes, %v", got, err)
				}
				took := time.Since(began)
				share := float64(n) / took.Seconds() / 12_500_000
				t.Logf("%.1f%% of the link, %+v %+v", 100*share, client.Stats(), client.Paths())
				if share < 0.6 {
					t.Errorf("%.0f%% of the link was used", 100*share)
				}
			})
		})
	}
}

func TestADeadPeerIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(simnet.Link{Latency: 10 * time.Millisecond})
		a, b := run(t, listen(t, h.alice), options("alice")), run(t, listen(t, h.bob), options("bob"))
		client, _ := dial(t, a, b, h.bob)
		h.bob.Blackhole()
		began := time.Now()
		<-client.Done()
		if !errors.Is(client.Err(), ErrIdle) || time.Since(began) > 31*time.Second {
			t.Errorf("%v after %v", client.Err(), time.Since(began))
		}
	})
}

func TestNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(simnet.Link{Latency: 10 * time.Millisecond})
		a := run(t, listen(t, h.alice), options("alice"))
		began := time.Now()
		_, err := a.Dial(context.Background(), at(h.bob), "bob")
		if !errors.Is(err, errHandshakeTime) || time.Since(began) > 11*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// Who gives up a handshake says so once, and is gone.
func TestADialIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(simnet.Link{Latency: 10 * time.Millisecond})
		a := run(t, listen(t, h.alice), options("alice"))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := a.Dial(ctx, at(h.bob), "bob"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial: %v", err)
		}
		time.Sleep(time.Second)
		a.mu.RLock()
		defer a.mu.RUnlock()
		if len(a.conns) != 0 {
			t.Errorf("%d connections are left", len(a.conns))
		}
	})
}

// A path dies under load: what was on its way leaves on another one, and nothing is lost or doubled.
func TestADeadPathHandsOverWithinThreeRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(simnet.Link{Latency: 50 * time.Millisecond, RateBytesPerSecond: 2_500_000, QueueBytes: 250_000})
		h.net.SetLink(h.alice, h.carol, simnet.Link{Latency: 30 * time.Millisecond, RateBytesPerSecond: 2_500_000, QueueBytes: 250_000})
		h.net.SetLink(h.carol, h.bob, simnet.Link{Latency: 30 * time.Millisecond, RateBytesPerSecond: 2_500_000, QueueBytes: 250_000})
		oc := options("carol")
		oc.Forward = func(from, to string) (netip.AddrPort, error) { return at(h.bob), nil }
		a, b := run(t, listen(t, h.alice), options("alice")), run(t, listen(t, h.bob), options("bob"))
		c := run(t, listen(t, h.carol), oc)
		client, server := dial(t, a, b, h.bob)
		helper, _ := dial(t, a, c, h.carol)
		label, err := helper.OpenRoute(context.Background(), "bob")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.AddPath(context.Background(), at(h.carol), label); err != nil {
			t.Fatal(err)
		}
		const n = 20 << 20
		want := pattern(n, 5)
		s, _ := client.OpenStream(context.Background())
		go func() {
			_, _ = s.Write(want)
			_ = s.CloseWrite()
		}()
		r, _ := server.AcceptStream(context.Background())
		got := make([]byte, 0, n)
		buffer := make([]byte, 64<<10)
		var longest, round time.Duration
		last, cut := time.Now(), false
		for {
			k, err := r.Read(buffer)
			got = append(got, buffer[:k]...)
			if cut {
				longest = max(longest, time.Since(last))
			}
			last = time.Now()
			if !cut && len(got) > n/3 {
				h.net.Cut(h.alice, h.bob)
				round = client.Paths()[0].Smoothed
				cut = true
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatal("other bytes came than were sent")
		}
		if longest > 3*round {
			t.Errorf("the longest silence was %v, more than three round trips of %v", longest, round)
		}
		forwarded, _ := c.Forwarded()
		t.Logf("longest silence %v, %d bytes forwarded, %+v", longest, forwarded, client.Paths())
	})
}

// What a client sends to a node that was started anew is answered with a reset, so that nobody waits for the idle timeout.
func TestARestartIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(simnet.Link{Latency: 10 * time.Millisecond})
		o := options("bob")
		o.Secret = []byte("kept on disk")
		a := run(t, listen(t, h.alice), options("alice"))
		e := must(New(listen(t, h.bob), o))
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		synctest.Wait()
		client, _ := dial(t, a, e, h.bob)
		h.bob.Blackhole() // so that its farewell doesn't arrive
		cancel()
		<-done
		h.bob.Heal()
		run(t, listen(t, h.bob), o)
		s, _ := client.OpenStream(context.Background())
		began := time.Now()
		_, _ = s.Write([]byte("hello?"))
		<-client.Done()
		if !errors.Is(client.Err(), ErrReset) || time.Since(began) > time.Second {
			t.Errorf("%v after %v", client.Err(), time.Since(began))
		}
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, ErrReset) {
			t.Errorf("Read: %v", err)
		}
	})
}

// A peer whose address changes under way, as behind a NAT that forgot it, keeps its connection.
func TestAConnectionSurvivesAnotherAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(simnet.Link{Latency: 10 * time.Millisecond, Loss: 0.01})
		moving := newMovable(listen(t, h.alice), must(h.alice.ListenPacket("udp", ":4001")))
		a, b := run(t, moving, options("alice")), run(t, listen(t, h.bob), options("bob"))
		client, server := dial(t, a, b, h.bob)
		s, _ := client.OpenStream(context.Background())
		want := pattern(5<<20, 3)
		go func() {
			_, _ = s.Write(want[:2<<20])
			moving.moved.Store(true)
			_, _ = s.Write(want[2<<20:])
			_ = s.CloseWrite()
		}()
		r, _ := server.AcceptStream(context.Background())
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
		}
		if server.RemoteAddr().Port() != 4001 {
			t.Errorf("the server still sends to %v", server.RemoteAddr())
		}
	})
}

// movable is a socket that sends from its second address once it was moved, and takes what comes to either.
type movable struct {
	net.PacketConn
	other net.PacketConn
	moved atomic.Bool
	came  chan arrival
	done  chan struct{}
	once  sync.Once
}

type arrival struct {
	bytes []byte
	from  net.Addr
}

func newMovable(first, other net.PacketConn) *movable {
	m := &movable{PacketConn: first, other: other, came: make(chan arrival, 1000), done: make(chan struct{})}
	for _, c := range []net.PacketConn{first, other} {
		go func() {
			b := make([]byte, 1<<16)
			for {
				n, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				select {
				case m.came <- arrival{bytes.Clone(b[:n]), from}:
				case <-m.done:
				}
			}
		}()
	}
	return m
}

func (m *movable) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case a := <-m.came:
		return copy(b, a.bytes), a.from, nil
	case <-m.done:
		return 0, nil, net.ErrClosed
	}
}

func (m *movable) Close() error {
	m.once.Do(func() { close(m.done) })
	return errors.Join(m.PacketConn.Close(), m.other.Close())
}

func (m *movable) WriteTo(b []byte, a net.Addr) (int, error) {
	if m.moved.Load() {
		return m.other.WriteTo(b, a)
	}
	return m.PacketConn.WriteTo(b, a)
}

// Who isn't let in is told why, and who trusts nobody on the way learns that too.
func TestStrangersAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(simnet.Link{Latency: 10 * time.Millisecond})
		o := options("bob")
		o.Admit = func(tls.ConnectionState) (string, error) { return "", errors.New("node alice was removed: join again") }
		a, _ := run(t, listen(t, h.alice), options("alice")), run(t, listen(t, h.bob), o)
		_, err := a.Dial(context.Background(), at(h.bob), "bob")
		var closed *CloseError
		if !errors.As(err, &closed) || closed.Code != CodeRefused || !closed.Remote || closed.Reason != "node alice was removed: join again" {
			t.Errorf("Dial: %v", err)
		}
		if _, err := a.Dial(context.Background(), at(h.bob), "mallory"); !errors.As(err, &closed) || closed.Code < CodeHandshake {
			t.Errorf("Dial to another name: %v", err)
		}
	})
}

// When many handshakes are under way, strangers must show that their address is their own, and who does is served.
func TestAFloodOfStrangersIsAskedForCookies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(simnet.Link{Latency: 10 * time.Millisecond})
		a, b := run(t, listen(t, h.alice), options("alice")), run(t, listen(t, h.bob), options("bob"))
		flood := must(h.carol.ListenPacket("udp", ":1"))
		for i := range 3000 {
			id := wire.ID(i + 1)
			key, _, _ := seal.Initial(id)
			p := (&wire.Header{Kind: wire.KindInitial, To: id, From: id}).Append(nil)
			p = append(p, make([]byte, packetMin-len(p)-wire.TagSize)...)
			var nonce [12]byte
			_, _ = flood.WriteTo(key.Seal(p, wire.LongSize, 0, 0, &nonce), net.UDPAddrFromAddrPort(at(h.bob)))
			if i%100 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		b.mu.RLock()
		half := b.halfOpen
		b.mu.RUnlock()
		if half > halfOpenFree {
			t.Errorf("%d half open connections for strangers", half)
		}
		client, server := dial(t, a, b, h.bob)
		exchange(t, client, server, 1, 1000)
	})
}

func TestDeadlinesAndResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(simnet.Link{Latency: 10 * time.Millisecond})
		a, b := run(t, listen(t, h.alice), options("alice")), run(t, listen(t, h.bob), options("bob"))
		client, server := dial(t, a, b, h.bob)
		s, _ := client.OpenStream(context.Background())
		_ = s.SetReadDeadline(time.Now().Add(time.Second))
		began := time.Now()
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("Read: %v after %v", err, time.Since(began))
		}
		_ = s.SetReadDeadline(time.Time{})
		_, _ = s.Write([]byte("x"))
		r, _ := server.AcceptStream(context.Background())
		r.Reset(42)
		var broken *StreamError
		if _, err := s.Read(make([]byte, 1)); !errors.As(err, &broken) || broken.Code != 42 {
			t.Errorf("Read: %v", err)
		}
		if _, err := s.Write([]byte("x")); !errors.As(err, &broken) || broken.Code != 42 {
			t.Errorf("Write: %v", err)
		}
		// A writer whose reader doesn't read waits, and holds a bounded heap.
		s, _ = client.OpenStream(context.Background())
		_ = s.SetWriteDeadline(time.Now().Add(10 * time.Second))
		n, err := s.Write(make([]byte, 100<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n > 64<<20 {
			t.Errorf("Write: %d bytes, %v", n, err)
		}
		s.Reset(1)
		r, _ = server.AcceptStream(context.Background())
		if _, err := io.Copy(io.Discard, r); !errors.As(err, &broken) || broken.Code != 1 {
			t.Errorf("Copy: %v", err)
		}
		exchange(t, client, server, 3, 100_000)
	})
}

func TestDatagramsGoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(simnet.Link{Latency: 10 * time.Millisecond})
		a, b := run(t, listen(t, h.alice), options("alice")), run(t, listen(t, h.bob), options("bob"))
		client, server := dial(t, a, b, h.bob)
		for i := range 10 {
			if err := client.SendDatagram([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 10 {
			if d, err := server.ReceiveDatagram(context.Background()); err != nil || d[0] != byte(i) {
				t.Fatalf("%v, %v", d, err)
			}
		}
		if err := client.SendDatagram(make([]byte, 20_000)); err == nil {
			t.Error("a datagram larger than a packet was taken")
		}
	})
}

// A peer that opens streams and breaks them off at once doesn't fill the memory of a node that is slow to take them.
func TestStreamsThatAreBrokenOffAtOnceAreBounded(t *testing.T) {
	o := options("alice")
	o.StreamsMax = 10
	e := must(New(must(newHosts(simnet.Link{}).alice.ListenPacket("udp", ":1")), o))
	c := must(e.newConn(false, remote{addr: netip.MustParseAddrPort("192.0.2.9:1")}))
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := range uint64(1000) {
		s, err := c.stream(n << 1)
		if err != nil {
			return
		}
		if _, err := s.broken(1, 0); err != nil {
			t.Fatal(err)
		}
		s.reset(1, &StreamError{1})
		c.frames = c.frames[:0]
		if len(c.accepts) > 30 {
			t.Fatalf("%d streams wait", len(c.accepts))
		}
	}
	t.Error("nothing stopped the peer")
}

// FuzzPackets gives an endpoint with a connection whatever comes; the connection goes on.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{0x90, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1})
	f.Add(wire.AppendReset(nil, 1, [16]byte{}))
	f.Add(wire.AppendRetry(nil, 1, 2, [32]byte{}))
	f.Add(append(wire.AppendEnvelope(nil, 3), 0x90))
	h := newHosts(simnet.Link{})
	a, b := run(f, listen(f, h.alice), options("alice")), run(f, listen(f, h.bob), options("bob"))
	_, server := dial(f, a, b, h.bob)
	outside := must(h.carol.ListenPacket("udp", ":1"))
	f.Fuzz(func(t *testing.T, p []byte) {
		_, _ = outside.WriteTo(p, net.UDPAddrFromAddrPort(at(h.bob)))
		if server.Err() != nil {
			t.Fatal(server.Err())
		}
	})
}

// FuzzFramesOfAPeer gives a connection frames that a peer with the right keys could send: it goes on, or ends with an error.
func FuzzFramesOfAPeer(f *testing.F) {
	f.Add(wire.AppendAck(nil, 0, 0, []wire.Range{{First: 0, Last: 0}}))
	f.Add(append(wire.AppendStream(nil, 1, 5, 3, true, false), "abc"...))
	f.Add(wire.AppendInts(nil, wire.Reset, 1, 2, 3))
	f.Add(wire.AppendInts(nil, wire.PathUse, 0, 1))
	f.Add(wire.AppendBytes(nil, wire.RouteOpen, []byte("bob"), 1))
	f.Add(wire.AppendInts(nil, wire.PathState, 0, 2, 1, 1000))
	f.Add(append(append(wire.AppendStream(nil, 1, 2, 2, true, false), "cd"...), wire.AppendBytes(nil, wire.Repair, []byte("xy"), 1, 0, 4, 0)...))
	o := options("alice")
	o.Forward = func(string, string) (netip.AddrPort, error) { return netip.MustParseAddrPort("192.0.2.9:1"), nil }
	e := must(New(must(newHosts(simnet.Link{}).alice.ListenPacket("udp", ":1")), o))
	f.Fuzz(func(t *testing.T, frames []byte) {
		c := must(e.newConn(false, remote{addr: netip.MustParseAddrPort("192.0.2.9:1")}))
		k := must(seal.New(tls.TLS_AES_128_GCM_SHA256, make([]byte, 32)))
		c.quic = tls.QUICServer(&tls.QUICConfig{TLSConfig: e.options.Server})
		c.peer = c.own
		c.sealer, c.primary.valid = k, true
		c.opener.Store(&openers{now: k, next: k})
		now := time.Now()
		b := newBatch()
		s := newStream(c, 1)
		c.opened, c.streams[1] = 1, s
		_, _ = s.Write([]byte("something that is on its way"))
		c.fill(now, b)
		c.process(now, []opened{{frames: frames, size: len(frames), from: c.primary.remote}}, 0)
		for range 5 {
			c.mu.Lock()
			c.expire(now)
			c.fill(now, b)
			c.mu.Unlock()
			now = now.Add(time.Second)
		}
	})
}

package overlay

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/internal/simnet"
	"github.com/wherry/wherry/overlay/seal"
	"github.com/wherry/wherry/overlay/wire"
)

// echo answers each stream of each connection with what came, and counts the streams.
func echo(t *testing.T, e *Endpoint) (answered func() int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := e.Accept(ctx)
			if err != nil {
				return
			}
			all.Go(func() {
				for {
					s, err := c.AcceptStream(ctx)
					if err != nil {
						return
					}
					all.Go(func() {
						b, err := io.ReadAll(s)
						if err != nil {
							return
						}
						mu.Lock()
						n++
						mu.Unlock()
						_, _ = s.Write(b)
						_ = s.CloseWrite()
					})
				}
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		all.Wait()
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// askEarly asks a node over a new connection, and returns how long the answer took.
func askEarly(t *testing.T, a *Endpoint, to *simnet.Host, question []byte) (*Conn, time.Duration) {
	t.Helper()
	began := time.Now()
	c, err := a.DialEarly(context.Background(), at(to), to.Name())
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.OpenEarly(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = s.Write(question)
		_ = s.CloseWrite()
	}()
	got, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(got, question) {
		t.Fatalf("%d bytes for %d, %v", len(got), len(question), err)
	}
	return c, time.Since(began)
}

// A node asks another one that it knows from before: the answer is there after one round trip, and not after two, or the three that Dial's take.
func TestAKnownPeerAnswersAfterOneRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(simnet.Link{Latency: 50 * time.Millisecond})
		oa := options("alice")
		a, b := run(t, listen(t, h.alice), oa), run(t, listen(t, h.bob), options("bob"))
		echo(t, b)
		first, took := askEarly(t, a, h.bob, []byte("hello"))
		if took < 200*time.Millisecond || took > 220*time.Millisecond {
			t.Errorf("the first answer of a stranger took %v, two round trips are 200 ms", took)
		}
		<-first.Established()
		time.Sleep(time.Second)
		first.Close(CodeDone, "")
		second, took := askEarly(t, a, h.bob, pattern(2000, 1))
		if took < 100*time.Millisecond || took > 115*time.Millisecond {
			t.Errorf("the answer of a known node took %v, a round trip is 100 ms", took)
		}
		<-second.Established()
		if s := second.Stats(); s.Early < 2 || s.EarlyRefused {
			t.Errorf("%+v", s)
		}
		if got, want := b.Handshakes(), (Handshakes{Full: 1, Resumed: 1, Early: 1}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		exchangeOver(t, second, 300_000)
	})
}

// exchangeOver sees that a connection to a node that echoes works.
func exchangeOver(t *testing.T, c *Conn, n int) {
	t.Helper()
	s, err := c.OpenStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := pattern(n, 8)
	go func() {
		_, _ = s.Write(want)
		_ = s.CloseWrite()
	}()
	if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes of %d, %v", len(got), n, err)
	}
}

// What isn't taken early arrives after the handshake, once: because the peer was started anew, the ticket was used, or the address is another.
func TestEarlyDataThatIsRefusedArrivesLater(t *testing.T) {
	for _, why := range []string{"restarted", "ticket used", "another address"} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHosts(simnet.Link{Latency: 50 * time.Millisecond})
				oa := options("alice")
				a, b := run(t, listen(t, h.alice), oa), must(New(listen(t, h.bob), options("bob")))
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan error, 1)
				go func() { done <- b.Run(ctx) }()
				answered := echo(t, b)
				first, _ := askEarly(t, a, h.bob, []byte("hello"))
				<-first.Established()
				time.Sleep(time.Second)
				first.Close(CodeDone, "")
				time.Sleep(time.Second)
				switch why {
				case "restarted":
					cancel()
					<-done
					b = must(New(listen(t, h.bob), options("bob")))
					ctx, cancel = context.WithCancel(context.Background())
					go func() { done <- b.Run(ctx) }()
					answered = echo(t, b)
				case "ticket used":
					b.tickets = seal.Tickets{}
				case "another address":
					oc := options("carol")
					oc.Client = oa.Client
					a = run(t, listen(t, h.carol), oc)
				}
				before := answered()
				c, took := askEarly(t, a, h.bob, pattern(4000, 3))
				if took < 200*time.Millisecond || took > 320*time.Millisecond {
					t.Errorf("the answer took %v, two round trips are 200 ms", took)
				}
				<-c.Established()
				time.Sleep(time.Second)
				if s := c.Stats(); s.Early == 0 || !s.EarlyRefused {
					t.Errorf("%+v", s)
				}
				if n := answered() - before; n != 1 {
					t.Errorf("the question came %d times", n)
				}
				exchangeOver(t, c, 100_000)
				cancel()
				<-done
			})
		})
	}
}

// recorder keeps what a socket sends.
type recorder struct {
	net.PacketConn
	mu   sync.Mutex
	sent [][]byte
}

func (r *recorder) WriteTo(b []byte, a net.Addr) (int, error) {
	r.mu.Lock()
	r.sent = append(r.sent, bytes.Clone(b))
	r.mu.Unlock()
	return r.PacketConn.WriteTo(b, a)
}

// Who repeats what a node has sent early, from its own address, has nothing done a second time.
func TestEarlyDataCantBeReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(simnet.Link{Latency: 50 * time.Millisecond})
		rec := &recorder{PacketConn: listen(t, h.alice)}
		a, b := run(t, rec, options("alice")), run(t, listen(t, h.bob), options("bob"))
		answered := echo(t, b)
		first, _ := askEarly(t, a, h.bob, []byte("hello"))
		<-first.Established()
		time.Sleep(time.Second)
		first.Close(CodeDone, "")
		rec.mu.Lock()
		rec.sent = nil
		rec.mu.Unlock()
		second, _ := askEarly(t, a, h.bob, []byte("once"))
		<-second.Established()
		second.Close(CodeDone, "")
		time.Sleep(time.Second)
		rec.mu.Lock()
		replay := slices.Clone(rec.sent)
		rec.mu.Unlock()
		early := 0
		attacker := must(h.alice.ListenPacket("udp", ":4001")) // the same address, another port
		for _, p := range replay {
			if kind, _, _ := wire.KindOf(p); kind == wire.KindEarly {
				early++
			}
			_, _ = attacker.WriteTo(p, net.UDPAddrFromAddrPort(at(h.bob)))
		}
		if early == 0 {
			t.Fatal("nothing was sent early")
		}
		time.Sleep(15 * time.Second)
		if n := answered(); n != 2 {
			t.Errorf("%d questions came, two were asked", n)
		}
	})
}

// Lost and damaged packets of a resumed handshake cost time, and nothing else.
func TestEarlyDataOnRoughNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(simnet.Link{Latency: 20 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.1})
		a, b := run(t, listen(t, h.alice), options("alice")), run(t, listen(t, h.bob), options("bob"))
		answered := echo(t, b)
		const n = 60
		for i := range n {
			c, _ := askEarly(t, a, h.bob, pattern(6000, byte(i)))
			<-c.Established()
			time.Sleep(time.Second)
			c.Close(CodeDone, "")
		}
		if got := answered(); got != n {
			t.Errorf("%d questions came, %d were asked", got, n)
		}
		if s := b.Handshakes(); s.Early < n/4 {
			t.Errorf("%+v", s)
		}
	})
}

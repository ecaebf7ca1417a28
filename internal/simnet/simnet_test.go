package simnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/nettest"

	"github.com/wherry/wherry/internal/simnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns two hosts and a TCP connection from the first to the second, accepted.
func pair(t *testing.T, o simnet.Options) (n *simnet.Network, a, b *simnet.Host, client, server net.Conn) {
	t.Helper()
	n = simnet.New(o)
	a, b = n.Host("client"), n.Host("server")
	l := listen(t, b, ":80")
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Errorf("accept: %v", err)
		}
		accepted <- c
	}()
	client = dial(t, a, "tcp", "server:80")
	server = <-accepted
	t.Cleanup(func() { client.Close(); server.Close(); l.Close() })
	return n, a, b, client, server
}

func listen(t *testing.T, h *simnet.Host, address string) net.Listener {
	t.Helper()
	l, err := h.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, h *simnet.Host, network, address string) net.Conn {
	t.Helper()
	c, err := h.DialContext(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatalf("write %q: %v", text, err)
	}
}

func readFull(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	var op *net.OpError
	if !errors.Is(err, want) || !errors.As(err, &op) {
		t.Fatalf("%s: got error %v (%T), want a *net.OpError around %v", what, err, err, want)
	}
}

// The contract of net.Conn, as package net's own connections are held to it: in real time, because it uses subtests.
func TestConnContract(t *testing.T) {
	for name, link := range map[string]simnet.Link{
		"perfect": {},
		"far":     {Latency: 300 * time.Microsecond, Jitter: 200 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				n := simnet.New(simnet.Options{Link: link})
				a, b := n.Host("a"), n.Host("b")
				l, err := b.Listen("tcp", "b:0")
				if err != nil {
					return nil, nil, nil, err
				}
				c1, err := a.DialContext(context.Background(), "tcp", l.Addr().String())
				if err != nil {
					return nil, nil, nil, err
				}
				c2, err := l.Accept()
				return c1, c2, func() { c1.Close(); c2.Close(); l.Close() }, err
			})
		})
	}
}

func TestHTTPOverTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Options{Link: simnet.Link{Latency: 40 * time.Millisecond}})
		client, server := n.Host("client"), n.Host("shop.test", netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"))
		mux := http.NewServeMux()
		mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(2 * time.Second)
			io.Copy(w, r.Body)
		})
		s := &http.Server{Handler: mux}
		done := make(chan error)
		go func() { done <- s.Serve(listen(t, server, ":80")) }()
		transport := &http.Transport{DialContext: client.DialContext}

		began := time.Now()
		body := strings.Repeat("wherry ", 100_000)
		response, err := (&http.Client{Transport: transport}).Post("http://shop.test/slow", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		if err != nil || string(got) != body {
			t.Fatalf("read %d bytes, %v; want %d", len(got), err, len(body))
		}
		if took := time.Since(began); took < 2*time.Second+160*time.Millisecond || took > 4*time.Second {
			t.Errorf("took %v, want the handler's 2 s, two round trips of 80 ms and a few windows", took)
		}
		transport.CloseIdleConnections()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

func TestDialErrors(t *testing.T) {
	blackhole := func(_ *simnet.Network, _, b *simnet.Host) { b.Blackhole() }
	for _, tt := range []struct {
		name, address string
		damage        func(n *simnet.Network, a, b *simnet.Host)
		timeout       time.Duration
		want          error
		took          time.Duration
	}{
		{"nobody listens", "server:81", nil, 0, syscall.ECONNREFUSED, 100 * time.Millisecond},
		{"process killed", "server:80", func(_ *simnet.Network, _, b *simnet.Host) { b.Kill() }, 0, syscall.ECONNREFUSED, 100 * time.Millisecond},
		{"blackhole", "server:80", blackhole, 0, syscall.ETIMEDOUT, 127 * time.Second},
		{"blackhole with a deadline", "server:80", blackhole, 3 * time.Second, context.DeadlineExceeded, 3 * time.Second},
		{"cut", "server:80", func(n *simnet.Network, a, b *simnet.Host) { n.Cut(a, b) }, time.Second, context.DeadlineExceeded, time.Second},
		{"no such address", "203.0.113.7:80", nil, 0, syscall.EHOSTUNREACH, 0},
		{"no address of the family", "[2001:db8::1]:80", nil, 0, syscall.ENETUNREACH, 0},
		{"own process killed", "server:80", func(_ *simnet.Network, a, _ *simnet.Host) { a.Kill() }, 0, net.ErrClosed, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(simnet.Options{Link: simnet.Link{Latency: 50 * time.Millisecond}})
				a, b := n.Host("client"), n.Host("server")
				defer listen(t, b, ":80").Close()
				if tt.damage != nil {
					tt.damage(n, a, b)
				}
				ctx := t.Context()
				if tt.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.timeout)
					defer cancel()
				}
				began := time.Now()
				_, err := a.DialContext(ctx, "tcp", tt.address)
				wantError(t, "dial", err, tt.want)
				if took := time.Since(began); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		var missing *net.DNSError
		_, err := simnet.New(simnet.Options{}).Host("a").DialContext(t.Context(), "tcp", "nowhere.test:80")
		if !errors.As(err, &missing) || !missing.IsNotFound {
			t.Errorf("unknown name: %v, want a DNSError that says not found", err)
		}
	})
}

func TestHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, _, client, server := pair(t, simnet.Options{Link: simnet.Link{Latency: time.Millisecond}})
		write(t, client, "question")
		if err := client.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(server); err != nil || string(got) != "question" {
			t.Fatalf("server read %q, %v", got, err)
		}
		_, err := client.Write([]byte("more"))
		wantError(t, "write after CloseWrite", err, syscall.EPIPE)
		write(t, server, "answer")
		server.Close()
		if got, err := io.ReadAll(client); err != nil || string(got) != "answer" {
			t.Fatalf("client read %q, %v", got, err)
		}
	})
}

func TestWindowHoldsTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, _, client, server := pair(t, simnet.Options{WindowBytes: 10_000, Link: simnet.Link{Latency: 10 * time.Millisecond}})
		wrote := make(chan int, 1)
		go func() {
			n, err := client.Write(make([]byte, 25_000))
			if err != nil {
				t.Error(err)
			}
			wrote <- n
		}()
		time.Sleep(time.Hour)
		select {
		case <-wrote:
			t.Fatal("Write returned with 25,000 bytes unread and a window of 10,000")
		default:
		}
		if _, err := io.CopyN(io.Discard, server, 25_000); err != nil {
			t.Fatal(err)
		}
		if n := <-wrote; n != 25_000 {
			t.Errorf("wrote %d", n)
		}
	})
}

func TestRateAndLoss(t *testing.T) {
	const size = 1 << 20
	transfer := func(t *testing.T, l simnet.Link, seed uint64) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			_, _, _, client, server := pair(t, simnet.Options{Link: l, Seed: seed})
			began := time.Now()
			go func() {
				client.Write(make([]byte, size))
				client.Close()
			}()
			if n, err := io.Copy(io.Discard, server); err != nil || n != size {
				t.Errorf("read %d, %v", n, err)
			}
			took = time.Since(began)
		})
		return took
	}
	rate := simnet.Link{Latency: 5 * time.Millisecond, RateBytesPerSecond: size}
	clean := transfer(t, rate, 1)
	if clean < time.Second || clean > 1100*time.Millisecond {
		t.Errorf("1 MiB at 1 MiB/s took %v", clean)
	}
	lossy := simnet.Link{Latency: 5 * time.Millisecond, Jitter: time.Millisecond, Loss: 0.02}
	first := transfer(t, lossy, 1)
	if first < 400*time.Millisecond || first > 4*time.Second {
		t.Errorf("with 2 %% loss 1 MiB took %v, want a few windows with a retransmission of 200 ms each", first)
	}
	if again := transfer(t, lossy, 1); again != first {
		t.Errorf("same seed took %v and %v", first, again)
	}
	if other := transfer(t, lossy, 2); other == first {
		t.Errorf("another seed took exactly as long: %v", other)
	}
}

func TestKillResetsAndRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, client, server := pair(t, simnet.Options{Link: simnet.Link{Latency: 10 * time.Millisecond}})
		write(t, server, "last words")
		b.Kill()
		readFull(t, client, "last words")
		_, err := client.Read(make([]byte, 1))
		wantError(t, "read", err, syscall.ECONNRESET)
		_, err = server.Write([]byte("x"))
		wantError(t, "write of the killed", err, net.ErrClosed)
		_, err = b.Listen("tcp", ":80")
		wantError(t, "listen of the killed", err, net.ErrClosed)

		b.Restart()
		defer listen(t, b, ":80").Close()
		dial(t, a, "tcp", "server:80").Close()
	})
}

func TestCutHoldsAndHealDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b, client, server := pair(t, simnet.Options{Link: simnet.Link{Latency: 10 * time.Millisecond}})
		n.Cut(a, b)
		write(t, client, "held")
		server.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := server.Read(make([]byte, 1))
		wantError(t, "read while cut", err, os.ErrDeadlineExceeded)
		n.Heal(a, b)
		server.SetReadDeadline(time.Time{})
		readFull(t, server, "held")

		b.Blackhole()
		write(t, client, "never")
		began := time.Now()
		_, err = client.Read(make([]byte, 1))
		wantError(t, "read after all retransmissions", err, syscall.ETIMEDOUT)
		if took := time.Since(began); took < 5*time.Minute || took > time.Hour {
			t.Errorf("gave up after %v", took)
		}
	})
}

func TestWriteToClosedPeer(t *testing.T) {
	for _, unread := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			_, _, _, client, server := pair(t, simnet.Options{Link: simnet.Link{Latency: time.Millisecond}})
			if unread {
				write(t, client, "nobody reads this")
				time.Sleep(time.Second)
			}
			server.Close()
			time.Sleep(time.Second)
			if !unread {
				if _, err := client.Read(make([]byte, 1)); err != io.EOF {
					t.Fatalf("read after the peer's close: %v, want EOF", err)
				}
				write(t, client, "the answer to this is a reset")
				time.Sleep(time.Second)
			}
			_, err := client.Write([]byte("x"))
			wantError(t, "write", err, syscall.ECONNRESET)
		})
	}
}

func TestBacklogRefusesNobodyButWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Options{})
		a, b := n.Host("client"), n.Host("server")
		l := listen(t, b, ":80")
		var waiting []net.Conn
		for range 1024 {
			waiting = append(waiting, dial(t, a, "tcp", "server:80"))
		}
		began := time.Now()
		go func() {
			time.Sleep(1500 * time.Millisecond)
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		}()
		waiting = append(waiting, dial(t, a, "tcp", "server:80"))
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("connected after %v, want the second retransmission of the SYN, after 3 s", took)
		}
		l.Close()
		for _, c := range waiting {
			c.Close()
		}
	})
}

package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/simnet"
)

// pair is two nodes in a network in memory, the first of which listens.
type pair struct {
	t        *testing.T
	net      *simnet.Network
	lisbon   *Mesh
	osaka    *Mesh
	listener net.Listener
}

const lisbonDoor = "lisbon-1:8440"

func newPair(t *testing.T, o ListenOptions) *pair {
	t.Helper()
	p := &pair{t: t, net: simnet.New(simnet.Options{Link: simnet.Link{Latency: 10 * time.Millisecond}})}
	a := authority(t)
	node := func(name config.NodeID) (*Mesh, *simnet.Host) {
		id, host := identity(t), p.net.Host(string(name))
		install(t, a, id, name, time.Now())
		return New(id, Options{Dial: host.DialContext, Log: slog.New(slog.DiscardHandler)}), host
	}
	var host *simnet.Host
	p.osaka, _ = node("osaka-1")
	p.lisbon, host = node("lisbon-1")
	l, err := host.Listen("tcp", ":8440")
	if err != nil {
		t.Fatal(err)
	}
	p.listener = p.lisbon.Listener(l, o)
	return p
}

func (p *pair) close() {
	if err := p.listener.Close(); err != nil {
		p.t.Error(err)
	}
}

// connect returns both ends of a connection.
func (p *pair) connect() (client, server net.Conn) {
	p.t.Helper()
	accepted := make(chan net.Conn)
	go func() {
		conn, err := p.listener.Accept()
		if err != nil {
			p.t.Error(err)
		}
		accepted <- conn
	}()
	client, err := p.osaka.DialContext(p.t.Context(), "tcp", lisbonDoor)
	if err != nil {
		p.t.Fatal(err)
	}
	return client, <-accepted
}

func send(t *testing.T, from, to net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(from, text); err != nil {
		t.Fatal(err)
	}
	receive(t, to, text)
}

func receive(t *testing.T, from net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(from, got); err != nil || string(got) != text {
		t.Fatalf("%q, %v, want %q", got, err, text)
	}
}

func closeAll(t *testing.T, conns ...net.Conn) {
	t.Helper()
	for _, c := range conns {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}

func TestACutLinkStandsStillAndLosesNothing(t *testing.T) {
	for _, all := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, ListenOptions{})
			defer p.close()
			client, server := p.connect()
			send(t, client, server, "before")
			p.lisbon.Cut(all, "osaka-1")
			if _, err := io.WriteString(client, "meanwhile "); err != nil {
				t.Fatal(err)
			}
			for range 3 { // a deadline in the cut must not cost what has arrived
				begin := time.Now()
				server.SetReadDeadline(begin.Add(time.Second))
				if n, err := server.Read(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Second {
					t.Fatalf("read %d, %v after %s", n, err, time.Since(begin))
				}
			}
			server.SetReadDeadline(time.Time{})
			go func() {
				time.Sleep(time.Hour)
				p.lisbon.Cut(false)
			}()
			begin := time.Now()
			receive(t, server, "meanwhile ")
			if d := time.Since(begin); d < time.Hour {
				t.Errorf("it came after %s", d)
			}
			send(t, server, client, "after")
			send(t, client, server, "after")
			closeAll(t, client, server)
		})
	}
}

func TestADeadlineMayComeDuringACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenOptions{})
		defer p.close()
		client, server := p.connect()
		p.osaka.Cut(true)
		time.AfterFunc(time.Minute, func() { client.SetReadDeadline(time.Now()) })
		begin := time.Now()
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("read: %v after %s", err, time.Since(begin))
		}
		client.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := client.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v", err)
		}
		closeAll(t, server)
		p.osaka.Cut(false)
		_ = client.Close() // its last write failed
	})
}

func TestNobodyHearsOfACloseDuringACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenOptions{})
		defer p.close()
		client, server := p.connect()
		p.osaka.Cut(true)
		reads := make(chan error)
		go func() {
			_, err := client.Read(make([]byte, 1))
			reads <- err
		}()
		synctest.Wait()
		_ = client.(*tls.Conn).NetConn().Close()
		if err := <-reads; !errors.Is(err, net.ErrClosed) {
			t.Errorf("who reads at the closed end: %v", err)
		}
		server.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the other end hears %v", err)
		}
		p.osaka.Cut(false)
		server.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := server.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after it was healed: %v", err)
		}
		closeAll(t, server)
	})
}

func TestNewConnectionsStandStillDuringACut(t *testing.T) {
	for name, c := range map[string]struct {
		cut    func(p *pair)
		expect bool
	}{
		"who dials is cut off":            {func(p *pair) { p.osaka.Cut(true) }, false},
		"who dials is cut from the other": {func(p *pair) { p.osaka.Cut(false, "lisbon-1") }, true},
		"found out in the handshake":      {func(p *pair) { p.osaka.Cut(false, "lisbon-1") }, false},
		"who listens is cut off":          {func(p *pair) { p.lisbon.Cut(true) }, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, ListenOptions{HandshakeTimeout: time.Hour})
			defer p.close()
			go func() {
				for {
					conn, err := p.listener.Accept()
					if err != nil {
						return
					}
					go io.Copy(io.Discard, conn)
				}
			}()
			c.cut(p)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if c.expect {
				ctx = Expect(ctx, "lisbon-1")
			}
			begin := time.Now()
			if _, err := p.osaka.DialContext(ctx, "tcp", lisbonDoor); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 5*time.Second {
				t.Errorf("%s: %v after %s", name, err, time.Since(begin))
			}
			p.osaka.Cut(false)
			p.lisbon.Cut(false)
			conn, err := p.osaka.DialContext(t.Context(), "tcp", lisbonDoor)
			if err != nil {
				t.Fatalf("%s: healed: %v", name, err)
			}
			closeAll(t, conn)
		})
	}
}

func TestAConnectionEndsWithItsCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenOptions{})
		defer p.close()
		client, server := p.connect()
		time.Sleep(71 * time.Hour)
		send(t, client, server, "good")
		begin := time.Now()
		if _, err := server.Read(make([]byte, 1)); err == nil || time.Since(begin) > time.Hour {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		_ = client.Close() // it may be closed
		_ = server.Close()
	})
}

func TestHandshakesHaveATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenOptions{})
		go p.listener.Accept()
		raw, err := p.osaka.o.Dial(t.Context(), "tcp", lisbonDoor)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := raw.Read(make([]byte, 1)); err == nil || time.Since(begin) > handshakeTimeout+time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		closeAll(t, raw)
		p.close()
	})
}

func TestAnonymousOnesHaveATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenOptions{Anonymous: true})
		server := &http.Server{Handler: http.NotFoundHandler()}
		go server.Serve(p.listener)
		raw, err := p.osaka.o.Dial(t.Context(), "tcp", lisbonDoor)
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := conn.Read(make([]byte, 1)); err == nil || time.Since(begin) > anonymousLife+time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		_ = conn.Close() // the other end did
		_ = server.Close()
	})
}

// TestCloseLeavesNothing: a bubble ends when all goroutines are gone.
func TestCloseLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, ListenOptions{})
		go p.listener.Accept() // takes one of three
		var conns []net.Conn
		for range 2 {
			conn, err := p.osaka.DialContext(t.Context(), "tcp", lisbonDoor)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		raw, err := p.osaka.o.Dial(t.Context(), "tcp", lisbonDoor)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		p.close()
		p.close()
		if _, err := p.listener.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
		for _, c := range append(conns, raw) {
			_ = c.Close()
		}
		synctest.Wait()
		if n := len(p.osaka.links); n != 0 {
			t.Errorf("%d connections are still known", n)
		}
	})
}

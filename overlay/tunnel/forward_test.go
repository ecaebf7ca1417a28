package tunnel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/internal/simnet"
	"github.com/wherry/wherry/overlay/exchange"
	"github.com/wherry/wherry/overlay/exchange/exchangetest"
	"github.com/wherry/wherry/overlay/tunnel"
)

// crossing is a Forward on one host and a Gate on another.
type crossing struct {
	*world
	near, far *simnet.Host
	session   *exchangetest.Session
	forward   *tunnel.Forward
	gate      *tunnel.Gate
	stop      context.CancelFunc
	served    chan error

	mu     sync.Mutex // protects what follows
	closed []error    // what Watch of the forward was told
	bytes  [2]int64
	no     []error
}

const target = "far:5432"

func (w *world) crossing(change func(f *tunnel.Forward, g *tunnel.Gate)) *crossing {
	w.t.Helper()
	c := &crossing{world: w, near: w.net.Host("near"), far: w.net.Host("far"), served: make(chan error, 1)}
	nearSide, farSide := exchangetest.Pair("lisbon", "osaka", 20_000)
	c.session = nearSide
	c.gate = &tunnel.Gate{Dial: c.far.DialContext, Allow: func(_ context.Context, by tunnel.Caller, asked string) error {
		if by.Peer != "lisbon" || asked != target {
			return errors.New("add it to overlay.forward of osaka")
		}
		return nil
	}}
	c.forward = &tunnel.Forward{
		Target: target, Over: &exchange.Transport{Session: func(context.Context) (exchange.Session, error) { return nearSide, nil }},
		Watch: tunnel.Watch{
			Closed: func(_ string, sent, received int64, err error) {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.closed, c.bytes = append(c.closed, err), [2]int64{sent, received}
			},
			Refused: func(_ string, err error) {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.no = append(c.no, err)
			},
		},
	}
	if change != nil {
		change(c.forward, c.gate)
	}
	w.running.Go(func() {
		s := &exchange.Server{Handler: c.gate, Limits: exchange.Limits{ExchangesMax: 20_000, DrainTimeout: time.Millisecond}, Log: slog.New(slog.DiscardHandler)}
		_ = s.Serve(w.ctx, farSide)
	})
	l, err := c.near.Listen("tcp", ":15432")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.ctx)
	c.stop = stop
	w.running.Go(func() { c.served <- c.forward.Serve(ctx, l) })
	return c
}

// told returns what Watch was told.
func (c *crossing) told() (closed, refused []error, bytes [2]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed, c.no, c.bytes
}

func (c *crossing) dial() half {
	c.t.Helper()
	conn, err := c.near.DialContext(c.ctx, "tcp", "127.0.0.1:15432")
	if err != nil {
		c.t.Fatal(err)
	}
	return conn.(half)
}

func TestForwardHalfClose(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.crossing(nil)
		w.tcp(c.far, ":5432", upcase)
		conn := c.dial()
		go func() {
			_, _ = conn.Write(bytes.Repeat([]byte("select"), 100_000))
			_ = conn.CloseWrite()
		}()
		answer, err := io.ReadAll(conn)
		if string(answer) != strings.Repeat("SELECT", 100_000) || err != nil {
			t.Errorf("%d bytes, %v", len(answer), err)
		}
		_ = conn.Close()
		settle(time.Second)
		if closed, _, bytes := c.told(); len(closed) != 1 || closed[0] != nil || bytes != [2]int64{600_000, 600_000} {
			t.Errorf("closed with %v, %v", closed, bytes)
		}
		if n := c.session.Streams(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}

func TestForwardSlowReader(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.crossing(nil)
		var mu sync.Mutex
		written := 0
		w.tcp(c.far, ":5432", func(conn half) {
			defer conn.Close()
			for range 1000 {
				n, err := conn.Write(make([]byte, 10_000))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				written += n
				mu.Unlock()
			}
		})
		conn := c.dial()
		settle(time.Minute)
		mu.Lock()
		before := written
		mu.Unlock()
		if before > 2_000_000 {
			t.Errorf("%d bytes are kept for who doesn't read", before)
		}
		if n, err := io.Copy(io.Discard, conn); n != 10_000_000 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		_ = conn.Close()
	})
}

func TestForwardRefusals(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.crossing(nil)
		for asked, want := range map[string]string{
			target:         "nothing answers at far:5432",
			"far:22":       "connecting to far:22 isn't allowed: add it to overlay.forward of osaka",
			"far":          `"far" is no target: write HOST:PORT`,
			"far:5432/x":   "no target",
			"far:5432 x":   "",
			":5432":        "is no target",
			"far:5432\r\n": "",
		} {
			f := *c.forward
			f.Target = asked
			err := f.Check(w.ctx)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", asked, err, want)
			}
			if got := fault.Of(err); got.Retry != (asked == target) {
				t.Errorf("%q: retry %v", asked, got.Retry)
			}
		}
		conn := c.dial()
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("a connection to nobody reads %d bytes, %v", n, err)
		}
		_ = conn.Close()
		settle(time.Second)
		if _, no, _ := c.told(); len(no) != 1 || !strings.Contains(no[0].Error(), "look whether the service runs") {
			t.Errorf("refused: %v", no)
		}
		r, _ := http.NewRequestWithContext(w.ctx, http.MethodGet, "http://far:5432/", nil)
		resp, err := c.forward.Over.RoundTrip(r)
		if err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET gives %v, %v", resp, err)
		}
	})
}

func TestForwardLimits(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.crossing(func(_ *tunnel.Forward, g *tunnel.Gate) { g.ConnectionsMax = 2 })
		w.tcp(c.far, ":5432", upcase)
		first, second := c.dial(), c.dial()
		settle(time.Second)
		third := c.dial()
		if _, err := third.Read(make([]byte, 1)); err == nil {
			t.Error("a connection too many is made")
		}
		synctest.Wait()
		if _, no, _ := c.told(); len(no) != 1 || !strings.Contains(no[0].Error(), "there are 2 connections") || !fault.Of(no[0]).Retry {
			t.Errorf("refused: %v", no)
		}
		for _, conn := range []half{first, second, third} {
			_ = conn.Close()
		}
		settle(time.Second)
		fourth := c.dial()
		fmt.Fprint(fourth, "a")
		_ = fourth.CloseWrite()
		if answer, err := io.ReadAll(fourth); string(answer) != "A" {
			t.Errorf("%q, %v", answer, err)
		}
		_ = fourth.Close()
	})
}

func TestForwardIdleTimeout(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.crossing(func(f *tunnel.Forward, _ *tunnel.Gate) { f.IdleTimeout = 10 * time.Minute })
		w.tcp(c.far, ":5432", func(conn half) {
			defer conn.Close()
			for range 5 {
				time.Sleep(9 * time.Minute)
				fmt.Fprint(conn, "x")
			}
			_, _ = io.Copy(io.Discard, conn)
		})
		conn := c.dial()
		began := time.Now()
		n, _ := io.Copy(io.Discard, conn)
		if took := time.Since(began).Round(time.Second); n != 5 || took != 55*time.Minute {
			t.Errorf("after %v and %d bytes", took, n)
		}
		_ = conn.Close()
		settle(time.Second)
		if closed, _, _ := c.told(); len(closed) != 1 || closed[0] == nil || closed[0].Error() != "nothing moved either way for 10m0s" {
			t.Errorf("closed with %v", closed)
		}
	})
}

func TestForwardSessionDies(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.crossing(nil)
		w.tcp(c.far, ":5432", upcase)
		conn := c.dial()
		settle(time.Second)
		c.session.Kill()
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the connection lives on")
		}
		settle(time.Second)
		if closed, _, _ := c.told(); len(closed) != 1 || closed[0] == nil {
			t.Errorf("closed with %v", closed)
		}
		_ = conn.Close()
	})
}

func TestForwardStops(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.crossing(nil)
		w.tcp(c.far, ":5432", upcase)
		conn := c.dial()
		settle(time.Second)
		c.stop()
		synctest.Wait()
		if err := <-c.served; err != nil {
			t.Error(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the connection lives on")
		}
		if _, err := c.near.DialContext(w.ctx, "tcp", "127.0.0.1:15432"); err == nil {
			t.Error("the listener is still there")
		}
	})
}

func TestForwardManyAtOnce(t *testing.T) {
	many := 10_000
	if testing.Short() {
		many = 1000
	}
	inWorld(t, func(w *world) {
		c := w.crossing(nil)
		w.tcp(c.far, ":5432", upcase)
		var wg sync.WaitGroup
		for i := range many {
			wg.Go(func() {
				conn, err := c.near.DialContext(w.ctx, "tcp", "127.0.0.1:15432")
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				fmt.Fprintf(conn, "a%d", i)
				time.Sleep(time.Minute) // until all are open
				_ = conn.(half).CloseWrite()
				if answer, err := io.ReadAll(conn); string(answer) != fmt.Sprintf("A%d", i) {
					t.Errorf("%q, %v", answer, err)
				}
			})
			if i%100 == 99 {
				time.Sleep(10 * time.Millisecond) // the listener's queue has an end
			}
		}
		settle(30 * time.Second)
		if n := c.session.Streams(); n != 2*many {
			t.Errorf("%d streams are open", n)
		}
		wg.Wait()
		settle(time.Second)
		if n := c.session.Streams(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}

var _ net.Conn = half(nil)

// What a token let in ends with it, and nothing else; who shows none, or too many connections, is refused.
func TestForwardTokens(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.crossing(func(f *tunnel.Forward, g *tunnel.Gate) {
			f.Token, g.PeerConnectionsMax = "good", 1
			g.Allow = func(_ context.Context, by tunnel.Caller, _ string) error {
				if by.Token != "good" {
					return errors.New("show a token")
				}
				return nil
			}
		})
		w.tcp(c.far, ":5432", func(conn half) {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		})
		without := *c.forward
		without.Token = ""
		if err := without.Check(w.ctx); err == nil || !strings.Contains(err.Error(), "show a token") {
			t.Errorf("without a token: %v", err)
		}
		conn := c.dial()
		defer conn.Close()
		one := make([]byte, 1)
		say := func() error {
			fmt.Fprint(conn, "a")
			_, err := io.ReadFull(conn, one)
			return err
		}
		if err := say(); err != nil || one[0] != 'a' {
			t.Fatalf("%q, %v", one, err)
		}
		if err := c.forward.Check(w.ctx); err == nil || !strings.Contains(err.Error(), "all that one may have") {
			t.Errorf("a second connection: %v", err)
		}
		gone := func(which string) func(string) error {
			return func(token string) error {
				if token == which {
					return errors.New("it was removed")
				}
				return nil
			}
		}
		c.gate.Expel(gone("other"))
		if err := say(); err != nil {
			t.Errorf("with another's token gone: %v", err)
		}
		c.gate.Expel(gone("good"))
		if err := say(); err == nil {
			t.Error("the connection outlives its token")
		}
	})
}

package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/internal/simnet"
	"github.com/wherry/wherry/overlay/exchange/exchangetest"
	"github.com/wherry/wherry/overlay/tunnel"
)

// world is nodes with tables, and hosts with services and agents, in a bubble of synctest.
type world struct {
	t   *testing.T
	net *simnet.Network
	ctx context.Context // ends with the test

	mu       sync.Mutex // protects what follows
	nodes    map[string]*node
	sessions map[string][]*exchangetest.Session // of agents, by node
	dialed   map[string]int
	running  sync.WaitGroup
}

// node is a node with a table.
type node struct {
	table *tunnel.Table
	ctx   context.Context
	stop  context.CancelFunc // as when it is stopped in order
	dead  bool
	ended []error // what Serve has returned
}

const token = "secret"

func inWorld(t *testing.T, run func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := &world{
			t: t, ctx: ctx, net: simnet.New(simnet.Options{Link: simnet.Link{Latency: time.Millisecond}}),
			nodes: map[string]*node{}, sessions: map[string][]*exchangetest.Session{}, dialed: map[string]int{},
		}
		run(w)
		cancel()
		for name := range w.nodes {
			w.kill(name)
		}
		w.running.Wait()
	})
}

// node starts nodes.
func (w *world) node(names ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range names {
		ctx, stop := context.WithCancel(w.ctx)
		table := tunnel.NewTable(tunnel.TableOptions{Node: name, Check: func(_ context.Context, got, site string, _ tunnel.Protocol) error {
			if got != token {
				return errors.New("the token isn't valid: make one with wherry token")
			}
			if site == "forbidden" {
				return errors.New("the token isn't for this site")
			}
			return nil
		}})
		w.nodes[name] = &node{table: table, ctx: ctx, stop: stop}
	}
}

// dial is how agents reach nodes.
func (w *world) dial(ctx context.Context, name string) (tunnel.Session, error) {
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dialed[name]++
	n := w.nodes[name]
	if n == nil || n.dead {
		return nil, fmt.Errorf("%s isn't there", name)
	}
	agents, nodes := exchangetest.Pair("agent", name, 20_000)
	w.sessions[name] = append(w.sessions[name], agents)
	w.running.Go(func() {
		err := n.table.Serve(n.ctx, nodes)
		w.mu.Lock()
		defer w.mu.Unlock()
		n.ended = append(n.ended, err)
	})
	return agents, nil
}

// kill ends a node as a power cut does.
func (w *world) kill(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[name].dead = true
	for _, s := range w.sessions[name] {
		s.Kill()
	}
}

// agent starts an agent on a host and returns what stops it.
func (w *world) agent(host *simnet.Host, name string, change func(o *tunnel.AgentOptions)) (a *tunnel.Agent, stop func() error) {
	w.t.Helper()
	o := tunnel.AgentOptions{
		Name: name, Token: token, Dial: w.dial, DialLocal: host.DialContext, Log: slog.New(slog.DiscardHandler),
		Nodes:    func() []string { return []string{"lisbon", "osaka", "quito"} },
		Services: []tunnel.Service{{Site: "shop", Protocol: tunnel.HTTP, To: "127.0.0.1:3000"}, {Site: "db", Protocol: tunnel.TCP, To: "127.0.0.1:5432"}},
	}
	if change != nil {
		change(&o)
	}
	a, err := tunnel.NewAgent(o)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	w.running.Go(func() { done <- a.Run(ctx) })
	return a, func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}
}

// web runs a service over HTTP on a host.
func (w *world) web(host *simnet.Host, h http.HandlerFunc) (stop func()) {
	w.t.Helper()
	l, err := host.Listen("tcp", ":3000")
	if err != nil {
		w.t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	w.running.Go(func() { _ = s.Serve(l) })
	stop = func() { _ = s.Close() }
	context.AfterFunc(w.ctx, stop)
	return stop
}

// tcp runs a service over TCP on a host.
func (w *world) tcp(host *simnet.Host, addr string, serve func(conn half)) {
	w.t.Helper()
	l, err := host.Listen("tcp", addr)
	if err != nil {
		w.t.Fatal(err)
	}
	context.AfterFunc(w.ctx, func() { _ = l.Close() })
	w.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.running.Go(func() { serve(conn.(half)) })
		}
	})
}

// half is a connection that can be closed in one direction.
type half interface {
	net.Conn
	CloseWrite() error
}

// upcase answers what it has read up to the end, in upper case.
func upcase(conn half) {
	defer conn.Close()
	all, err := io.ReadAll(conn)
	if err != nil {
		return
	}
	for i, c := range all {
		if 'a' <= c && c <= 'z' {
			all[i] = c - 'a' + 'A'
		}
	}
	_, _ = conn.Write(all)
}

// get asks a site at a node.
func (w *world) get(node, site, path string) (status int, body string, err error) {
	r, _ := http.NewRequestWithContext(w.ctx, http.MethodGet, "https://shop.example"+path, nil)
	return w.ask(node, site, r)
}

func (w *world) ask(node, site string, r *http.Request) (status int, body string, err error) {
	resp, err := w.nodes[node].table.Upstream(site).RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(all), err
}

// settle lets all happen that happens within d.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/internal/lab"
)

const (
	controlNodes = 3
	clientsMax   = 64               // requests at a time
	restartGap   = 20 * time.Second // between two restarts of edges
	namesEvery   = time.Second      // how often the clients ask the name server
	patience     = 10 * time.Second // of a client with a request
)

// counts are what became of the requests.
type counts struct {
	sent, moved, failed atomic.Int64
	slowest             atomic.Int64 // nanoseconds

	mu      sync.Mutex
	reasons []string // of the first few that failed
}

// static has clients ask a network whose control nodes are all dead while its edges are restarted in turn, and counts what fails. A client does as
// browsers do: it asks the network's own name server where the site is, and tries the next address where nobody listens.
func static(program string, edges int, dead time.Duration, rate int) error {
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/kept") {
			w.Header().Set("Cache-Control", "max-age=3600")
		}
		fmt.Fprint(w, strings.Repeat("x", 200))
	}))
	defer origin.Close()
	l, err := start(program, dir, edges)
	if err != nil {
		return err
	}
	defer l.stop()
	client := &api.Client{Server: l.server, Token: l.token}
	if err := l.apply(client, origin.URL, 0); err != nil {
		return err
	}
	for k := range controlNodes {
		if _, err := lab.Command(context.Background(), dir, "kill", fmt.Sprintf("control-%d", k+1)); err != nil {
			return err
		}
	}
	c, restarts := l.load(dead, rate)
	fmt.Printf("%s without control, %d edges restarted %d times: %d requests, %d failed, %d found nobody at the first address, slowest %s\n",
		dead, edges, restarts, c.sent.Load(), c.failed.Load(), c.moved.Load(), time.Duration(c.slowest.Load()).Round(time.Millisecond))
	for _, why := range c.reasons {
		fmt.Println("  failed:", why)
	}
	for k := range controlNodes {
		if _, err := lab.Command(context.Background(), dir, "restart", fmt.Sprintf("control-%d", k+1)); err != nil {
			return err
		}
	}
	began := time.Now()
	deadline := began.Add(time.Minute)
	for try := 1; ; try++ {
		time.Sleep(100 * time.Millisecond)
		if err = l.apply(client, origin.URL, try); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err == nil {
		fmt.Printf("control is back: an apply is served by all %d edges after %s\n", edges, time.Since(began).Round(time.Millisecond))
	}
	if n := c.failed.Load(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d requests failed", n))
	}
	return err
}

// apply makes the n-th revision hold on all edges.
func (l *network) apply(c *api.Client, origin string, n int) error {
	yaml := fmt.Sprintf("name: shop\nhosts: [shop.test]\norigins: [{url: %q}]\nrules: [{name: probe, match: {paths: [/probe-%d]}, refuse: 403}]\n", origin, n)
	r, err := c.Apply(context.Background(), api.ApplyRequest{Documents: []api.Document{{Name: "shop", YAML: yaml}}, Emergency: true, Wait: true})
	if err == nil && len(r.Serving) != len(l.edges) {
		err = fmt.Errorf("%d of %d edges have confirmed, away: %v", len(r.Serving), len(l.edges), r.Away)
	}
	return err
}

// load asks for that long, and restarts edges meanwhile.
func (l *network) load(during time.Duration, rate int) (c *counts, restarts int) {
	c = &counts{}
	ctx, cancel := context.WithTimeout(context.Background(), during)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() {
		for k := 0; ; k++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(restartGap):
			}
			name := fmt.Sprintf("edge-%d", 1+k%len(l.edges))
			if _, err := lab.Command(context.Background(), l.dir, "restart", name); err != nil {
				c.fail("restart of " + name + ": " + err.Error())
			}
			restarts++
		}
	})
	names := newNames(l)
	all.Go(func() { names.run(ctx) })
	limit := make(chan struct{}, clientsMax)
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		<-tick.C
		path := fmt.Sprintf("/kept/%d", i%500)
		if i%4 == 0 {
			path = fmt.Sprintf("/fresh/%d", i)
		}
		limit <- struct{}{}
		all.Go(func() {
			defer func() { <-limit }()
			c.ask(names.current(), path)
		})
	}
	all.Wait()
	return c, restarts
}

const reasonsMax = 10

func (c *counts) fail(why string) {
	c.failed.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.reasons) < reasonsMax {
		c.reasons = append(c.reasons, time.Now().Format(time.TimeOnly)+" "+why)
	}
}

// ask makes one request.
func (c *counts) ask(edges []string, path string) {
	c.sent.Add(1)
	began := time.Now()
	last := "the name server has no address"
	for i, edge := range edges {
		status, err := get(edge, path)
		if err == nil && status == http.StatusOK {
			if i > 0 {
				c.moved.Add(1)
			}
			took := int64(time.Since(began))
			for old := c.slowest.Load(); took > old && !c.slowest.CompareAndSwap(old, took); old = c.slowest.Load() {
			}
			return
		}
		last = fmt.Sprintf("%s%s: status %d, %v", edge, path, status, err)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			break // an edge that is there must answer
		}
	}
	c.fail(last)
}

// names are the addresses that the name server answers.
type names struct {
	port  string // of the edges
	dns   *net.Resolver
	edges atomic.Pointer[[]string]
}

func newNames(l *network) *names {
	_, port, _ := net.SplitHostPort(l.edges[0])
	n := &names{port: port, dns: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, l.dns)
	}}}
	n.edges.Store(&l.edges)
	n.look(context.Background())
	return n
}

func (n *names) current() []string { return *n.edges.Load() }

func (n *names) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(namesEvery):
			n.look(ctx)
		}
	}
}

// look takes what the name server answers; what it answered last counts until it answers again, as in a resolver.
func (n *names) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := n.dns.LookupNetIP(ctx, "ip4", "shop.test.")
	if err != nil || len(found) == 0 {
		if ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "names:", err)
		}
		return
	}
	var edges []string
	for _, at := range found {
		edges = append(edges, netip.AddrPortFrom(at.Unmap(), portOf(n.port)).String())
	}
	slices.Sort(edges)
	k := int(time.Now().Unix()) % len(edges) // clients are not all the same one
	edges = slices.Concat(edges[k:], edges[:k])
	n.edges.Store(&edges)
}

func portOf(text string) uint16 {
	port, _ := netip.ParseAddrPort("0.0.0.0:" + text)
	return port.Port()
}

package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge/gate"
	"github.com/wherry/wherry/logs"
)

// The tests here run one and the same sequence of bytes through an edge with the lane and one without, on a network and a clock
// in memory, and compare all that can be seen of them.

const lanesYAML = `
limits: {header_size: 2KiB, idle_timeout: 60s, header_timeout: 10s, write_timeout: 20s, drain_timeout: 30s}
sites:
- name: shop
  hosts: [shop.test, "*.shop.test"]
  origins: [{url: "http://127.0.0.1:9000"}]
  aliases: [{host: shop.test, names: [other.shop.test, "*.other.shop.test"]}]
  rules:
  - name: keyed
    match: {paths: ["/keyed"]}
    cache: {key: {query: sort, query_drop: [utm_*], headers: [X-Colour], cookies: [lang]}, default_ttl: 5m, max_ttl: 300s, set_cookie: strip}
  - {name: static, match: {paths: ["/static/*"]}, cache: {key: {host: false, query: drop}}}
  - {name: sorted, match: {paths: ["/sorted"]}, cache: {key: {query: sort}}}
  - {name: only, match: {paths: ["/only"]}, cache: {key: {query: keep, query_only: [q]}}}
  - {name: secret, match: {paths: ["/secret"]}, refuse: 404}
  - {name: live, match: {paths: ["/live"]}, cache: {enabled: false}}
- {name: bank, hosts: [bank.test], origins: [{url: "http://127.0.0.1:9001"}]}`

// lanesOrigin answers by path, with responses of all kinds that a cache may hold.
func lanesOrigin(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	resp := respond(200, "content of "+r.URL.Path)
	h := resp.Header
	h.Set("Content-Type", "text/plain")
	h.Set("Cache-Control", "max-age=600")
	switch path := r.URL.Path; {
	case path == "/etag":
		h.Set("Etag", `"1"`)
		h.Set("Last-Modified", "Sat, 01 Jan 2000 00:00:00 GMT")
		h.Set("Content-Language", "en")
		h.Set("Accept-Ranges", "bytes")
	case path == "/big":
		resp = respond(200, strings.Repeat("0123456789abcdef", 20<<10))
		resp.Header = h
	case path == "/vary":
		h.Set("Vary", "Accept-Encoding, X-Colour")
		resp = respond(200, r.Header.Get("Accept-Encoding")+" "+r.Header.Get("X-Colour"))
		resp.Header = h
	case strings.HasPrefix(path, "/varies/"):
		h.Set("Vary", strings.TrimPrefix(path, "/varies/"))
	case path == "/keyed":
		h.Set("Vary", "Cookie, Accept-Encoding")
		h.Set("Set-Cookie", "a=b")
		resp = respond(200, strings.Join(append(r.Header["Cookie"], r.URL.RawQuery, r.Header.Get("X-Colour")), "|"))
		resp.Header = h
	case path == "/slow":
		time.Sleep(5 * time.Second)
		h.Set("Cache-Control", "no-store")
	case path == "/nostore":
		h.Set("Cache-Control", "no-store")
	case path == "/nocache":
		h.Set("Cache-Control", "no-cache")
	case path == "/short":
		h.Set("Cache-Control", "max-age=5, stale-while-revalidate=10")
	case path == "/private":
		h.Set("Cache-Control", `max-age=600, private="Set-Cookie"`)
		h.Set("Set-Cookie", "a=b")
	case path == "/notype":
		delete(h, "Content-Type")
	case path == "/empty":
		resp = respond(200, "")
		resp.Header = h
	case path == "/204":
		resp = respond(204, "")
		resp.Header = h
	case path == "/404":
		resp.StatusCode = 404
	case path == "/301":
		resp.StatusCode = 301
		h.Set("Location", "/etag")
	case path == "/299":
		resp.StatusCode = 299
	case path == "/behind":
		h["Age"], h["Via"], h["Cache-Status"] = []string{"7"}, []string{"1.1 parent"}, []string{"parent; hit"}
		h["Set-Cookie"] = []string{"a=1", "b=2"}
		h["X-Odd"] = []string{" a\tb "}
		h[RequestIDField] = []string{"another's"}
	case path == "/via":
		h["Age"], h["Via"], h["Cache-Status"] = []string{"7"}, []string{"1.1 parent"}, []string{"parent; hit"}
		h["Set-Cookie"] = []string{"a=1", "b=2"}
		h["X-Odd"] = []string{" a\tb "}
	case path == "/trailer":
		resp.Trailer = http.Header{"X-Sum": {"1"}}
	}
	return resp, nil
}

// countingCache counts the answers that it had for the lane.
type countingCache struct {
	*cache.Cache
	answers atomic.Int64
	panics  bool
}

func (c *countingCache) LookupHit(k store.Key, f field.Fields, p *cache.Policy, now time.Time) (cache.Answer, bool) {
	if c.panics {
		panic("of a test")
	}
	a, ok := c.Cache.LookupHit(k, f, p, now)
	if ok {
		c.answers.Add(1)
	}
	return a, ok
}

// pipes is a listener whose connections are in memory: what is written is read at once, in the same pieces.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// bubbleNode is an edge over a real cache in a bubble of testing/synctest.
type bubbleNode struct {
	*Edge
	cache    *countingCache
	registry *prometheus.Registry
	door     *pipes
	sni      string
	log      bytes.Buffer // complete after stop
	stop     func()
}

func startBubble(t testing.TB, laneless bool, key *tls.Certificate) *bubbleNode {
	t.Helper()
	memory, err := store.NewMemory(16<<20, 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	n := &bubbleNode{registry: prometheus.NewRegistry(), door: newPipes(), sni: "shop.test"}
	quiet := slog.New(slog.DiscardHandler)
	n.cache = &countingCache{Cache: cache.New(cache.Options{Name: "lisbon-1", Store: memory, Metrics: cache.NewMetrics(n.registry)})}
	access := logs.NewWriter(&n.log, logs.Options{Metrics: logs.NewMetrics(prometheus.NewRegistry())})
	o := Options{
		Node: "lisbon-1", Snapshot: parse(t, lanesYAML), Cache: n.cache, Access: access, Log: quiet, Metrics: NewMetrics(n.registry),
		Upstream: func(config.SiteName, *config.Rule) http.RoundTripper { return roundTrip(lanesOrigin) },
	}
	if key != nil {
		o.TLS = &tls.Config{Certificates: []tls.Certificate{*key}}
	}
	if n.Edge, err = New(o); err != nil {
		t.Fatal(err)
	}
	n.laneless = laneless
	ctx, cancel := context.WithCancel(context.Background())
	after, end := context.WithCancel(context.Background())
	var serving, rest sync.WaitGroup
	serving.Go(func() {
		l := Listeners{HTTP: n.door}
		if key != nil {
			l = Listeners{HTTPS: n.door}
		}
		if err := n.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	rest.Go(func() { _ = n.cache.Run(after) })
	rest.Go(func() { _ = access.Run(after) })
	n.stop = func() {
		cancel()
		serving.Wait()
		end()
		rest.Wait()
	}
	return n
}

// play sends pieces on one connection, each when the one before has been dealt with, and returns what came back until the edge
// closed the connection, or had nothing more to say, and which of it was.
func (n *bubbleNode) play(t testing.TB, key *tls.Certificate, pieces ...string) (output string, closed bool) {
	t.Helper()
	c := n.door.dial()
	defer c.Close()
	if key != nil {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: n.sni})
	}
	var mu sync.Mutex
	var got bytes.Buffer
	ended := false
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, 4096)
		for {
			m, err := c.Read(buf)
			mu.Lock()
			got.Write(buf[:m])
			ended = ended || err != nil
			mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	for _, piece := range pieces {
		if _, err := io.WriteString(c, piece); err != nil {
			break // closed on us, which the reader sees too
		}
		synctest.Wait()
		time.Sleep(time.Second) // so that ages differ
	}
	synctest.Wait()
	mu.Lock()
	closed = ended
	mu.Unlock()
	c.Close()
	reading.Wait()
	synctest.Wait()
	return got.String(), closed
}

var anyID = regexp.MustCompile(`[0-9a-f]{24}`)

// comparable returns output with the fields of each response in order and without what differs from run to run.
func comparable(output string) string {
	var b strings.Builder
	for i, response := range strings.Split(anyID.ReplaceAllString(output, "ID"), "HTTP/1.") {
		head, body, _ := strings.Cut(response, "\r\n\r\n")
		lines := strings.Split(head, "\r\n")
		slices.Sort(lines[1:])
		fmt.Fprintf(&b, "%d: %s\n\n%s\n", i, strings.Join(lines, "\n"), body)
	}
	return b.String()
}

// seen is all that can be seen of what an edge made of a sequence.
func (n *bubbleNode) seen(t testing.TB, output string, closed bool) string {
	t.Helper()
	n.stop()
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nclosed: %t\n", comparable(output), closed)
	d := json.NewDecoder(&n.log)
	for {
		line := map[string]any{}
		err := d.Decode(&line)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		delete(line, "request_id")
		text, _ := json.Marshal(line)
		fmt.Fprintf(&b, "log: %s\n", text)
	}
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	stats := n.Stats()
	for _, why := range [...]reason{refusedMalformed, refusedHeaderTimeout} {
		// What net/http gives up on shows only in the states of a connection, and not in all cases: see track.
		stats.Refused -= int64(testutil.ToFloat64(n.metrics.refused[why]))
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if text := m.String(); strings.Contains(text, string(refusedMalformed)) || strings.Contains(text, string(refusedHeaderTimeout)) {
				continue
			}
			fmt.Fprintf(&b, "metric: %s %v\n", f.GetName(), m)
		}
	}
	fmt.Fprintf(&b, "stats: %+v\n", stats)
	return b.String()
}

// compare, over TLS if there is a key, plays warm on one connection and pieces on another to both edges. It returns how many answers the
// lane gave to pieces.
func compare(t *testing.T, key *tls.Certificate, warm []string, pieces ...string) (answers int64) {
	t.Helper()
	var saw [2]string
	timedOut := false
	for i, laneless := range [...]bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			n := startBubble(t, laneless, key)
			n.play(t, key, warm...)
			before := n.cache.answers.Load()
			output, closed := n.play(t, key, pieces...)
			answers = n.cache.answers.Load() - before
			saw[i] = n.seen(t, output, closed)
			timedOut = testutil.ToFloat64(n.metrics.refused[refusedHeaderTimeout]) > 0
		})
	}
	if timedOut || gateActs(strings.Join(pieces, "")) { // net/http doesn't get to see what it would answer by itself
		return answers
	}
	if saw[0] != saw[1] {
		t.Errorf("%.600q\nwithout the lane:\n%s\nwith it:\n%s", pieces, difference(saw[0], saw[1]), difference(saw[1], saw[0]))
	}
	return answers
}

// gateActs says whether the gate, which stands with the lane, refuses or changes what a client sends. TestSmuggling and gate.FuzzGate
// are about that.
func gateActs(input string) bool {
	g, c := &gate.Gate{HeadMax: 4 << 10}, inputConn{strings.NewReader(input)}
	passed := 0
	for p := make([]byte, 4096); ; {
		n, err := g.Read(p, c)
		if passed += n; g.Refusal() != nil || err != nil && err != io.EOF {
			return true
		}
		if err != nil {
			return passed != len(input)
		}
	}
}

// inputConn is a gate.Conn that is idle whenever it is asked.
type inputConn struct{ *strings.Reader }

func (c inputConn) NextRequest(p []byte) (int, error) { return c.Read(p) }
func (c inputConn) Rest(p []byte) (int, error)        { return c.Read(p) }
func (inputConn) Hurry()                              {}
func (inputConn) State() http.ConnState               { return http.StateIdle }

// difference returns the lines of a that b doesn't have.
func difference(a, b string) string {
	other := map[string]bool{}
	for _, line := range strings.Split(b, "\n") {
		other[line] = true
	}
	var out strings.Builder
	for _, line := range strings.Split(a, "\n") {
		if !other[line] {
			fmt.Fprintf(&out, "  %.400q\n", line)
		}
	}
	return out.String()
}

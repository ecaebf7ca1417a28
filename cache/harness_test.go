package cache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/purges"
	"github.com/wherry/wherry/cache/store"
)

// upstream is an http.RoundTripper in memory over an http.Handler. Bodies stream: what the handler writes is read before Write
// returns. The handler panics with brokenOff to fail: before the header section that is RoundTrip's error, behind it the body's.
type upstream struct {
	handler http.Handler

	mu       sync.Mutex // protects what follows
	requests []*http.Request
}

type brokenOff struct{ error }

func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	u.mu.Lock()
	u.requests = append(u.requests, r)
	u.mu.Unlock()
	body, w := io.Pipe()
	answer := &upstreamWriter{r: r, pipe: w, header: http.Header{}, started: make(chan *http.Response, 1), failed: make(chan error, 1)}
	stop := context.AfterFunc(r.Context(), func() { body.CloseWithError(r.Context().Err()) })
	answer.body = &upstreamBody{PipeReader: body, stop: stop}
	go answer.run(u.handler)
	select {
	case resp := <-answer.started:
		return resp, nil
	case err := <-answer.failed:
		stop()
		return nil, err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// seen returns how many requests the upstream got.
func (u *upstream) seen() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.requests)
}

// request returns the i-th request that the upstream got.
func (u *upstream) request(i int) *http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.requests[i]
}

type upstreamBody struct {
	*io.PipeReader
	stop func() bool
}

func (b *upstreamBody) Close() error {
	b.stop()
	return b.PipeReader.Close()
}

type upstreamWriter struct {
	r       *http.Request
	pipe    *io.PipeWriter
	body    *upstreamBody
	header  http.Header
	status  int // 0 until written
	trailer http.Header
	started chan *http.Response
	failed  chan error
}

func (w *upstreamWriter) run(h http.Handler) {
	defer func() {
		switch v := recover().(type) {
		case nil:
			w.WriteHeader(http.StatusOK)
			for name := range w.trailer {
				w.trailer[name] = w.header[http.TrailerPrefix+name]
			}
			w.pipe.Close()
		case brokenOff:
			w.failed <- v.error
			w.pipe.CloseWithError(v.error)
		default:
			panic(v)
		}
	}()
	h.ServeHTTP(w, w.r)
}

func (w *upstreamWriter) Header() http.Header { return w.header }

func (w *upstreamWriter) WriteHeader(status int) {
	if status < 200 {
		if t := httptrace.ContextClientTrace(w.r.Context()); t != nil && t.Got1xxResponse != nil {
			_ = t.Got1xxResponse(status, textproto.MIMEHeader(w.header.Clone()))
		}
		return
	}
	if w.status != 0 {
		return
	}
	w.status = status
	resp := &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: w.header.Clone(), Request: w.r, Body: w.body, ContentLength: -1,
	}
	if n, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64); err == nil {
		resp.ContentLength = n
	}
	if announced := w.header["Trailer"]; announced != nil {
		w.trailer = http.Header{}
		for _, name := range announced {
			w.trailer[name] = nil
		}
		resp.Trailer = w.trailer // as net/http does: filled in before the body's end is read
		delete(resp.Header, "Trailer")
	}
	if w.bodyless() {
		resp.Body, resp.ContentLength = http.NoBody, max(resp.ContentLength, 0)
	}
	w.started <- resp
}

func (w *upstreamWriter) bodyless() bool {
	return w.r.Method == http.MethodHead || !field.HasContent(w.status)
}

func (w *upstreamWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.bodyless() {
		return len(p), nil
	}
	return w.pipe.Write(p)
}

// client is one request and what has come back of it.
type client struct {
	cancel context.CancelFunc
	done   chan struct{}
	onBody func(n int) error // called before n more body bytes are taken; may block; may be nil

	mu      sync.Mutex // protects what follows
	header  http.Header
	status  int
	sent    http.Header // as they were when status was written
	interim []http.Header
	body    []byte
	flushed int // bytes of body
	flushes int
	outcome Outcome
}

var _ http.Flusher = (*client)(nil)

func (c *client) Header() http.Header { return c.header }

func (c *client) WriteHeader(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if status < 200 {
		h := c.header.Clone()
		h.Set(":status", strconv.Itoa(status))
		c.interim = append(c.interim, h)
		return
	}
	if c.status == 0 {
		c.status, c.sent = status, c.header.Clone()
	}
}

func (c *client) Write(p []byte) (int, error) {
	if c.onBody != nil {
		if err := c.onBody(len(p)); err != nil {
			return 0, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == 0 {
		panic("body before the header section")
	}
	c.body = append(c.body, p...)
	return len(p), nil
}

func (c *client) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushed = len(c.body)
	c.flushes++
}

// got returns the body so far.
func (c *client) got() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.body)
}

// trailer returns the trailer field name.
func (c *client) trailer(name string) string { return c.header.Get(http.TrailerPrefix + name) }

// wait returns when Serve has and nothing moves any more: the fetch is done, too.
func (c *client) wait() *client {
	<-c.done
	synctest.Wait()
	return c
}

// world is a cache with its upstream, running inside a synctest bubble.
type world struct {
	t      *testing.T
	cache  *Cache
	store  store.Store
	up     *upstream
	policy Policy
	stop   func() // ends Run and returns when it has returned
}

// bubble runs test in a world whose upstream is handler. The bubble ends only when every goroutine has.
func bubble(t *testing.T, handler http.HandlerFunc, test func(w *world)) {
	t.Helper()
	bubbleWithStore(t, 1<<24, 1<<22, handler, test)
}

func bubbleWithStore(t *testing.T, bytesMax, objectMax int64, handler http.HandlerFunc, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		memory, err := store.NewMemory(bytesMax, objectMax)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, store: memory, up: &upstream{handler: handler}}
		w.cache = New(Options{
			Name: "lisbon-1", Store: memory, Metrics: NewMetrics(prometheus.NewRegistry()),
		})
		w.policy = Policy{Keys: &store.KeyPolicy{Site: "shop"}, Scheme: "http", Host: "shop.test", Upstream: w.up}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- w.cache.Run(ctx) }()
		w.stop = sync.OnceFunc(func() {
			cancel()
			if err := <-ran; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		test(w)
		w.stop()
	})
}

// request returns a request for path with fields as name, value pairs.
func request(method, path string, fields ...string) *http.Request {
	r, err := http.NewRequest(method, "http://shop.test"+path, nil)
	if err != nil {
		panic(err)
	}
	setFields(r.Header, fields)
	return r
}

// newClient returns a client that hasn't asked yet.
func newClient() *client {
	return &client{header: http.Header{}, done: make(chan struct{})}
}

// start sends r for c, in a goroutine.
func (w *world) start(c *client, r *http.Request) *client {
	ctx, cancel := context.WithCancel(r.Context())
	c.cancel = cancel
	policy := w.policy
	go func() {
		defer close(c.done)
		defer cancel()
		c.outcome = w.cache.Serve(c, r.WithContext(ctx), &policy)
	}()
	return c
}

// begin starts a GET and returns when nothing moves any more.
func (w *world) begin(path string, fields ...string) *client {
	c := w.start(newClient(), request(http.MethodGet, path, fields...))
	synctest.Wait()
	return c
}

func (w *world) do(method, path string, fields ...string) *client {
	return w.start(newClient(), request(method, path, fields...)).wait()
}

func (w *world) get(path string, fields ...string) *client {
	return w.do(http.MethodGet, path, fields...)
}

// purge purges what stands under key, and returns how many responses that were.
func (w *world) purge(key store.Key) int {
	return w.cache.Invalidate(Purge{Scope: purges.Keys, Keys: []store.Key{key}})
}

func (w *world) purgeAll() int { return w.cache.Invalidate(Purge{Scope: purges.All}) }

// expect checks how c was answered; body "" isn't checked.
func (w *world) expect(c *client, verdict Verdict, status int, body string) {
	w.t.Helper()
	if c.outcome.Verdict != verdict || c.status != status || body != "" && c.got() != body {
		w.t.Fatalf("verdict %s, status %d, body %.60q, err %v (%s); want %s, %d, %.60q",
			c.outcome.Verdict, c.status, c.got(), c.outcome.Err, c.outcome.Detail, verdict, status, body)
	}
	if c.status != c.outcome.Status {
		w.t.Fatalf("status %d sent, outcome says %d", c.status, c.outcome.Status)
	}
	if n := int64(len(c.got())); n != c.outcome.BodyBytes {
		w.t.Fatalf("%d bytes sent, outcome says %d", n, c.outcome.BodyBytes)
	}
}

// expectSeen checks how many requests the upstream has had.
func (w *world) expectSeen(n int) {
	w.t.Helper()
	if seen := w.up.seen(); seen != n {
		w.t.Fatalf("the upstream got %d requests, want %d", seen, n)
	}
}

// expectEmpty checks that nothing is stored or charged.
func (w *world) expectEmpty() {
	w.t.Helper()
	if u := w.store.Usage(); u.Responses != 0 || u.Bytes != 0 {
		w.t.Fatalf("%d responses of %d bytes in the store, want nothing", u.Responses, u.Bytes)
	}
}

// answer writes a response whose fields are name, value pairs.
func answer(w http.ResponseWriter, status int, body string, fields ...string) {
	setFields(w.Header(), fields)
	if field.HasContent(status) && w.Header().Get("Content-Length") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// always answers every request the same.
func always(status int, body string, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, status, body, fields...) }
}

// script answers the n-th request with the n-th handler, and the ones behind the last with the last.
func script(handlers ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := handlers[min(n, len(handlers)-1)]
		n++
		mu.Unlock()
		h(w, r)
	}
}

// counted answers with a body that tells which request it was: "1", "2", …
func counted(fields ...string) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		n++
		body := strconv.Itoa(n)
		mu.Unlock()
		answer(w, http.StatusOK, body, fields...)
	}
}

// refused fails as an upstream that can't be reached.
func refused(http.ResponseWriter, *http.Request) {
	panic(brokenOff{errors.New("connection refused")})
}

package edge

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/store"
)

// fileStore is a store whose bodies stand in files, behind something else.
type fileStore struct {
	*store.Memory
	t       testing.TB
	unknown bool // the files aren't known to be as they were written

	mu     sync.Mutex // protects what follows
	bodies []*fileBody
}

const fileOffset = 4099 // where the content begins

func (s *fileStore) NewBody(int64) store.Body {
	f, err := os.CreateTemp(s.t.TempDir(), "body")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { f.Close() })
	b := &fileBody{store: s, f: f}
	b.release = func() { b.held.Add(-1) }
	s.mu.Lock()
	s.bodies = append(s.bodies, b)
	s.mu.Unlock()
	return b
}

// fileBody is a store.FileBody that counts how it is used.
type fileBody struct {
	store   *fileStore
	f       *os.File
	size    atomic.Int64
	given   atomic.Int64 // times that File gave the file
	held    atomic.Int64 // of them, those that weren't released
	written atomic.Int64 // calls of WriteRange
	release func()
}

var _ store.FileBody = (*fileBody)(nil)

func (b *fileBody) Append(p []byte) (int, error) {
	n, err := b.f.WriteAt(p, fileOffset+b.size.Load())
	b.size.Add(int64(n))
	return n, err
}

func (b *fileBody) WriteRange(w io.Writer, off, n int64) (int64, error) {
	b.written.Add(1)
	return io.Copy(w, io.NewSectionReader(b.f, fileOffset+off, n))
}

func (b *fileBody) Len() int64 { return b.size.Load() }

func (b *fileBody) Discard() {}

func (b *fileBody) File() (f *os.File, off int64, release func(), ok bool) {
	if b.store.unknown {
		return nil, 0, nil, false
	}
	b.given.Add(1)
	b.held.Add(1)
	return b.f, fileOffset, b.release, true
}

// startFiles runs a node whose responses are stored in files; a path is the size of its response.
func startFiles(t testing.TB, o nodeOptions, unknown bool) (*node, *fileStore) {
	t.Helper()
	memory, err := store.NewMemory(64<<20, 32<<20)
	if err != nil {
		t.Fatal(err)
	}
	store := &fileStore{Memory: memory, t: t, unknown: unknown}
	inner := cache.New(cache.Options{Name: "lisbon-1", Store: store, Metrics: cache.NewMetrics(prometheus.NewRegistry())})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = inner.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	o.cacher = inner
	o.upstream = func(r *http.Request) (*http.Response, error) {
		size, err := strconv.Atoi(r.URL.Path[1:])
		if err != nil {
			return nil, err
		}
		resp := respond(200, content(size))
		resp.Header = http.Header{
			"Cache-Control": {"max-age=3600"}, "Content-Type": {"text/plain"}, "Etag": {`"a"`}, "Content-Length": {r.URL.Path[1:]},
		}
		return resp, nil
	}
	return start(t, o), store
}

// content has something else at each offset that a mistake is likely to lead to.
func content(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		b.WriteString(strconv.Itoa(i))
	}
	return b.String()[:size]
}

// door opens a connection, over TLS if it is to be secure.
func (n *node) door(secure bool) *wire {
	if !secure {
		return n.dial()
	}
	return newWireOn(n.t, tls.Client(newWire(n.t, n.https).Conn, &tls.Config{InsecureSkipVerify: true, ServerName: "shop.test"}))
}

// fill asks for path until it is stored.
func (s *fileStore) fill(n *node, secure bool, path string) {
	w := n.door(secure)
	defer w.Close()
	for before := s.Usage().Responses; s.Usage().Responses == before; {
		w.send(get(path))
		w.response(http.MethodGet)
	}
}

var fileSizes = []int{0, 1, 1000, 100 << 10, 9 << 20} // the last is more than the system takes at once

func TestLaneSendsFiles(t *testing.T) {
	for _, test := range []struct {
		name            string
		secure, unknown bool
	}{{name: "cleartext"}, {name: "TLS", secure: true}, {name: "unknown", unknown: true}} {
		n, store := startFiles(t, nodeOptions{}, test.unknown)
		for _, size := range fileSizes {
			store.fill(n, test.secure, "/"+strconv.Itoa(size))
		}
		w := n.door(test.secure)
		for i, size := range fileSizes {
			b, request := store.bodies[i], get("/"+strconv.Itoa(size))
			written := b.written.Load()
			w.send(request + request) // two at once: what follows a file is in its place
			for range 2 {
				resp, body := w.response(http.MethodGet)
				if resp.StatusCode != 200 || body != content(size) || !strings.Contains(resp.Header.Get("Cache-Status"), "; hit") {
					t.Errorf("%s, %d bytes: status %d, %q, %d bytes", test.name, size, resp.StatusCode, resp.Header["Cache-Status"], len(body))
				}
			}
			bySystem := runtime.GOOS == "linux" && !test.secure && !test.unknown && size > 0
			if got := b.given.Load() == 2 && b.written.Load() == written; got != bySystem {
				t.Errorf("%s, %d bytes: by the system %t, want %t", test.name, size, got, bySystem)
			}
			w.send(strings.Replace(request, "GET", "HEAD", 1))
			if resp, _ := w.response(http.MethodHead); resp.StatusCode != 200 || resp.ContentLength != int64(size) {
				t.Errorf("%s: HEAD gets %d and length %d", test.name, resp.StatusCode, resp.ContentLength)
			}
			w.send(get("/"+strconv.Itoa(size), `If-None-Match: "a"`))
			if resp, _ := w.response(http.MethodGet); resp.StatusCode != 304 {
				t.Errorf("%s: condition gets %d", test.name, resp.StatusCode)
			}
			if b.held.Load() != 0 {
				t.Errorf("%s: %d files were not released", test.name, b.held.Load())
			}
		}
	}
}

// Whoever sends a file, what the client and the log see is the same.
func TestLaneSendsFilesAsNetHTTP(t *testing.T) {
	var saw [2]string
	for i, laneless := range [...]bool{true, false} {
		n, store := startFiles(t, nodeOptions{laneless: laneless}, false)
		store.fill(n, false, "/100000")
		w := n.dial()
		w.send(get("/100000") + strings.Replace(get("/100000"), "GET", "HEAD", 1) + get("/100000", "Range: bytes=5-9", "Connection: close"))
		output, err := io.ReadAll(w)
		if err != nil {
			t.Fatal(err)
		}
		saw[i] = regexp.MustCompile(`Date: .*`).ReplaceAllString(comparable(string(output)), "Date")
		records := n.records()
		for _, r := range records[len(records)-3:] {
			saw[i] += strings.Join([]string{
				r["cache_status"].(string), r["cache"].(string), strconv.Itoa(int(r["status"].(float64))), strconv.Itoa(int(r["response_body_bytes"].(float64))),
			}, ", ") + "\n"
		}
	}
	ages := strings.NewReplacer("ttl=3599", "ttl=3600", "Age: 1\n", "Age: 0\n") // the clock is a real one
	if a, b := ages.Replace(saw[0]), ages.Replace(saw[1]); a != b {
		t.Errorf("without the lane:\n%s\nwith it:\n%s", difference(a, b), difference(b, a))
	}
}

// A file that has lost its end breaks the response, and the connection with it.
func TestLaneBreaksOffWhereAFileEnds(t *testing.T) {
	n, store := startFiles(t, nodeOptions{}, false)
	store.fill(n, false, "/100000")
	if err := store.bodies[0].f.Truncate(fileOffset + 50000); err != nil {
		t.Fatal(err)
	}
	w := n.dial()
	w.send(get("/100000") + get("/100000"))
	resp, err := http.ReadResponse(w.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); len(body) != 50000 || err != io.ErrUnexpectedEOF {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	w.closed()
	records := n.records()
	if r := records[len(records)-1]; r["aborted"] != true || r["response_body_bytes"] != 50000.0 || store.bodies[0].held.Load() != 0 {
		t.Errorf("record %v", r)
	}
}

// A client that doesn't take a file is let go after limits.write_timeout.
func TestLaneCutsOffAClientThatLeavesAFile(t *testing.T) {
	for _, secure := range []bool{false, true} {
		n, store := startFiles(t, nodeOptions{yaml: shopYAML + "\nlimits: {write_timeout: 100ms}"}, false)
		const size = 16 << 20
		store.fill(n, secure, "/"+strconv.Itoa(size))
		n.door(secure).send(get("/" + strconv.Itoa(size)))
		for n.Stats().Requests < 2 { // it ends without being read
			runtime.Gosched()
		}
		records := n.records()
		if r := records[len(records)-1]; r["aborted"] != true || r["fault"] != "client" || r["cache"] != "hit" {
			t.Errorf("secure %t: record %v", secure, r)
		}
		if store.bodies[0].held.Load() != 0 {
			t.Errorf("secure %t: the file was not released", secure)
		}
	}
}

func TestLaneSendsFilesWithoutAllocating(t *testing.T) {
	n, store := startFiles(t, nodeOptions{}, false)
	store.fill(n, false, "/100000")
	w := n.dial()
	request := get("/100000")
	w.send(request + strings.Replace(request, "/1.1\r\n", "/1.1\r\nConnection: close\r\n", 1))
	both, err := io.ReadAll(w)
	if err != nil {
		t.Fatal(err)
	}
	response := make([]byte, strings.LastIndex(string(both), "HTTP/1.1 200"))
	w, raw := n.dial(), []byte(request)
	best := 1e9
	for range 100 {
		best = min(best, testing.AllocsPerRun(1, func() { askAgain(t, w.Conn, raw, response) }))
	}
	if best > 0 || store.bodies[0].given.Load() < 200 && runtime.GOOS == "linux" {
		t.Errorf("a hit from a file allocates %v times; %d were", best, store.bodies[0].given.Load())
	}
}

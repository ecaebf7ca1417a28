package tier

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/storetest"
)

// film is an origin of one huge object, that answers ranges.
type film struct {
	content string
	sent    atomic.Int64
}

func (f *film) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	rec.Header().Set("Etag", `"1"`)
	rec.Header().Set("Cache-Control", "max-age=600")
	rec.Header().Set("Content-Type", "video/mp4")
	http.ServeContent(rec, r, "", time.Time{}, strings.NewReader(f.content))
	resp := rec.Result()
	resp.Request = r
	resp.ContentLength, _ = strconv.ParseInt(resp.Header.Get("Content-Length"), 10, 64)
	resp.Body = &counting{ReadCloser: resp.Body, n: &f.sent}
	return resp, nil
}

type counting struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// TestHugeObject: an object larger than the memory is on disk when it was asked for twice, and comes from there, also after a restart.
func TestHugeObject(t *testing.T) {
	const size, memory = 24 << 20, 8 << 20
	f := &film{content: storetest.Content("film", "", 1, size)}
	dir := t.TempDir()
	start := func() *node {
		n := startNodeWith(t, options{dir: dir, bytesMax: memory, objectMax: 1 << 20}, nil)
		n.upstream = f
		return n
	}
	n := start()
	for _, once := range []bool{true, false, false} {
		if rec, out := n.get("/film"); rec.Body.String() != f.content || out.Err != nil {
			t.Fatalf("%d bytes, %v", rec.Body.Len(), out.Err)
		}
		n.world.settle()
		// Each part asks for the head, so that goes to disk.
		if written := n.world.Usage().Disk.Responses; once && written > 1 || !once && written < size>>20/2 {
			t.Errorf("%d parts are on disk; asked for once: %t", written, once)
		}
	}
	for range 2 {
		f.sent.Store(0)
		rec := n.expect("/film", cache.Hit, f.content)
		if got := f.sent.Load(); got > 0 {
			t.Errorf("%d bytes came from the origin after all; %v", got, rec.Header())
		}
		if u := n.world.Usage(); u.Bytes > memory {
			t.Errorf("%d bytes in memory", u.Bytes)
		}
		n.stop()
		n = start()
	}
	r := httptest.NewRequest(http.MethodGet, "http://shop.test/film", nil)
	r.Header.Set("Range", "bytes=20000000-20000099")
	rec, out := n.do(r)
	if out.Verdict != cache.Hit || rec.Code != http.StatusPartialContent || rec.Body.String() != f.content[20000000:20000100] {
		t.Errorf("%s, %d, %q", out.Verdict, rec.Code, rec.Body)
	}
	n.stop()
}

// TestLetsGoOfWhatTheDiskHasDropped: the room of an evicted segment is free only when nobody has a body in it.
func TestLetsGoOfWhatTheDiskHasDropped(t *testing.T) {
	w := open(t, options{diskMax: 6 * testSegment})
	const n = 60
	for i := range n {
		storetest.Insert(t, w, key(i), "", 1, 1<<20)
		w.Lookup(key(i))
		w.settle()
	}
	if w.Usage().Disk.Evictions == 0 {
		t.Fatal("nothing was evicted")
	}
	w.sweepMoved()
	held, gone := 0, 0
	for i := range n {
		found := w.Peek(key(i))
		if len(found) == 0 {
			gone++
			continue
		}
		if b := found[0].Body.(*fileBody).blob; !b.Live() || b.Moved() {
			held++
		}
	}
	if held > 0 || gone == 0 || gone == n {
		t.Errorf("%d bodies of dropped segments are held, %d of %d are gone", held, gone, n)
	}
}

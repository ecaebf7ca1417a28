package cache

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
)

// library is an origin with one large object, of which it sends what it is asked for.
type library struct {
	version atomic.Int64
	size    int64
	fields  []string
	sent    atomic.Int64 // body bytes
	whole   bool         // it doesn't know ranges
	gate    func(off int64)
}

const (
	partsMemory = 1 << 20
	partsObject = 64 << 10 // what is larger is stored in parts of so many bytes
)

// text returns n bytes of a version from off on: every place and version can be told.
func text(version, off, n int64) string {
	b := make([]byte, 0, n+32)
	for line := off / 16; int64(len(b)) < n+16; line++ {
		b = strconv.AppendInt(b, 100+version%900, 10)
		b = append(strconv.AppendInt(append(b, ':'), 1e10+line, 10), '\n')
	}
	return string(b[off%16 : off%16+n])
}

func (l *library) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	version := l.version.Load()
	h := w.Header()
	setFields(h, l.fields)
	if h.Get("Etag") == "" && h.Get("X-No-Validator") == "" {
		h.Set("Etag", fmt.Sprintf(`"v%d"`, version))
	}
	h.Set("Cache-Control", "max-age=3600")
	if l.whole {
		r.Header.Del("Range")
	}
	if condition := r.Header.Get("If-Range"); condition != "" && condition != h.Get("Etag") {
		r.Header.Del("Range")
	}
	http.ServeContent(&countingWriter{w, l}, r, "", time.Time{}, &contentReader{version: version, size: l.size, gate: l.gate})
}

type countingWriter struct {
	http.ResponseWriter
	l *library
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.l.sent.Add(int64(n))
	return n, err
}

type contentReader struct {
	version, size, off int64
	gate               func(off int64)
}

func (c *contentReader) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += c.off
	case io.SeekEnd:
		off += c.size
	}
	c.off = off
	return off, nil
}

func (c *contentReader) Read(p []byte) (int, error) {
	if c.off >= c.size {
		return 0, io.EOF
	}
	if c.gate != nil {
		c.gate(c.off)
	}
	n := min(int64(len(p)), c.size-c.off, 16<<10)
	copy(p, text(c.version, c.off, n))
	c.off += n
	return int(n), nil
}

func partsBubble(t *testing.T, l *library, test func(w *world)) {
	t.Helper()
	l.version.CompareAndSwap(0, 1)
	bubbleWithStore(t, partsMemory, partsObject, l.ServeHTTP, test)
}

// TestLargerThanTheStoreTakes: what is larger than memory.object is stored in parts, served from them, and only what is missing is
// fetched again.
func TestLargerThanTheStoreTakes(t *testing.T) {
	l := &library{size: 300_000}
	partsBubble(t, l, func(w *world) {
		w.expect(w.get("/"), Miss, 200, text(1, 0, l.size))
		w.expect(w.get("/"), Hit, 200, text(1, 0, l.size))
		got := w.get("/", "Range", "bytes=100000-200000")
		w.expect(got, Hit, 206, text(1, 100000, 100001))
		if got.sent.Get("Content-Range") != "bytes 100000-200000/300000" || got.sent.Get("Content-Length") != "100001" {
			t.Errorf("sent %v", got.sent)
		}
		w.expect(w.do(http.MethodHead, "/"), Hit, 200, "")
		w.expectSeen(1)
		if w.purge(store.NewKey(w.policy.Keys, "http", "shop.test", "/", "")) == 0 {
			t.Error("nothing to purge")
		}
		w.expect(w.get("/", "Range", "bytes=0-9"), Miss, 206, text(1, 0, 10))
		w.expectSeen(2)
	})
}

// TestOnlyWhatIsAskedFor: of a huge object no more is fetched than somebody wants, in whole fragments.
func TestOnlyWhatIsAskedFor(t *testing.T) {
	l := &library{size: 20 << 30}
	partsBubble(t, l, func(w *world) {
		const at = 10<<30 + 12345
		got := w.get("/", "Range", fmt.Sprintf("bytes=%d-%d", at, at+999))
		w.expect(got, Miss, 206, text(1, at, 1000))
		if status := got.sent.Get("Cache-Status"); !strings.Contains(status, "fwd=uri-miss") || !strings.Contains(status, "stored") {
			t.Errorf("Cache-Status: %s", status)
		}
		w.expect(w.get("/", "Range", fmt.Sprintf("bytes=%d-%d", at-100, at+100)), Hit, 206, text(1, at-100, 201))
		w.expectSeen(1)
		last := w.get("/", "Range", "bytes=-10")
		w.expect(last, Miss, 206, text(1, l.size-10, 10))
		if status := last.sent.Get("Cache-Status"); !strings.Contains(status, "fwd=partial") || last.sent.Get("Age") == "" {
			t.Errorf("a part that isn't there yet: %v", last.sent)
		}
		w.expect(w.get("/", "Range", "bytes=-5"), Hit, 206, text(1, l.size-5, 5))
		if sent := l.sent.Load(); sent > 2*partsObject {
			t.Errorf("the origin sent %d bytes", sent)
		}
		w.expect(w.get("/", "Range", "bytes=21474836480-"), Hit, 416, "")
		if u := w.store.Usage(); u.Bytes > u.BytesMax {
			t.Errorf("%d bytes in the store of %d", u.Bytes, u.BytesMax)
		}
	})
}

// TestSmallObjectByRange: a part that is all there is, is stored as the whole.
func TestSmallObjectByRange(t *testing.T) {
	l := &library{size: 1000}
	partsBubble(t, l, func(w *world) {
		w.expect(w.get("/", "Range", "bytes=100-199"), Miss, 206, text(1, 100, 100))
		w.expect(w.get("/"), Hit, 200, text(1, 0, 1000))
		w.expectSeen(1)
	})
}

// TestPartsAreCombined: what different clients asked for makes the whole in the end (RFC 9111 §3.4).
func TestPartsAreCombined(t *testing.T) {
	l := &library{size: 150_000}
	partsBubble(t, l, func(w *world) {
		w.expect(w.get("/", "Range", "bytes=-1000"), Miss, 206, text(1, 149_000, 1000))
		w.expect(w.get("/", "Range", "bytes=70000-80000"), Miss, 206, text(1, 70_000, 10_001))
		w.expect(w.get("/"), Miss, 200, text(1, 0, l.size))
		w.expect(w.get("/"), Hit, 200, text(1, 0, l.size))
		if sent := l.sent.Load(); sent > l.size+2000 {
			t.Errorf("the origin sent %d bytes of %d", sent, l.size)
		}
	})
}

// TestChangedBetweenParts: parts of two versions never make one response (RFC 9110 §15.3.7.3).
func TestChangedBetweenParts(t *testing.T) {
	l := &library{size: 1 << 20}
	partsBubble(t, l, func(w *world) {
		w.expect(w.get("/", "Range", "bytes=0-9"), Miss, 206, text(1, 0, 10))
		l.version.Store(2)
		w.expect(w.get("/", "Range", "bytes=5-9"), Hit, 206, text(1, 5, 5)) // still fresh
		got := w.get("/", "Range", "bytes=500000-500009")
		w.expect(got, Miss, 206, text(2, 500_000, 10))
		if got.sent.Get("Etag") != `"v2"` {
			t.Errorf("sent %v", got.sent)
		}
		w.expect(w.get("/", "Range", "bytes=0-9"), Hit, 206, text(2, 0, 10))
	})
	t.Run("after the header section", func(t *testing.T) {
		l := &library{size: 1 << 20}
		partsBubble(t, l, func(w *world) {
			w.get("/", "Range", "bytes=0-9")
			l.version.Store(2)
			got := w.get("/")
			if got.outcome.Err == nil || got.status != 200 {
				t.Fatalf("status %d, %v; want a response that breaks off", got.status, got.outcome.Err)
			}
			if want := text(1, 0, int64(len(got.got()))); got.got() != want {
				t.Error("another version's bytes in it")
			}
			w.expect(w.get("/"), Miss, 200, text(2, 0, l.size))
		})
	})
}

// TestPartsWithoutValidator: a part that can't be told from another version's is used by itself, and never joined.
func TestPartsWithoutValidator(t *testing.T) {
	l := &library{size: 50_000, fields: []string{"X-No-Validator", "1"}}
	partsBubble(t, l, func(w *world) {
		w.expect(w.get("/", "Range", "bytes=-1000"), Miss, 206, text(1, 49_000, 1000))
		w.expect(w.get("/", "Range", "bytes=49100-49199"), Hit, 206, text(1, 49_100, 100))
		w.expectSeen(1)
		w.expect(w.get("/", "Range", "bytes=0-9"), Miss, 206, text(1, 0, 10))
		w.expect(w.get("/"), Hit, 200, text(1, 0, l.size))
		w.expectSeen(2)
	})
	t.Run("too large for one piece", func(t *testing.T) {
		l := &library{size: 500_000, fields: []string{"X-No-Validator", "1"}}
		partsBubble(t, l, func(w *world) {
			for range 2 {
				w.expect(w.get("/", "Range", "bytes=100-199"), Miss, 206, text(1, 100, 100))
			}
			w.expect(w.get("/"), Miss, 200, text(1, 0, l.size))
			w.expectEmpty()
		})
	})
}

// TestOriginWithoutRanges: then the whole is what leads to a part.
func TestOriginWithoutRanges(t *testing.T) {
	l := &library{size: 400_000, whole: true}
	partsBubble(t, l, func(w *world) {
		w.expect(w.get("/", "Range", "bytes=300000-300009"), Miss, 206, text(1, 300_000, 10))
		w.expect(w.get("/", "Range", "bytes=100000-100009"), Hit, 206, text(1, 100_000, 10))
		last := w.get("/", "Range", "bytes=390000-")
		w.expect(last, last.outcome.Verdict, 206, text(1, 390_000, 10_000))
		if seen := w.up.seen(); seen > 2 {
			t.Errorf("%d requests", seen)
		}
	})
}

// TestSlowReaderOfParts: nobody waits for who reads slowly, and who reads slowly loses nothing.
func TestSlowReaderOfParts(t *testing.T) {
	l := &library{size: 4 << 20}
	l.version.Store(1)
	bubbleWithStore(t, 3<<20, partsObject, l.ServeHTTP, func(w *world) {
		hold := make(chan struct{})
		slow := newClient()
		slow.onBody = func(int) error { <-hold; return nil }
		w.start(slow, request(http.MethodGet, "/"))
		synctest.Wait()
		fast := w.begins(3)
		for _, c := range fast {
			w.expect(c.wait(), c.outcome.Verdict, 200, text(1, 0, l.size))
		}
		if sent := l.sent.Load(); sent > 2*l.size { // they may drift apart further than the store holds
			t.Errorf("the origin sent %d bytes for an object of %d", sent, l.size)
		}
		if u := w.store.Usage(); u.Bytes > u.BytesMax {
			t.Errorf("%d bytes in the store of %d", u.Bytes, u.BytesMax)
		}
		close(hold)
		slow.wait()
		w.expect(slow, Miss, 200, text(1, 0, l.size))
	})
}

// TestAllLeaveParts: a fetch that nobody reads any more ends, and what has come of it is kept.
func TestAllLeaveParts(t *testing.T) {
	l := &library{size: 64 << 20}
	partsBubble(t, l, func(w *world) {
		one, other := newClient(), newClient()
		hold := make(chan struct{})
		for _, c := range []*client{one, other} {
			taken := 0
			c.onBody = func(n int) error {
				if taken += n; taken > 500_000 {
					<-hold
				}
				return nil
			}
			w.start(c, request(http.MethodGet, "/"))
		}
		synctest.Wait()
		one.cancel()
		synctest.Wait()
		other.cancel()
		close(hold)
		one.wait()
		other.wait()
		if sent := l.sent.Load(); sent > 2<<20 {
			t.Errorf("the origin sent %d bytes, though both have left at 500000", sent)
		}
		w.expect(w.get("/", "Range", "bytes=300000-400000"), Hit, 206, text(1, 300_000, 100_001))
		w.expectSeen(1)
	})
}

// TestPartsGoOnWhereTheyBrokeOff: an origin whose connection breaks costs the client nothing.
func TestPartsGoOnWhereTheyBrokeOff(t *testing.T) {
	l := &library{size: 1 << 20}
	broken := 0
	l.gate = func(off int64) {
		if off > 200_000 && broken < 1 || off > 600_000 && broken < 2 {
			broken++
			panic(brokenOff{io.ErrUnexpectedEOF})
		}
	}
	partsBubble(t, l, func(w *world) {
		w.expect(w.get("/"), Miss, 200, text(1, 0, l.size))
		if seen := w.up.seen(); seen < 3 || seen > 5 {
			t.Errorf("%d requests", seen)
		}
	})
	t.Run("for good", func(t *testing.T) {
		l := &library{size: 1 << 20}
		l.gate = func(off int64) {
			if off > 200_000 {
				panic(brokenOff{io.ErrUnexpectedEOF})
			}
		}
		partsBubble(t, l, func(w *world) {
			got := w.get("/")
			if got.outcome.Err == nil || !strings.HasPrefix(text(1, 0, l.size), got.got()) {
				t.Errorf("%d bytes, %v; want the beginning, broken off", len(got.got()), got.outcome.Err)
			}
			if seen := w.up.seen(); seen > 2+resumesMax {
				t.Errorf("%d requests", seen)
			}
		})
	})
}

// TestEvilParts: an origin that sends other parts than it was asked for can't make anything wrong of them.
func TestEvilParts(t *testing.T) {
	for name, evil := range map[string]string{
		"another part":      "bytes 0-9/1048576",
		"too little":        "bytes 524288-524290/1048576",
		"another size":      "bytes 524288-524297/2000000",
		"nonsense":          "bytes 9-0/x",
		"more than it sent": "bytes 524288-600000/1048576",
	} {
		t.Run(name, func(t *testing.T) {
			l := &library{size: 1 << 20}
			handler := script(l.ServeHTTP, func(w http.ResponseWriter, _ *http.Request) {
				answer(w, 206, "0123456789", "Content-Range", evil, "Etag", `"v1"`, "Cache-Control", "max-age=3600")
			})
			l.version.Store(1)
			bubbleWithStore(t, partsMemory, partsObject, handler, func(w *world) {
				w.get("/", "Range", "bytes=0-9")
				got := w.get("/", "Range", "bytes=524288-534288")
				if got.outcome.Err == nil && got.status < 500 && got.status != 206 {
					t.Errorf("status %d with %q", got.status, got.got())
				}
				again := w.get("/", "Range", "bytes=0-9")
				w.expect(again, again.outcome.Verdict, 206, "")
			})
		})
	}
}

// TestSeveralRanges is RFC 9110 §14.6, from a stored response, one that arrives, and one in parts.
func TestSeveralRanges(t *testing.T) {
	for _, size := range []int64{1000, 300_000} {
		for _, stored := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d %t", size, stored), func(t *testing.T) {
				l := &library{size: size, fields: []string{"Content-Type", "text/x"}}
				partsBubble(t, l, func(w *world) {
					if stored {
						w.get("/")
					}
					got := w.get("/", "Range", fmt.Sprintf("bytes=-7,10-19,%d-%d", size/2, size/2+4))
					w.expect(got, got.outcome.Verdict, 206, "")
					if n := strconv.Itoa(len(got.got())); got.sent.Get("Content-Length") != n {
						t.Errorf("Content-Length %s for %s bytes", got.sent.Get("Content-Length"), n)
					}
					_, params, err := mime.ParseMediaType(got.sent.Get("Content-Type"))
					if err != nil {
						t.Fatal(err)
					}
					parts := multipart.NewReader(bytes.NewReader([]byte(got.got())), params["boundary"])
					for _, r := range [][2]int64{{10, 10}, {size / 2, 5}, {size - 7, 7}} {
						p, err := parts.NextRawPart()
						if err != nil {
							t.Fatal(err)
						}
						body, _ := io.ReadAll(p)
						want := fmt.Sprintf("bytes %d-%d/%d", r[0], r[0]+r[1]-1, size)
						if string(body) != text(1, r[0], r[1]) || p.Header.Get("Content-Range") != want || p.Header.Get("Content-Type") != "text/x" {
							t.Errorf("part %q with %v; want %s", body, p.Header, want)
						}
					}
					if _, err := parts.NextRawPart(); err != io.EOF {
						t.Errorf("after the last part: %v", err)
					}
				})
			})
		}
	}
}

// TestPartsRevalidated: a 304 keeps the parts.
func TestPartsRevalidated(t *testing.T) {
	l := &library{size: 200_000}
	partsBubble(t, l, func(w *world) {
		w.get("/")
		time.Sleep(2 * time.Hour)
		w.expect(w.get("/"), Revalidated, 200, text(1, 0, l.size))
		w.expect(w.get("/"), Hit, 200, text(1, 0, l.size))
		if sent := l.sent.Load(); sent != l.size {
			t.Errorf("the origin sent %d bytes", sent)
		}
		time.Sleep(2 * time.Hour)
		l.version.Store(2)
		w.expect(w.get("/"), Miss, 200, text(2, 0, l.size))
	})
}

// TestPartsAtRandom lets clients come and go, read fast and slowly, whole and in parts, while the origin changes and breaks off and
// the store evicts: whatever somebody got is of one version, and what says that it is complete, is.
func TestPartsAtRandom(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			l := &library{size: 900_000}
			var breaks atomic.Int64
			l.gate = func(off int64) {
				if off > 0 && breaks.Add(1)%97 == 0 {
					panic(brokenOff{io.ErrUnexpectedEOF})
				}
			}
			partsBubble(t, l, func(w *world) {
				random := rand.New(rand.NewPCG(seed, 1))
				var clients []*client
				for range 60 {
					var ask []string
					if from := random.Int64N(l.size); random.IntN(4) > 0 {
						ask = []string{"Range", fmt.Sprintf("bytes=%d-%d", from, from+random.Int64N(l.size/2))}
					}
					c, pace := newClient(), time.Duration(random.IntN(3))*time.Second
					c.onBody = func(int) error { time.Sleep(pace); return nil }
					w.start(c, request(http.MethodGet, "/", ask...))
					clients = append(clients, c)
					time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
					switch random.IntN(12) {
					case 0:
						l.version.Add(1)
						w.purgeAll()
					case 1:
						l.version.Add(1)
					case 2:
						clients[random.IntN(len(clients))].cancel()
					}
				}
				complete := 0
				for _, c := range clients {
					<-c.done
					complete += checkOneVersion(t, c, l.size)
				}
				if complete < len(clients)/2 {
					t.Errorf("only %d of %d clients got all of what they wanted", complete, len(clients))
				}
			})
		})
	}
}

// checkOneVersion checks that what c got is of the version that its header section names, and returns 1 if it is complete.
func checkOneVersion(t *testing.T, c *client, size int64) int {
	t.Helper()
	if c.status != 200 && c.status != 206 {
		return 0
	}
	version, err := strconv.ParseInt(strings.Trim(c.sent.Get("Etag"), `"v`), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	want := field.Range{Length: size}
	if c.status == 206 {
		want, _, _ = field.ParseContentRange(c.sent)
	}
	got := c.got()
	if got != text(version, want.Start, int64(len(got))) {
		t.Errorf("version %d: %d bytes from %d on have something else in them", version, len(got), want.Start)
	}
	if c.outcome.Err != nil {
		return 0
	}
	if int64(len(got)) != want.Length {
		t.Errorf("%d bytes of %d, and no error", len(got), want.Length)
	}
	return 1
}

// TestPartsGiveBackTheirRoom reads an object many times larger than the store, so that fragments are joined, replaced and evicted all
// the time: nothing stays charged that isn't stored.
func TestPartsGiveBackTheirRoom(t *testing.T) {
	l := &library{size: 5 << 20}
	partsBubble(t, l, func(w *world) {
		for off := int64(10_000); off < l.size; off += 50_000 {
			end := min(off+60_000, l.size-1)
			got := w.get("/", "Range", fmt.Sprintf("bytes=%d-%d", off, end))
			w.expect(got, got.outcome.Verdict, 206, text(1, off, end-off+1))
		}
		w.expect(w.get("/"), Miss, 200, text(1, 0, l.size))
		w.purgeAll()
		w.expectEmpty()
		// Bodies that nobody fills any more have given back their share of the room for such: there is as much as at the beginning.
		for range partsMemory / 2 / partsObject {
			body := w.store.NewBody(partsObject)
			defer body.Discard()
			if _, err := body.Append(make([]byte, partsObject)); err != nil {
				t.Errorf("no room for another body: %v", err)
			}
		}
	})
}

// TestWholeOfAPartWithoutValidator: where the beginning is there and the rest can't be joined, the whole is fetched.
func TestWholeOfAPartWithoutValidator(t *testing.T) {
	handler := script(
		always(206, "01234", "Content-Range", "bytes 0-4/10", "Cache-Control", "max-age=60"),
		always(200, "0123456789", "Cache-Control", "max-age=60"),
	)
	bubble(t, handler, func(w *world) {
		w.expect(w.get("/", "Range", "bytes=0-4"), Miss, 206, "01234")
		w.expect(w.get("/", "Range", "bytes=1-2"), Hit, 206, "12")
		w.expect(w.get("/"), Miss, 200, "0123456789")
		w.expect(w.get("/"), Hit, 200, "0123456789")
		w.expectSeen(2)
	})
}

// TestPartThatContradictsItself: what the origin sent is what there is; only nothing is joined to it.
func TestPartThatContradictsItself(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Header["Range"] == nil {
			answer(w, 200, "0123456789", "Etag", `"a"`, "Cache-Control", "max-age=60")
			return
		}
		answer(w, 206, "01234", "Content-Range", "bytes 4-9/10", "Etag", `"a"`, "Cache-Control", "max-age=60")
	}
	bubble(t, handler, func(w *world) {
		first := w.get("/", "Range", "bytes=-5")
		w.expect(first, Miss, 206, "01234")
		if first.sent.Get("Content-Range") != "bytes 4-9/10" {
			t.Errorf("sent %v", first.sent) // as the origin sent it to the same request
		}
		got := w.get("/", "Range", "bytes=6-8")
		w.expect(got, Hit, 206, "234")
		if got.sent.Get("Content-Range") != "bytes 6-8/9" {
			t.Errorf("sent %v", got.sent)
		}
		w.expect(w.get("/"), Miss, 200, "0123456789")
		w.expect(w.get("/", "Range", "bytes=6-8"), Hit, 206, "678")
		w.expectSeen(2)
	})
}

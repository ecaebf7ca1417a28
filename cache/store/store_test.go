package store

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMemory(t *testing.T) {
	testStore(t, func(bytesMax, objectMax int64) Store {
		m, err := NewMemory(bytesMax, objectMax)
		if err != nil {
			t.Fatal(err)
		}
		return m
	})
}

func TestNewMemoryRefuses(t *testing.T) {
	for _, c := range [][2]int64{{0, 0}, {0, 1}, {1, 0}, {-1, -1}, {1, 2}} {
		if m, err := NewMemory(c[0], c[1]); err == nil || m != nil {
			t.Errorf("%d bytes, %d a response: no error", c[0], c[1])
		}
	}
}

// testStore is the contract of Store and Body. Every store passes it.
func testStore(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	t.Helper()
	for name, test := range map[string]func(t *testing.T, newStore func(bytesMax, objectMax int64) Store){
		"Lookup":                testLookup,
		"Variants":              testVariants,
		"VariantsBounded":       testVariantsBounded,
		"LaterReceivedStays":    testLaterReceivedStays,
		"Replace":               testReplace,
		"Remove":                testRemove,
		"BytesComeBack":         testBytesComeBack,
		"TooLarge":              testTooLarge,
		"FillingIsBounded":      testFillingIsBounded,
		"Full":                  testFull,
		"AppendCopies":          testAppendCopies,
		"WriteRange":            testWriteRange,
		"WriteRangeFails":       testWriteRangeFails,
		"ReadersOfDiscarded":    testReadersOfDiscarded,
		"EvictionKeepsLookedUp": testEvictionKeepsLookedUp,
		"Concurrent":            testConcurrent,
	} {
		t.Run(name, func(t *testing.T) { test(t, newStore) })
	}
}

// object returns a response under key to a request with these fields, with content in a body of s.
func object(t testing.TB, s Store, key Key, content string, req ...string) *Response {
	t.Helper()
	h := fields("Cache-Control", "max-age=60", "Date", at(0))
	for i := 0; i < len(req); i += 2 {
		h.Add("Vary", req[i])
	}
	r := NewResponse(key, fields(req...), http.StatusOK, h, received, received)
	r.Body = s.NewBody(int64(len(content)))
	if n, err := r.Body.Append([]byte(content)); err != nil || n != len(content) {
		t.Fatalf("Append: %d of %d bytes, %v", n, len(content), err)
	}
	return r
}

func content(t testing.TB, b Body) string {
	t.Helper()
	var w bytes.Buffer
	if n, err := b.WriteRange(&w, 0, b.Len()); err != nil || n != b.Len() {
		t.Fatalf("WriteRange: %d of %d bytes, %v", n, b.Len(), err)
	}
	return w.String()
}

// expectContents checks what is stored under key, the newest first.
func expectContents(t *testing.T, s Store, key Key, want ...string) {
	t.Helper()
	var got []string
	for _, r := range s.Lookup(key) {
		got = append(got, content(t, r.Body))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%q under %q, want %q", got, key, want)
	}
}

func expectNothingCharged(t *testing.T, s Store) {
	t.Helper()
	if u := s.Usage(); u.Bytes != 0 || u.Responses != 0 {
		t.Fatalf("%d bytes are charged for %d responses", u.Bytes, u.Responses)
	}
}

func testLookup(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	s := newStore(1<<20, 1<<16)
	if s.Lookup("a") != nil {
		t.Error("an empty store has something")
	}
	first := object(t, s, "a", "one")
	s.Insert(first)
	s.Insert(object(t, s, "b", ""))
	expectContents(t, s, "a", "one")
	expectContents(t, s, "b", "")
	expectContents(t, s, "A")
	if got := s.Lookup("a")[0]; got.Status != 200 || got.Header.Get("Cache-Control") != "max-age=60" || got.Key != "a" {
		t.Errorf("%+v", got)
	}
	u := s.Usage()
	if u.Responses != 2 || u.BytesMax != 1<<20 || u.ResponseBytes != 1<<16 || u.Bytes <= 3 || u.Evictions != 0 {
		t.Errorf("%+v", u)
	}
}

func testVariants(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	s := newStore(1<<20, 1<<16)
	s.Insert(object(t, s, "a", "en", "Accept-Language", "en"))
	before := s.Lookup("a")
	s.Insert(object(t, s, "a", "de", "Accept-Language", "de"))
	expectContents(t, s, "a", "de", "en")
	s.Insert(object(t, s, "a", "en2", "Accept-Language", "en")) // RFC 9111 §4.1
	expectContents(t, s, "a", "en2", "de")
	s.Insert(object(t, s, "a", "plain"))
	expectContents(t, s, "a", "plain", "en2", "de")
	if len(before) != 1 || content(t, before[0].Body) != "en" {
		t.Error("what Lookup has returned has changed")
	}
	if u := s.Usage(); u.Responses != 3 {
		t.Errorf("%d responses", u.Responses)
	}
	if n := s.Remove("a"); n != 3 {
		t.Errorf("%d removed", n)
	}
	expectNothingCharged(t, s)
}

func testVariantsBounded(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	s := newStore(1<<24, 1<<16)
	for i := range 10 * variantsMax {
		s.Insert(object(t, s, "a", strconv.Itoa(i), "User-Agent", strconv.Itoa(i)))
	}
	got := s.Lookup("a")
	if len(got) == 0 || len(got) > variantsMax || int64(len(got)) != s.Usage().Responses {
		t.Fatalf("%d variants of one key, %d responses", len(got), s.Usage().Responses)
	}
	if content(t, got[0].Body) != strconv.Itoa(10*variantsMax-1) {
		t.Error("the newest isn't there")
	}
	s.Remove("a")
	expectNothingCharged(t, s)
}

func testLaterReceivedStays(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	s := newStore(1<<20, 1<<16)
	newer, older, other := object(t, s, "a", "newer"), object(t, s, "a", "older"), object(t, s, "a", "other", "X", "1")
	older.Fresh.at = received.Add(-time.Second)
	other.Fresh.at = older.Fresh.at
	s.Insert(newer)
	s.Insert(older) // its fetch began before, and took longer
	expectContents(t, s, "a", "newer")
	s.Insert(other) // other request fields: another response
	expectContents(t, s, "a", "other", "newer")
	s.Remove("a")
	expectNothingCharged(t, s)
}

func testReplace(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	s := newStore(1<<20, 1<<16)
	old := object(t, s, "a", "body")
	s.Insert(old)
	s.Insert(object(t, s, "a", "other", "X", "1"))
	fresh := old.Freshened(fields("X-New", strings.Repeat("n", 1000), "Date", at(time.Second)), received, received)
	before := s.Usage().Bytes
	s.Replace(old, fresh)
	expectContents(t, s, "a", "body", "other")
	if s.Lookup("a")[0].Header.Get("X-New") == "" {
		t.Error("the fields are the old ones")
	}
	if grown := s.Usage().Bytes - before; grown < 1000 {
		t.Errorf("a field of 1000 bytes more is charged %d", grown)
	}
	s.Replace(old, old) // isn't there any more
	if s.Lookup("a")[0].Header.Get("X-New") == "" {
		t.Error("a response that is gone was replaced")
	}
	s.Remove("a")
	s.Replace(fresh, old)
	if s.Lookup("a") != nil {
		t.Error("Replace has brought back a key that was removed")
	}
	expectNothingCharged(t, s)
}

func testRemove(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	s := newStore(1<<20, 1<<16)
	for _, key := range []Key{"a/1", "a/2", "b/1", "b/2", "c"} {
		s.Insert(object(t, s, key, "x"))
	}
	s.Insert(object(t, s, "a/1", "y", "X", "1"))
	for _, c := range []struct {
		name string
		got  int
		want int
	}{
		{"what isn't there", s.Remove("d"), 0},
		{"one", s.Remove("c"), 1},
		{"one again", s.Remove("c"), 0},
		{"by func", s.RemoveFunc(func(k Key) bool { return strings.HasPrefix(string(k), "a/") }), 3},
		{"by func, none", s.RemoveFunc(func(Key) bool { return false }), 0},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d removed, want %d", c.name, c.got, c.want)
		}
	}
	expectContents(t, s, "a/1")
	expectContents(t, s, "b/1", "x")
	if n := s.RemoveFunc(func(Key) bool { return true }); n != 2 {
		t.Errorf("all: %d removed, want 2", n)
	}
	expectNothingCharged(t, s)
}

// testBytesComeBack drops responses in every way there is, with content from nothing to several pieces.
func testBytesComeBack(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	for _, size := range []int{0, 1, 4095, 4096, 4097, 100_000, 3 << 20} {
		s := newStore(16<<20, 4<<20)
		body := numbered(size)
		s.Insert(object(t, s, "a", body))
		charged := s.Usage().Bytes
		if charged < int64(size) || charged > int64(size)*5/4+4096 {
			t.Errorf("%d bytes are charged %d", size, charged)
		}
		s.Insert(object(t, s, "a", body)) // replaced
		if again := s.Usage().Bytes; again != charged {
			t.Errorf("%d bytes, stored anew: %d charged, %d before", size, again, charged)
		}
		for _, announced := range []int64{-1, 0, int64(size) / 2, int64(size), 2 * int64(size)} {
			b := s.NewBody(announced)
			if _, err := b.Append([]byte(body)); err != nil {
				t.Fatal(err)
			}
			b.Discard()
			b.Discard()
		}
		if after := s.Usage().Bytes; after != charged {
			t.Errorf("%d bytes, discarded: %d charged, %d before", size, after, charged)
		}
		s.Remove("a")
		expectNothingCharged(t, s)
		for i := range 40 { // evicted
			s.Insert(object(t, s, Key(strconv.Itoa(i)), body))
		}
		if u := s.Usage(); u.Bytes > u.BytesMax || size == 3<<20 && u.Evictions == 0 {
			t.Errorf("%d bytes: %+v", size, u)
		}
		s.RemoveFunc(func(Key) bool { return true })
		expectNothingCharged(t, s)
	}
}

// testFillingIsBounded: bodies that aren't stored yet leave half of the store to those that are.
func testFillingIsBounded(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	s := newStore(16<<20, 1<<20)
	for i := range 7 {
		s.Insert(object(t, s, Key(strconv.Itoa(i)), numbered(1<<20)))
	}
	var bodies []Body
	var err error
	for err == nil {
		b := s.NewBody(-1)
		bodies = append(bodies, b)
		_, err = b.Append(make([]byte, 1<<20))
	}
	if !errors.Is(err, ErrFull) {
		t.Errorf("error %v, want ErrFull", err)
	}
	if u := s.Usage(); u.Responses != 7 || len(bodies) < 8 || len(bodies) > 9 {
		t.Errorf("%d bodies at once, %d of 7 responses left", len(bodies), u.Responses)
	}
	for _, b := range bodies {
		b.Discard()
	}
	s.Insert(object(t, s, "after", numbered(1<<20)))
	expectContents(t, s, "after", numbered(1<<20))
}

func testTooLarge(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	const objectMax = 10_000
	for _, announced := range []int64{-1, 100, objectMax, objectMax + 1} {
		s := newStore(1<<20, objectMax)
		b := s.NewBody(announced)
		body := []byte(numbered(objectMax))
		for off := 0; off < objectMax; off += 1000 {
			if n, err := b.Append(body[off : off+1000]); n != 1000 || err != nil {
				t.Fatalf("announced %d: at %d: %d, %v", announced, off, n, err)
			}
		}
		if n, err := b.Append([]byte("x")); n != 0 || !errors.Is(err, ErrTooLarge) {
			t.Errorf("announced %d: one byte more: %d, %v", announced, n, err)
		}
		if content(t, b) != string(body) {
			t.Errorf("announced %d: what is there can't be read", announced)
		}
		b.Discard()
		if n, err := s.NewBody(announced).Append(append(body, "xyz"...)); n != objectMax || !errors.Is(err, ErrTooLarge) {
			t.Errorf("announced %d: three bytes more at once: %d, %v", announced, n, err)
		}
	}
}

// testFull has bodies that aren't complete fill the store: there is nothing to evict.
func testFull(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	s := newStore(1<<20, 1<<20)
	s.Insert(object(t, s, "old", "x"))
	other, b := s.NewBody(-1), s.NewBody(-1)
	if _, err := other.Append(make([]byte, 900<<10)); err != nil {
		t.Fatal(err)
	}
	body := []byte(numbered(300 << 10))
	n, err := b.Append(body)
	if !errors.Is(err, ErrFull) || n > 124<<10 {
		t.Errorf("%d of %d bytes, %v", n, len(body), err)
	}
	if b.Len() != int64(n) || content(t, b) != string(body[:n]) {
		t.Errorf("%d of the %d bytes can be read", b.Len(), n)
	}
	if u := s.Usage(); u.Bytes > u.BytesMax {
		t.Errorf("%+v", u)
	}
	other.Discard()
	b.Discard()
	s.Remove("old") // if it hasn't made room
	expectNothingCharged(t, s)
	s.Insert(object(t, s, "new", string(body))) // and there is room again
	expectContents(t, s, "new", string(body))
}

func testAppendCopies(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	b := newStore(1<<20, 1<<16).NewBody(-1)
	p := []byte("abc")
	for range 3 {
		if _, err := b.Append(p); err != nil {
			t.Fatal(err)
		}
		p[0]++
	}
	if got := content(t, b); got != "abcbbccbc" {
		t.Errorf("%q", got)
	}
}

func testWriteRange(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStore(16<<20, 4<<20)
		size := rapid.IntRange(0, 3<<20).Draw(t, "size")
		body := numbered(size)
		b := s.NewBody(int64(rapid.SampledFrom([]int{-1, 0, size / 3, size}).Draw(t, "announced")))
		for off := 0; off < size; {
			n := min(rapid.SampledFrom([]int{1, 1000, 4096, 32 << 10, 1 << 20}).Draw(t, "piece")+off, size) - off
			if got, err := b.Append([]byte(body[off : off+n])); got != n || err != nil {
				t.Fatalf("Append of %d at %d: %d, %v", n, off, got, err)
			}
			if off += n; n == 1 { // not a million times
				n, _ := b.Append([]byte(body[off:]))
				off += n
			}
		}
		for range 10 {
			off := rapid.IntRange(0, size).Draw(t, "off")
			n := rapid.IntRange(0, size-off).Draw(t, "n")
			var w bytes.Buffer
			got, err := b.WriteRange(&w, int64(off), int64(n))
			if err != nil || got != int64(n) || w.String() != body[off:off+n] {
				t.Fatalf("%d bytes at %d of %d: %d, %v", n, off, size, got, err)
			}
		}
	})
}

// limited takes n bytes and then fails.
type limited struct {
	n   int
	err error
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) <= l.n {
		l.n -= len(p)
		return len(p), nil
	}
	n := l.n
	l.n = 0
	return n, l.err
}

func testWriteRangeFails(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	s := newStore(16<<20, 4<<20)
	r := object(t, s, "a", numbered(3<<20))
	failure := errors.New("broken pipe")
	for _, taken := range []int{0, 1, 1 << 20, 1<<20 + 1, 3<<20 - 1} {
		if n, err := r.Body.WriteRange(&limited{taken, failure}, 0, 3<<20); n != int64(taken) || !errors.Is(err, failure) {
			t.Errorf("%d bytes taken: %d, %v", taken, n, err)
		}
	}
}

func testReadersOfDiscarded(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	s := newStore(4<<20, 2<<20)
	body := numbered(2 << 20)
	for name, drop := range map[string]func(){
		"removed":  func() { s.Remove("a") },
		"replaced": func() { s.Insert(object(t, s, "a", "other")) },
		"evicted": func() {
			for i := range 200 {
				s.Insert(object(t, s, Key(strconv.Itoa(i)), numbered(64<<10)))
			}
		},
	} {
		r := object(t, s, "a", body)
		s.Insert(r)
		reader, w := io.Pipe()
		go func() {
			_, err := r.Body.WriteRange(w, 0, r.Body.Len())
			w.CloseWithError(err)
		}()
		half := make([]byte, len(body)/2)
		if _, err := io.ReadFull(reader, half); err != nil {
			t.Fatal(err)
		}
		drop()
		if found := s.Lookup("a"); slices.Contains(found, r) {
			t.Errorf("%s: it is still there", name)
		}
		rest, err := io.ReadAll(reader)
		if err != nil || string(half)+string(rest) != body {
			t.Errorf("%s: a reader gets %d bytes, %v", name, len(half)+len(rest), err)
		}
		s.RemoveFunc(func(Key) bool { return true })
		expectNothingCharged(t, s)
	}
	b := s.NewBody(-1)
	b.Discard()
	if _, err := b.Append([]byte("x")); err != nil || content(t, b) != "x" {
		t.Errorf("a discarded body takes no more: %v", err)
	}
	expectNothingCharged(t, s)
}

// testEvictionKeepsLookedUp has few responses that are looked up all the time among many that nobody wants again.
func testEvictionKeepsLookedUp(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	const hot, cold = 100, 5000
	s := newStore(4<<20, 1<<20) // some 800 of them
	name := func(kind string, i int) Key { return Key(kind + strconv.Itoa(i)) }
	for i := range hot {
		s.Insert(object(t, s, name("hot", i), numbered(4<<10)))
	}
	for i := range cold {
		s.Insert(object(t, s, name("cold", i), numbered(4<<10)))
		s.Lookup(name("hot", i%hot))
		s.Lookup(name("hot", (i+hot/2)%hot))
	}
	kept := 0
	for i := range hot {
		if s.Lookup(name("hot", i)) != nil {
			kept++
		}
	}
	if kept < hot*9/10 {
		t.Errorf("%d of %d responses that are looked up all the time are still there", kept, hot)
	}
	if u := s.Usage(); u.Bytes > u.BytesMax || u.Evictions < cold/2 {
		t.Errorf("%+v", u)
	}
}

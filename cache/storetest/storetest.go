package storetest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/wherry/wherry/cache/store"
)

// Subject is how a store is made for a test.
type Subject struct {
	// Open returns an empty store with so much memory and responses up to objectMax. It is closed by t.Cleanup.
	Open func(t testing.TB, bytesMax, objectMax int64) store.Store
	// Fails says that the store may lose what it has, and break off what it sends, at any time.
	Fails bool
}

// Run tests a store.
func Run(t *testing.T, s Subject) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Subject){
		"Lookup": testLookup, "Variants": testVariants, "LaterReceivedStays": testLaterReceivedStays, "Replace": testReplace,
		"Remove": testRemove, "Body": testBody, "TooLarge": testTooLarge, "Model": testModel, "Concurrent": testConcurrent,
		"Negative": testNegative,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

// expect looks key up: what is there must be these contents, newest first; a store that fails may have fewer.
func (s Subject) expect(t *testing.T, opened store.Store, key store.Key, want ...string) {
	t.Helper()
	var got []string
	for _, r := range opened.Lookup(key) {
		f := Read(key, r)
		if f.Wrong != "" || f.Unreadable != nil && !s.Fails {
			t.Errorf("%q: %s %v", key, f.Wrong, f.Unreadable)
		}
		got = append(got, f.Body)
	}
	if s.Fails && len(got) < len(want) {
		return
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d responses under %q, want %d: %.50q, want %.50q", len(got), key, len(want), got, want)
	}
}

func testLookup(t *testing.T, s Subject) {
	opened := s.Open(t, 1<<20, 1<<16)
	if opened.Lookup("k") != nil || opened.Peek("k") != nil {
		t.Error("an empty store has something")
	}
	Insert(t, opened, "k", "", 1, 100)
	Insert(t, opened, "l", "", 1, 0)
	for range 3 {
		s.expect(t, opened, "k", Content("k", "", 1, 100))
	}
	s.expect(t, opened, "l", Content("l", "", 1, 0))
	s.expect(t, opened, "K")
	r := opened.Peek("k")[0]
	if r.Key != "k" || r.Status != 200 || r.Header.Get("Cache-Control") != "max-age=3600" {
		t.Errorf("%+v", r)
	}
	if u := opened.Usage(); u.Responses != 2 || u.BytesMax != 1<<20 || u.ResponseBytes != 1<<16 || u.Bytes <= 100 {
		t.Errorf("%+v", u)
	}
}

func testVariants(t *testing.T, s Subject) {
	opened := s.Open(t, 1<<20, 1<<16)
	Insert(t, opened, "k", "a", 1, 100)
	before := opened.Lookup("k")
	Insert(t, opened, "k", "b", 2, 100)
	s.expect(t, opened, "k", Content("k", "b", 2, 100), Content("k", "a", 1, 100))
	Insert(t, opened, "k", "a", 3, 50) // RFC 9111 §4.1
	s.expect(t, opened, "k", Content("k", "a", 3, 50), Content("k", "b", 2, 100))
	if len(before) != 1 || Read("k", before[0]).Body != Content("k", "a", 1, 100) {
		t.Error("what a look-up has returned has changed")
	}
	if n := opened.Remove("k"); n != 2 {
		t.Errorf("%d removed, want 2", n)
	}
}

func testLaterReceivedStays(t *testing.T, s Subject) {
	opened := s.Open(t, 1<<20, 1<<16)
	Insert(t, opened, "k", "", 9, 100)
	Insert(t, opened, "k", "", 1, 100) // its fetch took longer
	s.expect(t, opened, "k", Content("k", "", 9, 100))
	Insert(t, opened, "k", "a", 1, 100)
	s.expect(t, opened, "k", Content("k", "a", 1, 100), Content("k", "", 9, 100))
}

func testReplace(t *testing.T, s Subject) {
	opened := s.Open(t, 1<<20, 1<<16)
	Insert(t, opened, "k", "", 1, 100)
	Insert(t, opened, "k", "a", 2, 100)
	s.expect(t, opened, "k", Content("k", "a", 2, 100), Content("k", "", 1, 100))
	old := opened.Lookup("k")[1]
	opened.Replace(old, Renewed(t, old, 3))
	s.expect(t, opened, "k", Content("k", "", 1, 100), Content("k", "a", 2, 100))
	if f := Read("k", opened.Lookup("k")[0]); f.Version != 3 || f.BodyVersion != 1 {
		t.Errorf("version %d of the head, %d of the body", f.Version, f.BodyVersion)
	}
	opened.Replace(old, Renewed(t, old, 4)) // it isn't there any more
	if f := Read("k", opened.Lookup("k")[0]); f.Version != 3 {
		t.Error("what had gone was replaced")
	}
	Insert(t, opened, "k", "", 5, 100)
	s.expect(t, opened, "k", Content("k", "", 5, 100), Content("k", "a", 2, 100))
	gone := opened.Lookup("k")[0]
	opened.Remove("k")
	opened.Replace(gone, Renewed(t, gone, 6))
	s.expect(t, opened, "k")
}

func testRemove(t *testing.T, s Subject) {
	opened := s.Open(t, 1<<20, 1<<16)
	fill := func() {
		for _, key := range []store.Key{"a1", "a2", "b1"} {
			for range 2 { // asked for twice: on disk, if the store has one
				Insert(t, opened, key, "", 1, 100)
				Insert(t, opened, key, "a", 1, 100)
				opened.Lookup(key)
			}
		}
	}
	fill()
	if n := opened.Remove("a1"); n != 2 && !s.Fails {
		t.Errorf("%d removed, want 2", n)
	}
	if n := opened.Remove("a1"); n != 0 && !s.Fails {
		t.Errorf("%d removed again", n)
	}
	s.expect(t, opened, "a1")
	fill()
	if n := opened.RemoveFunc(func(k store.Key) bool { return k[0] == 'a' }); n != 4 && !s.Fails {
		t.Errorf("%d removed, want 4", n)
	}
	s.expect(t, opened, "a1")
	s.expect(t, opened, "a2")
	s.expect(t, opened, "b1", Content("b1", "a", 1, 100), Content("b1", "", 1, 100))
	opened.RemoveFunc(func(store.Key) bool { return true })
	if u := opened.Usage(); u.Responses != 0 || u.Bytes != 0 || u.Disk != nil && u.Disk.Responses != 0 && !s.Fails {
		t.Errorf("all is removed, and there is %+v", u)
	}
}

func testBody(t *testing.T, s Subject) {
	opened := s.Open(t, 16<<20, 4<<20)
	random := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		content := []byte(Content("k", "", 1, random.IntN(3<<20)))
		b := opened.NewBody([]int64{-1, 0, int64(len(content)) / 3, int64(len(content))}[random.IntN(4)])
		for rest := content; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN(1<<20))
			if got, err := b.Append(rest[:n]); got != n || err != nil {
				t.Fatalf("Append of %d bytes: %d, %v", n, got, err)
			}
			rest = rest[n:]
		}
		for range 5 {
			off := random.IntN(len(content) + 1)
			n := random.IntN(len(content) - off + 1)
			var w bytes.Buffer
			if got, err := b.WriteRange(&w, int64(off), int64(n)); err != nil || got != int64(n) || !bytes.Equal(w.Bytes(), content[off:off+n]) {
				t.Fatalf("%d bytes at %d of %d: %d, %v", n, off, len(content), got, err)
			}
		}
		b.Discard()
	}
	if u := opened.Usage(); u.Bytes != 0 {
		t.Errorf("%d bytes are charged for nothing", u.Bytes)
	}
}

func testTooLarge(t *testing.T, s Subject) {
	opened := s.Open(t, 1<<20, 10_000)
	b := opened.NewBody(-1)
	n, err := b.Append([]byte(strings.Repeat("x", 10_003)))
	if n != 10_000 || !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("%d bytes, %v", n, err)
	}
	b.Discard()
	if u := opened.Usage(); u.Bytes != 0 {
		t.Errorf("%d bytes are charged for nothing", u.Bytes)
	}
}

func testNegative(t *testing.T, s Subject) {
	opened := s.Open(t, 1<<20, 1<<16)
	Insert(t, opened, "k", "", 1, 100)
	if n := testing.AllocsPerRun(100, func() { opened.Lookup("what nobody has asked for") }); n > 0 {
		t.Errorf("%v allocations for a look-up that finds nothing", n)
	}
	opened.Lookup("k")
	if n := testing.AllocsPerRun(100, func() { opened.Lookup("k") }); n > 0 && !s.Fails {
		t.Errorf("%v allocations for a look-up that finds something in memory", n)
	}
}

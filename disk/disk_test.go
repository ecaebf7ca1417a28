package disk

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestContract is what every file system has to give and every store to keep: on the real one and on the double.
func TestContract(t *testing.T) {
	for _, fs := range []struct {
		name string
		open func(t *testing.T) Options
	}{
		{"os", func(t *testing.T) Options { return small(nil, t.TempDir()) }},
		{"double", func(*testing.T) Options { return small(newMemFS(), "vol") }},
		{"three volumes", func(t *testing.T) Options { return small(nil, t.TempDir(), t.TempDir(), t.TempDir()) }},
	} {
		for _, c := range contract {
			t.Run(fs.name+"/"+c.name, func(t *testing.T) { c.test(t, fs.open(t)) })
		}
	}
}

var contract = []struct {
	name string
	test func(*testing.T, Options)
}{
	{"what was put is got, newest variant first", func(t *testing.T, o Options) {
		s := run(t, o)
		for i, size := range []int{0, 1, 7, 8, 1000, 40000} {
			key := fmt.Sprint("k", size)
			b := s.mustPut(draft(key, "", uint64(i), size))
			if _, err := verify(b); err != nil || b.Size() != int64(size) || !b.Live() {
				t.Errorf("size %d from put: %v, live %v", size, err, b.Live())
			}
			s.mustPut(draft(key, "de", 99, 10))
			blobs, err := s.Get(key)
			if err != nil || len(blobs) != 2 || blobs[0].Variant != "de" || blobs[1].Variant != "" || !s.Has(key) {
				t.Fatalf("size %d: %v, %v", size, blobs, err)
			}
			for _, b := range blobs {
				if _, err := verify(b); err != nil {
					t.Error(err)
				}
			}
		}
		if blobs, err := s.Get("other"); len(blobs) != 0 || err != nil || s.Has("other") {
			t.Errorf("what was never put: %v, %v", blobs, err)
		}
	}},
	{"a put replaces, also over a restart", func(t *testing.T, o Options) {
		s := run(t, o)
		old := s.mustPut(draft("k", "v", 1, 100))
		s.mustPut(draft("k", "v", 2, 200))
		if old.Live() {
			t.Error("the replaced blob says it is live")
		}
		if _, err := verify(old); err != nil {
			t.Errorf("the replaced blob in hand: %v", err)
		}
		for range 3 {
			if got := s.seeds("k"); len(got) != 1 || got["v"] != 2 {
				t.Errorf("got %v", got)
			}
			if err := s.end(); err != nil {
				t.Fatal(err)
			}
			s = run(t, o)
		}
	}},
	{"ranges", func(t *testing.T, o Options) {
		o.SegmentBytes, o.Volumes[0].BytesMax = 1<<20, 4<<20
		o.Volumes = o.Volumes[:1]
		s := run(t, o)
		size := 3*blockBytes + 77
		b := s.mustPut(draft("k", "", 5, size))
		want := bodyFor("k", 5, size)
		for _, r := range [][2]int64{{0, 10}, {blockBytes - 1, 2}, {5, 2 * blockBytes}, {int64(size) - 1, 1}, {100, 1 << 40}, {int64(size), 5}, {-1, 4}} {
			var got bytes.Buffer
			n, err := b.WriteRange(&got, r[0], r[1])
			lo := min(max(r[0], 0), int64(size))
			hi := min(lo+r[1], int64(size))
			if r[0] < 0 {
				hi = lo
			}
			if err != nil || n != hi-lo || !bytes.Equal(got.Bytes(), want[lo:hi]) {
				t.Errorf("%v: %d bytes, %v", r, n, err)
			}
		}
		if !b.Verified() {
			t.Error("every block was read, and the blob isn't verified")
		}
		f, off, ok := b.File()
		if ok != (o.FS == nil) {
			t.Fatalf("File: %v", ok)
		}
		if ok {
			got := make([]byte, size)
			if _, err := f.ReadAt(got, off); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the file at the place of the body has something else (%v)", err)
			}
		}
		runtime.KeepAlive(b)
		again, err := s.Get("k")
		if err != nil || !again[0].Verified() {
			t.Errorf("another blob in hand doesn't know what was verified: %v", err)
		}
	}},
	{"a newer head keeps the body", func(t *testing.T, o Options) {
		s := run(t, o)
		b := s.mustPut(draft("k", "", 7, 3000))
		head := append(headFor("k", "", 7, 3000), "newer"...)
		if !s.SetHead(b, head, nil) {
			t.Fatal("not taken")
		}
		s.settled()
		for range 3 {
			blobs, err := s.Get("k")
			if err != nil || len(blobs) != 1 || !bytes.Equal(blobs[0].Head, head) {
				t.Fatalf("%v, %v", blobs, err)
			}
			if _, err := verify(blobs[0]); err != nil {
				t.Error(err)
			}
			if err := s.end(); err != nil {
				t.Fatal(err)
			}
			s = run(t, o)
		}
		s.mustPut(draft("k", "", 8, 10))
		if s.SetHead(b, head, nil) {
			t.Error("a head for a replaced body was taken")
		}
	}},
	{"what was removed stays away", func(t *testing.T, o Options) {
		s := run(t, o)
		for i := range 20 {
			s.mustPut(draft(fmt.Sprint("k", i), "", 1, 100))
			s.mustPut(draft(fmt.Sprint("k", i), "x", 1, 100))
		}
		if n, err := s.Remove("k3"); n != 2 || err != nil {
			t.Errorf("removed %d, %v", n, err)
		}
		if n, err := s.Remove("k3"); n != 0 || err != nil {
			t.Errorf("removed again %d, %v", n, err)
		}
		n, err := s.RemoveFunc(func(key string) bool { return strings.HasPrefix(key, "k1") })
		if n != 22 || err != nil {
			t.Errorf("removed %d by function, %v", n, err)
		}
		for range 2 {
			for i := range 20 {
				key := fmt.Sprint("k", i)
				gone := i == 3 || strings.HasPrefix(key, "k1")
				if s.Has(key) == gone || len(s.seeds(key)) > 0 == gone {
					t.Errorf("%s: has %v", key, s.Has(key))
				}
			}
			if err := s.end(); err != nil {
				t.Fatal(err)
			}
			s = run(t, o)
		}
		s.mustPut(draft("k3", "", 2, 10))
		if err := s.end(); err != nil {
			t.Fatal(err)
		}
		if got := run(t, o).seeds("k3"); got[""] != 2 {
			t.Errorf("put after remove: %v", got)
		}
	}},
	{"a body that fails stores nothing", func(t *testing.T, o Options) {
		s := run(t, o)
		for _, d := range []Draft{
			{Key: "short", Body: strings.NewReader("abc"), Size: 4},
			{Key: "long", Body: strings.NewReader("abcde"), Size: 4},
			{Key: "none", Size: 4},
			{Key: "broken", Body: brokenBody{}, Size: 40000},
		} {
			if b, err := s.put(d); err == nil || b != nil || s.Has(d.Key) {
				t.Errorf("%s: %v, %v", d.Key, b, err)
			}
		}
		s.mustPut(draft("k", "", 1, 100))
		if err := s.end(); err != nil {
			t.Fatal(err)
		}
		s = run(t, o)
		if u := s.Usage(); u.Blobs != 1 {
			t.Errorf("after a restart: %+v", u)
		}
	}},
	{"eviction keeps the limit, and what was read", func(t *testing.T, o Options) {
		s := run(t, o)
		s.mustPut(draft("hot", "", 1, 900))
		s.mustPut(draft("touched", "", 2, 900))
		for i := range 3000 {
			s.mustPut(draft(fmt.Sprint("k", i), "", uint64(i), 1000))
			if i%20 == 0 {
				s.Touch("touched")
				if got := s.seeds("hot"); got[""] != 1 {
					t.Fatalf("put %d: the hot blob is gone: %v", i, got)
				}
				if u := s.Usage(); u.Bytes > u.BytesMax {
					t.Fatalf("%d bytes of %d", u.Bytes, u.BytesMax)
				}
			}
		}
		u := s.Usage()
		if u.Evictions == 0 || u.Bytes < u.BytesMax/2 {
			t.Errorf("%+v", u)
		}
		if err := s.end(); err != nil {
			t.Fatal(err)
		}
		s = run(t, o)
		if got := s.Usage(); got.Blobs != u.Blobs || s.seeds("touched")[""] != 2 || s.seeds("hot")[""] != 1 {
			t.Errorf("after a restart %d blobs, not %d", got.Blobs, u.Blobs)
		}
	}},
	{"a blob in hand outlives its segment", func(t *testing.T, o Options) {
		s := run(t, o)
		b := s.mustPut(draft("k", "", 1, 5000))
		for i := 0; s.Has("k"); i++ {
			s.mustPut(draft(fmt.Sprint("other", i), "", 1, 5000))
		}
		if _, err := verify(b); err != nil {
			t.Error(err)
		}
	}},
}

type brokenBody struct{}

func (brokenBody) WriteTo(w io.Writer) (int64, error) {
	n, _ := w.Write(make([]byte, 1000))
	return int64(n), io.ErrUnexpectedEOF
}

func TestPutIsRefused(t *testing.T) {
	fs := newMemFS()
	o := small(fs, "vol")
	o.QueueBytes = 3000
	s := run(t, o)
	if s.Put(draft("k", "", 1, segmentBytesMin), nil) {
		t.Error("a blob as large as a segment was taken")
	}
	if s.Put(draft(strings.Repeat("k", KeyBytesMax+1), "", 1, 1), nil) {
		t.Error("a key that is too long was taken")
	}
	hold := make(chan struct{})
	fs.failWith(func(op, _ string) (bool, error) {
		if op == "write" {
			<-hold
		}
		return false, nil
	})
	taken := 0
	for i := range 10 {
		if s.Put(draft(fmt.Sprint(i), "", 1, 1000), nil) {
			taken++
		}
	}
	if u := s.Usage(); taken != 2 || u.Queued > 3000 {
		t.Errorf("%d were taken, %d bytes are queued", taken, u.Queued)
	}
	close(hold)
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	fs.failWith(nil)
	if u := run(t, o).Usage(); u.Blobs != 2 {
		t.Errorf("what was queued at the end wasn't written: %+v", u)
	}
}

func TestQueuedPutsCanBeRemoved(t *testing.T) {
	fs := newMemFS()
	s := run(t, small(fs, "vol"))
	hold := make(chan struct{})
	fs.failWith(func(op, _ string) (bool, error) {
		if op == "write" {
			<-hold
		}
		return false, nil
	})
	results := make(chan error, 3)
	for _, key := range []string{"a", "b", "c"} {
		s.Put(draft(key, "", 1, 100), func(_ *Blob, err error) { results <- err })
	}
	removed := make(chan error, 2)
	go func() {
		_, err := s.Remove("a")
		removed <- err
		_, err = s.RemoveFunc(func(key string) bool { return key == "b" })
		removed <- err
	}()
	for range 2 {
		hold <- struct{}{}
	}
	close(hold)
	if err := <-removed; err != nil {
		t.Error(err)
	}
	if err := <-removed; err != nil {
		t.Error(err)
	}
	for range 3 {
		<-results
	}
	fs = fs.killed()
	s2 := run(t, small(fs, "vol"))
	for _, s := range []*harness{s, s2} {
		if s.Has("a") || s.Has("b") || !s.Has("c") {
			t.Errorf("a %v, b %v, c %v", s.Has("a"), s.Has("b"), s.Has("c"))
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, small(nil, dir))
	for _, c := range []struct {
		opts Options
		want string
	}{
		{Options{}, "no volumes"},
		{Options{Volumes: []Volume{{dir, 1 << 20}}}, "too small"},
		{small(nil, dir), "another process uses it"},
		{small(nil, file), "can't be made"},
		{small(nil, filepath.Join(dir, "x"), filepath.Join(dir, "x")), "another process uses it"},
	} {
		if _, err := Open(c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, wanted %q", err, c.want)
		}
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	foreign := map[string]string{
		"notes.txt": "hello", "00000007.seg": strings.Repeat("not a segment ", 100), "0000000z.seg": "", "00000009.SEG": "x",
		"00000008.seg": string(fileHeader(3, 1)) + "a segment under another number",
	}
	for name, text := range foreign {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := run(t, small(nil, dir))
	for i := range 2000 {
		s.mustPut(draft(fmt.Sprint(i), "", 1, 1000))
	}
	for name, text := range foreign {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != text {
			t.Errorf("%s was touched: %v", name, err)
		}
	}
}

func TestVariantsOfAKeyAreBounded(t *testing.T) {
	o := small(newMemFS(), "vol")
	s := run(t, o)
	for i := range variantsMax + 5 {
		s.mustPut(draft("k", fmt.Sprint(i), 1, 10))
	}
	for range 2 {
		got := s.seeds("k")
		if _, oldest := got["0"]; oldest || len(got) != variantsMax {
			t.Errorf("%d variants", len(got))
		}
		s.settled()
		if err := s.end(); err != nil {
			t.Fatal(err)
		}
		s = run(t, o)
	}
}

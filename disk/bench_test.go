package disk

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"runtime"
	"testing"
	"unsafe"
)

// openBlobs is how many blobs BenchmarkOpenMillion opens. For its name: go test ./disk -bench OpenMillion -open.blobs 1000000
var openBlobs = flag.Int("open.blobs", 50_000, "blobs that BenchmarkOpenMillion opens")

func benchOptions(b testing.TB) Options {
	return Options{Volumes: []Volume{{b.TempDir(), 8 << 30}}, SyncInterval: -1, QueueBytes: 256 << 20}
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			o := benchOptions(b)
			o.Volumes[0].BytesMax = 1 << 30
			s := run(b, o)
			body, head := bodyFor("k", 1, size), make([]byte, 300)
			done := make(chan struct{}, 1)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			n := 0
			for b.Loop() {
				n++
				d := Draft{Key: fmt.Sprint("https://example.com/an/ordinary/path/", n), Head: head, Body: bytes.NewReader(body), Size: int64(size)}
				s.Put(d, func(*Blob, error) { done <- struct{}{} })
				<-done
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s := run(b, benchOptions(b))
	s.mustPut(draft("k", "", 1, 1<<10))
	b.ReportAllocs()
	for b.Loop() {
		if blobs, err := s.Get("k"); err != nil || len(blobs) != 1 {
			b.Fatal(err)
		}
	}
}

func BenchmarkHas(b *testing.B) {
	s := run(b, benchOptions(b))
	s.mustPut(draft("https://example.com/an/ordinary/path", "", 1, 1<<10))
	b.ReportAllocs()
	for b.Loop() {
		if !s.Has("https://example.com/an/ordinary/path") {
			b.Fatal("gone")
		}
	}
}

func BenchmarkWriteRange(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		for _, verified := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dKiB/verified=%v", size>>10, verified), func(b *testing.B) {
				s := run(b, benchOptions(b))
				blob := s.mustPut(draft("k", "", 1, size))
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					if !verified {
						blob.blocks = newBlocks(blocksOf(blob.Size()), false)
					}
					if _, err := blob.WriteRange(io.Discard, 0, blob.Size()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkOpenMillion opens a store of blobs of 1 KiB, and says what the index costs.
func BenchmarkOpenMillion(b *testing.B) {
	for _, how := range []string{"sealed", "killed"} {
		b.Run(how, func(b *testing.B) { benchOpen(b, how == "killed") })
	}
}

func benchOpen(b *testing.B, killed bool) {
	o := benchOptions(b)
	s := run(b, o)
	body, head := make([]byte, 1<<10), make([]byte, 300)
	for i := range *openBlobs {
		for !s.Put(Draft{Key: fmt.Sprint("https://example.com/an/ordinary/path/", i), Head: head, Body: bytes.NewReader(body), Size: 1 << 10}, nil) {
			s.settled()
		}
	}
	if err := s.end(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var before, after runtime.MemStats
	for b.Loop() {
		if killed {
			b.StopTimer()
			unseal(b, o)
			b.StartTimer()
		}
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.StartTimer()
		s, err := Open(o)
		if err != nil || s.Usage().Blobs != int64(*openBlobs) {
			b.Fatal(err, s.Usage())
		}
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(*openBlobs), "B/blob")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// unseal cuts off the footer of the newest segment, as if the process had been killed.
func unseal(b *testing.B, o Options) {
	b.Helper()
	s, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	g := s.volumes[0].segments[len(s.volumes[0].segments)-1]
	if err := g.file.Truncate(g.seal.at); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

func TestAllocations(t *testing.T) {
	s := run(t, benchOptions(t))
	b := s.mustPut(draft("k", "", 1, 100<<10))
	if _, err := b.WriteRange(io.Discard, 0, b.Size()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		most float64
		do   func()
	}{
		{"Has", 0, func() { s.Has("k") }},
		{"Touch", 0, func() { s.Touch("k") }},
		{"Get", 12, func() { _, _ = s.Get("k") }},
		{"WriteRange", 0, func() { _, _ = b.WriteRange(io.Discard, 0, b.Size()) }},
	} {
		best := 1e9 // of many: the race detector makes pools forget
		for range 200 {
			best = min(best, testing.AllocsPerRun(1, c.do))
		}
		if best > c.most {
			t.Errorf("%s: %v allocations, at most %v", c.name, best, c.most)
		}
	}
	// With the table of keys at most 75 bytes a blob.
	if got := unsafe.Sizeof(entry{}); got > 64 {
		t.Errorf("an entry of the index has %d bytes", got)
	}
}

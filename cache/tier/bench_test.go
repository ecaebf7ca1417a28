package tier

import (
	"io"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/cache/storetest"
)

// benchWorld has n responses of size bytes on disk, and memory for few of them.
func benchWorld(b *testing.B, n, size int) (*world, []store.Key) {
	b.Helper()
	w := open(b, options{bytesMax: 2 << 20, diskMax: 64 * testSegment})
	keys := make([]store.Key, n)
	for i := range keys {
		keys[i] = key(i)
		storetest.Insert(b, w, keys[i], "", 1, size)
		w.Lookup(keys[i])
		if i%100 == 0 {
			w.settle()
		}
	}
	w.settle()
	return w, keys
}

// BenchmarkLookupDisk looks up what is on disk and not in memory; the system has it in its page cache.
func BenchmarkLookupDisk(b *testing.B) {
	for name, c := range map[string]struct{ n, size int }{
		"10KiB": {2000, 10 << 10}, "256KiB": {200, 256 << 10}, "1MiB": {100, 1 << 20},
	} {
		b.Run(name, func(b *testing.B) {
			w, keys := benchWorld(b, c.n, c.size)
			before := testutil.ToFloat64(w.metrics.loads.WithLabelValues("found"))
			w.forget()
			b.ReportAllocs()
			b.SetBytes(int64(c.size))
			i := 0
			for b.Loop() {
				found := w.Lookup(keys[i%len(keys)])
				if len(found) != 1 {
					b.Fatalf("%d found", len(found))
				}
				if _, err := found[0].Body.WriteRange(io.Discard, 0, found[0].Body.Len()); err != nil {
					b.Fatal(err)
				}
				if i++; i%len(keys) == 0 && c.size > smallMax {
					w.forget()
				}
			}
			b.ReportMetric((testutil.ToFloat64(w.metrics.loads.WithLabelValues("found"))-before)/float64(b.N), "reads/op")
		})
	}
}

// BenchmarkLookupMemory is what the second tier costs those that don't need it.
func BenchmarkLookupMemory(b *testing.B) {
	w, keys := benchWorld(b, 20, 10<<10)
	w.Lookup(keys[0])
	b.ReportAllocs()
	for b.Loop() {
		if w.Lookup(keys[0]) == nil {
			b.Fatal("it isn't there")
		}
	}
}

// BenchmarkLookupNothing is what a look-up costs that finds nothing anywhere.
func BenchmarkLookupNothing(b *testing.B) {
	w, _ := benchWorld(b, 20, 10<<10)
	nothing := key(1e9)
	b.ReportAllocs()
	for b.Loop() {
		w.Lookup(nothing)
	}
}

// BenchmarkInsertOnce is what it costs to store what nobody asks for again.
func BenchmarkInsertOnce(b *testing.B) {
	w := open(b, options{bytesMax: 2 << 20})
	content := []byte(storetest.Content("k", "", 1, 10<<10))
	head := storetest.Head("", 1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r, err := store.ParseResponse(key(i), head, storetest.Began)
		if err != nil {
			b.Fatal(err)
		}
		body := w.NewBody(int64(len(content)))
		if _, err := body.Append(content); err != nil {
			b.Fatal(err)
		}
		w.Insert(r.With(body))
	}
	w.settle()
	if u := w.Usage(); u.Disk.Responses > int64(b.N/50) {
		b.Errorf("%d of %d were written", u.Disk.Responses, b.N)
	}
}

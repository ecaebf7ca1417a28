package store

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"
)

// small returns a response of 1 KiB under key, which is charged to m as all are.
func small(m Store, key Key) *Response {
	r := &Response{Key: key, Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/html"}}}
	r.Body = m.NewBody(1024)
	if _, err := r.Body.Append(make([]byte, 1024)); err != nil {
		panic(err)
	}
	return r
}

func benchMemory(tb testing.TB, n int, bytesMax int64) (*Memory, []Key) {
	tb.Helper()
	m, err := NewMemory(bytesMax, 1<<20)
	if err != nil {
		tb.Fatal(err)
	}
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = Key("shop https://shop.test/products/shoes/" + strconv.Itoa(i))
		m.Insert(small(m, keys[i]))
	}
	return m, keys
}

// BenchmarkMemoryLookup looks up one key, and any of many, on all processors.
func BenchmarkMemoryLookup(b *testing.B) {
	for _, n := range []int{1, 100_000} {
		m, keys := benchMemory(b, n, 1<<30)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				random := rand.New(rand.NewPCG(1, rand.Uint64()))
				for pb.Next() {
					if m.Lookup(keys[random.IntN(n)]) == nil {
						b.Error("nothing there")
					}
				}
			})
		})
	}
}

// BenchmarkMemoryInsert inserts what is new into a store that is full.
func BenchmarkMemoryInsert(b *testing.B) {
	m, keys := benchMemory(b, 200_000, 64<<20)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(len(keys)); pb.Next(); i++ {
			m.Insert(small(m, keys[i%len(keys)]))
		}
	})
}

// BenchmarkMemoryMixed asks for keys by Zipf's law and inserts what isn't there.
func BenchmarkMemoryMixed(b *testing.B) {
	m, keys := benchMemory(b, 200_000, 64<<20)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		zipf := rand.NewZipf(rand.New(rand.NewPCG(1, rand.Uint64())), 1.1, 1, uint64(len(keys)-1))
		for pb.Next() {
			if key := keys[zipf.Uint64()]; m.Lookup(key) == nil {
				m.Insert(small(m, key))
			}
		}
	})
}

// BenchmarkMemoryInsertVariant inserts one more under a key that has as many variants as may be.
func BenchmarkMemoryInsertVariant(b *testing.B) {
	m, _ := benchMemory(b, 0, 64<<20)
	variants := make([]*Response, 2*variantsMax)
	for i := range variants {
		variants[i] = small(m, "a")
		variants[i].Varies = newVaries([]string{"Cookie"}, http.Header{"Cookie": {strconv.Itoa(i)}})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Insert(variants[i%len(variants)])
	}
}

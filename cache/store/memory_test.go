package store

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"testing"
)

// received1KiB is a response as it comes from an origin, stored as fetch stores it.
func received1KiB(t testing.TB, m *Memory, i, more int) {
	t.Helper()
	var raw bytes.Buffer
	fmt.Fprintf(&raw, "HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 1024\r\n")
	fmt.Fprintf(&raw, "Cache-Control: public, max-age=3600\r\nEtag: \"%08x\"\r\nVary: Accept-Encoding\r\n", i)
	for j := range more {
		fmt.Fprintf(&raw, "X-Field-Number-%d: some value that is %d\r\n", j, i)
	}
	raw.WriteString("\r\n")
	res, err := http.ReadResponse(bufio.NewReaderSize(&raw, 16), nil)
	if err != nil {
		t.Fatal(err)
	}
	key := Key("shop https://shop.test/products/shoes/" + strconv.Itoa(i))
	r := NewResponse(key, fields("Accept-Encoding", "gzip, br"), http.StatusOK, res.Header, received, received)
	r.Body = m.NewBody(1024)
	if _, err := r.Body.Append(make([]byte, 1024)); err != nil {
		t.Fatal(err)
	}
	m.Insert(r.ForStore().Prepared())
}

// TestMemoryChargesWhatItTakes compares what the store says it holds with what the heap has grown by.
func TestMemoryChargesWhatItTakes(t *testing.T) {
	if testing.Short() {
		t.Skip("100,000 responses")
	}
	heap := func() int64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	for _, c := range []struct{ responses, more int }{{100_000, 4}, {5_000, 0}, {5_000, 1}, {5_000, 12}, {5_000, 30}} {
		m, err := NewMemory(1<<31, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		before := heap()
		for i := range c.responses {
			received1KiB(t, m, i, c.more)
		}
		took, charged := heap()-before, m.Usage().Bytes
		t.Logf("%d responses with %d fields: %d bytes each, charged %d", c.responses, 6+c.more, took/int64(c.responses), charged/int64(c.responses))
		if charged < took*85/100 || charged > took*115/100 {
			t.Errorf("%d responses of 1 KiB with %d fields take %d bytes and are charged %d", c.responses, 6+c.more, took, charged)
		}
		runtime.KeepAlive(m)
	}
}

// TestMemoryKeepsNoSlack: a stored body takes little more than its content, however it came.
func TestMemoryKeepsNoSlack(t *testing.T) {
	m, err := NewMemory(1<<30, 1<<26)
	if err != nil {
		t.Fatal(err)
	}
	whole := []byte(numbered(9 << 20))
	for _, size := range []int{1, 1000, 4095, 4097, 5000, 8193, 9000, 16385, 33_000, 70_000, 1<<20 + 1, 3 << 20, 8<<20 + 5} {
		for _, piece := range []int{1400, 32 << 10} {
			for _, announced := range []int{-1, size, 2 * size} {
				r := object(t, m, "a", "")
				m.Insert(r)
				empty := m.Usage().Bytes
				m.Remove("a")
				r.Body = m.NewBody(int64(announced))
				for off := 0; off < size; off += piece {
					if _, err := r.Body.Append(whole[off:min(off+piece, size)]); err != nil {
						t.Fatal(err)
					}
				}
				reader := r.Body.(*memoryBody)
				seen := reader.AppendPieces(nil) // by who reads while it is stored
				m.Insert(r)
				if charged := m.Usage().Bytes - empty; charged < int64(size) || charged > int64(size)*5/4+64 {
					t.Errorf("%d bytes, announced %d, in pieces of %d: charged %d", size, announced, piece, charged)
				}
				if got := content(t, r.Body); got != string(whole[:size]) || !bytes.Equal(bytes.Join(seen, nil), whole[:size]) {
					t.Errorf("%d bytes, announced %d, in pieces of %d: other content", size, announced, piece)
				}
				m.Remove("a")
				expectNothingCharged(t, m)
			}
		}
	}
}

// TestMemoryPrefersSmall: where large and small responses are asked for equally, it is the small ones that stay.
func TestMemoryPrefersSmall(t *testing.T) {
	const objects, requests = 400, 8000
	m, err := NewMemory(8<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	contents := [2]string{numbered(4 << 10), numbered(256 << 10)}
	var hits [2]int
	random := rand.New(rand.NewPCG(1, 2))
	for range requests {
		i := random.IntN(objects)
		if key := Key(strconv.Itoa(i)); m.Lookup(key) != nil {
			hits[i%2]++
		} else {
			m.Insert(object(t, m, key, contents[i%2]))
		}
	}
	if hits[0] < requests/2*8/10 || hits[1] == 0 {
		t.Errorf("of %d requests each, %d hit for 4 KiB and %d for 256 KiB", requests/2, hits[0], hits[1])
	}
}

// TestMemoryRemembersWhatItDropped: what is asked for again soon after it was dropped unasked stays longer than what is new.
func TestMemoryRemembersWhatItDropped(t *testing.T) {
	m, err := NewMemory(1<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2000 { // a main queue, of what is asked for twice, and behind it what isn't
		m.Insert(small(m, Key(strconv.Itoa(i))))
		if i < 300 {
			m.Lookup(Key(strconv.Itoa(i)))
		}
	}
	m.Insert(small(m, "again"))
	next := 10_000
	insertUntil := func(gone Key) {
		for m.find(gone) != nil {
			m.Insert(small(m, Key(strconv.Itoa(next))))
			next++
		}
	}
	insertUntil("again")
	m.Insert(small(m, "again"))
	m.Insert(small(m, "new"))
	insertUntil("new")
	if m.find("again") == nil {
		t.Error("what came back went like what is new")
	}
}

// TestMemoryGhostIsBounded: what was dropped is remembered for as many responses as the main queue has, not for all there ever were.
func TestMemoryGhostIsBounded(t *testing.T) {
	m, err := NewMemory(1<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20_000 {
		key := Key(strconv.Itoa(i))
		m.Insert(small(m, key))
		if i%10 == 0 {
			m.Lookup(key)
		}
	}
	g := &m.queues.ghost
	if most := int(m.Usage().Responses) + 1; len(g.at) > most || len(g.queue) > most || len(g.at) == 0 {
		t.Errorf("%d are remembered in a queue of %d, of %d responses", len(g.at), len(g.queue), m.Usage().Responses)
	}
}

// TestMemoryAllocates is the ceiling: nothing for a look-up; for an insertion the response with its body, and an entry with its variants.
func TestMemoryAllocates(t *testing.T) {
	m, keys := benchMemory(t, 10_000, 8<<20)
	key := keys[len(keys)-1]
	if got := testing.AllocsPerRun(1000, func() { m.Lookup(key) }); got != 0 {
		t.Errorf("a look-up makes %v allocations", got)
	}
	responses := make([]*Response, 1001)
	for i := range responses {
		responses[i] = &Response{Key: keys[i]}
	}
	i := 0
	if got := testing.AllocsPerRun(len(responses)-1, func() { m.Insert(responses[i]); i++ }); got > 3 {
		t.Errorf("an insertion into a full store makes %v allocations", got)
	}
}

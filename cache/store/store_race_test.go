package store

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// testConcurrent does everything at once, and then looks whether all bytes can be accounted for.
func testConcurrent(t *testing.T, newStore func(bytesMax, objectMax int64) Store) {
	const bytesMax, objectMax, workers, rounds = 2 << 20, 256 << 10, 8, 400
	s := newStore(bytesMax, objectMax)
	whole := numbered(objectMax)
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for range rounds {
				key := Key(strconv.Itoa(random.IntN(50)))
				switch random.IntN(10) {
				case 0:
					s.Remove(key)
				case 1:
					s.RemoveFunc(func(k Key) bool { return strings.HasSuffix(string(k), string(key[len(key)-1:])) })
				case 2:
					for _, r := range s.Lookup(key) {
						s.Replace(r, r.Freshened(fields("Date", at(0), "X", string(key)), received, received))
					}
				case 3, 4, 5:
					for _, r := range s.Lookup(key) {
						if content(t, r.Body) != whole[:r.Body.Len()] || r.Key != key {
							t.Error("torn or mixed content")
						}
					}
				default:
					insertSome(s, key, whole, random)
				}
				// Each worker may be about to find that there is no room for its piece.
				if u := s.Usage(); u.Bytes > bytesMax+workers*(objectMax+entryOverhead+1024) {
					t.Errorf("%d bytes of %d", u.Bytes, bytesMax)
				}
			}
		})
	}
	group.Wait()
	if u := s.Usage(); u.Bytes > u.BytesMax || u.Bytes < 0 || u.Responses < 0 {
		t.Errorf("%+v", u)
	}
	s.RemoveFunc(func(Key) bool { return true })
	expectNothingCharged(t, s)
}

// insertSome appends a part of whole in pieces and stores it, or gives up in the middle.
func insertSome(s Store, key Key, whole string, random *rand.Rand) {
	h := fields("Cache-Control", "max-age=60", "Date", at(0), "Vary", "X")
	r := NewResponse(key, fields("X", strconv.Itoa(random.IntN(3))), http.StatusOK, h, received, received)
	size := random.IntN(len(whole))
	r.Body = s.NewBody([]int64{-1, int64(size)}[random.IntN(2)])
	for off := 0; off < size; {
		n, err := r.Body.Append([]byte(whole[off:min(size, off+1+random.IntN(64<<10))]))
		if off += n; err != nil || random.IntN(50) == 0 {
			r.Body.Discard()
			return
		}
	}
	s.Insert(r)
}

// TestMemoryQueuesAgree: after everything at once, the queues and the store count the same bytes and entries.
func TestMemoryQueuesAgree(t *testing.T) {
	m, err := NewMemory(1<<20, 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	whole := numbered(64 << 10)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(worker)))
			for range 1000 {
				key := Key(strconv.Itoa(random.IntN(100)))
				found := m.Lookup(key)
				switch {
				case len(found) == 0 || random.IntN(4) == 0:
					insertSome(m, key, whole, random)
				case random.IntN(4) == 0:
					m.Swap(found[0], rebodied(found[0], nil))
				case random.IntN(4) == 0:
					m.Replace(found[0], found[0].Freshened(fields("Date", at(0), "X", string(key)), received, received))
				case random.IntN(10) == 0:
					m.Sweep(func(k Key) bool { return k < key }, func(r *Response) *Response {
						return []*Response{r, nil}[random.IntN(2)]
					})
				}
			}
		})
	}
	group.Wait()
	entries, responses := 0, 0
	for i := range m.tables {
		for e := range m.tables[i].entries {
			entries++
			responses += len(m.Peek(e.key))
		}
	}
	q, u := &m.queues, m.Usage()
	if q.small.bytes+q.main.bytes != u.Bytes || q.small.count+q.main.count != entries || int64(responses) != u.Responses {
		t.Errorf("the queues hold %d bytes in %d entries, the tables %d entries with %d responses; %+v",
			q.small.bytes+q.main.bytes, q.small.count+q.main.count, entries, responses, u)
	}
	if m.filling.Load() != 0 || u.Bytes > u.BytesMax {
		t.Errorf("%d bytes are filling; %+v", m.filling.Load(), u)
	}
}

// TestMemoryMakesRoomForEverybody: in a full store, whoever has something to keep gets room for it, however many there are.
func TestMemoryMakesRoomForEverybody(t *testing.T) {
	m, err := NewMemory(1<<20, 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 2000 {
				b := m.NewBody(4 << 10)
				if _, err := b.Append(make([]byte, 4<<10)); err != nil {
					t.Errorf("%d: %v", i, err)
					return
				}
				m.Insert(&Response{Key: Key(strconv.Itoa(worker*2000 + i)), Body: b})
			}
		})
	}
	group.Wait()
	if u := m.Usage(); u.Bytes > u.BytesMax {
		t.Errorf("%+v", u)
	}
}

// TestMemoryFindsWhatStays: what is stored is found at any moment, while other responses come and go and tables get new slots.
func TestMemoryFindsWhatStays(t *testing.T) {
	const stay, come = 500, 20_000
	m, err := NewMemory(1<<30, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	key := func(kind string, i int) Key { return Key(kind + strconv.Itoa(i)) }
	for i := range stay {
		m.Insert(&Response{Key: key("stays", i)})
	}
	var done atomic.Bool
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for !done.Load() {
				for i := range stay {
					if found := m.Lookup(key("stays", i)); len(found) != 1 || found[0].Key != key("stays", i) {
						t.Errorf("%d: %d responses", i, len(found))
						return
					}
				}
			}
		})
	}
	for i := range come {
		m.Insert(&Response{Key: key("comes", i)})
		if i%3 == 0 {
			m.Remove(key("comes", i/2))
		}
		if i%5000 == 0 {
			m.RemoveFunc(func(k Key) bool { return strings.HasPrefix(string(k), "comes") })
		}
	}
	done.Store(true)
	group.Wait()
	removed := m.RemoveFunc(func(k Key) bool { return strings.HasPrefix(string(k), "comes") })
	if u := m.Usage(); u.Responses != stay || removed < come/10 {
		t.Errorf("%d responses are left, %d were removed", u.Responses, removed)
	}
}

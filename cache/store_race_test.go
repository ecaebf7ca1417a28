package cache

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
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
						s.Replace(r, r.freshened(fields("Date", at(0), "X", string(key)), received, received))
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
	r := newResponse(key, fields("X", strconv.Itoa(random.IntN(3))), http.StatusOK, h, received, received)
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

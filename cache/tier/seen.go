package tier

import (
	"hash/maphash"
	"sync"

	"github.com/wherry/wherry/cache/store"
)

const (
	// objectBytes is how large a response on disk is expected to be: as many different ones as fit the disk are remembered, so that what
	// is asked for twice in the time that the disk turns over once is found out.
	objectBytes = 32 << 10
	// seenMin and seenMax bound how many are remembered in a generation; the bits of seenMax take 20 MiB, twice.
	seenMin = 1 << 14
	seenMax = 1 << 24
	// bitsPerKey and hashes make one answer in a hundred wrong when a generation is full; then a response is written at first sight.
	bitsPerKey = 10
	hashes     = 7
)

// seen remembers keys in two Bloom filters. The newer one takes keys until it has as many as it is made for; then the older one is
// forgotten and a new one begun. A key is remembered for as long as it takes that many others to come, or up to twice as long.
type seen struct {
	seed maphash.Seed

	mu      sync.Mutex // protects what follows; lost with the process
	newer   []uint64
	older   []uint64
	keys    int // in newer
	keysMax int
}

// newSeen returns a memory for the keys of a disk of so many bytes.
func newSeen(diskBytes int64) *seen {
	n := int(min(max(diskBytes/objectBytes, seenMin), seenMax))
	words := (n*bitsPerKey + 63) / 64
	return &seen{seed: maphash.MakeSeed(), keysMax: n, newer: make([]uint64, words), older: make([]uint64, words)}
}

// add remembers the response under key with this variant, and says whether it was remembered before.
func (s *seen) add(key store.Key, variant string) bool {
	h := maphash.String(s.seed, string(key))
	if variant != "" {
		h ^= maphash.String(s.seed, variant) * 0x9e3779b97f4a7c15
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, added := s.has(s.older, h), s.set(h)
	if before = before || !added; !added {
		return before
	}
	if s.keys++; s.keys >= s.keysMax {
		s.newer, s.older = s.older, s.newer
		clear(s.newer)
		s.keys = 0
	}
	return before
}

// bit is the i-th bit of h in a filter: two halves of one hash stand for as many as are needed (Kirsch and Mitzenmacher 2006).
func (s *seen) bit(h uint64, i int) (word int, mask uint64) {
	n := uint64(len(s.newer)) * 64
	at := (h>>32 + uint64(i)*(h&0xffffffff|1)) % n
	return int(at / 64), 1 << (at % 64)
}

func (s *seen) has(filter []uint64, h uint64) bool {
	for i := range hashes {
		if word, mask := s.bit(h, i); filter[word]&mask == 0 {
			return false
		}
	}
	return true
}

// set adds h to the newer filter, and says whether it wasn't there.
func (s *seen) set(h uint64) (added bool) {
	for i := range hashes {
		word, mask := s.bit(h, i)
		added = added || s.newer[word]&mask == 0
		s.newer[word] |= mask
	}
	return added
}

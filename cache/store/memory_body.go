package store

import (
	"io"
	"slices"
	"sync"
)

const (
	bodyGrainMin = 4 << 10
	bodyGrainMax = 1 << 20
	// slackPart is how many times a stored body must be as long as what is unused of its memory.
	slackPart = 8
)

// memoryBody is a list of pieces. Bytes that have been appended never move or change, so readers share them without copying.
type memoryBody struct {
	store *Memory
	size  int64 // expected, or -1

	mu        sync.Mutex // protects what follows
	pieces    [][]byte   // each with its full length; only length says how much of the last one is content
	starts    []int64    // the offset of each piece
	room      int64      // the pieces together
	charged   int64      // what the allocator gave for them
	length    int64
	stored    bool
	discarded bool
}

// Append implements Body.
func (b *memoryBody) Append(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(p) > 0 {
		if b.length == b.room {
			if err := b.grow(int64(len(p))); err != nil {
				return n, err
			}
		}
		last := len(b.pieces) - 1
		m := copy(b.pieces[last][b.length-b.starts[last]:], p)
		b.length += int64(m)
		n, p = n+m, p[m:]
	}
	return n, nil
}

// grow adds a piece for n more bytes, or some of them, and charges the store for what it takes.
func (b *memoryBody) grow(n int64) error {
	grain := max(bodyGrainMin, n, b.room) // a size that wasn't announced is found by doubling
	if b.size > b.room {
		grain = b.size - b.room
	}
	grain = min(grain, bodyGrainMax, b.store.objectMax-b.room)
	if grain <= 0 {
		return ErrTooLarge
	}
	piece := newPiece(grain)
	if cost := int64(cap(piece)); !b.discarded {
		if b.store.filling.Add(cost) > b.store.fillingMax() {
			b.store.filling.Add(-cost)
			return ErrFull
		}
		if !b.store.charge(cost) {
			b.store.bytes.Add(-cost)
			b.store.filling.Add(-cost)
			return ErrFull
		}
		b.charged += cost
	}
	b.starts = append(b.starts, b.room)
	b.pieces = append(b.pieces, piece)
	b.room += grain
	return nil
}

// newPiece returns n bytes whose capacity says how much memory they take: the allocator rounds up, by a quarter at worst.
func newPiece(n int64) []byte { return slices.Grow([]byte(nil), int(n))[:n] }

// WriteRange implements Body.
func (b *memoryBody) WriteRange(w io.Writer, off, n int64) (written int64, err error) {
	b.mu.Lock()
	pieces, starts := b.pieces, b.starts
	b.mu.Unlock()
	i, found := slices.BinarySearch(starts, off)
	if !found {
		i--
	}
	for ; n > 0; i++ {
		piece := pieces[i][off-starts[i]:]
		piece = piece[:min(int64(len(piece)), n)]
		m, err := w.Write(piece)
		written, off, n = written+int64(m), off+int64(m), n-int64(m)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// AppendPieces implements SharedBody.
func (b *memoryBody) AppendPieces(dst [][]byte) [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, piece := range b.pieces {
		if n := min(int64(len(piece)), b.length-b.starts[i]); n > 0 {
			dst = append(dst, piece[:n])
		}
	}
	return dst
}

// Len implements Body.
func (b *memoryBody) Len() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.length
}

// Discard implements Body.
func (b *memoryBody) Discard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.discarded {
		b.discarded = true
		b.store.bytes.Add(-b.charged)
		if !b.stored {
			b.store.filling.Add(-b.charged)
		}
	}
}

// filled is called when the body is about to be stored. It returns what the body is charged.
func (b *memoryBody) filled() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stored || b.discarded {
		return b.charged
	}
	b.stored = true
	b.store.filling.Add(-b.charged)
	b.trim()
	return b.charged
}

// trim moves the last bytes to a piece of their size if they leave much of their own unused: the length of a body that wasn't
// announced is found by doubling. Who reads goes on with the pieces that it has seen.
func (b *memoryBody) trim() {
	last := len(b.pieces) - 1
	if last < 0 || (b.room-b.length)*slackPart <= b.length {
		return
	}
	old := b.pieces[last]
	piece := newPiece(b.length - b.starts[last])
	copy(piece, old)
	b.pieces = slices.Clone(b.pieces)
	b.pieces[last] = piece
	b.room = b.length
	saved := int64(cap(old) - cap(piece))
	b.charged -= saved
	b.store.bytes.Add(-saved)
}

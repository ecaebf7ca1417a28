package phys

import (
	"iter"
	"math/bits"
)

// Bitmap is a set of pages of a slot, by index, in the layout of KVM's dirty log: bit i%64 of word i/64.
type Bitmap struct {
	words []uint64
	top   int // from this word on there is nothing
	count int
}

// NewBitmap makes an empty set of pages below n.
func NewBitmap(n int) *Bitmap { return &Bitmap{words: make([]uint64, (n+63)/64)} }

// Has reports whether i is in b.
func (b *Bitmap) Has(i int) bool { return b.words[i>>6]>>(i&63)&1 != 0 }

// Set adds i.
func (b *Bitmap) Set(i int) {
	if !b.Has(i) {
		b.words[i>>6] |= 1 << (i & 63)
		b.top = max(b.top, i>>6+1)
		b.count++
	}
}

// Clear removes i.
func (b *Bitmap) Clear(i int) {
	if b.Has(i) {
		b.words[i>>6] &^= 1 << (i & 63)
		b.count--
	}
}

// Count is how many pages are in b.
func (b *Bitmap) Count() int { return b.count }

// Reset empties b.
func (b *Bitmap) Reset() {
	clear(b.words[:b.top])
	b.top, b.count = 0, 0
}

// add puts the pages of w, the word at, into b and returns how many are new.
func (b *Bitmap) add(at int, w uint64) int {
	n := bits.OnesCount64(w &^ b.words[at])
	b.words[at] |= w
	if n > 0 {
		b.top = max(b.top, at+1)
		b.count += n
	}
	return n
}

// next is the first page of b from i on, or one behind all.
func (b *Bitmap) next(i int) int {
	for at := i >> 6; at < b.top; at++ {
		w := b.words[at]
		if at == i>>6 {
			w &= ^uint64(0) << (i & 63)
		}
		if w != 0 {
			return at<<6 + bits.TrailingZeros64(w)
		}
	}
	return len(b.words) << 6
}

// All yields the pages of b in order. A page that the loop's body adds may be left out.
func (b *Bitmap) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for at, w := range b.words[:b.top] {
			for ; w != 0; w &= w - 1 {
				if !yield(at<<6 + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}

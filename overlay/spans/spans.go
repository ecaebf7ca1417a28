package spans

import "sync"

const blockSize = 16 << 10

var blockPool = sync.Pool{New: func() any { return new([blockSize]byte) }}

// Blocks holds the bytes of a stream between two offsets, in pieces that come from a pool.
type Blocks struct {
	first uint64 // offset of list[0]; a multiple of blockSize
	list  []*[blockSize]byte
}

// First is the offset before which everything was given up.
func (b *Blocks) First() uint64 { return b.first }

// Write puts p at offset, which isn't before first.
func (b *Blocks) Write(offset uint64, p []byte) {
	for len(p) > 0 {
		i := int((offset - b.first) / blockSize)
		for len(b.list) <= i {
			b.list = append(b.list, blockPool.Get().(*[blockSize]byte))
		}
		n := copy(b.list[i][offset%blockSize:], p)
		p, offset = p[n:], offset+uint64(n)
	}
}

// Read fills p from offset; all of that was written.
func (b *Blocks) Read(offset uint64, p []byte) {
	for len(p) > 0 {
		n := copy(p, b.list[(offset-b.first)/blockSize][offset%blockSize:])
		p, offset = p[n:], offset+uint64(n)
	}
}

// Drop gives up what lies before offset.
func (b *Blocks) Drop(offset uint64) {
	n := min(int((offset-b.first)/blockSize), len(b.list))
	if n == 0 {
		return
	}
	for _, block := range b.list[:n] {
		blockPool.Put(block)
	}
	b.list = append(b.list[:0], b.list[n:]...)
	b.first += uint64(n) * blockSize
}

// Free gives up everything.
func (b *Blocks) Free() {
	for _, block := range b.list {
		blockPool.Put(block)
	}
	b.list = nil
}

// Span is bytes from start up to end.
type Span struct{ Start, End uint64 }

// Set is a set of bytes: sorted, apart from each other.
type Set []Span

// Add takes a Span in.
func (s *Set) Add(start, end uint64) {
	if start >= end {
		return
	}
	list := *s
	if n := len(list); n > 0 && start >= list[n-1].Start {
		// Most come in order.
		if last := &list[n-1]; start <= last.End {
			last.End = max(last.End, end)
			return
		}
		*s = append(list, Span{start, end})
		return
	}
	i := 0
	for i < len(list) && list[i].End < start {
		i++
	}
	k := i
	for k < len(list) && list[k].Start <= end {
		start, end = min(start, list[k].Start), max(end, list[k].End)
		k++
	}
	if i == k {
		list = append(list, Span{})
		copy(list[i+1:], list[i:])
	} else {
		list = append(list[:i+1], list[k:]...)
	}
	list[i] = Span{start, end}
	*s = list
}

// Remove takes a Span out.
func (s *Set) Remove(start, end uint64) {
	if start >= end {
		return
	}
	list := *s
	for i := 0; i < len(list); i++ {
		c := list[i]
		if c.End <= start || c.Start >= end {
			continue
		}
		switch {
		case c.Start < start && c.End > end:
			list = append(list, Span{})
			copy(list[i+2:], list[i+1:])
			list[i], list[i+1] = Span{c.Start, start}, Span{end, c.End}
			i++
		case c.Start < start:
			list[i].End = start
		case c.End > end:
			list[i].Start = end
		default:
			list = append(list[:i], list[i+1:]...)
			i--
		}
	}
	*s = list
}

// Pop takes at most n bytes off the beginning.
func (s *Set) Pop(n uint64) (Span, bool) {
	list := *s
	if len(list) == 0 {
		return Span{}, false
	}
	taken := list[0]
	if taken.End-taken.Start > n {
		taken.End = taken.Start + n
		list[0].Start = taken.End
		return taken, true
	}
	*s = append(list[:0], list[1:]...)
	return taken, true
}

// Reach takes off the Set that begin at or before offset and returns how far they go.
func (s *Set) Reach(offset uint64) uint64 {
	list, n := *s, 0
	for n < len(list) && list[n].Start <= offset {
		offset = max(offset, list[n].End)
		n++
	}
	if n > 0 {
		*s = append(list[:0], list[n:]...)
	}
	return offset
}

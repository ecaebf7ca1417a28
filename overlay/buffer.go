package overlay

import "sync"

const blockSize = 16 << 10

var blockPool = sync.Pool{New: func() any { return new([blockSize]byte) }}

// blocks holds the bytes of a stream between two offsets, in pieces that come from a pool.
type blocks struct {
	first uint64 // offset of list[0]; a multiple of blockSize
	list  []*[blockSize]byte
}

// write puts p at offset, which isn't before first.
func (b *blocks) write(offset uint64, p []byte) {
	for len(p) > 0 {
		i := int((offset - b.first) / blockSize)
		for len(b.list) <= i {
			b.list = append(b.list, blockPool.Get().(*[blockSize]byte))
		}
		n := copy(b.list[i][offset%blockSize:], p)
		p, offset = p[n:], offset+uint64(n)
	}
}

// read fills p from offset; all of that was written.
func (b *blocks) read(offset uint64, p []byte) {
	for len(p) > 0 {
		n := copy(p, b.list[(offset-b.first)/blockSize][offset%blockSize:])
		p, offset = p[n:], offset+uint64(n)
	}
}

// drop gives up what lies before offset.
func (b *blocks) drop(offset uint64) {
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

// free gives up everything.
func (b *blocks) free() {
	for _, block := range b.list {
		blockPool.Put(block)
	}
	b.list = nil
}

// span is bytes from start up to end.
type span struct{ start, end uint64 }

// spans is a set of bytes: sorted, apart from each other.
type spans []span

// add takes a span in.
func (s *spans) add(start, end uint64) {
	if start >= end {
		return
	}
	list := *s
	if n := len(list); n > 0 && start >= list[n-1].start {
		// Most come in order.
		if last := &list[n-1]; start <= last.end {
			last.end = max(last.end, end)
			return
		}
		*s = append(list, span{start, end})
		return
	}
	i := 0
	for i < len(list) && list[i].end < start {
		i++
	}
	k := i
	for k < len(list) && list[k].start <= end {
		start, end = min(start, list[k].start), max(end, list[k].end)
		k++
	}
	if i == k {
		list = append(list, span{})
		copy(list[i+1:], list[i:])
	} else {
		list = append(list[:i+1], list[k:]...)
	}
	list[i] = span{start, end}
	*s = list
}

// remove takes a span out.
func (s *spans) remove(start, end uint64) {
	list := *s
	for i := 0; i < len(list); i++ {
		c := list[i]
		if c.end <= start || c.start >= end {
			continue
		}
		switch {
		case c.start < start && c.end > end:
			list = append(list, span{})
			copy(list[i+2:], list[i+1:])
			list[i], list[i+1] = span{c.start, start}, span{end, c.end}
			i++
		case c.start < start:
			list[i].end = start
		case c.end > end:
			list[i].start = end
		default:
			list = append(list[:i], list[i+1:]...)
			i--
		}
	}
	*s = list
}

// pop takes at most n bytes off the beginning.
func (s *spans) pop(n uint64) (span, bool) {
	list := *s
	if len(list) == 0 {
		return span{}, false
	}
	taken := list[0]
	if taken.end-taken.start > n {
		taken.end = taken.start + n
		list[0].start = taken.end
		return taken, true
	}
	*s = append(list[:0], list[1:]...)
	return taken, true
}

// reach takes off the spans that begin at or before offset and returns how far they go.
func (s *spans) reach(offset uint64) uint64 {
	list, n := *s, 0
	for n < len(list) && list[n].start <= offset {
		offset = max(offset, list[n].end)
		n++
	}
	if n > 0 {
		*s = append(list[:0], list[n:]...)
	}
	return offset
}

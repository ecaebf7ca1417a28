package disk

import (
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
)

var errNothing = errors.New("there is no segment to evict")

// makeRoom evicts until the active segment may grow to its full size and, when it is sealed, half of the next one may be copies before
// the eviction that they come from is done: so the limit holds until the next call. At most budget bytes are copied.
func (v *volume) makeRoom(budget int64) error { return v.evictTo(v.segBytes+v.segBytes/2, budget) }

// evictTo evicts until there is so much room beside the sealed segments.
func (v *volume) evictTo(room, budget int64) error {
	for {
		sealed := v.bytes()
		if g := v.writer.active; g != nil {
			sealed -= g.bytes()
		}
		if sealed+room <= v.limit() {
			return nil
		}
		if err := v.evictOldest(&budget); err != nil {
			if errors.Is(err, errNothing) {
				return nil
			}
			return err
		}
	}
}

// squeeze evicts one segment, copies nothing, and keeps to what fits from now on.
func (v *volume) squeeze(err error) bool {
	if v.writer.evicting || v.evictOldest(nil) != nil {
		return false
	}
	v.tight(v.bytes(), err)
	return true
}

// evictOldest drops the oldest segment that isn't active. Blobs that were read since they were written are copied into the active
// one, as far as budget goes; nil copies nothing. It is always the oldest: so a tombstone goes after what it killed.
func (v *volume) evictOldest(budget *int64) error {
	all := v.snapshot()
	if len(all) == 0 || all[0] == v.writer.active {
		return errNothing
	}
	g := all[0]
	v.writer.evicting = true
	defer func() { v.writer.evicting = false }()
	v.queue.setShadow(true)
	copying := budget != nil
	for _, e := range v.index.inSegment(v.n, g.id) {
		if copying && e.bodySeg == g.id && e.is(flagHot) && e.recordLen() <= *budget {
			if v.queue.buries() {
				v.bury()
			}
			err := v.copyForward(g, &e)
			if err == nil {
				*budget -= e.recordLen()
				continue
			}
			copying = !errors.Is(err, ErrFailed) && !errors.Is(err, errNoRoom)
		}
		if v.index.drop(&e) {
			v.evicted.Add(1)
			v.metrics.dropped.WithLabelValues(dropEvicted).Inc()
		}
	}
	if err := v.forget(g); err != nil {
		return err
	}
	v.queue.setShadow(v.unread)
	return nil
}

// forget removes a segment from the directory and from the list.
func (v *volume) forget(g *segment) error {
	if err := v.fs.Remove(g.name); err != nil {
		return v.failed("remove", err)
	}
	v.mu.Lock()
	for i := range v.segments {
		if v.segments[i] == g {
			v.segments = append(v.segments[:i:i], v.segments[i+1:]...)
			break
		}
	}
	v.dirDirty = true
	v.mu.Unlock()
	g.retire()
	return nil
}

// copyForward writes a blob of g anew, with the head that it has by now, if it lives. It gets a new sequence number. What kills it
// while it is copied takes it out of the index first and is buried afterwards, by this goroutine, so the tombstone stands behind the
// copy in the log.
func (v *volume) copyForward(g *segment, e *entry) error {
	w := &v.writer
	if now, ok := v.index.current(e.key, e.variant); !ok || !now.same(e) {
		// A copy behind the tombstone would live.
		return nil
	}
	from, err := readRecord(g.file.ReadAt, g.nonce, e.bodyOff, e.bodyMeta, e.bodyLen)
	if err != nil {
		return err
	}
	head := from.head()
	if e.headSeg != e.bodySeg || e.headOff != e.bodyOff {
		h := v.segment(e.headSeg)
		if h == nil {
			return ErrDamaged
		}
		newer, err := readRecord(h.file.ReadAt, h.nonce, e.headOff, e.headMeta, 0)
		if err != nil {
			return err
		}
		head = newer.head()
	}
	body := &checkedBody{g.file, int64(e.bodyOff) + int64(e.bodyMeta), int64(e.bodyLen), from.tableIn(from.meta)}
	key, variant := from.keyIn(from.meta), from.variantIn(from.meta)
	i, err := v.append(typePut, e.born, string(key), string(variant), head, body, int64(e.bodyLen))
	if err != nil {
		return err
	}
	to := place{
		bodySeg: w.active.id, headSeg: w.active.id, bodyOff: i.off, headOff: i.off, bodyMeta: i.meta, headMeta: i.meta, bodyLen: i.body,
	}
	v.index.update(e, func(e *entry) {
		e.place, e.seq = to, i.seq
		atomic.AndUint32(&e.bits, ^uint32(flagHot|flagVerified))
	})
	v.metrics.copied.Inc()
	return nil
}

// readMeta is a record up to its body.
type readMeta struct {
	record
	meta []byte
}

func (m *readMeta) head() []byte { return m.headIn(m.meta) }

// readRecord reads and checks a record up to its body, which has the given lengths.
func readRecord(readAt func([]byte, int64) (int, error), nonce uint64, off, metaLen, body uint32) (readMeta, error) {
	meta := make([]byte, metaLen)
	if _, err := readAt(meta, int64(off)); err != nil {
		return readMeta{}, err
	}
	return parseMeta(meta, nonce, body)
}

func parseMeta(meta []byte, nonce uint64, body uint32) (readMeta, error) {
	r, err := parseRecord(meta, nonce, int64(len(meta))+align(int64(body), 8))
	if err != nil || r.metaLen() != int64(len(meta)) || r.body != int(body) || !r.checkMeta(meta) {
		return readMeta{}, ErrDamaged
	}
	return readMeta{r, meta}, nil
}

// checkedBody reads a body, and fails at a block that is damaged.
type checkedBody struct {
	file     File
	off, len int64
	table    []byte
}

func (b *checkedBody) WriteTo(w io.Writer) (int64, error) {
	buf := make([]byte, min(b.len, blockBytes))
	for at := int64(0); at < b.len; at += blockBytes {
		p := buf[:min(blockBytes, b.len-at)]
		if _, err := b.file.ReadAt(p, b.off+at); err != nil {
			return at, err
		}
		if checksum(p) != binary.LittleEndian.Uint32(b.table[at/blockBytes*4:]) {
			return at, ErrDamaged
		}
		if _, err := w.Write(p); err != nil {
			return at, err
		}
	}
	return b.len, nil
}

package disk

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// Blob is a blob on a disk. It stays readable as long as it is in hand, also when it is replaced, removed or evicted meanwhile (the
// file is closed when nobody holds a blob of it any more); when Run has returned, reads fail.
type Blob struct {
	Key     string
	Variant string
	Head    []byte // not to be changed

	v      *volume
	entry  entry // as it was
	hold   *hold
	table  []byte // checksums of the blocks
	blocks *blocks
}

func (v *volume) blob(e *entry, h *hold, key, variant string, head, table []byte) *Blob {
	return &Blob{
		Key: key, Variant: variant, Head: head,
		v: v, entry: *e, hold: h, table: table, blocks: v.index.blocksFor(e),
	}
}

// Get returns all variants, the newest first, and marks them as hot. Blobs that fail their checks are dropped and left out; the
// error is that of the first one that couldn't be read in time, returned beside those that could.
func (s *Store) Get(key string) ([]*Blob, error) {
	if !s.running.Load() {
		return nil, ErrStopped
	}
	var room [8]entry
	entries := s.index.get(hashOf(key), room[:0])
	if len(entries) == 0 {
		return nil, nil
	}
	blobs := make([]*Blob, 0, len(entries))
	var first error
	for i := range entries {
		b, err := s.volumes[entries[i].vol()].open(key, &entries[i])
		if b != nil {
			blobs = append(blobs, b)
		}
		if err != nil && first == nil && !errors.Is(err, ErrDamaged) {
			first = err
		}
	}
	return blobs, first
}

// open reads the head of e, following it when it is copied elsewhere meanwhile. Nil without an error means that it is gone, or is
// another key's.
func (v *volume) open(key string, e *entry) (*Blob, error) {
	for {
		b, err := v.openAt(key, e)
		if b != nil || err != nil {
			return b, err
		}
		now, ok := v.index.current(e.key, e.variant)
		if !ok || !now.same(e) || now.place == e.place {
			return nil, nil
		}
		*e = now
	}
}

func (v *volume) openAt(key string, e *entry) (*Blob, error) {
	g := v.segment(e.bodySeg)
	if g == nil {
		return nil, nil
	}
	h := g.hold()
	if h == nil {
		return nil, nil
	}
	from, err := v.readMeta(h, e, e.bodyOff, e.bodyMeta, e.bodyLen)
	if err != nil {
		return nil, err
	}
	head := from.head()
	if e.headSeg != e.bodySeg || e.headOff != e.bodyOff {
		g := v.segment(e.headSeg)
		if g == nil {
			return nil, nil
		}
		h := g.hold()
		if h == nil {
			return nil, nil
		}
		newer, err := v.readMeta(h, e, e.headOff, e.headMeta, 0)
		if err != nil {
			return nil, err
		}
		head = newer.head()
	}
	if string(from.keyIn(from.meta)) != key {
		// Two keys with one hash: it is the other's.
		return nil, nil
	}
	return v.blob(e, h, key, string(from.variantIn(from.meta)), head, from.tableIn(from.meta)), nil
}

// readMeta reads and checks a record of e up to its body.
func (v *volume) readMeta(h *hold, e *entry, off, metaLen, body uint32) (readMeta, error) {
	meta := make([]byte, metaLen)
	err := v.read(h, meta, int64(off))
	var m readMeta
	if err == nil {
		m, err = parseMeta(meta, h.seg.nonce, body)
	}
	if err == nil && (m.born != e.born || hashOf(string(m.keyIn(meta))) != e.key || variantHash(string(m.variantIn(meta))) != e.variant) {
		err = ErrDamaged
	}
	if errors.Is(err, ErrDamaged) {
		v.damaged(e)
	}
	return m, err
}

// damaged drops a blob that isn't what was written. It is to be buried before it is out of the index, see queue.uncertain.
func (v *volume) damaged(e *entry) {
	if now, ok := v.index.current(e.key, e.variant); !ok || !now.same(e) || now.place != e.place {
		return
	}
	v.queue.bury(grave{kill{e.key, e.variant}, true})
	v.index.drop(e)
	v.metrics.dropped.WithLabelValues(dropDamaged).Inc()
	v.log.Warn("a blob on a disk of the cache is damaged; it is dropped", "dir", v.dir, "segment", segmentPath(v.dir, e.bodySeg), "offset", e.bodyOff)
}

// Size is the length of the body.
func (b *Blob) Size() int64 { return int64(b.entry.bodyLen) }

// Live says whether the store would still return this blob (perhaps with a newer head).
func (b *Blob) Live() bool {
	e, ok := b.v.index.current(b.entry.key, b.entry.variant)
	return ok && e.same(&b.entry)
}

// WriteRange writes n bytes of the body from off to w; what is beyond the end is left out. An error of w is returned as it is; others
// are ErrSlow, ErrDamaged, ErrFailed or ErrStopped. No byte of a damaged block is written.
func (b *Blob) WriteRange(w io.Writer, off, n int64) (int64, error) {
	size := b.Size()
	if off < 0 || n <= 0 || off >= size {
		return 0, nil
	}
	end := off + min(n, size-off)
	buf := b.v.readers.blocks.Get().(*[blockBytes]byte)
	written := int64(0)
	for off < end {
		p, err := b.readBlock(buf, off, end)
		if err != nil {
			// The buffer may still be written to by a disk that is late.
			return written, err
		}
		n, err := w.Write(p)
		written += int64(n)
		off += int64(n)
		if err != nil {
			b.v.readers.blocks.Put(buf)
			return written, err
		}
	}
	b.v.readers.blocks.Put(buf)
	return written, nil
}

// readBlock returns the bytes from off to end, as far as they are in one block, and only if that was found right.
func (b *Blob) readBlock(buf *[blockBytes]byte, off, end int64) ([]byte, error) {
	block := off / blockBytes
	from, to := block*blockBytes, min((block+1)*blockBytes, b.Size())
	body := int64(b.entry.bodyOff) + int64(b.entry.bodyMeta)
	if b.blocks.has(block) {
		p := buf[:min(end, to)-off]
		return p, b.read(p, body+off)
	}
	p := buf[:to-from]
	if err := b.read(p, body+from); err != nil {
		return nil, err
	}
	if checksum(p) != binary.LittleEndian.Uint32(b.table[4*block:]) {
		b.v.damaged(&b.entry)
		return nil, b.v.readError(ErrDamaged)
	}
	if b.blocks.set(block) {
		b.v.index.verified(&b.entry)
	}
	return p[off-from : min(end, to)-from], nil
}

func (b *Blob) read(p []byte, off int64) error {
	err := b.v.read(b.hold, p, off)
	if errors.Is(err, ErrDamaged) {
		b.v.damaged(&b.entry)
	}
	return err
}

// Verified says whether every block of the body was read and found right since Open.
func (b *Blob) Verified() bool { return b.blocks.left.Load() == 0 }

// File returns the file that holds the body and where it begins, for sendfile with an explicit offset; ok only if the body is
// Verified and the FS is the operating system's. The file is shared: don't seek, write or close. It stays open at least as long as b
// is reachable (runtime.KeepAlive).
func (b *Blob) File() (f *os.File, off int64, ok bool) {
	if !b.Verified() {
		return nil, 0, false
	}
	file, ok := b.hold.seg.file.(osFile)
	if !ok {
		return nil, 0, false
	}
	return file.File, int64(b.entry.bodyOff) + int64(b.entry.bodyMeta), true
}

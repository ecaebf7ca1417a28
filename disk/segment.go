package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"weak"
)

// segment is one file of a volume.
type segment struct {
	id    uint32
	name  string
	file  File
	nonce uint64

	mu   sync.Mutex
	size int64 // of the file as far as it counts
	// seal is the trailer of a sealed one. One that isn't sealed (it is being written, or couldn't be sealed) has all that the
	// footer needs in items and keys.
	seal        trailer
	sealed      bool
	items       []item
	keys        []byte
	firstNumber uint64
	records     uint64
	retired     bool
	// held is there as long as a blob or a read has the segment, so that eviction knows whether it may close the file.
	held weak.Pointer[hold]
}

// hold keeps the file of a segment open. Nobody gives it back: the garbage collector finds out, as with any file, so that a blob
// can't be used after its release. What it costs is that an evicted file whose blob somebody had keeps its room on the disk until
// the next collection.
type hold struct{ seg *segment }

// hold returns nil if the segment is gone.
func (g *segment) hold() *hold {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retired {
		return nil
	}
	h := g.held.Value()
	if h == nil {
		h = &hold{g}
		g.held = weak.Make(h)
	}
	return h
}

// retire closes the file, now or when nobody holds it any more.
func (g *segment) retire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.retired = true
	if g.held.Value() == nil {
		_ = g.file.Close()
	}
}

func (g *segment) bytes() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.size
}

var segmentName = regexp.MustCompile(`^([0-9a-f]{8})\.seg$`)

func segmentPath(dir string, id uint32) string {
	return filepath.Join(dir, fmt.Sprintf("%08x.seg", id))
}

func parseSegmentName(name string) (uint32, bool) {
	m := segmentName.FindStringSubmatch(name)
	if m == nil {
		return 0, false
	}
	id, err := strconv.ParseUint(m[1], 16, 32)
	return uint32(id), err == nil && id > 0
}

// add notes a record that was written or found, for the footer.
func (g *segment) add(end int64, key string, items ...item) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.size = end
	g.records++
	g.items = append(g.items, items...)
	if len(items) > 0 && items[0].kind == typePut {
		g.keys = appendKey(g.keys, key)
	}
}

// footerLen is the length of the footer if a record with so many items and such a key is added.
func (g *segment) footerLen(items, key int) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return int64(len(g.items)+items)*entryBytes + int64(len(g.keys)+4+key) + trailerBytes
}

// close seals the segment: it writes the footer, after which nothing is added. write is how bytes get into the file.
func (g *segment) close(write func(p []byte, off int64) error) error {
	g.mu.Lock()
	t := trailer{firstNumber: g.firstNumber, records: g.records, at: g.size}
	p := footer(t, g.items, g.keys, g.nonce)
	t, ok := parseTrailer(p[len(p)-trailerBytes:], g.nonce, g.size+int64(len(p)))
	g.mu.Unlock()
	if !ok {
		panic("BUG: a footer that we made can't be read")
	}
	if err := write(p, t.at); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.size += int64(len(p))
	g.seal, g.sealed, g.items, g.keys = t, true, nil, nil
	return nil
}

// openKeys returns the keys of a segment that isn't sealed.
func (g *segment) openKeys() (keys []byte, open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.keys[:len(g.keys):len(g.keys)], !g.sealed
}

// found is what reading a segment at opening finds.
type found struct {
	items []item
	// torn: bytes at the end, that are no record.
	torn int64
	// lostBefore: records got lost before the one with this sequence number, tombstones perhaps.
	lostBefore uint64
}

// read finds the records of a file, by its footer or else one by one. want is the number that its first record should have, 0 if
// that is all the same. It keeps what it needs to seal a segment that isn't sealed.
func (g *segment) read(size int64, want uint64) (found, error) {
	g.size = size
	var end [trailerBytes]byte
	if size >= fileHeaderBytes+trailerBytes {
		if _, err := g.file.ReadAt(end[:], size-trailerBytes); err != nil {
			return found{}, err
		}
		if t, ok := parseTrailer(end[:], g.nonce, size); ok {
			if f, ok := g.readFooter(t, want); ok {
				return f, nil
			}
		}
	}
	return g.scan(size, want)
}

func (g *segment) readFooter(t trailer, want uint64) (found, bool) {
	p := make([]byte, t.entries*entryBytes)
	if _, err := g.file.ReadAt(p, t.at); err != nil || checksum(p) != t.entriesCRC {
		return found{}, false
	}
	f := found{items: make([]item, 0, t.entries)}
	for ; len(p) > 0; p = p[entryBytes:] {
		i := parseItem(p)
		if !i.within(t.at) {
			return found{}, false
		}
		f.items = append(f.items, i)
	}
	if want != 0 && t.firstNumber > want && len(f.items) > 0 {
		f.lostBefore = f.items[0].seq
	}
	g.seal, g.sealed, g.firstNumber, g.records = t, true, t.firstNumber, t.records
	return f, true
}

// window reads a file forward through one buffer.
type window struct {
	file File
	size int64
	buf  []byte
	at   int64 // place of buf in the file
}

const windowBytes = 256 << 10

// view returns n bytes at off, valid until the next call; fewer at the end of the file.
func (w *window) view(off, n int64) ([]byte, error) {
	n = min(n, w.size-off)
	if n <= 0 {
		return nil, nil
	}
	if off < w.at || off+n > w.at+int64(len(w.buf)) {
		length := min(max(n, windowBytes), w.size-off)
		if int64(cap(w.buf)) < length {
			w.buf = make([]byte, length)
		}
		w.buf, w.at = w.buf[:length], off
		if _, err := w.file.ReadAt(w.buf, off); err != nil && err != io.EOF {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	return w.buf[off-w.at:][:n], nil
}

// scan reads record by record. After something that is no record it looks for the next one, since a tombstone may stand behind it.
func (g *segment) scan(size int64, want uint64) (found, error) {
	w := &window{file: g.file, size: size}
	var f found
	off, end := int64(fileHeaderBytes), int64(fileHeaderBytes)
	for off < size {
		r, meta, err := g.recordAt(w, off)
		if err == errTorn {
			if off, err = g.next(w, off+8); err != nil {
				return f, err
			}
			continue
		}
		if err != nil {
			return f, err
		}
		if want != 0 && r.number > want {
			// What stands before the gap may be dead by what was in the gap.
			f.lostBefore, f.items = r.seq, nil
			g.items, g.keys, g.records = nil, nil, 0
		}
		want = r.number + 1
		items := itemsOf(&r, meta, off)
		f.items = append(f.items, items...)
		if g.records == 0 {
			g.firstNumber = r.number
		}
		off += r.len()
		end = off
		g.add(end, string(r.keyIn(meta)), items...)
	}
	f.torn = size - end
	g.size = end
	return f, nil
}

func (g *segment) recordAt(w *window, off int64) (r record, meta []byte, err error) {
	p, err := w.view(off, recordHeaderBytes)
	if err != nil {
		return r, nil, err
	}
	if r, err = parseRecord(p, g.nonce, w.size-off); err != nil {
		return r, nil, err
	}
	if meta, err = w.view(off, r.metaLen()); err != nil {
		return r, nil, err
	}
	if !r.checkMeta(meta) {
		return r, nil, errTorn
	}
	return r, meta, nil
}

// next returns the place of the next nonce from off on, or the end of the file.
func (g *segment) next(w *window, off int64) (int64, error) {
	nonce := binary.LittleEndian.AppendUint64(nil, g.nonce)
	for off < w.size {
		// What is left of the window first, so that many false finds don't read the file many times.
		n := w.at + int64(len(w.buf)) - off
		if off < w.at || n < int64(len(nonce)) {
			n = windowBytes
		}
		p, err := w.view(off, n)
		if err != nil {
			return 0, err
		}
		for skipped := 0; ; {
			i := bytes.Index(p[skipped:], nonce)
			if i < 0 {
				break
			}
			if (skipped+i)%8 == 0 {
				return off + int64(skipped+i), nil
			}
			skipped += i + 1
		}
		off += align(n, 8)
	}
	return w.size, nil
}

// itemsOf returns the entries that a record has in the footer.
func itemsOf(r *record, meta []byte, off int64) []item {
	i := item{
		seq: r.seq, born: r.born, kind: r.kind, off: uint32(off), meta: uint32(r.metaLen()), body: uint32(r.body),
	}
	if r.kind != typeTombstone {
		i.key, i.variant = hashOf(string(r.keyIn(meta))), variantHash(string(r.variantIn(meta)))
		return []item{i}
	}
	var items []item
	eachKill(r.headIn(meta), func(k kill) {
		i.key, i.variant = k.key, k.variant
		items = append(items, i)
	})
	return items
}

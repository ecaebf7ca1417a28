package disk

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

// squeezeMax is how many segments are evicted for one write that finds no room on the file system.
const squeezeMax = 3

// probeBytes is what a failing volume has to take before it is trusted again: less might fit where a segment doesn't.
const probeBytes = 256 << 10

var (
	// errBody: the body of a draft failed, not the disk.
	errBody = errors.New("the body can't be read")
	// errNoRoom: the record doesn't fit the active segment, and this is no time for another one.
	errNoRoom = errors.New("no room in the segment")
)

// writer is the state of the goroutine that writes to a volume, and owned by it.
type writer struct {
	active   *segment
	tail     int64 // end of the last record
	high     int64 // how far something may have been written
	nextID   uint32
	number   uint64 // of the next record
	evicting bool
	sink     sink
}

// write does all that is queued, tombstones first, until the queue is closed and empty.
func (v *volume) write() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	if err := v.evictTo(v.segBytes/2, 0); err != nil {
		v.fault(err, false)
	}
	for {
		v.heal()
		v.bury()
		if j := v.queue.pop(); j != nil {
			v.serve(j)
			continue
		}
		if v.queue.isClosed() {
			// Once more: nothing is added any more.
			v.bury()
			break
		}
		timer.Reset(v.idle())
		select {
		case <-v.queue.wake:
		case <-timer.C:
		}
	}
	if err := v.sealActive(); err != nil {
		v.fault(err, false)
	}
}

// idle is how long there is nothing to do if nothing is queued.
func (v *volume) idle() time.Duration {
	buries := v.queue.buries()
	v.health.mu.Lock()
	defer v.health.mu.Unlock()
	wait, now := backoffMax, v.now()
	if buries && v.health.retryAt.IsZero() {
		wait = backoffMin
	}
	for _, at := range [...]time.Time{v.health.retryAt, v.health.roomAt} {
		if !at.IsZero() {
			wait = min(wait, at.Sub(now))
		}
	}
	return max(wait, time.Millisecond)
}

// heal tries a failing volume again when it is time, and gives a full one more room.
func (v *volume) heal() {
	v.health.mu.Lock()
	now := v.now()
	retry := !v.health.retryAt.IsZero() && !now.Before(v.health.retryAt)
	relax := v.health.limit < v.bytesMax && !now.Before(v.health.roomAt)
	v.health.mu.Unlock()
	if relax {
		v.relax()
	}
	if !retry {
		return
	}
	if err := v.probe(); err != nil {
		v.fault(err, true)
		return
	}
	v.wrote()
}

// probe begins a new segment and writes more than a header to it.
func (v *volume) probe() error {
	if err := v.sealActive(); err != nil {
		// It is scanned at the next opening.
		v.writer.active = nil
	}
	if err := v.create(); err != nil {
		return err
	}
	g, n := v.writer.active, min(probeBytes, v.segBytes-fileHeaderBytes)
	v.writer.high += n
	if err := v.pwrite(g, make([]byte, n), fileHeaderBytes); err != nil {
		return err
	}
	if err := errors.Join(g.file.Truncate(fileHeaderBytes), g.file.Sync()); err != nil {
		return v.failed("sync", err)
	}
	v.writer.high = fileHeaderBytes
	return v.makeRoom(0)
}

// serve does one job.
func (v *volume) serve(j *job) {
	switch {
	case v.queue.isRemoved(j):
		v.metrics.puts.WithLabelValues(putRemoved).Inc()
		j.finish(nil, ErrRemoved)
	case v.down():
		v.metrics.puts.WithLabelValues(putFailed).Inc()
		j.finish(nil, fmt.Errorf("%s: %w", v.dir, ErrFailed))
	case j.blob != nil:
		v.serveHead(j)
	default:
		b, err := v.servePut(j)
		result := putWritten
		if errors.Is(err, ErrRemoved) {
			result = putRemoved
		} else if err != nil {
			result = putFailed
		}
		v.metrics.puts.WithLabelValues(result).Inc()
		j.finish(b, err)
	}
}

func (v *volume) servePut(j *job) (*Blob, error) {
	d := &j.draft
	i, err := v.append(typePut, 0, d.Key, d.Variant, d.Head, d.Body, d.Size)
	if err != nil {
		return nil, err
	}
	if v.queue.isRemoved(j) {
		// The tombstone comes next.
		return nil, ErrRemoved
	}
	g := v.writer.active
	e := entry{
		key: j.key, variant: j.variant, seq: i.seq, born: i.born, bits: v.n << volShift,
		place: place{
			bodySeg: g.id, headSeg: g.id, bodyOff: i.off, headOff: i.off, bodyMeta: i.meta, headMeta: i.meta, bodyLen: i.body,
		},
	}
	if old, ok := v.index.current(e.key, e.variant); ok && old.vol() != v.n {
		// Before it is out of the index, see queue.uncertain.
		v.siblings[old.vol()].queue.bury(grave{kill{e.key, e.variant}, true})
	}
	out, pushed := v.index.install(e)
	if pushed {
		v.metrics.dropped.WithLabelValues(dropReplaced).Inc()
	}
	if !v.settle(&e, &out, pushed) {
		return nil, fmt.Errorf("%w: a newer one was put meanwhile", ErrRemoved)
	}
	table := append([]byte(nil), v.writer.sink.table...)
	return v.blob(&e, g.hold(), d.Key, d.Variant, d.Head, table), nil
}

// settle buries what e pushed out of the index where the log of e itself doesn't, and returns false if that was e.
func (v *volume) settle(e, out *entry, pushed bool) bool {
	if !pushed {
		return true
	}
	if out.vol() != v.n || out.variant != e.variant || out.seq == e.seq {
		v.siblings[out.vol()].queue.bury(grave{kill: kill{out.key, out.variant}})
	}
	return out.seq != e.seq
}

func (v *volume) serveHead(j *job) {
	b := j.blob
	e, ok := v.index.current(j.key, j.variant)
	if !ok || !e.same(&b.entry) {
		j.finish(nil, ErrRemoved)
		return
	}
	i, err := v.append(typeHead, e.born, b.Key, b.Variant, j.draft.Head, nil, 0)
	if err != nil {
		j.finish(nil, err)
		return
	}
	id := v.writer.active.id
	v.index.update(&e, func(e *entry) { e.headSeg, e.headOff, e.headMeta, e.seq = id, i.off, i.meta, i.seq })
	j.finish(nil, nil)
}

// append writes one record to the active segment, a new one if it doesn't fit.
func (v *volume) append(kind byte, born uint64, key, variant string, head []byte, body io.WriterTo, size int64) (item, error) {
	w := &v.writer
	r := record{kind: kind, key: len(key), variant: len(variant), head: len(head), body: int(size)}
	items := 1
	if kind == typeTombstone {
		items = len(head) / killBytes
	}
	if err := v.fit(&r, items); err != nil {
		return item{}, err
	}
	r.seq, r.number = v.seq.Add(1), w.number
	if r.born = born; born == 0 {
		r.born = r.seq
	}
	meta := make([]byte, r.metaLen())
	copy(meta[copy(meta[recordHeaderBytes:], key)+recordHeaderBytes:], variant)
	copy(meta[recordHeaderBytes+r.key+r.variant:], head)
	g, off := w.active, w.tail
	w.sink.write = func(p []byte, off int64) error {
		w.high = max(w.high, off+int64(len(p)))
		return v.pwrite(g, p, off)
	}
	w.sink.start(off, &r)
	if err := w.sink.fill(body); err != nil {
		if w.sink.err == nil {
			// What was written of it lies behind the tail, where the next record overwrites it.
			return item{}, fmt.Errorf("%w: %w", errBody, err)
		}
		return item{}, v.undo(key, variant, w.sink.err)
	}
	if err := w.sink.finish(off, &r, meta, g.nonce); err != nil {
		return item{}, v.undo(key, variant, err)
	}
	w.tail = off + r.len()
	w.number++
	entries := itemsOf(&r, meta, off)
	g.add(w.tail, key, entries...)
	v.touched(g)
	v.wrote()
	if len(entries) == 0 {
		return item{}, nil
	}
	return entries[0], nil
}

// fill has body written to the sink.
func (k *sink) fill(body io.WriterTo) error {
	if body != nil {
		if _, err := body.WriteTo(k); err != nil {
			return err
		}
	}
	if k.err != nil {
		return k.err
	}
	if k.left != 0 {
		return errBodyLength
	}
	return nil
}

// undo takes back a record that failed to be written. Where that fails too, the segment is given up, and what may stand there of the
// record is buried.
func (v *volume) undo(key, variant string, err error) error {
	w := &v.writer
	if truncErr := w.active.file.Truncate(w.tail); truncErr != nil {
		w.active = nil
		v.queue.bury(grave{kill{hashOf(key), variantHash(variant)}, true})
	} else {
		w.high = w.tail
	}
	v.fault(err, false)
	return err
}

// fit sees to it that r fits the active segment.
func (v *volume) fit(r *record, items int) error {
	w := &v.writer
	if fullLen(r, items) > v.segBytes {
		return errNoRoom
	}
	for budget := v.segBytes / 2; ; budget = 0 {
		if g := w.active; g != nil && w.tail+r.len()+g.footerLen(items, r.key) <= v.segBytes {
			return nil
		}
		if w.evicting {
			return errNoRoom
		}
		if err := v.sealActive(); err != nil {
			v.fault(err, false)
			w.active = nil
		}
		if err := v.create(); err != nil {
			v.fault(err, false)
			return err
		}
		if err := v.makeRoom(budget); err != nil {
			// Nothing is written beyond the limit.
			if v.sealActive() != nil {
				w.active = nil
			}
			v.fault(err, false)
			return err
		}
	}
}

// fullLen is the length of a segment that holds nothing but r.
func fullLen(r *record, items int) int64 {
	return fileHeaderBytes + r.len() + int64(items)*entryBytes + int64(4+r.key) + trailerBytes
}

// sealActive writes the footer of the active segment, and leaves none active.
func (v *volume) sealActive() error {
	w := &v.writer
	g := w.active
	if g == nil {
		return nil
	}
	if w.tail == fileHeaderBytes {
		if err := v.forget(g); err != nil {
			return err
		}
		w.active = nil
		return nil
	}
	if w.high > w.tail {
		if err := g.file.Truncate(w.tail); err != nil {
			return v.failed("truncate", err)
		}
	}
	w.high = w.tail
	if err := g.close(func(p []byte, off int64) error { return v.pwrite(g, p, off) }); err != nil {
		// Half a footer is as good as none: it is cut off at the next opening.
		return err
	}
	v.touched(g)
	w.active = nil
	return nil
}

// create begins a new segment.
func (v *volume) create() error {
	w := &v.writer
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return err
	}
	g := &segment{
		id: w.nextID, name: segmentPath(v.dir, w.nextID), nonce: binary.LittleEndian.Uint64(nonce[:]),
		firstNumber: w.number, size: fileHeaderBytes,
	}
	w.nextID++
	f, err := v.fs.Create(g.name)
	if err != nil {
		return v.failed("create", err)
	}
	g.file = f
	if err := v.pwrite(g, fileHeader(g.id, g.nonce), 0); err != nil {
		_ = f.Close()
		_ = v.fs.Remove(g.name)
		return err
	}
	v.mu.Lock()
	v.segments = append(v.segments, g)
	v.dirDirty = true
	v.mu.Unlock()
	v.touched(g)
	w.active, w.tail, w.high = g, fileHeaderBytes, fileHeaderBytes
	return nil
}

// pwrite writes all of p. Where the file system is full, it makes room by evicting.
func (v *volume) pwrite(g *segment, p []byte, off int64) error {
	for attempt := 0; ; attempt++ {
		v.health.writingSince.Store(v.now().UnixNano())
		n, err := g.file.WriteAt(p, off)
		v.health.writingSince.Store(0)
		v.progress.Add(1)
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) || attempt == squeezeMax || !v.squeeze(err) {
			return v.failed("write", err)
		}
	}
}

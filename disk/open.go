package disk

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	segmentBytesMin = 64 << 10 // that Options may ask for
	segmentBytesMax = 1 << 30
	// The size of a segment if Options doesn't give it: a 64th of the volume within these bounds.
	segmentBytesLeast = 8 << 20
	segmentBytesMost  = 256 << 20
	segmentsMin       = 4
)

// filled returns o with its defaults.
func (o Options) filled() (Options, error) {
	if len(o.Volumes) == 0 {
		return o, errors.New("disk: no volumes: name at least one directory")
	}
	least := int64(math.MaxInt64)
	for _, v := range o.Volumes {
		least = min(least, v.BytesMax)
	}
	o.SegmentBytes = cmp.Or(o.SegmentBytes, min(max(least/64, segmentBytesLeast), segmentBytesMost))
	o.QueueBytes = cmp.Or(o.QueueBytes, 64<<20)
	o.SyncInterval = cmp.Or(o.SyncInterval, time.Second)
	o.Readers = cmp.Or(o.Readers, 16)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, 2*time.Second)
	if o.FS == nil {
		o.FS = osFS{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	if o.SegmentBytes < segmentBytesMin || o.SegmentBytes > segmentBytesMax {
		return o, fmt.Errorf("disk: segments of %d bytes: give from %d to %d", o.SegmentBytes, segmentBytesMin, segmentBytesMax)
	}
	if least < segmentsMin*o.SegmentBytes {
		return o, fmt.Errorf("disk: a volume of %d bytes is too small for segments of %d: give it at least %d",
			least, o.SegmentBytes, segmentsMin*o.SegmentBytes)
	}
	return o, nil
}

// openDir locks the directory of v and reads what it holds.
func (v *volume) openDir() error {
	if err := v.fs.MkdirAll(v.dir); err != nil {
		return fmt.Errorf("disk: volume %s can't be made: %w; give a directory that this user may write to", v.dir, err)
	}
	lock, err := v.fs.Lock(v.path("lock"))
	if err != nil {
		return fmt.Errorf("disk: volume %s can't be locked: %w", v.dir, err)
	}
	v.lock = lock
	names, err := v.fs.ReadDir(v.dir)
	if err != nil {
		return fmt.Errorf("disk: volume %s can't be listed: %w; give a directory that this user may read", v.dir, err)
	}
	var ids []uint32
	for _, name := range names {
		if id, ok := parseSegmentName(name); ok {
			ids = append(ids, id)
		} else if name != "lock" {
			v.log.Warn("a file that isn't ours stands among the segments of the cache; it is left alone", "file", v.path(name))
		}
	}
	slices.Sort(ids)
	v.writer.nextID, v.writer.number = 1, 1
	want := uint64(0)
	for _, id := range ids {
		v.writer.nextID = id + 1
		if err := v.load(id, &want); err != nil {
			v.unreadable(segmentPath(v.dir, id), err)
		}
	}
	v.queue.shadow = v.unread
	v.writer.number = max(want, 1)
	return nil
}

// unreadable deals with a segment that can't be read. If it is one of ours, it can't stay: what is removed from now on may be in it.
func (v *volume) unreadable(name string, err error) {
	if errors.Is(err, errForeign) {
		v.log.Warn("a file that isn't ours stands among the segments of the cache; it is left alone", "file", name)
		return
	}
	v.log.Warn("a segment of the cache can't be read; it is deleted", "file", name, "error", err)
	if err := v.fs.Remove(name); err != nil {
		v.unread = true
		v.log.Error("a segment of the cache can neither be read nor deleted; what is purged now may come back when it can be read again",
			"file", name, "error", err, "remedy", "delete it")
	}
}

// load reads one segment into the index. want is the number of the next record in the volume, 0 if it isn't known.
func (v *volume) load(id uint32, want *uint64) error {
	g := &segment{id: id, name: segmentPath(v.dir, id)}
	f, err := v.fs.Open(g.name)
	if err != nil {
		return err
	}
	g.file = f
	err = v.loadFile(g, want)
	if err != nil {
		_ = f.Close()
	}
	return err
}

func (v *volume) loadFile(g *segment, want *uint64) error {
	size, err := g.file.Size()
	if err != nil {
		return err
	}
	if size > math.MaxUint32 {
		return errForeign
	}
	if size < fileHeaderBytes {
		// Killed before the header was written: nothing is in it.
		return v.fs.Remove(g.name)
	}
	var header [fileHeaderBytes]byte
	if _, err := g.file.ReadAt(header[:], 0); err != nil {
		return err
	}
	if g.nonce, err = parseFileHeader(header[:], g.id); err != nil {
		return err
	}
	f, err := g.read(size, *want)
	if err != nil {
		return err
	}
	if f.lostBefore != 0 {
		v.lost(g)
	}
	v.segments = append(v.segments, g)
	for i := range f.items {
		v.apply(g, &f.items[i])
	}
	if g.records > 0 {
		*want = g.firstNumber + g.records
	}
	if !g.sealed {
		v.repair(g, f.torn)
	}
	return nil
}

// lost drops all that is older than a gap in the numbers: a tombstone for it may have been in the gap.
func (v *volume) lost(g *segment) {
	v.log.Warn("records of the cache are lost, which may have said what was removed; what is older is dropped", "file", g.name)
	for _, old := range v.snapshot() {
		for _, e := range v.index.inSegment(v.n, old.id) {
			v.index.drop(&e)
		}
		if err := v.forget(old); err != nil {
			v.log.Warn("a segment that counts no more can't be deleted; please delete it", "file", old.name, "error", err)
		}
	}
}

// repair cuts off what is torn, as after a kill, and seals the segment, so that the next opening is fast.
func (v *volume) repair(g *segment, torn int64) {
	if torn > 0 {
		v.metrics.torn.Inc()
		v.log.Info("a segment of the cache ends in the middle of a record; that is cut off", "file", g.name, "bytes", torn)
	}
	if g.records == 0 {
		if err := v.forget(g); err != nil {
			v.log.Warn("an empty segment of the cache can't be deleted", "file", g.name, "error", err)
		}
		return
	}
	err := g.file.Truncate(g.size)
	if err == nil {
		err = g.close(func(p []byte, off int64) error {
			_, err := g.file.WriteAt(p, off)
			return err
		})
	}
	if err != nil {
		v.log.Warn("a segment of the cache can't be sealed; it is read record by record at each start", "file", g.name, "error", err)
	}
	v.touched(g)
}

// apply brings a record into the index. They come in the order in which they were written to the volume.
func (v *volume) apply(g *segment, i *item) {
	if i.seq > v.seq.Load() {
		v.seq.Store(i.seq)
	}
	switch i.kind {
	case typePut:
		e := entry{
			key: i.key, variant: i.variant, seq: i.seq, born: i.born, bits: v.n << volShift,
			place: place{
				bodySeg: g.id, headSeg: g.id, bodyOff: i.off, headOff: i.off, bodyMeta: i.meta, headMeta: i.meta, bodyLen: i.body,
			},
		}
		out, pushed := v.index.install(e)
		v.settle(&e, &out, pushed)
	case typeHead:
		e := entry{key: i.key, variant: i.variant, born: i.born, bits: v.n << volShift}
		v.index.update(&e, func(e *entry) { e.headSeg, e.headOff, e.headMeta, e.seq = g.id, i.off, i.meta, i.seq })
	case typeTombstone:
		v.index.kill(kill{i.key, i.variant}, v.n)
	}
}

package disk

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

// Errors that callers tell apart with errors.Is. Each comes wrapped with the volume and the operation.
var (
	// ErrSlow: the disk didn't answer in Options.ReadTimeout, or didn't lately and isn't asked for the moment. The blob stays.
	ErrSlow = errors.New("the disk is slow")
	// ErrDamaged: what the disk returned isn't what was written. The blob was dropped.
	ErrDamaged = errors.New("the blob is damaged")
	// ErrFailed: the disk returned an error.
	ErrFailed = errors.New("the disk failed")
	// ErrRemoved: the blob was removed before it was written.
	ErrRemoved = errors.New("the blob was removed")
	// ErrStopped: Run has returned, or Close was called. Before Run, callers wait for it, up to Options.ReadTimeout.
	ErrStopped = errors.New("the store doesn't run")
)

// Volume is a directory on a disk of its own.
type Volume struct {
	Dir      string // is made if it isn't there
	BytesMax int64  // all files in it together; at least four segments
}

// Options of a Store. Zero values mean the default.
type Options struct {
	Volumes      []Volume
	SegmentBytes int64         // size of a segment; default: a 64th of the smallest BytesMax, from 8 MiB to 256 MiB
	QueueBytes   int64         // what may wait in memory to be written, in all volumes together; default 64 MiB
	SyncInterval time.Duration // a power loss loses at most what was written in so long; default 1 s, negative: never sync
	Readers      int           // reads at the same time on a volume; default 16
	ReadTimeout  time.Duration // how long a caller waits for a disk; default 2 s
	FS           FS            // default: the operating system's
	Log          *slog.Logger  // default: none
	Now          func() time.Time
	Metrics      *Metrics // default: not registered
}

// Draft is a blob to be written.
type Draft struct {
	Key     string // at most KeyBytesMax
	Variant string // at most KeyBytesMax
	Head    []byte // at most HeadBytesMax
	// Body writes exactly Size bytes when the writer asks it to, once, in the writer's goroutine, after Put has returned; nil if
	// Size is 0. It is to have them at hand: all that is queued for the volume waits for it, Remove too. If it returns an error or
	// writes another number, nothing is stored.
	Body io.WriterTo
	Size int64
}

// Limits of a Draft.
const (
	KeyBytesMax  = 32 << 10
	HeadBytesMax = 1 << 20
)

// Store is a set of blobs. All methods may be called at any time by any goroutine.
type Store struct {
	opts    Options
	volumes []*volume
	index   *index
	seq     atomic.Uint64 // the newest sequence number
	evicted atomic.Int64
	running atomic.Bool // and not closed
}

// Open locks the volumes and reads what they hold. A directory that can't be used at all is an error; what is damaged in it is left
// out, counted and logged. Whoever opened a Store either calls Run, which closes it, or Close.
func Open(opts Options) (*Store, error) {
	opts, err := opts.filled()
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, index: newIndex(len(opts.Volumes))}
	for n, vol := range opts.Volumes {
		v := &volume{
			n: uint32(n), dir: vol.Dir, hash: hashOf(vol.Dir), bytesMax: vol.BytesMax, segBytes: opts.SegmentBytes, wait: opts.ReadTimeout,
			fs: opts.FS, index: s.index, metrics: opts.Metrics, log: opts.Log, now: opts.Now, seq: &s.seq, evicted: &s.evicted,
		}
		v.syncs = opts.SyncInterval > 0
		v.health.state, v.health.since, v.health.limit = OK, opts.Now(), vol.BytesMax
		v.queue.bytesMax = opts.QueueBytes / int64(len(opts.Volumes))
		v.queue.wake = make(chan struct{}, 1)
		v.readers = newReaders()
		s.volumes = append(s.volumes, v)
	}
	for _, v := range s.volumes {
		v.siblings = s.volumes
		if err := v.openDir(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	s.running.Store(true)
	return s, nil
}

// Run writes, evicts, heals and reads until ctx ends; then it writes what is queued, seals the segments, and closes the store. It
// returns when all goroutines are gone, or with an error when a disk holds one of them and nothing has moved for ReadTimeout.
func (s *Store) Run(ctx context.Context) error {
	started := make([]*running, len(s.volumes))
	for i, v := range s.volumes {
		started[i] = v.start(s.opts.Readers, s.opts.SyncInterval)
	}
	<-ctx.Done()
	for _, v := range s.volumes {
		v.queue.close()
	}
	var errs []error
	for i, v := range s.volumes {
		if err := v.end(started[i]); err != nil {
			errs = append(errs, err)
			// A goroutine may still write, so nobody else may have the directory before it or the process ends.
			v.stuck = true
		}
	}
	s.running.Store(false)
	return errors.Join(append(errs, s.Close())...)
}

// Close gives the volumes free. Only for a Store that Run isn't called on.
func (s *Store) Close() error {
	s.running.Store(false)
	var errs []error
	for _, v := range s.volumes {
		for _, g := range v.snapshot() {
			_ = g.file.Close()
		}
		if v.lock != nil && !v.stuck {
			errs = append(errs, v.lock.Close())
			v.lock = nil
		}
	}
	return errors.Join(errs...)
}

// BlobBytesMax is the largest Size that Put takes with the longest key, variant and head; 0 if there is none.
func (s *Store) BlobBytesMax() int64 {
	r := record{key: KeyBytesMax, variant: KeyBytesMax, head: HeadBytesMax}
	room := s.opts.SegmentBytes - fullLen(&r, 1) - 8
	// Each block needs four bytes of the table, which is aligned to eight.
	return max(0, room/(blockBytes+4)*blockBytes)
}

// Put has d written and never blocks. It replaces the blob with the same key and variant once it is written; until then Get
// returns that one. False means that it isn't taken (the queue is full, the volume is down, d is too large) and done isn't called.
// Otherwise done, if not nil, is called once, in the writer's goroutine, so it has to be quick: with the readable blob, or with an
// error.
func (s *Store) Put(d Draft, done func(*Blob, error)) bool {
	refuse := func(why string) bool {
		s.opts.Metrics.puts.WithLabelValues(why).Inc()
		return false
	}
	r := record{key: len(d.Key), variant: len(d.Variant), head: len(d.Head), body: int(d.Size)}
	if len(d.Key) > KeyBytesMax || len(d.Variant) > KeyBytesMax || len(d.Head) > HeadBytesMax || d.Size < 0 ||
		d.Size > s.opts.SegmentBytes || fullLen(&r, 1) > s.opts.SegmentBytes {
		return refuse(putTooLarge)
	}
	j := &job{draft: d, key: hashOf(d.Key), variant: variantHash(d.Variant), charge: r.len() + jobOverhead, done: done}
	v := s.volumeFor(j.key)
	if v == nil {
		return refuse(putDown)
	}
	if !v.queue.push(j) {
		return refuse(putQueue)
	}
	return true
}

// volumeFor returns the volume that takes puts of a key: of those that work the one that ranks highest by a hash of both, so that
// the others keep theirs when one comes or goes.
func (s *Store) volumeFor(key uint64) *volume {
	var best *volume
	var most uint64
	for _, v := range s.volumes {
		rank := mix(key ^ v.hash)
		if (best == nil || rank > most) && v.takes() {
			best, most = v, rank
		}
	}
	return best
}

// mix spreads each bit over all (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// SetHead has a newer head written for the body of b and never blocks. It has no effect if b is replaced or removed by then. False
// means that it isn't taken, as with Put. Otherwise done, if not nil, is called once, in the writer's goroutine, so it has to be quick; until
// then Get returns the old head. b itself keeps its head.
func (s *Store) SetHead(b *Blob, head []byte, done func(error)) bool {
	r := record{key: len(b.Key), variant: len(b.Variant), head: len(head), body: int(b.Size())}
	if len(head) > HeadBytesMax || fullLen(&r, 1) > s.opts.SegmentBytes || b.v.down() || !b.Live() {
		return false
	}
	r.body = 0
	finished := func(_ *Blob, err error) {
		if done != nil {
			done(err)
		}
	}
	return b.v.queue.push(&job{
		done:  finished,
		draft: Draft{Head: head}, blob: b, key: b.entry.key, variant: b.entry.variant, charge: r.len() + jobOverhead,
	})
}

// Has says whether there is a blob with this key, by the index in memory: no I/O, no allocation. It may say yes wrongly once in
// 2^64.
func (s *Store) Has(key string) bool { return s.index.has(hashOf(key)) }

// Touch marks all variants of key as hot without reading them, as Get does: for a caller that has them in memory.
func (s *Store) Touch(key string) { s.index.touch(hashOf(key)) }

// Usage returns what the store holds.
func (s *Store) Usage() Usage {
	u := Usage{Evictions: s.evicted.Load()}
	for _, v := range s.volumes {
		vu := v.usage()
		u.Blobs += vu.Blobs
		u.Bytes += vu.Bytes
		u.BytesMax += vu.BytesMax
		u.Queued += v.queue.queued()
		u.Volumes = append(u.Volumes, vu)
	}
	return u
}

package disk

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// faultsMax is how many writes may fail one after the other until a volume takes no more puts.
	faultsMax = 3
	// A failing volume is tried again after backoffMin, then after twice as long each time, to backoffMax.
	backoffMin = time.Second
	backoffMax = time.Minute
	// roomInterval is how long a full volume keeps to its lower limit before it tries one more segment.
	roomInterval = time.Minute
	// slowProbe is how often a slow volume is asked.
	slowProbe = time.Second
)

// volume is one directory. Its writer (writer.go) is the only one that changes segments and the places in the index.
type volume struct {
	n        uint32
	dir      string
	hash     uint64
	bytesMax int64
	segBytes int64
	wait     time.Duration // Options.ReadTimeout
	syncs    bool          // Options.SyncInterval isn't negative

	fs       FS
	index    *index
	metrics  *Metrics
	log      *slog.Logger
	now      func() time.Time
	seq      *atomic.Uint64 // of the store
	evicted  *atomic.Int64  // of the store
	siblings []*volume      // all of the store, by n
	lock     io.Closer

	// stuck: the disk held a goroutine when Run returned.
	stuck bool
	// unread: a segment couldn't be read at opening, and couldn't be deleted either.
	unread bool

	mu       sync.RWMutex // owns segments, and dirty
	segments []*segment   // in the order of their numbers; the active one is the last
	dirty    []*segment   // written to since the last sync
	dirDirty bool

	// progress counts what the disk has done for the writer and the syncer.
	progress atomic.Int64

	health  health
	queue   queue
	readers readers
	writer  writer
}

// health is how a volume does.
type health struct {
	mu        sync.Mutex // owns all up to the atomics
	state     State      // OK, Failing or Full
	since     time.Time
	lastError string
	limit     int64 // bytes; at most bytesMax
	faults    int   // one after the other
	retryAt   time.Time
	backoff   time.Duration
	roomAt    time.Time // when to raise a lowered limit

	// slowSince and writingSince are in Unix nanoseconds, 0 if not.
	slowSince    atomic.Int64
	probeAt      atomic.Int64
	writingSince atomic.Int64
}

func (v *volume) path(name string) string { return filepath.Join(v.dir, name) }

// segment returns a segment by its number, nil if it is gone.
func (v *volume) segment(id uint32) *segment {
	v.mu.RLock()
	defer v.mu.RUnlock()
	lo, hi := 0, len(v.segments)
	for lo < hi {
		mid := (lo + hi) / 2
		if v.segments[mid].id < id {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(v.segments) && v.segments[lo].id == id {
		return v.segments[lo]
	}
	return nil
}

func (v *volume) snapshot() []*segment {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return append([]*segment(nil), v.segments...)
}

func (v *volume) bytes() int64 {
	n := int64(0)
	for _, g := range v.snapshot() {
		n += g.bytes()
	}
	return n
}

func (v *volume) limit() int64 {
	v.health.mu.Lock()
	defer v.health.mu.Unlock()
	return v.health.limit
}

// slow says whether the disk keeps somebody waiting.
func (v *volume) slow() (time.Time, bool) {
	now := v.now()
	if at := v.health.slowSince.Load(); at != 0 {
		return time.Unix(0, at), true
	}
	if at := v.health.writingSince.Load(); at != 0 && now.Sub(time.Unix(0, at)) > v.wait {
		return time.Unix(0, at).Add(v.wait), true
	}
	return time.Time{}, false
}

// takes says whether puts may go to this volume.
func (v *volume) takes() bool {
	if _, slow := v.slow(); slow {
		return false
	}
	return !v.down()
}

// down says whether writing is given up for now.
func (v *volume) down() bool {
	v.health.mu.Lock()
	defer v.health.mu.Unlock()
	return !v.health.retryAt.IsZero()
}

func (v *volume) usage() VolumeUsage {
	since, slow := v.slow()
	bytes := v.bytes()
	h := &v.health
	h.mu.Lock()
	defer h.mu.Unlock()
	u := VolumeUsage{
		Dir: v.dir, State: h.state, Since: h.since, LastError: h.lastError,
		Blobs: v.index.blobs[v.n].Load(), Bytes: bytes, BytesMax: h.limit,
	}
	if u.State == OK && slow {
		u.State, u.Since = Slow, since
	}
	return u
}

// failed notes an error of the disk at an operation, and wraps it.
func (v *volume) failed(operation string, err error) error {
	v.metrics.faults.WithLabelValues(operation).Inc()
	err = fmt.Errorf("%s: %s: %w: %w", v.dir, operation, ErrFailed, err)
	v.health.mu.Lock()
	defer v.health.mu.Unlock()
	v.health.lastError = err.Error()
	return err
}

// fault counts a failed write; the volume goes down at the third, or at once if grave.
func (v *volume) fault(err error, grave bool) {
	h := &v.health
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults++
	if h.faults < faultsMax && !grave {
		return
	}
	state, remedy := Failing, "look at the disk and at the file system's log; it is tried again by itself"
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		state, remedy = Full, "make room on the file system, or lower the volume's limit"
	}
	if h.retryAt.IsZero() && h.backoff == 0 {
		v.log.Error("a disk of the cache takes no more writes; what it holds is served on as far as it can be read",
			"dir", v.dir, "error", err, "remedy", remedy)
	}
	if h.state != state {
		h.state, h.since = state, v.now()
	}
	h.backoff = min(max(2*h.backoff, backoffMin), backoffMax)
	h.retryAt = v.now().Add(h.backoff)
}

// wrote notes that a write went well.
func (v *volume) wrote() {
	h := &v.health
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = 0
	if h.backoff == 0 {
		return
	}
	h.backoff, h.retryAt = 0, time.Time{}
	v.log.Info("a disk of the cache takes writes again", "dir", v.dir)
	h.state, h.since = OK, v.now()
	if h.limit < v.bytesMax {
		h.state = Full
	}
}

// tight lowers the limit to what fits the file system.
func (v *volume) tight(limit int64, err error) {
	h := &v.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state == OK {
		v.log.Warn("the file system has less room than a disk of the cache may take; it keeps to less",
			"dir", v.dir, "error", err, "limit_bytes", limit, "remedy", "make room on the file system, or lower the volume's limit")
		h.state, h.since = Full, v.now()
	}
	h.limit = min(h.limit, limit)
	h.roomAt = v.now().Add(roomInterval)
}

// relax raises a lowered limit by a segment.
func (v *volume) relax() {
	h := &v.health
	h.mu.Lock()
	defer h.mu.Unlock()
	h.roomAt = v.now().Add(roomInterval)
	if h.limit = min(h.limit+v.segBytes, v.bytesMax); h.limit == v.bytesMax && h.state == Full && h.backoff == 0 {
		h.state, h.since = OK, v.now()
		v.log.Info("a disk of the cache has all of its room again", "dir", v.dir)
	}
}

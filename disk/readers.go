package disk

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// readers are the goroutines that read from a disk for others, so that a disk that doesn't answer holds one of them and not a
// caller.
type readers struct {
	tasks chan *readTask
	stop  chan struct{} // closed when no more reads are taken
	// idle and blocks keep tasks and buffers for the next reads; what a disk may still write to doesn't come back.
	idle, blocks *sync.Pool
}

type readTask struct {
	hold *hold // keeps the file open also when the caller has given up
	buf  []byte
	off  int64
	n    int
	err  error
	done chan struct{} // of one place
	late *time.Timer
}

func newReaders() readers {
	return readers{
		tasks: make(chan *readTask), stop: make(chan struct{}),
		idle: &sync.Pool{New: func() any {
			t := &readTask{done: make(chan struct{}, 1), late: time.NewTimer(time.Hour)}
			t.late.Stop()
			return t
		}},
		blocks: &sync.Pool{New: func() any { return new([blockBytes]byte) }},
	}
}

func (r *readers) run() {
	for {
		select {
		case t := <-r.tasks:
			t.n, t.err = t.hold.seg.file.ReadAt(t.buf, t.off)
			t.done <- struct{}{}
		case <-r.stop:
			return
		}
	}
}

// read fills buf from a segment. After ErrSlow the disk may still write to buf, so it isn't to be used again.
func (v *volume) read(h *hold, buf []byte, off int64) error {
	now := v.now().UnixNano()
	if v.health.slowSince.Load() != 0 {
		// One goes and sees, the others don't wait behind it.
		at := v.health.probeAt.Load()
		if now < at || !v.health.probeAt.CompareAndSwap(at, now+int64(slowProbe)) {
			return v.readError(ErrSlow)
		}
	}
	t := v.readers.idle.Get().(*readTask)
	t.hold, t.buf, t.off = h, buf, off
	t.late.Reset(v.wait)
	select {
	case v.readers.tasks <- t:
	case <-t.late.C:
		return v.tooSlow(now)
	case <-v.readers.stop:
		return v.readError(ErrStopped)
	}
	select {
	case <-t.done:
	case <-t.late.C:
		return v.tooSlow(now)
	}
	t.late.Stop()
	n, err := t.n, t.err
	t.hold, t.buf = nil, nil
	v.readers.idle.Put(t)
	return v.answered(n, len(buf), err)
}

// answered judges what the disk answered in time.
func (v *volume) answered(n, want int, err error) error {
	if v.health.slowSince.Swap(0) != 0 {
		v.log.Info("a disk of the cache answers in time again", "dir", v.dir)
	}
	switch {
	case n == want:
		v.metrics.reads.WithLabelValues("ok").Inc()
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return v.readError(ErrDamaged)
	}
	v.metrics.reads.WithLabelValues("failed").Inc()
	return v.failed("read", err)
}

func (v *volume) tooSlow(now int64) error {
	v.health.probeAt.Store(now + int64(v.wait) + int64(slowProbe))
	if v.health.slowSince.CompareAndSwap(0, now) {
		v.log.Warn("a disk of the cache doesn't answer in time; it is asked only now and then until it does",
			"dir", v.dir, "timeout", v.wait, "remedy", "look at the disk's load and health")
	}
	return v.readError(ErrSlow)
}

func (v *volume) readError(err error) error {
	result := "failed"
	switch err {
	case ErrSlow:
		result = "slow"
	case ErrDamaged:
		result = "damaged"
	case ErrStopped:
		result = "stopped"
	}
	v.metrics.reads.WithLabelValues(result).Inc()
	return fmt.Errorf("%s: read: %w", v.dir, err)
}

package disk

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// running are the goroutines of a volume. Each says by a value on its channel that it is gone.
type running struct {
	writer, syncer, readers chan struct{}
	reading                 int
	stopSync                chan struct{}
}

// start starts the goroutines of v.
func (v *volume) start(readers int, syncEvery time.Duration) *running {
	r := &running{
		writer: make(chan struct{}, 1), syncer: make(chan struct{}, 1), readers: make(chan struct{}, readers),
		reading: readers, stopSync: make(chan struct{}),
	}
	go func() {
		v.write()
		r.writer <- struct{}{}
	}()
	go func() {
		v.syncEach(syncEvery, r.stopSync)
		r.syncer <- struct{}{}
	}()
	for range readers {
		go func() {
			v.readers.run()
			r.readers <- struct{}{}
		}()
	}
	return r
}

// end waits until they are gone: the writer, when the queue is written; then the syncer, which syncs that; then the readers.
func (v *volume) end(r *running) error {
	err := v.gone(r.writer, 1)
	close(r.stopSync)
	err = errors.Join(err, v.gone(r.syncer, 1))
	close(v.readers.stop)
	return errors.Join(err, v.gone(r.readers, r.reading))
}

// gone waits for n goroutines as long as the disk answers.
func (v *volume) gone(c <-chan struct{}, n int) error {
	held := time.NewTicker(v.wait)
	defer held.Stop()
	for before := v.progress.Load(); n > 0; {
		select {
		case <-c:
			n--
		case <-held.C:
			now := v.progress.Load()
			if now == before {
				return fmt.Errorf("%s: the disk hasn't answered for %v, and a goroutine waits for it: what it was to write is lost", v.dir, v.wait)
			}
			before = now
		}
	}
	return nil
}

// touched notes that a segment was written to.
func (v *volume) touched(g *segment) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.syncs && !slices.Contains(v.dirty, g) {
		v.dirty = append(v.dirty, g)
	}
}

// syncEach syncs what was written, again and again, and when stop is closed once more.
func (v *volume) syncEach(interval time.Duration, stop <-chan struct{}) {
	if interval < 0 {
		<-stop
		return
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			v.sync()
		case <-stop:
			v.sync()
			return
		}
	}
}

func (v *volume) sync() {
	v.mu.Lock()
	dirty, dir := v.dirty, v.dirDirty
	v.dirty, v.dirDirty = nil, false
	v.mu.Unlock()
	var errs []error
	for _, g := range dirty {
		// An evicted one is closed.
		if err := g.file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
		v.progress.Add(1)
	}
	if dir {
		errs = append(errs, v.fs.SyncDir(v.dir))
	}
	if err := errors.Join(errs...); err != nil {
		// What the kernel couldn't write it forgets, so another sync that succeeds says nothing: the volume has to prove itself.
		v.fault(v.failed("sync", err), true)
	}
}

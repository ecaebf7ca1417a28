package store

import (
	"fmt"
	"sync"
	"syscall"
	"time"
)

const (
	// diskReserve is what must be free for a transaction to be taken: etcd takes 64 MiB at once for the next piece of its log, and what
	// it can't write ends it.
	diskReserve  = 96 << 20
	diskInterval = time.Second
)

// diskWatch knows what is free on a disk.
type diskWatch struct {
	mu   sync.Mutex // protects what follows
	next time.Time
	err  error
}

// check says whether the disk of dir has room; it looks once in a while.
func (d *diskWatch) check(dir string, now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Before(d.next) && now.After(d.next.Add(-2*diskInterval)) { // the clock may have been set
		return d.err
	}
	d.next, d.err = now.Add(diskInterval), nil
	if free, ok := diskFree(dir); ok && free < diskReserve {
		d.err = fmt.Errorf("%w: the disk of %s has %d MiB left, and %d are needed: free some of it", ErrFull, dir, free>>20, diskReserve>>20)
	}
	return d.err
}

// diskFree returns what this process may still write.
func diskFree(dir string) (bytes uint64, ok bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return st.Bavail * uint64(st.Bsize), true
}

package disk

import (
	"errors"
	"fmt"
	"time"
)

const (
	// killsPerRecord is how many kills a tombstone holds at most.
	killsPerRecord = 4096
	// keyReadBytes is how much of the keys of a segment one read asks for, so that a busy disk isn't taken for a slow one.
	keyReadBytes = 1 << 20
)

// Remove drops all variants of key, also those that are queued or being written, and returns how many there were but for those. When it returns without an
// error, they don't come back, whenever the process dies. With an error they are gone from this process, and the store goes on
// trying to write that down; only if the process dies before, they may come back.
func (s *Store) Remove(key string) (int, error) {
	if !s.running.Load() {
		return 0, ErrStopped
	}
	hash := hashOf(key)
	n := 0
	var waits []*burial
	for _, v := range s.volumes {
		queued := v.queue.remove(func(j *job) bool { return j.key == hash })
		if queued || v.index.holds(hash, v.n) || v.queue.uncertain() {
			n += v.index.kill(kill{hash, 0}, v.n)
			waits = append(waits, v.startBurial([]uint64{hash}))
		}
	}
	return s.endBurials(n, waits)
}

// RemoveFunc does the same for all keys that match, reading the keys from the disks. Puts that come while it runs may stay. match is
// called in the caller's goroutine, possibly more than once for a key. Keys that can't be read count as matching: what might be
// meant has to go.
func (s *Store) RemoveFunc(match func(key string) bool) (int, error) {
	if !s.running.Load() {
		return 0, ErrStopped
	}
	n := 0
	var waits []*burial
	for _, v := range s.volumes {
		hashes := map[uint64]bool{}
		for _, j := range v.queue.all() {
			if match(j.name()) {
				hashes[j.key] = true
			}
		}
		v.queue.remove(func(j *job) bool { return hashes[j.key] })
		v.matchKeys(match, hashes)
		keys := make([]uint64, 0, len(hashes))
		for hash := range hashes {
			n += v.index.kill(kill{hash, 0}, v.n)
			keys = append(keys, hash)
		}
		if len(keys) > 0 || v.queue.uncertain() {
			waits = append(waits, v.startBurial(keys))
		}
	}
	return s.endBurials(n, waits)
}

// name is the key of the job.
func (j *job) name() string {
	if j.blob != nil {
		return j.blob.Key
	}
	return j.draft.Key
}

// burial is a removal under way on a volume.
type burial struct {
	v *volume
	r *removal
}

func (v *volume) startBurial(keys []uint64) *burial {
	b := &burial{v, &removal{keys: keys, done: make(chan removed, 1)}}
	if !v.queue.submit(b.r) {
		b.r.done <- removed{err: ErrStopped}
	}
	return b
}

func (s *Store) endBurials(n int, waits []*burial) (int, error) {
	if len(waits) == 0 {
		return n, nil
	}
	late := time.NewTimer(s.opts.ReadTimeout)
	defer late.Stop()
	var errs []error
	for _, b := range waits {
		var done removed
		select {
		case done = <-b.r.done:
		case <-late.C:
			late.Reset(0)
			done.err = ErrSlow
		}
		n += done.blobs
		if done.err != nil {
			errs = append(errs, fmt.Errorf("%s: removed in memory, but not on the disk yet: %w", b.v.dir, done.err))
		}
	}
	s.opts.Metrics.dropped.WithLabelValues(dropRemoved).Add(float64(n))
	return n, errors.Join(errs...)
}

// matchKeys adds the hashes of the keys on the volume that match. It goes from the oldest segment to the active one, and on until
// there is no newer one: so a blob that is copied forward meanwhile is met before or after.
func (v *volume) matchKeys(match func(string) bool, into map[uint64]bool) {
	for last := uint32(0); ; {
		var next *segment
		for _, g := range v.snapshot() {
			if g.id > last {
				next = g
				break
			}
		}
		if next == nil {
			return
		}
		last = next.id
		held := next.hold()
		if held == nil {
			continue
		}
		keys, err := v.keysOf(held)
		if err == nil && eachKey(keys, func(key []byte) {
			if k := string(key); match(k) {
				// What is dead by an earlier tombstone needs no other.
				if hash := hashOf(k); v.index.holds(hash, v.n) || v.queue.uncertain() {
					into[hash] = true
				}
			}
		}) {
			continue
		}
		v.log.Warn("the keys of a segment can't be read; all that is in it is removed", "segment", next.name, "error", err)
		for _, e := range v.index.inSegment(v.n, next.id) {
			into[e.key] = true
		}
	}
}

// keysOf returns the keys of the puts in a segment as they are in its footer.
func (v *volume) keysOf(h *hold) ([]byte, error) {
	if keys, open := h.seg.openKeys(); open {
		return keys, nil
	}
	t := h.seg.seal
	keys := make([]byte, t.keyBytes)
	for at := int64(0); at < t.keyBytes; at += keyReadBytes {
		if err := v.read(h, keys[at:min(at+keyReadBytes, t.keyBytes)], t.keysAt()+at); err != nil {
			return nil, err
		}
	}
	if checksum(keys) != t.keysCRC {
		return nil, ErrDamaged
	}
	return keys, nil
}

// bury writes tombstones for all that was removed. It comes before any job, so a put after a Remove stands behind its tombstone.
func (v *volume) bury() {
	down := v.down()
	if !down && !v.writer.evicting && v.queue.takeOverfull() && !v.dropAll() {
		v.queue.setOverfull()
	}
	removals, graves := v.queue.take(!down)
	counts := make([]int, len(removals))
	err := v.entomb(v.kills(removals, graves, counts))
	switch {
	case errors.Is(err, errNoRoom):
		v.queue.buried(removals, graves)
		return
	case err != nil:
		for _, r := range removals {
			for _, key := range r.keys {
				graves = append(graves, grave{kill{key, 0}, true})
			}
		}
		v.queue.buried(nil, graves)
	default:
		v.queue.buried(nil, nil)
	}
	for i, r := range removals {
		r.done <- removed{counts[i], err}
	}
}

// kills takes out of the index what is to be buried, and returns the payload of the tombstones.
func (v *volume) kills(removals []*removal, graves []grave, counts []int) []byte {
	var payload []byte
	for i, r := range removals {
		for _, key := range r.keys {
			k := kill{key, 0}
			counts[i] += v.index.kill(k, v.n)
			payload = appendKill(payload, k)
		}
	}
	for _, g := range graves {
		if g.hard {
			v.index.kill(g.kill, v.n)
		} else if e, ok := v.index.current(g.key, g.variant); ok && e.vol() == v.n {
			continue
		}
		payload = appendKill(payload, g.kill)
	}
	return payload
}

// entomb appends kills.
func (v *volume) entomb(payload []byte) error {
	if len(payload) > 0 && v.down() {
		return fmt.Errorf("%s: %w", v.dir, ErrFailed)
	}
	most := int(min(killsPerRecord, v.segBytes/2/(killBytes+entryBytes))) * killBytes
	for len(payload) > 0 {
		n := min(len(payload), most)
		if _, err := v.append(typeTombstone, 0, "", "", payload[:n], nil, 0); err != nil {
			return err
		}
		payload = payload[n:]
	}
	return nil
}

// dropAll evicts all that is there, where it isn't known any more what is dead.
func (v *volume) dropAll() bool {
	v.log.Warn("more was removed than a failing disk of the cache could be told; all that it held is dropped", "dir", v.dir)
	if err := v.sealActive(); err != nil {
		v.writer.active = nil
	}
	for {
		if err := v.evictOldest(nil); err != nil {
			return errors.Is(err, errNothing)
		}
	}
}

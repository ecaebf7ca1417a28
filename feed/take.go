package feed

import (
	"errors"
	"fmt"
)

const (
	// entriesBefore and bytesBefore are how many entries before its checkpoint a keeper goes on to have at most.
	entriesBefore = 512
	bytesBefore   = 16 << 20
)

// fresh is an entry that is new to a keeper.
type fresh struct {
	entry  *Entry
	hash   Hash
	signed Signed
}

// Append takes the entries that come next, all or none. It returns those that were new: what is known already is passed over. They
// are on the disk when it returns, by one fsync for all. Errors are ErrForged, ErrGap and ErrFork, or the disk's.
func (k *Keeper) Append(entries ...Signed) ([]Entry, error) {
	all := make([]fresh, 0, len(entries))
	for _, s := range entries {
		e, err := k.o.Verifier.Entry(s)
		if err != nil {
			return nil, err
		}
		all = append(all, fresh{e, HashOf(s.Bytes), s})
	}
	k.writing.Lock()
	defer k.writing.Unlock()
	add, err := k.following(all)
	if err != nil || len(add) == 0 {
		return nil, err
	}
	start := k.entries.bytes
	if err := k.entries.append(add, !k.o.Unsynced); err != nil {
		return nil, fmt.Errorf("keep the feed in %s: %w", k.dir, err)
	}
	start = min(start, k.entries.bytes)
	out := make([]Entry, len(add))
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, f := range add {
		out[i] = *f.entry
		k.state.Apply(f.entry, f.hash)
		size := int64(recordHead + len(f.signed.Bytes))
		k.entries.note(f.entry.Position.Seq, start, size, f.hash)
		start += size
	}
	k.tell()
	return out, nil
}

// following leaves out what is known, and says what is wrong with the rest.
func (k *Keeper) following(all []fresh) (add []fresh, err error) {
	at, head := k.state.Position, k.state.Head
	for _, f := range all {
		switch err := follows(at, head, f.entry); {
		case errors.Is(err, ErrOld):
			known, ok := k.entries.hashAt(f.entry.Position.Seq)
			if ok && f.entry.Position.Epoch == k.state.Position.Epoch && known != f.hash {
				return nil, fmt.Errorf("another entry %s than the one that is known: %w", f.entry.Position, ErrFork)
			}
			continue
		case err != nil:
			return nil, err
		}
		at, head = f.entry.Position, f.hash
		add = append(add, f)
	}
	return add, nil
}

func (k *Keeper) tell() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// Reset takes the state of a checkpoint that is ahead. One that is behind, or of an epoch that is over, is ErrOld.
func (k *Keeper) Reset(c Checkpoint) error {
	state, err := k.o.Verifier.State(c)
	if err != nil {
		return err
	}
	k.writing.Lock()
	defer k.writing.Unlock()
	at := k.state.Position
	switch {
	case state.Position == at && state.Head != k.state.Head:
		return fmt.Errorf("a checkpoint of %s: %w", at, ErrFork)
	case !at.Before(state.Position):
		return fmt.Errorf("a checkpoint of %s at %s: %w", state.Position, at, ErrOld)
	}
	if err := k.store(c); err != nil {
		return err
	}
	k.mu.Lock()
	k.state, k.checkpoint, k.ground = state, c, state.Position
	k.entries.drop()
	k.tell()
	k.mu.Unlock()
	if err := k.entries.rewrite(0); err != nil {
		// It holds nevertheless: the checkpoint is on the disk, and what is in the log doesn't count beside it.
		k.o.Log.Warn("the feed's log couldn't be emptied; it is tried again with the next entry", "error", err)
	}
	return nil
}

// Rebase takes a checkpoint that is ahead of the one before and not of the state, and drops entries that it makes unnecessary. Errors are
// ErrForged, ErrOld (it isn't ahead of the checkpoint that is here), ErrGap (it is ahead of the state: Reset takes it) and ErrFork, or the
// disk's.
func (k *Keeper) Rebase(c Checkpoint) error {
	state, err := k.o.Verifier.State(c)
	if err != nil {
		return err
	}
	k.writing.Lock()
	defer k.writing.Unlock()
	if err := k.carries(state); err != nil {
		return err
	}
	if err := k.store(c); err != nil {
		return err
	}
	k.mu.Lock()
	k.checkpoint, k.ground = c, state.Position
	k.mu.Unlock()
	if err := k.entries.rewrite(k.superfluous(state.Position.Seq)); err != nil {
		return fmt.Errorf("shorten the feed's log in %s: %w", k.dir, err)
	}
	return nil
}

// carries says whether what is kept goes on from an earlier state.
func (k *Keeper) carries(earlier *State) error {
	p, at := earlier.Position, k.state.Position
	wrong := func(err error) error { return fmt.Errorf("a checkpoint of %s under a log up to %s: %w", p, at, err) }
	switch hash, ok := k.entries.hashAt(p.Seq); {
	case at.Before(p):
		return wrong(ErrGap)
	case !k.ground.Before(p) || p.Epoch != at.Epoch || p.Seq == 0:
		return wrong(ErrOld)
	case p == at && earlier.Head != k.state.Head || ok && earlier.Head != hash:
		return wrong(ErrFork)
	}
	return nil
}

// superfluous returns how many entries from the front nobody needs who is a little behind a checkpoint at seq.
func (k *Keeper) superfluous(seq uint64) (n int) {
	spots := k.entries.spots
	if len(spots) == 0 || seq < k.entries.first {
		return 0
	}
	upTo := int(min(seq-k.entries.first, uint64(len(spots)-1))) // index of the entry at seq
	n = max(0, upTo-entriesBefore)
	for n < upTo && spots[upTo].at-spots[n].at > bytesBefore {
		n++
	}
	return n
}

// store replaces the checkpoint. After an error the old one may be gone, and the new one be in its place: entries that follow the old one
// then do no harm, because those up to the new one don't count beside it.
func (k *Keeper) store(c Checkpoint) error {
	record := appendRecord(nil, c.Signature, c.Bytes)
	if err := k.writeFile(k.path(checkpointName), record); err != nil {
		return fmt.Errorf("keep a checkpoint of the feed in %s: %w", k.dir, err)
	}
	if err := k.writeFile(k.path(copyName), record); err != nil {
		k.o.Log.Warn("the copy of the feed's checkpoint couldn't be written; without it a rotten checkpoint has to be asked for again", "error", err)
	}
	return nil
}

package feed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// What a keeper has in its directory:
//
//	lock        held by the process
//	checkpoint  one record: the newest checkpoint that was given
//	log         records: the entries since then, and some before, for those who are a little behind
//	objects/    HH/HASH: what documents refer to
//	kept/       NAME: what the node wants to find again
//
// A record is: length of the bytes (4, big endian), CRC-32C of signature and bytes (4), signature (64), bytes. What a crash leaves of the
// last record is cut off.

// KeeperOptions say how a Keeper works.
type KeeperOptions struct {
	Verifier *Verifier    // required
	Log      *slog.Logger // nil means slog.Default
}

// Keeper is a node's copy of the feed on its disk: a checkpoint, the entries since, the state that follows, and objects. What it takes has
// been verified, and is on the disk before it holds. It is safe for use by many goroutines.
type Keeper struct {
	dir      string
	verifier *Verifier
	log      *slog.Logger
	lock     *os.File

	mu         sync.RWMutex // protects what follows; on disk, all of it
	state      *State
	checkpoint Checkpoint
	entries    []logged
	bytes      int64    // of entries in the file
	file       *os.File // the log, at its end
	changed    chan struct{}
}

type logged struct {
	position Position
	hash     Hash
	signed   Signed
}

const (
	recordHead = 8 + 64
	// entriesBefore is how many entries before its checkpoint a keeper goes on to have.
	entriesBefore = 512
	// checkpointMax bounds the checkpoint's record.
	checkpointMax = 512 << 20
)

// OpenKeeper reads what is in dir, and makes it if there is nothing. What isn't right any more is left out, and the log says so: the node
// then asks for it again.
func OpenKeeper(dir string, o KeeperOptions) (*Keeper, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	k := &Keeper{dir: dir, verifier: o.Verifier, log: o.Log, state: NewState(0), changed: make(chan struct{})}
	if err := os.MkdirAll(filepath.Join(dir, keptDir), 0o700); err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	if err := k.acquire(); err != nil {
		return nil, err
	}
	if err := k.load(); err != nil {
		k.lock.Close()
		return nil, fmt.Errorf("feed: %w", err)
	}
	return k, nil
}

func (k *Keeper) acquire() error {
	f, err := os.OpenFile(k.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("feed: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("%s: another process has it; is the node running already?", k.dir)
	}
	k.lock = f
	return nil
}

func (k *Keeper) path(name string) string { return filepath.Join(k.dir, name) }

// Close gives the directory free.
func (k *Keeper) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Join(k.file.Close(), k.lock.Close())
}

func (k *Keeper) load() error {
	data, err := os.ReadFile(k.path("checkpoint"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(data) > 0 {
		k.loadCheckpoint(data)
	}
	if k.file, err = os.OpenFile(k.path("log"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	data, err = os.ReadFile(k.path("log"))
	if err != nil {
		return err
	}
	good := 0
	for good < len(data) {
		signature, content, n, ok := readRecord(data[good:], EntryMax)
		if !ok {
			break
		}
		if err := k.loadEntry(Signed{content, signature}); err != nil {
			k.log.Warn("the feed's log on this disk is good up to here only; the rest is asked for again", "position", k.state.Position, "error", err)
			break
		}
		good += n
	}
	if good < len(data) {
		k.log.Info("what doesn't belong to the feed's log was cut off", "bytes", len(data)-good)
	}
	if err := k.file.Truncate(int64(good)); err != nil {
		return err
	}
	k.bytes = int64(good)
	_, err = k.file.Seek(int64(good), 0)
	return err
}

func (k *Keeper) loadCheckpoint(data []byte) {
	signature, content, n, ok := readRecord(data, checkpointMax)
	c := Checkpoint{content, signature}
	state, err := k.verifier.State(c)
	if !ok || n != len(data) || err != nil {
		k.log.Warn("the feed's checkpoint on this disk isn't right; it is asked for again", "file", k.path("checkpoint"), "error", err)
		return
	}
	k.state, k.checkpoint = state, c
}

// loadEntry takes an entry of the file. Those before the checkpoint are only kept.
func (k *Keeper) loadEntry(s Signed) error {
	e, err := k.verifier.Entry(s)
	if err != nil {
		return err
	}
	hash := HashOf(s.Bytes)
	if n := len(k.entries); n > 0 && (e.Position.Seq != k.entries[n-1].position.Seq+1 || e.Prev != k.entries[n-1].hash) {
		return ErrFork
	}
	switch err := k.state.Follows(e); {
	case err == nil:
		k.state.Apply(e, hash)
	case !errors.Is(err, ErrOld) || e.Position.Epoch != k.state.Position.Epoch:
		return err
	case e.Position == k.state.Position && hash != k.state.Head:
		return ErrFork
	}
	k.entries = append(k.entries, logged{e.Position, hash, s})
	return nil
}

// Append takes the entries that come next, all or none. It returns those that were new: what is known already is passed over. They
// are on the disk when it returns. Errors are ErrForged, ErrGap and ErrFork, or the disk's.
func (k *Keeper) Append(entries ...Signed) ([]Entry, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, head := k.state.Position, k.state.Head
	var fresh []Entry
	var add []logged
	for _, s := range entries {
		e, err := k.verifier.Entry(s)
		if err != nil {
			return nil, err
		}
		if err := follows(at, head, e); errors.Is(err, ErrOld) {
			continue
		} else if err != nil {
			return nil, err
		}
		at, head = e.Position, HashOf(s.Bytes)
		fresh, add = append(fresh, *e), append(add, logged{at, head, s})
	}
	if len(add) == 0 {
		return nil, nil
	}
	if err := k.write(add); err != nil {
		return nil, fmt.Errorf("keep the feed: %w", err)
	}
	for i := range fresh {
		k.state.Apply(&fresh[i], add[i].hash)
	}
	k.entries = append(k.entries, add...)
	k.tell()
	return fresh, nil
}

// write appends to the log. After an error the log is as before.
func (k *Keeper) write(add []logged) error {
	var b []byte
	for _, l := range add {
		b = appendRecord(b, l.signed.Signature, l.signed.Bytes)
	}
	_, err := k.file.WriteAt(b, k.bytes)
	if err == nil {
		err = k.file.Sync()
	}
	if err != nil {
		return errors.Join(err, k.file.Truncate(k.bytes))
	}
	k.bytes += int64(len(b))
	return nil
}

func (k *Keeper) tell() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// Reset takes the state of a checkpoint that is ahead. One that is behind, or of an epoch that is over, is ErrOld.
func (k *Keeper) Reset(c Checkpoint) error {
	state, err := k.verifier.State(c)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.state.Position.Before(state.Position) {
		return fmt.Errorf("a checkpoint of %s at %s: %w", state.Position, k.state.Position, ErrOld)
	}
	if err := k.store(c, nil); err != nil {
		return fmt.Errorf("keep the feed: %w", err)
	}
	k.state, k.checkpoint = state, c
	k.tell()
	return nil
}

// Rebase takes a checkpoint that isn't ahead, and drops the entries that it makes unnecessary.
func (k *Keeper) Rebase(c Checkpoint) error {
	state, err := k.verifier.State(c)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if state.Position.Epoch != k.state.Position.Epoch || k.state.Position.Before(state.Position) {
		return fmt.Errorf("a checkpoint of %s at %s isn't one to rebase on", state.Position, k.state.Position)
	}
	keep := k.entries
	if len(keep) > 0 && state.Position.Seq > keep[0].position.Seq+entriesBefore {
		keep = keep[min(len(keep), int(state.Position.Seq-keep[0].position.Seq-entriesBefore)):]
	}
	if err := k.store(c, keep); err != nil {
		return fmt.Errorf("keep the feed: %w", err)
	}
	k.checkpoint = c
	return nil
}

// store replaces checkpoint and log. The checkpoint goes first: entries before it do no harm.
func (k *Keeper) store(c Checkpoint, keep []logged) error {
	if err := writeFile(k.path("checkpoint"), appendRecord(nil, c.Signature, c.Bytes)); err != nil {
		return err
	}
	var b []byte
	for _, l := range keep {
		b = appendRecord(b, l.signed.Signature, l.signed.Bytes)
	}
	if err := writeFile(k.path("log"), b); err != nil {
		return err
	}
	file, err := os.OpenFile(k.path("log"), os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	_ = k.file.Close() // it was synced, and its name is gone
	k.file, k.bytes, k.entries = file, int64(len(b)), slices.Clone(keep)
	return nil
}

// After returns the entries that come after p, about bytesMax of them. ok is false if p is too far behind, or in another epoch: then a
// checkpoint helps.
func (k *Keeper) After(p Position, bytesMax int) (entries []Signed, ok bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	at := k.state.Position
	switch {
	case p == at:
		return nil, true
	case p.Epoch != at.Epoch && p != (Position{}):
		return nil, at.Before(p)
	case p.Seq > at.Seq:
		return nil, true
	case len(k.entries) == 0 || k.entries[0].position.Seq > p.Seq+1:
		return nil, false
	}
	size := 0
	for _, l := range k.entries[p.Seq+1-k.entries[0].position.Seq:] {
		if size += len(l.signed.Bytes); size > bytesMax && len(entries) > 0 {
			break
		}
		entries = append(entries, l.signed)
	}
	return entries, true
}

// Checkpoint returns the newest one that the keeper was given.
func (k *Keeper) Checkpoint() (Checkpoint, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.checkpoint, len(k.checkpoint.Bytes) > 0
}

// Entries returns how many entries are kept.
func (k *Keeper) Entries() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.entries)
}

// View shows the state to f, which must not keep or change it, and must not call the keeper.
func (k *Keeper) View(f func(*State)) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	f(k.state)
}

// Position returns how far the keeper is.
func (k *Keeper) Position() Position {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.state.Position
}

// Changed returns a channel that is closed when the state changes the next time.
func (k *Keeper) Changed() <-chan struct{} {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.changed
}

func appendRecord(b, signature, content []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
	b = binary.BigEndian.AppendUint32(b, sum(signature, content))
	return append(append(b, signature...), content...)
}

// readRecord returns the record at the front of data, and its length; ok is false if there is no whole and right one.
func readRecord(data []byte, limit int) (signature, content []byte, n int, ok bool) {
	if len(data) < recordHead {
		return nil, nil, 0, false
	}
	size := int(binary.BigEndian.Uint32(data))
	if size > limit || size > len(data)-recordHead {
		return nil, nil, 0, false
	}
	signature, content = data[8:recordHead:recordHead], data[recordHead:recordHead+size:recordHead+size]
	return signature, content, recordHead + size, binary.BigEndian.Uint32(data[4:]) == sum(signature, content)
}

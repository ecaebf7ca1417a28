package feed

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// What a keeper has in its directory:
//
//	lock             held by the process
//	checkpoint       one record: the newest checkpoint that was given
//	checkpoint.copy  the same once more, for when bits of the first rot
//	log              records: the entries since then, and some before, for those who are a little behind
//	objects/HH/HASH  what documents refer to
//	kept/NAME        what the node wants to find again
//	temp/            files that aren't whole yet; emptied when it is opened
const (
	checkpointName = "checkpoint"
	copyName       = "checkpoint.copy"
	logName        = "log"
	objectsDir     = "objects"
	keptDir        = "kept"
	tempDir        = "temp"
)

// KeeperOptions say how a Keeper works.
type KeeperOptions struct {
	Verifier *Verifier    // required
	Log      *slog.Logger // nil means slog.Default
	// Unsynced leaves entries to the operating system: a power cut can take the last ones. It is for who gets them again from elsewhere at
	// once, such as control from its store.
	Unsynced bool
	// EntriesMax and LogMax say from when on a log is Long: entries (0 means 8192) and bytes (0 means 64 MiB).
	EntriesMax int
	LogMax     int64
	// ObjectMax is the largest object, in bytes. 0 means ObjectMax.
	ObjectMax int64
	// CollectAfter spares objects from Collect that are younger: who puts an object before the entry that refers to it needs that time.
	// 0: none is spared.
	CollectAfter time.Duration
	Now          func() time.Time // for CollectAfter; nil means time.Now

	disk disk
}

func (o KeeperOptions) withDefaults() KeeperOptions {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.EntriesMax == 0 {
		o.EntriesMax = 8192
	}
	if o.LogMax == 0 {
		o.LogMax = 64 << 20
	}
	if o.ObjectMax == 0 {
		o.ObjectMax = ObjectMax
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.disk == nil {
		o.disk = osDisk{}
	}
	return o
}

// Keeper is a node's copy of the feed on its disk: a checkpoint, the entries since, the state that follows, and objects. What it takes has
// been verified, and is on the disk before it holds. It is safe for use by many goroutines; readers don't wait for the disk.
type Keeper struct {
	dir  string
	o    KeeperOptions
	lock io.Closer

	temps atomic.Uint64 // names of temporary files that were given out

	// writing is held by the one who changes what follows, all the time; mu as well while it changes. A process that dies loses
	// nothing of it: all is on the disk.
	writing sync.Mutex
	mu      sync.RWMutex

	state      *State
	checkpoint Checkpoint
	ground     Position // of the checkpoint; zero if there is none
	entries    logFile
	changed    chan struct{}
}

// OpenKeeper reads what is in dir, and makes it if there is nothing. What isn't right any more is left out, and the log says so: the node
// then asks for it again. Give it up with Close.
func OpenKeeper(dir string, o KeeperOptions) (*Keeper, error) {
	o = o.withDefaults()
	if o.Verifier == nil {
		panic("BUG: feed: a keeper needs a verifier")
	}
	k := &Keeper{dir: dir, o: o, state: NewState(0), changed: make(chan struct{})}
	k.entries = logFile{disk: o.disk, path: k.path(logName), temp: k.path(tempDir, logName), warn: o.Log.Warn, mu: &k.mu}
	if err := o.disk.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	lock, err := o.disk.Lock(k.path("lock"))
	if err != nil {
		return nil, fmt.Errorf("feed: %s: %w", dir, err)
	}
	k.lock = lock
	if err := k.load(); err != nil {
		return nil, fmt.Errorf("feed: %w", errors.Join(err, k.Close()))
	}
	return k, nil
}

func (k *Keeper) path(names ...string) string {
	return filepath.Join(append([]string{k.dir}, names...)...)
}

// Close gives the directory free.
func (k *Keeper) Close() error {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	var err error
	if k.entries.file != nil {
		err = k.entries.file.Close()
	}
	return errors.Join(err, k.lock.Close())
}

func (k *Keeper) load() error {
	k.clean()
	for _, name := range []string{checkpointName, copyName} {
		found, err := k.loadCheckpoint(k.path(name))
		if err != nil {
			return err
		}
		if found {
			break
		}
	}
	if err := k.entries.open(k.loadEntry); err != nil {
		return err
	}
	// A crash between a checkpoint that was ahead and its log leaves entries that don't reach up to it.
	if seq, h, ok := k.entries.last(); ok && (seq != k.state.Position.Seq || h != k.state.Head) {
		k.entries.drop()
	}
	return nil
}

// clean makes the directories, and removes what a crash has left. A full disk doesn't keep a node from coming up.
func (k *Keeper) clean() {
	for _, name := range []string{tempDir, objectsDir, keptDir} {
		if err := k.o.disk.MkdirAll(k.path(name)); err != nil {
			k.o.Log.Warn("the feed's directory can't be written; what is in it holds", "error", err)
		}
	}
	left, _ := os.ReadDir(k.path(tempDir))
	for _, f := range left {
		_ = k.o.disk.Remove(k.path(tempDir, f.Name()))
	}
}

func (k *Keeper) loadCheckpoint(path string) (found bool, err error) {
	data, err := readBounded(path, recordHead+CheckpointMax)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	var c Checkpoint
	var state *State
	if err == nil {
		var rest []byte
		c.Signature, c.Bytes, rest, err = cutRecord(data, CheckpointMax)
		if err == nil && len(rest) > 0 {
			err = errRecord
		}
	}
	if err == nil {
		state, err = k.o.Verifier.State(c)
	}
	if err != nil {
		k.o.Log.Warn("a checkpoint of the feed on this disk isn't right; if there is no good one, it is asked for again", "file", path, "error", err)
		return false, nil
	}
	k.state, k.checkpoint, k.ground = state, c, state.Position
	return true, nil
}

// loadEntry takes an entry of the file. Those before the checkpoint are only noted.
func (k *Keeper) loadEntry(s Signed, at, size int64) error {
	e, err := k.o.Verifier.Entry(s)
	if err != nil {
		return err
	}
	hash := HashOf(s.Bytes)
	if seq, last, ok := k.entries.last(); ok && (e.Position.Seq != seq+1 || e.Prev != last) {
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
	k.entries.note(e.Position.Seq, at, size, hash)
	return nil
}

// After returns the entries that come after p, about bytesMax of them, at least one if there are any. ok is false if p is too far behind,
// or in an older epoch: then a checkpoint helps.
func (k *Keeper) After(p Position, bytesMax int) (entries []Signed, ok bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	at := k.state.Position
	switch {
	case p == at:
		return nil, true
	case p.Epoch != at.Epoch && p != (Position{}):
		return nil, at.Before(p)
	case p.Seq >= at.Seq:
		return nil, true
	}
	if _, here := k.entries.hashAt(p.Seq + 1); !here {
		return nil, false
	}
	entries, err := k.entries.read(p.Seq+1, bytesMax)
	if err != nil {
		k.o.Log.Warn("the feed's log on this disk isn't what it was; who asks gets a checkpoint", "file", k.entries.path, "error", err)
		return nil, false
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
	return len(k.entries.spots)
}

// Long says whether the log since the checkpoint is longer than the options want; then Rebase shortens it.
func (k *Keeper) Long() bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.state.Position.Seq-k.ground.Seq > uint64(k.o.EntriesMax) || k.entries.bytes > k.o.LogMax
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

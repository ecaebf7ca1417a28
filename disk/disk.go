package disk

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
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
	// ErrStopped: Run doesn't run any more, or not yet.
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
	// Size is 0. If it returns an error or writes another number, nothing is stored.
	Body io.WriterTo
	Size int64
}

// Store is a set of blobs. All methods may be called at any time by any goroutine.
type Store struct{}

// Open locks the volumes and reads what they hold. A directory that can't be used at all is an error; what is damaged in it is left
// out, counted and logged. Whoever opened a Store either calls Run, which closes it, or Close.
func Open(Options) (*Store, error) { return nil, nil }

// Run writes, evicts, heals and reads until ctx ends; then it writes what is queued, seals the segments, and closes the store. It
// returns when all goroutines are gone, or with an error when a disk holds one of them for longer than ReadTimeout twice.
func (s *Store) Run(ctx context.Context) error { return nil }

// Close gives the volumes free. Only for a Store that Run isn't called on.
func (s *Store) Close() error { return nil }

// BlobBytesMax is the largest Size that Put takes with a head of HeadBytesMax.
func (s *Store) BlobBytesMax() int64 { return 0 }

// Put has d written and never blocks. It replaces the blob with the same key and variant once it is written; until then Get
// returns that one. False means that it isn't taken (the queue is full, the volume is down, d is too large) and done isn't called.
// Otherwise done, if not nil, is called once, in the writer's goroutine, so it has to be quick: with the readable blob, or with an
// error.
func (s *Store) Put(d Draft, done func(*Blob, error)) bool { return false }

// SetHead has a newer head written for the body of b and never blocks. It has no effect if b is replaced or removed by then. False
// means that it isn't taken, as with Put. b itself keeps its head.
func (s *Store) SetHead(b *Blob, head []byte) bool { return false }

// Has says whether there is a blob with this key, by the index in memory: no I/O, no allocation. It may say yes wrongly once in
// 2^64.
func (s *Store) Has(key string) bool { return false }

// Get returns all variants, the newest first, and marks them as hot. Blobs that fail their checks are dropped and left out; the
// error is that of the first one that couldn't be read in time, returned beside those that could.
func (s *Store) Get(key string) ([]*Blob, error) { return nil, nil }

// Remove drops all variants of key, also those that are queued or being written, and returns how many. When it returns without an
// error, they don't come back, whenever the process dies. With an error they are gone from this process, and the store goes on
// trying to write that down; only if the process dies before, they may come back.
func (s *Store) Remove(key string) (int, error) { return 0, nil }

// RemoveFunc does the same for all keys that match, reading the keys from the disks. Puts that come while it runs may stay. match is
// called in the caller's goroutine, possibly more than once for a key.
func (s *Store) RemoveFunc(match func(key string) bool) (int, error) { return 0, nil }

// Usage returns what the store holds.
func (s *Store) Usage() Usage { return Usage{} }

// Usage is what a Store holds.
type Usage struct {
	Blobs     int64
	Bytes     int64 // size of all segments
	BytesMax  int64
	Evictions int64 // blobs dropped to make room, since Open
	Queued    int64 // bytes that wait to be written
	Volumes   []VolumeUsage
}

// State is how a volume does.
type State string

// The states of a volume.
const (
	OK      State = "ok"
	Slow    State = "slow"    // doesn't answer in time: reads are tried one at a time, puts go elsewhere
	Failing State = "failing" // write errors: puts go elsewhere until a retry succeeds
	Full    State = "full"    // the file system has less room than BytesMax: the volume keeps to a lower limit
)

// VolumeUsage is what a volume holds and how it does.
type VolumeUsage struct {
	Dir       string
	State     State
	Since     time.Time // of State
	LastError string    // the last one, also if State is OK again; empty if there was none
	Blobs     int64
	Bytes     int64
	BytesMax  int64 // Volume.BytesMax, or lower while Full
}

// Blob is a blob on a disk. It stays readable as long as it is in hand, also when it is replaced, removed or evicted meanwhile (the
// file is closed when nobody holds a blob of it any more); when Run has returned, reads fail.
type Blob struct {
	Key     string
	Variant string
	Head    []byte // not to be changed
}

// Size is the length of the body.
func (b *Blob) Size() int64 { return 0 }

// Live says whether the store would still return this blob (perhaps with a newer head).
func (b *Blob) Live() bool { return false }

// WriteRange writes n bytes of the body from off to w; what is beyond the end is left out. An error of w is returned as it is; others
// are ErrSlow, ErrDamaged, ErrFailed or ErrStopped. No byte of a damaged block is written.
func (b *Blob) WriteRange(w io.Writer, off, n int64) (int64, error) { return 0, nil }

// Verified says whether every block of the body was read and found right since Open.
func (b *Blob) Verified() bool { return false }

// File returns the file that holds the body and where it begins, for sendfile with an explicit offset; ok only if the body is
// Verified and the FS is the operating system's. The file is shared: don't seek, write or close. It stays open at least as long as b
// is reachable (runtime.KeepAlive).
func (b *Blob) File() (f *os.File, off int64, ok bool) { return nil, 0, false }

// Limits of a Draft.
const (
	KeyBytesMax  = 32 << 10
	HeadBytesMax = 1 << 20
)

// FS is the file system as far as a Store needs it. Names are paths.
type FS interface {
	MkdirAll(dir string) error
	ReadDir(dir string) (names []string, err error)
	Create(name string) (File, error) // fails if there is one
	Open(name string) (File, error)   // for reading and writing
	Remove(name string) error
	SyncDir(dir string) error
	Lock(name string) (io.Closer, error) // fails at once if somebody else has it
}

// File is one file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
	Size() (int64, error)
}

// Metrics are what a Store counts.
type Metrics struct{}

package tier

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/disk"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirectory); dir != "" {
		crashChild(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	testSegment = 4 << 20
	testDisk    = 16 * testSegment
)

// world is a store that runs.
type world struct {
	*Store
	t    testing.TB
	disk *disk.Store
	stop func() // ends Run and returns when it has returned
}

// options are how a world differs from the plain one.
type options struct {
	dir       string // default: a new one
	fs        disk.FS
	bytesMax  int64 // of memory; default 16 MiB
	objectMax int64 // default: bytesMax
	diskMax   int64 // default: testDisk
	now       func() time.Time

	readTimeout time.Duration // default: the disk's
}

func open(t testing.TB, o options) *world {
	t.Helper()
	if o.dir == "" {
		o.dir = t.TempDir()
	}
	if o.bytesMax == 0 {
		o.bytesMax = 16 << 20
	}
	if o.objectMax == 0 {
		o.objectMax = o.bytesMax
	}
	if o.diskMax == 0 {
		o.diskMax = testDisk
	}
	w, err := newWorld(o)
	if err != nil {
		t.Fatal(err)
	}
	w.t = t
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil && o.fs == nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

// newWorld returns a world that doesn't run yet.
func newWorld(o options) (*world, error) {
	memory, err := store.NewMemory(o.bytesMax, o.objectMax)
	if err != nil {
		return nil, err
	}
	blobs, err := disk.Open(disk.Options{
		Volumes: []disk.Volume{{Dir: o.dir, BytesMax: o.diskMax}}, SegmentBytes: testSegment, SyncInterval: -1, FS: o.fs,
		ReadTimeout: o.readTimeout,
	})
	if err != nil {
		return nil, err
	}
	return &world{disk: blobs, Store: New(Options{Memory: memory, Disk: blobs, Now: o.now})}, nil
}

// settle returns when nothing waits to be written or removed.
func (w *world) settle() {
	w.t.Helper()
	for w.busy() {
		runtime.Gosched()
	}
}

func (w *world) busy() bool {
	for i := range w.stripes {
		st := &w.stripes[i]
		st.mu.Lock()
		busy := len(st.writes) + len(st.hidden) + len(st.loads)
		st.mu.Unlock()
		if busy > 0 {
			return true
		}
	}
	return w.disk.Usage().Queued > 0
}

// forget drops all that is in memory, as if other things had taken its room.
func (w *world) forget() {
	w.memory.Sweep(anyKey, func(*store.Response) *store.Response { return nil })
}

// badFS is the system's files, with faults.
type badFS struct {
	// fault may return an error for an operation: create, open, remove, read, write, sync, truncate.
	fault func(op string) error
	flip  *atomic.Bool // reads get their last bit flipped
	// badFrom is the first byte in all files that can't be read, if not 0.
	badFrom atomic.Int64
}

func (f *badFS) check(op string) error {
	if f.fault == nil {
		return nil
	}
	return f.fault(op)
}

type badFile struct {
	*os.File
	fs *badFS
}

func (f *badFS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

func (f *badFS) ReadDir(dir string) (names []string, err error) {
	list, err := os.ReadDir(dir)
	for _, entry := range list {
		names = append(names, entry.Name())
	}
	return names, err
}

func (f *badFS) open(op, name string, flag int) (disk.File, error) {
	if err := f.check(op); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return badFile{file, f}, nil
}

func (f *badFS) Create(name string) (disk.File, error) {
	return f.open("create", name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (f *badFS) Open(name string) (disk.File, error) { return f.open("open", name, os.O_RDWR) }

func (f *badFS) Remove(name string) error {
	if err := f.check("remove"); err != nil {
		return err
	}
	return os.Remove(name)
}

func (f *badFS) SyncDir(string) error { return f.check("sync") }

func (f *badFS) Lock(name string) (io.Closer, error) {
	return os.OpenFile(filepath.Clean(name), os.O_RDWR|os.O_CREATE, 0o600)
}

func (f badFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.check("read"); err != nil {
		return 0, err
	}
	if bad := f.fs.badFrom.Load(); bad != 0 && off+int64(len(p)) > bad {
		return 0, syscall.EIO
	}
	n, err := f.File.ReadAt(p, off)
	if f.fs.flip != nil && f.fs.flip.Load() && n > 0 {
		p[n-1] ^= 1
	}
	return n, err
}

func (f badFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.check("write"); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f badFile) Truncate(size int64) error {
	if err := f.fs.check("truncate"); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f badFile) Sync() error { return f.fs.check("sync") }

func (f badFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// sometimes fails one operation in n.
func sometimes(n int) func(string) error {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(1, uint64(n)))
	return func(op string) error {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(n) > 0 {
			return nil
		}
		return &os.PathError{Op: op, Path: "disk", Err: []error{syscall.EIO, syscall.ENOSPC}[random.IntN(2)]}
	}
}

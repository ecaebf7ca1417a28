package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("WHERRY_DISK_CRASH_DIR"); dir != "" {
		crashChild(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// running is a Store whose Run runs.
type harness struct {
	*Store
	t    testing.TB
	stop func()
	done chan error
	once sync.Once
}

func run(t testing.TB, opts Options) *harness {
	t.Helper()
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &harness{Store: s, t: t, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- s.Run(ctx) }()
	t.Cleanup(func() { r.end() })
	return r
}

// end stops the store and returns the error of Run.
func (r *harness) end() (err error) {
	r.once.Do(func() {
		r.stop()
		err = <-r.done
	})
	return err
}

// put waits until a blob is written.
func (r *harness) put(d Draft) (*Blob, error) {
	type result struct {
		b   *Blob
		err error
	}
	c := make(chan result, 1)
	if !r.Put(d, func(b *Blob, err error) { c <- result{b, err} }) {
		return nil, errRefused
	}
	got := <-c
	return got.b, got.err
}

var errRefused = errors.New("refused")

func (r *harness) mustPut(d Draft) *Blob {
	r.t.Helper()
	b, err := r.put(d)
	if err != nil {
		r.t.Fatalf("put %s: %v", d.Key, err)
	}
	return b
}

// settled waits until the writers have nothing to do.
func (r *harness) settled() {
	for _, v := range r.volumes {
		done := make(chan removed, 1)
		// Head jobs go first: a job of our own behind them says when they are done.
		c := make(chan struct{})
		if v.queue.push(&job{removed: true, done: func(*Blob, error) { close(c) }}) {
			<-c
		}
		if v.queue.submit(&removal{done: done}) {
			<-done
		}
	}
}

// draft makes a blob whose head says of which body it is, and whose body is different at each place.
func draft(key, variant string, seed uint64, size int) Draft {
	return Draft{
		Key: key, Variant: variant, Head: headFor(key, variant, seed, size),
		Body: bytes.NewReader(bodyFor(key, seed, size)), Size: int64(size),
	}
}

func headFor(key, variant string, seed uint64, size int) []byte {
	return fmt.Appendf(nil, "%s|%s|%d|%d|", key, variant, seed, size)
}

func bodyFor(key string, seed uint64, size int) []byte {
	p := make([]byte, size+8)
	src := rand.NewPCG(seed, hashOf(key))
	for i := 0; i < size; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], src.Uint64())
	}
	return p[:size]
}

// verify says what is wrong with a blob made by draft: a body that isn't the one of the head.
func verify(b *Blob) (seed uint64, err error) {
	parts := strings.Split(string(b.Head), "|")
	if len(parts) < 4 || parts[0] != b.Key || parts[1] != b.Variant {
		return 0, fmt.Errorf("head %q of %q %q", b.Head, b.Key, b.Variant)
	}
	var size int
	if _, err := fmt.Sscan(parts[2], &seed); err != nil {
		return 0, err
	}
	if _, err := fmt.Sscan(parts[3], &size); err != nil {
		return 0, err
	}
	var got bytes.Buffer
	if _, err := b.WriteRange(&got, 0, b.Size()); err != nil {
		return seed, err
	}
	if !bytes.Equal(got.Bytes(), bodyFor(b.Key, seed, size)) {
		return seed, fmt.Errorf("%w: %s has another body than its head says", errWrong, b.Key)
	}
	return seed, nil
}

// errWrong: the store handed out what it must not.
var errWrong = errors.New("WRONG")

func (r *harness) seeds(key string) map[string]uint64 {
	r.t.Helper()
	blobs, err := r.Get(key)
	if err != nil {
		r.t.Fatalf("get %s: %v", key, err)
	}
	got := map[string]uint64{}
	for _, b := range blobs {
		seed, err := verify(b)
		if err != nil {
			r.t.Fatal(err)
		}
		got[b.Variant] = seed
	}
	return got
}

// small is a store of a few tiny segments.
func small(fs FS, dirs ...string) Options {
	o := Options{SegmentBytes: segmentBytesMin, FS: fs, SyncInterval: -1, Readers: 2}
	for _, dir := range dirs {
		o.Volumes = append(o.Volumes, Volume{dir, 8 * segmentBytesMin})
	}
	return o
}

// memFS is a file system in memory that fails as it is told. What was written stays when a process is killed, as with the page cache
// of an operating system.
type memFS struct {
	mu    sync.Mutex
	files map[string]*memFile
	locks map[string]bool
	room  int64 // bytes that fit; 0: any
	// fault is asked before each operation (create, open, remove, read, write, sync, truncate) and may return an error, or for a
	// write how much is written before it, or block.
	fault func(op, name string) (short bool, err error)
}

func newMemFS() *memFS { return &memFS{files: map[string]*memFile{}, locks: map[string]bool{}} }

type memFile struct {
	fs   *memFS
	name string
	data []byte
}

// killed returns what is there after the process was killed now.
func (m *memFS) killed() *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := newMemFS()
	for name, f := range m.files {
		n.files[name] = &memFile{n, name, bytes.Clone(f.data)}
	}
	return n
}

func (m *memFS) asked(op, name string) (bool, error) {
	m.mu.Lock()
	fault := m.fault
	m.mu.Unlock()
	if fault == nil {
		return false, nil
	}
	return fault(op, name)
}

func (m *memFS) failWith(fault func(op, name string) (bool, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

func (m *memFS) segments() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		if strings.HasSuffix(name, ".seg") {
			names = append(names, name)
		}
	}
	return names
}

func (m *memFS) MkdirAll(string) error { return nil }

func (m *memFS) ReadDir(dir string) (names []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.files {
		if filepath.Dir(name) == filepath.Clean(dir) {
			names = append(names, filepath.Base(name))
		}
	}
	return names, nil
}

func (m *memFS) Create(name string) (File, error) {
	if _, err := m.asked("create", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] != nil {
		return nil, os.ErrExist
	}
	f := &memFile{m, name, nil}
	m.files[name] = f
	return f, nil
}

func (m *memFS) Open(name string) (File, error) {
	if _, err := m.asked("open", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return nil, os.ErrNotExist
	}
	return m.files[name], nil
}

func (m *memFS) Remove(name string) error {
	if _, err := m.asked("remove", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, name)
	return nil
}

func (m *memFS) SyncDir(dir string) error {
	_, err := m.asked("sync", dir)
	return err
}

func (m *memFS) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] {
		return nil, errors.New("another process uses it")
	}
	m.locks[name] = true
	return memLock{m, name}, nil
}

type memLock struct {
	fs   *memFS
	name string
}

func (l memLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locks, l.name)
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if _, err := f.fs.asked("read", f.name); err != nil {
		return 0, err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	short, err := f.fs.asked("write", f.name)
	if err != nil && !short {
		return 0, err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if short {
		p = p[:len(p)/2]
	}
	if grow := off + int64(len(p)) - int64(len(f.data)); grow > 0 {
		used := int64(0)
		for _, other := range f.fs.files {
			used += int64(len(other.data))
		}
		if f.fs.room > 0 && used+grow > f.fs.room {
			return 0, &os.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
		}
		f.data = append(f.data, make([]byte, grow)...)
	}
	return copy(f.data[off:], p), err
}

func (f *memFile) Truncate(size int64) error {
	if _, err := f.fs.asked("truncate", f.name); err != nil {
		return err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	for int64(len(f.data)) < size {
		f.data = append(f.data, 0)
	}
	f.data = f.data[:size]
	return nil
}

func (f *memFile) Sync() error {
	_, err := f.fs.asked("sync", f.name)
	return err
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.data)), nil
}

func (f *memFile) Close() error { return nil }

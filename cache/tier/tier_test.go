package tier

import (
	"io"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/cache/storetest"
)

// expect looks key up: what is there must be these versions, newest first, and readable.
func (w *world) expect(key store.Key, want ...int) []*store.Response {
	w.t.Helper()
	found := w.Lookup(key)
	if len(found) != len(want) {
		w.t.Fatalf("%d responses under %q, want %d", len(found), key, len(want))
	}
	for i, r := range found {
		if f := storetest.Read(key, r); f.Version != want[i] || f.Unreadable != nil || f.Wrong != "" {
			w.t.Fatalf("%q: version %d, want %d; %v %s", key, f.Version, want[i], f.Unreadable, f.Wrong)
		}
	}
	return found
}

func (w *world) onDiskNow(want int64) {
	w.t.Helper()
	w.settle()
	if u := w.Usage(); u.Disk.Responses != want {
		w.t.Fatalf("%d responses on disk, want %d", u.Disk.Responses, want)
	}
}

// TestWrittenOnTheSecondRequest: what is asked for once isn't written.
func TestWrittenOnTheSecondRequest(t *testing.T) {
	w := open(t, options{})
	storetest.Insert(t, w, "k", "", 1, 1000)
	w.onDiskNow(0)
	w.expect("k", 1)
	w.onDiskNow(1)
	w.expect("k", 1)
	w.onDiskNow(1)
	w.forget()
	for range 3 {
		w.expect("k", 1)
	}
	w.onDiskNow(1)
	if n := testutil.ToFloat64(w.metrics.admissions.WithLabelValues("queued")); n != 1 {
		t.Errorf("written %v times", n)
	}
	if n := testutil.ToFloat64(w.metrics.loads.WithLabelValues("found")); n != 1 {
		t.Errorf("read %v times", n)
	}
}

// TestWrittenWhenItComesAgain: the second request came when memory had dropped it already.
func TestWrittenWhenItComesAgain(t *testing.T) {
	w := open(t, options{})
	storetest.Insert(t, w, "k", "a", 1, 1000)
	w.forget()
	w.expect("k")
	storetest.Insert(t, w, "k", "b", 2, 1000) // another variant is another response
	w.onDiskNow(0)
	storetest.Insert(t, w, "k", "a", 3, 1000)
	w.onDiskNow(1)
}

// TestUselessIsNotWritten: what is stale by now, and can't be validated, is of no use to anybody later.
func TestUselessIsNotWritten(t *testing.T) {
	w := open(t, options{now: func() time.Time { return storetest.Began.Add(2 * time.Hour) }})
	storetest.Insert(t, w, "k", "", 1, 1000)
	w.Lookup("k")
	w.onDiskNow(0)
	if n := testutil.ToFloat64(w.metrics.admissions.WithLabelValues("useless")); n != 1 {
		t.Errorf("%v weren't written because they are useless", n)
	}
}

// TestLargeBodyLeavesMemory: when a large body is on disk, memory keeps no copy of it.
func TestLargeBodyLeavesMemory(t *testing.T) {
	w := open(t, options{})
	const size = 3 << 20
	r := storetest.Insert(t, w, "k", "", 1, size)
	w.Lookup("k")
	w.onDiskNow(1)
	if u := w.Usage(); u.Bytes > 16<<10 {
		t.Errorf("%d bytes in memory", u.Bytes)
	}
	if f := storetest.Read("k", r); f.Unreadable != nil || len(f.Body) != size {
		t.Errorf("who has it from memory can't read on: %v", f.Unreadable)
	}
	for range 2 { // also when it is loaded
		found := w.expect("k", 1)
		file, ok := found[0].Body.(store.FileBody)
		if !ok {
			t.Fatal("its body isn't one in a file")
		}
		f, off, release, ok := file.File()
		if !ok {
			t.Fatal("all of it was read and found right, and the system may not send it")
		}
		p := make([]byte, size)
		if _, err := f.ReadAt(p, off); err != nil || string(p) != storetest.Content("k", "", 1, size) {
			t.Errorf("in the file is something else: %v", err)
		}
		release()
		if n, err := file.Append([]byte("x")); n != 0 || err == nil {
			t.Error("something was appended to what is complete")
		}
		w.forget()
	}
}

// TestHugeObjectStreams: many parts in sequence, of which few fit the memory, are read without it growing.
func TestHugeObjectStreams(t *testing.T) {
	const parts, memory = 40, 8 << 20
	w := open(t, options{bytesMax: memory, objectMax: 1 << 20, diskMax: 32 * testSegment})
	for range 2 {
		for i := range parts {
			storetest.Insert(t, w, key(i), "", 1, 1<<20)
			w.settle()
		}
	}
	w.onDiskNow(parts)
	for range 2 {
		for i := range parts {
			w.expect(key(i), 1)
		}
	}
	if u := w.Usage(); u.Bytes > 256<<10 {
		t.Errorf("%d bytes in memory", u.Bytes)
	}
}

// TestNewerKeepsOlderAway: when memory drops the newer one before it is on disk, the older one there doesn't come back.
func TestNewerKeepsOlderAway(t *testing.T) {
	held := make(chan struct{})
	var hold atomic.Bool
	fs := &badFS{fault: func(op string) error {
		if op == "write" && hold.Load() {
			<-held
			return syscall.EIO
		}
		return nil
	}}
	w := open(t, options{fs: fs})
	storetest.Insert(t, w, "k", "", 1, 1000)
	w.Lookup("k")
	w.onDiskNow(1)
	hold.Store(true)
	storetest.Insert(t, w, "k", "", 2, 1000)
	w.forget()
	w.expect("k")
	close(held) // and it can't be written at all
	w.settle()
	w.expect("k")
}

// TestPurgeKeepsOlderAway: a purge by function takes the newer one out of the queue of the disk before it gets to the older one there.
func TestPurgeKeepsOlderAway(t *testing.T) {
	held := make(chan struct{})
	var hold atomic.Bool
	w := open(t, options{fs: &badFS{fault: func(op string) error {
		if op == "write" && hold.Load() {
			<-held
		}
		return nil
	}}})
	storetest.Insert(t, w, "k", "", 1, 1000)
	w.Lookup("k")
	w.onDiskNow(1)
	hold.Store(true)
	storetest.Insert(t, w, "k", "", 2, 1000)
	calls, looked := 0, false
	n := w.RemoveFunc(func(k store.Key) bool {
		if calls++; calls < 4 || looked { // asked for the queue here, memory, the disk's queue, and what is on disk
			return true
		}
		looked = true
		close(held)
		st := w.stripe(k)
		for writing := true; writing; runtime.Gosched() {
			st.mu.Lock()
			writing = len(st.writes) > 0
			st.mu.Unlock()
		}
		w.expect("k")
		return true
	})
	if !looked || n != 1 {
		t.Errorf("%d removed, looked: %t", n, looked)
	}
	w.settle()
	w.expect("k")
}

// TestRenewed: a 304 renews what is on disk, in memory or not, written or on its way.
func TestRenewed(t *testing.T) {
	w := open(t, options{})
	for _, size := range []int{1000, 1 << 20} {
		for name, before := range map[string]func(){
			"on its way": func() {},
			"written":    w.settle,
			"loaded":     func() { w.settle(); w.forget(); w.Lookup("k") },
			"on disk":    func() { w.settle() },
		} {
			w.Remove("k")
			storetest.Insert(t, w, "k", "", 1, size)
			old := w.Lookup("k")[0]
			before()
			if name == "on disk" {
				old = w.Lookup("k")[0]
				w.forget()
			}
			w.Replace(old, storetest.Renewed(t, old, 2))
			if name != "on disk" {
				w.expect("k", 2)
			}
			w.settle()
			w.forget()
			found := w.Lookup("k")
			if len(found) != 1 {
				t.Fatalf("%d bytes, %s: it is gone", size, name)
			}
			if f := storetest.Read("k", found[0]); f.Version != 2 || f.BodyVersion != 1 || f.Wrong != "" {
				t.Errorf("%d bytes, %s: %+v", size, name, f)
			}
		}
	}
}

// gate holds reads up.
type gate struct {
	closed  atomic.Bool
	waiting chan struct{} // one value for each read that is held up
	open    chan struct{}
}

func newGate() *gate { return &gate{waiting: make(chan struct{}, 100), open: make(chan struct{})} }

func (g *gate) fault(op string) error {
	if op == "read" && g.closed.Load() {
		g.waiting <- struct{}{}
		<-g.open
	}
	return nil
}

// TestChangedWhileRead: what is purged or replaced while it is being read doesn't come into memory.
func TestChangedWhileRead(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world)
		want   []int
	}{
		"removed":             {func(w *world) { w.Remove("k") }, nil},
		"removed by function": {func(w *world) { w.RemoveFunc(func(k store.Key) bool { return k == "k" }) }, nil},
		"replaced":            {func(w *world) { storetest.Insert(w.t, w, "k", "", 2, 1000) }, []int{2}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			w := open(t, options{fs: &badFS{fault: g.fault}})
			storetest.Insert(t, w, "k", "", 1, 1000)
			w.Lookup("k")
			w.settle()
			w.forget()
			g.closed.Store(true)
			var group sync.WaitGroup
			group.Go(func() { w.Lookup("k") })
			<-g.waiting
			g.closed.Store(false)
			group.Go(func() { w.Lookup("k") }) // waits for the same read
			c.change(w)
			close(g.open)
			group.Wait()
			w.expect("k", c.want...)
			w.settle()
			w.forget()
			w.expect("k", c.want...)
		})
	}
}

// TestOneReadForMany: all who want the same wait for one read.
func TestOneReadForMany(t *testing.T) {
	w := open(t, options{})
	storetest.Insert(t, w, "k", "", 1, 1000)
	w.Lookup("k")
	w.settle()
	w.forget()
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if found := w.Lookup("k"); len(found) != 1 || storetest.Read("k", found[0]).Wrong != "" {
				t.Errorf("%d found", len(found))
			}
		})
	}
	group.Wait()
	if n := testutil.ToFloat64(w.metrics.loads.WithLabelValues("found")); n != 1 {
		t.Errorf("read %v times", n)
	}
}

// TestDeadDisk: a disk that fails altogether makes misses, and memory goes on without it.
func TestDeadDisk(t *testing.T) {
	var dead atomic.Bool
	w := open(t, options{fs: &badFS{fault: func(string) error {
		if dead.Load() {
			return syscall.EIO
		}
		return nil
	}}})
	for i := range 20 {
		storetest.Insert(t, w, key(i), "", 1, 300_000*(i%2))
		w.Lookup(key(i))
	}
	w.settle()
	w.forget()
	w.expect(key(1), 1)
	dead.Store(true)
	if n, err := w.Peek(key(1))[0].Body.WriteRange(io.Discard, 0, 300_000); err == nil {
		t.Errorf("%d bytes were read from a dead disk", n)
	}
	for i := range 20 {
		w.expect(key(i))
		storetest.Insert(t, w, key(i), "", 2, 1000)
		w.expect(key(i), 2)
	}
	if n := w.Remove(key(1)); n == 0 {
		t.Error("nothing to remove")
	}
	w.expect(key(1))
}

// TestSlowDisk: a disk that doesn't answer costs one wait, and then misses.
func TestSlowDisk(t *testing.T) {
	g := newGate()
	w := open(t, options{fs: &badFS{fault: g.fault}, readTimeout: 50 * time.Millisecond})
	for i := range 20 {
		storetest.Insert(t, w, key(i), "", 1, 1000)
		w.Lookup(key(i))
	}
	w.settle()
	w.forget()
	g.closed.Store(true)
	for i := range 20 {
		w.expect(key(i))
		storetest.Insert(t, w, key(i), "", 2, 1000)
		w.expect(key(i), 2)
	}
	g.closed.Store(false)
	close(g.open)
	for i := range 20 {
		w.expect(key(i), 2)
	}
}

// TestBadSector: what a disk fails to return in the middle is offered once more at most, and then fetched anew.
func TestBadSector(t *testing.T) {
	fs := &badFS{}
	w := open(t, options{fs: fs})
	storetest.Insert(t, w, "k", "", 1, 2<<20)
	storetest.Insert(t, w, "l", "", 1, 300_000)
	for _, key := range []store.Key{"k", "l"} {
		w.Lookup(key)
		w.settle()
	}
	w.forget()
	w.expect("l", 1)
	fs.badFrom.Store(1 << 20)
	found := w.Lookup("k")
	if len(found) != 1 {
		t.Fatalf("%d found", len(found))
	}
	if f := storetest.Read("k", found[0]); f.Unreadable == nil || len(f.Body) < 512<<10 {
		t.Errorf("%d bytes were read, %v", len(f.Body), f.Unreadable)
	}
	w.expect("k")
	w.settle()
	fs.badFrom.Store(0)
	w.expect("k")
}

// TestDamagedOnDisk: a body with a flipped bit is never sent as if it were right, and is fetched anew.
func TestDamagedOnDisk(t *testing.T) {
	var flip atomic.Bool
	w := open(t, options{fs: &badFS{flip: &flip}})
	for i, size := range []int{1000, 2 << 20} {
		storetest.Insert(t, w, key(i), "", 1, size)
		w.Lookup(key(i))
	}
	w.settle()
	w.forget()
	flip.Store(true)
	for i := range 2 {
		w.expect(key(i))
	}
	flip.Store(false)
	for i := range 2 {
		w.expect(key(i)) // it is dropped
	}
}

func TestUsage(t *testing.T) {
	w := open(t, options{})
	for i := range 10 {
		storetest.Insert(t, w, store.Key(strconv.Itoa(i)), "", 1, 1000)
		w.Lookup(store.Key(strconv.Itoa(i)))
	}
	w.settle()
	w.forget()
	u := w.Usage()
	if u.Responses != 0 || u.Disk.Responses != 10 || u.Disk.Bytes < 10_000 || u.Disk.BytesMax != testDisk || u.Disk.Queued != 0 ||
		len(u.Disk.Volumes) != 1 || u.Disk.Volumes[0].State != "ok" || u.Disk.Volumes[0].Responses != 10 {
		t.Errorf("%+v, %+v", u, u.Disk)
	}
}

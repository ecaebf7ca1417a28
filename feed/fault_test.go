package feed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// faultyDisk fails operations of a real directory, by their number. A write that fails has written a part. What would be lost in a power cut
// it knows itself, and so doesn't wait for the real disk.
type faultyDisk struct {
	osDisk
	n      int              // operations so far
	fails  func(n int) bool // which fail
	synced map[string]int64 // how much of each file the disk has, for a power cut
	undo   map[string]func()
}

func newFaultyDisk(fails func(n int) bool) *faultyDisk {
	return &faultyDisk{fails: fails, synced: map[string]int64{}, undo: map[string]func(){}}
}

func never(int) bool { return false }

func (d *faultyDisk) fault() error {
	d.n++
	if d.fails(d.n) {
		return syscall.ENOSPC
	}
	return nil
}

func (d *faultyDisk) MkdirAll(dir string) error {
	if err := d.fault(); err != nil {
		return err
	}
	return d.osDisk.MkdirAll(dir)
}

func (d *faultyDisk) Create(name string) (file, error) {
	if err := d.fault(); err != nil {
		return nil, err
	}
	f, err := d.osDisk.Create(name)
	d.synced[name] = 0
	return &faultyFile{f, d, name}, err
}

func (d *faultyDisk) Open(name string) (file, error) {
	if err := d.fault(); err != nil {
		return nil, err
	}
	f, err := d.osDisk.Open(name)
	info, statErr := os.Stat(name)
	if err = errors.Join(err, statErr); err == nil {
		d.synced[name] = info.Size()
	}
	return &faultyFile{f, d, name}, err
}

func (d *faultyDisk) Rename(from, to string) error {
	if err := d.fault(); err != nil {
		return err
	}
	old, err := os.ReadFile(to)
	before := d.undo[to]
	d.undo[to] = func() {
		if before != nil { // a rename before it wasn't synced either
			before()
		} else if err != nil {
			os.Remove(to)
		} else {
			os.WriteFile(to, old, 0o600)
		}
	}
	d.synced[to] = d.synced[from]
	return d.osDisk.Rename(from, to)
}

func (d *faultyDisk) Remove(name string) error {
	if err := d.fault(); err != nil {
		return err
	}
	return d.osDisk.Remove(name)
}

func (d *faultyDisk) SyncDir(dir string) error {
	if err := d.fault(); err != nil {
		return err
	}
	for name := range d.undo {
		if filepath.Dir(name) == dir {
			delete(d.undo, name)
		}
	}
	return nil
}

func (d *faultyDisk) Lock(name string) (io.Closer, error) {
	if err := d.fault(); err != nil {
		return nil, err
	}
	return d.osDisk.Lock(name)
}

// cutPower takes away what wasn't synced.
func (d *faultyDisk) cutPower() {
	for name, size := range d.synced {
		if info, err := os.Stat(name); err == nil && info.Size() > size {
			os.Truncate(name, size)
		}
	}
	for _, undo := range d.undo {
		undo()
	}
}

type faultyFile struct {
	file
	d    *faultyDisk
	name string
}

func (f *faultyFile) Write(b []byte) (int, error) {
	if err := f.d.fault(); err != nil {
		n, _ := f.file.Write(b[:len(b)/2])
		return n, err
	}
	return f.file.Write(b)
}

func (f *faultyFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.d.fault(); err != nil {
		n, _ := f.file.WriteAt(b[:len(b)*2/3], at)
		return n, err
	}
	return f.file.WriteAt(b, at)
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.d.fault(); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func (f *faultyFile) Sync() error {
	if err := f.d.fault(); err != nil {
		return err
	}
	for name := range f.d.synced { // also under a name that it got since
		a, errA := os.Stat(name)
		b, errB := f.file.(*os.File).Stat()
		if errA == nil && errB == nil && os.SameFile(a, b) {
			f.d.synced[name] = b.Size()
		}
	}
	return nil
}

func (f *faultyFile) Close() error { return errors.Join(f.d.fault(), f.file.Close()) }

// step is one thing that is asked of a keeper, and what it has afterwards.
type step struct {
	name string
	do   func(k *Keeper) error
	want string
}

// story has a keeper do everything that it can do.
func story(t *testing.T) (*author, []step) {
	a := newAuthor(1)
	var steps []step
	add := func(name string, do func(k *Keeper) error) {
		shown := &Keeper{state: a.state.Clone()}
		steps = append(steps, step{name, do, look(shown)})
	}
	appended := func(entries ...Signed) func(*Keeper) error {
		return func(k *Keeper) error { _, err := k.Append(entries...); return err }
	}
	again := func(err error) error { // an attempt before this one may have got through
		if errors.Is(err, ErrOld) {
			return nil
		}
		return err
	}
	add("the first", appended(a.set(t, "site/a", 1)))
	c := a.checkpoint(t)
	add("three at once", appended(a.set(t, "site/a", 2), a.set(t, "site/b", 1), a.write(t, nil, &Purge{Kind: PurgeAll})))
	add("rebase", func(k *Keeper) error { return again(k.Rebase(c)) })
	object := []byte("object")
	add("object", func(k *Keeper) error { return k.PutObject(HashOf(object), object) })
	add("program", func(k *Keeper) error {
		_, _, err := k.PutObjectFrom(Hash{}, strings.NewReader("program"))
		return err
	})
	add("remember", func(k *Keeper) error { return k.Remember("guard", []byte("new")) })
	add("collect", func(k *Keeper) error { _, err := k.Collect(func(Hash) bool { return false }); return err })
	add("one more", appended(a.set(t, "site/b", 2)))
	for i := range uint64(10) {
		a.set(t, "site/c", i+1)
	}
	ahead := a.checkpoint(t)
	add("reset", func(k *Keeper) error { return again(k.Reset(ahead)) })
	add("after the reset", appended(a.set(t, "site/c", 11)))
	a.state.Position.Epoch = 2
	restored := a.checkpoint(t)
	add("the next epoch", func(k *Keeper) error { return again(k.Reset(restored)) })
	add("after a restore", appended(a.set(t, "site/d", 1), a.set(t, "site/d", 2)))
	return a, steps
}

func openOn(dir string, a *author, d disk) (*Keeper, error) {
	return OpenKeeper(dir, KeeperOptions{Verifier: NewVerifier(a.Key()), Log: slog.New(slog.DiscardHandler), disk: d})
}

// memDir is a directory in memory where there is one: renaming and truncating make a file system wait for the disk as well.
func memDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "wherry-feed-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// quick opens a keeper that doesn't wait for the disk.
func quick(t *testing.T, dir string, a *author) *Keeper {
	t.Helper()
	k, err := openOn(dir, a, newFaultyDisk(never))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// whole says what is wrong with what a keeper can give away.
func whole(k *Keeper) error {
	at := k.Position()
	for seq := range at.Seq + 2 {
		p := Position{at.Epoch, seq}
		entries, ok := k.After(p, 1<<20)
		if ok && seq < at.Seq && uint64(len(entries)) != at.Seq-seq {
			return fmt.Errorf("after %s: %d entries, at %s", p, len(entries), at)
		}
		for _, s := range entries {
			e, err := parseEntry(s.Bytes)
			if p.Seq++; err != nil || e.Position != p {
				return fmt.Errorf("where %s should be is %v, %v", p, e, err)
			}
		}
	}
	if data, err := k.Recall("guard"); err != nil || data != nil && string(data) != "new" {
		return fmt.Errorf("remembers %q, %v", data, err)
	}
	object := []byte("object")
	if data, err := k.Object(HashOf(object)); err == nil && !bytes.Equal(data, object) {
		return fmt.Errorf("has object %q", data)
	}
	return nil
}

// Each operation of the disk fails in turn, once or from then on: what a keeper has is what it had before the step or after it, in memory
// and for the next process, and when the disk works again all goes on.
func TestDiskFullAtEachWrite(t *testing.T) {
	a, steps := story(t)
	for _, lasting := range []bool{false, true} {
		for n, met := 1, true; met; n++ {
			met = false
			working := true
			d := newFaultyDisk(func(at int) bool {
				fail := !working && (at == n || lasting && at > n)
				met = met || fail
				return fail
			})
			dir := memDir(t)
			k, err := openOn(dir, a, d)
			if err != nil {
				t.Fatal(err)
			}
			d.n, working = 0, false
			before := "0.0 [] 0 purges"
			for _, s := range steps {
				hit := met
				if err := s.do(k); err != nil {
					if !met || !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("operation %d, %s: %v", n, s.name, err)
					}
					if got := look(k); got != before {
						t.Fatalf("operation %d, %s: after an error it has %s, before it was %s", n, s.name, got, before)
					}
					if err := whole(k); err != nil {
						t.Fatalf("operation %d, %s: after an error: %v", n, s.name, err)
					}
					working = true
					if err := s.do(k); err != nil {
						t.Fatalf("operation %d, %s: when the disk works again: %v", n, s.name, err)
					}
				} else if met && !hit {
					working = true // it got by without
				}
				expect(t, k, s.want)
				if err := whole(k); err != nil {
					t.Fatalf("operation %d, %s: %v", n, s.name, err)
				}
				before = s.want
			}
			working = true
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			k = quick(t, dir, a)
			expect(t, k, before)
			if err := whole(k); err != nil {
				t.Fatalf("operation %d, reopened: %v", n, err)
			}
			k.Close()
		}
	}
}

// The process is killed, or the power fails, at each operation of the disk: the next process has what was promised, or one step more, and
// goes on.
func TestKilledAtEachWrite(t *testing.T) {
	a, steps := story(t)
	for _, power := range []bool{false, true} {
		for n, met := 1, true; met; n++ {
			met = false
			d := newFaultyDisk(func(at int) bool {
				met = met || at >= n
				return at >= n
			})
			dir := memDir(t)
			k, err := openOn(dir, a, d)
			done, before := 0, "0.0 [] 0 purges"
			for err == nil && done < len(steps) {
				if err = steps[done].do(k); err == nil {
					before = steps[done].want
					done++
				}
				if met {
					break
				}
			}
			d.fails = never // so that nothing but the process ends
			if k != nil {
				k.Close()
			}
			if power {
				d.cutPower()
			}
			k = quick(t, dir, a)
			if err := whole(k); err != nil {
				t.Fatalf("power %v, operation %d: %v", power, n, err)
			}
			if got := look(k); got != before && (done == len(steps) || got != steps[done].want) && !within(k, a, steps, done) {
				t.Fatalf("power %v, operation %d, step %d: has %s, had %s", power, n, done, got, before)
			}
			for _, s := range steps[done:] {
				if err := s.do(k); err != nil {
					t.Fatalf("power %v, operation %d, %s: %v", power, n, s.name, err)
				}
				expect(t, k, s.want)
			}
			k.Close()
		}
	}
}

// The disk fails once, works again, and then the power fails: what was promised after the fault is there, though the fault may have left
// things that the disk doesn't have.
func TestPowerCutAfterAFault(t *testing.T) {
	a, steps := story(t)
	for n, met := 1, true; met; n++ {
		met = false
		d := newFaultyDisk(never)
		dir := memDir(t)
		k, err := openOn(dir, a, d)
		if err != nil {
			t.Fatal(err)
		}
		d.n, d.fails = 0, func(at int) bool { met = met || at == n; return at == n }
		want := ""
		for i := 0; i < len(steps); i++ {
			err := steps[i].do(k)
			if err != nil {
				err = steps[i].do(k)
			}
			if err != nil {
				t.Fatalf("operation %d, %s: %v", n, steps[i].name, err)
			}
			if want = steps[i].want; met {
				if i+1 < len(steps) && steps[i+1].do(k) == nil {
					want = steps[i+1].want
				}
				break
			}
		}
		d.fails = never
		k.Close()
		d.cutPower()
		k = quick(t, dir, a)
		expect(t, k, want)
		if err := whole(k); err != nil {
			t.Fatalf("operation %d: %v", n, err)
		}
		k.Close()
	}
}

// within says whether a keeper has a part of a group of entries that wasn't acknowledged.
func within(k *Keeper, a *author, steps []step, done int) bool {
	var before, after Position
	if done > 0 {
		fmt.Sscanf(steps[done-1].want, "%d.%d", &before.Epoch, &before.Seq)
	}
	if done < len(steps) {
		fmt.Sscanf(steps[done].want, "%d.%d", &after.Epoch, &after.Seq)
	}
	at := k.Position()
	return before.Before(at) && at.Before(after) && at.Epoch == after.Epoch
}

// A node comes up from a disk that is full, with all that it had.
func TestOpenOnAFullDisk(t *testing.T) {
	a, dir := newAuthor(1), t.TempDir()
	k := open(t, dir, a)
	appendAll(t, k, a.set(t, "site/a", 1), a.set(t, "site/a", 2))
	k.Close()
	path := filepath.Join(dir, logName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, torn := range []int{0, 1} {
		if err := os.WriteFile(path, data[:len(data)-torn], 0o600); err != nil {
			t.Fatal(err)
		}
		full := true
		d := newFaultyDisk(func(n int) bool { return full && n > 2 })
		if k, err = openOn(dir, a, d); err != nil {
			t.Fatal(err)
		}
		expect(t, k, fmt.Sprintf("1.%d [site/a=%d] 0 purges", 2-torn, 2-torn))
		if _, err := k.Append(append(a.all, a.set(t, "site/a", 3))...); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("append: %v", err)
		}
		if err := whole(k); err != nil {
			t.Error(err)
		}
		full = false
		appendAll(t, k, a.all...)
		want := look(k)
		k.Close()
		k = quick(t, dir, a)
		expect(t, k, want)
		k.Close()
	}
}

package disk

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// failing returns a fault that fails the named operations.
func failing(err error, ops ...string) func(string, string) (bool, error) {
	return func(op, _ string) (bool, error) {
		if slices.Contains(ops, op) {
			return false, err
		}
		return false, nil
	}
}

func (r *harness) state() State { return r.Usage().Volumes[0].State }

func TestAFailingDiskTakesNoPutsUntilItWorks(t *testing.T) {
	for _, op := range []string{"write", "create", "sync"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := newMemFS()
				o := small(fs, "vol")
				o.SyncInterval = 100 * time.Millisecond
				s := run(t, o)
				s.mustPut(draft("old", "", 1, 30000))
				fs.failWith(failing(syscall.EIO, op))
				for i := range faultsMax {
					_, err := s.put(draft(fmt.Sprint("k", i), "", 1, 60000))
					if op == "write" && i == 0 && !errors.Is(err, ErrFailed) {
						t.Errorf("put %d: %v", i, err)
					}
					time.Sleep(200 * time.Millisecond)
				}
				if u := s.Usage().Volumes[0]; u.State != Failing || !strings.Contains(u.LastError, "input/output error") {
					t.Fatalf("%+v", u)
				}
				if s.Put(draft("k", "", 1, 10), nil) {
					t.Error("a put was taken by a failing disk")
				}
				if s.seeds("old")[""] != 1 {
					t.Error("what was written before isn't served any more")
				}
				time.Sleep(10 * time.Minute)
				if s.state() != Failing {
					t.Error("the disk is trusted again though it fails")
				}
				fs.failWith(nil)
				time.Sleep(backoffMax + time.Second)
				if s.state() != OK {
					t.Fatalf("%+v", s.Usage())
				}
				s.mustPut(draft("k", "", 2, 10))
				if err := s.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestAFailingDiskLeavesItsPutsToTheOthers(t *testing.T) {
	fs := newMemFS()
	s := run(t, small(fs, "a", "b"))
	for i := range 40 {
		s.mustPut(draft(fmt.Sprint("k", i), "", 1, 100))
	}
	fs.failWith(func(op, name string) (bool, error) {
		if (op == "write" || op == "create") && strings.HasPrefix(name, "a/") {
			return true, syscall.EIO
		}
		return false, nil
	})
	refused := 0
	for i := range 40 {
		if _, err := s.put(draft(fmt.Sprint("k", i), "", 2, 100)); err != nil {
			refused++
		}
	}
	if refused != faultsMax {
		t.Errorf("%d puts were lost until the disk was given up, not %d", refused, faultsMax)
	}
	old := 0
	for i := range 40 {
		switch got := s.seeds(fmt.Sprint("k", i)); got[""] {
		case 1:
			old++
		case 2:
		default:
			t.Errorf("k%d: %v", i, got)
		}
	}
	if old != refused {
		t.Errorf("%d keys have the old blob, %d puts were refused", old, refused)
	}
}

func TestRemoveOnAFailingDiskSaysSoAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS()
		s := run(t, small(fs, "vol"))
		for i := range 10 {
			s.mustPut(draft(fmt.Sprint("k", i), "", 1, 100))
		}
		fs.failWith(failing(syscall.EIO, "write", "create"))
		if n, err := s.Remove("k1"); n != 1 || err == nil {
			t.Errorf("removed %d, %v", n, err)
		}
		if n, err := s.RemoveFunc(func(key string) bool { return key == "k2" || key == "k3" }); n != 2 || err == nil {
			t.Errorf("removed %d, %v", n, err)
		}
		if s.Has("k1") || s.Has("k2") || !s.Has("k4") {
			t.Error("memory has what was removed")
		}
		fs.failWith(nil)
		time.Sleep(2 * backoffMax)
		after := run(t, small(fs.killed(), "vol"))
		for i, want := range []bool{true, false, false, false, true} {
			if got := after.Has(fmt.Sprint("k", i)); got != want {
				t.Errorf("after the disk worked again and the process was killed, k%d is there: %v", i, got)
			}
		}
		after.end()
		s.end()
	})
}

func TestAFullFileSystemLowersTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS()
		fs.room = 5 * segmentBytesMin
		s := run(t, small(fs, "vol"))
		for i := range 200 {
			s.mustPut(draft(fmt.Sprint("k", i), "", 1, 5000))
		}
		u := s.Usage().Volumes[0]
		if u.State != Full || u.BytesMax > fs.room || u.Bytes > fs.room || u.Blobs == 0 {
			t.Errorf("%+v", u)
		}
		fs.mu.Lock()
		fs.room = 0
		fs.mu.Unlock()
		time.Sleep(10 * roomInterval)
		if u := s.Usage().Volumes[0]; u.State != OK || u.BytesMax != 8*segmentBytesMin {
			t.Errorf("room came back: %+v", u)
		}
		// Nothing that can be evicted, and no room.
		for s.volumes[0].bytes() > 0 && s.Usage().Blobs > 0 {
			if _, err := s.RemoveFunc(func(string) bool { return true }); err != nil {
				t.Fatal(err)
			}
		}
		fs.failWith(failing(syscall.ENOSPC, "write", "create"))
		for range 10 {
			_, _ = s.put(draft("k", "", 1, 5000))
		}
		if u := s.Usage().Volumes[0]; u.State != Full || s.Put(draft("k", "", 1, 10), nil) {
			t.Errorf("%+v", u)
		}
		fs.failWith(nil)
		time.Sleep(20 * roomInterval)
		s.mustPut(draft("k", "", 1, 5000))
		if s.state() != OK {
			t.Errorf("%+v", s.Usage())
		}
		s.end()
	})
}

func TestADiskThatDoesntAnswerHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemFS()
		s := run(t, small(fs, "vol"))
		b := s.mustPut(draft("k", "", 1, 5000))
		answer := make(chan struct{})
		fs.failWith(func(op, _ string) (bool, error) {
			if op == "read" {
				<-answer
			}
			return false, nil
		})
		begin := time.Now()
		if _, err := s.Get("k"); !errors.Is(err, ErrSlow) || time.Since(begin) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		begin = time.Now()
		var got bytes.Buffer
		_, err := b.WriteRange(&got, 0, 10)
		if _, err2 := s.Get("k"); !errors.Is(err, ErrSlow) || !errors.Is(err2, ErrSlow) || time.Since(begin) != 0 || got.Len() > 0 {
			t.Errorf("%v, %v after %v", err, err2, time.Since(begin))
		}
		if s.state() != Slow || s.Put(draft("k2", "", 1, 10), nil) || !s.Has("k") {
			t.Errorf("%+v", s.Usage())
		}
		close(answer)
		time.Sleep(5 * time.Second)
		if got := s.seeds("k"); got[""] != 1 || s.state() != OK {
			t.Errorf("after it answers: %v, %s", got, s.state())
		}
		s.end()
	})
}

func TestRunEndsThoughADiskHoldsAGoroutine(t *testing.T) {
	for _, op := range []string{"read", "write"} {
		synctest.Test(t, func(t *testing.T) {
			fs := newMemFS()
			s := run(t, small(fs, "vol"))
			s.mustPut(draft("k", "", 1, 5000))
			answer := make(chan struct{})
			defer close(answer)
			fs.failWith(func(asked, _ string) (bool, error) {
				if asked == op {
					<-answer
				}
				return false, nil
			})
			s.Put(draft("k2", "", 1, 10), nil)
			if op == "write" {
				if _, err := s.Remove("k2"); !errors.Is(err, ErrSlow) {
					t.Errorf("remove: %v", err)
				}
			} else if _, err := s.Get("k"); !errors.Is(err, ErrSlow) {
				t.Errorf("get: %v", err)
			}
			if err := s.end(); err == nil || !strings.Contains(err.Error(), "hasn't answered") {
				t.Errorf("%s: %v", op, err)
			}
			if _, err := Open(small(fs, "vol")); err == nil {
				t.Errorf("%s: the directory is free while the disk may still write to it", op)
			}
		})
	}
}

func TestReadErrorsDontLoseTheBlob(t *testing.T) {
	fs := newMemFS()
	s := run(t, small(fs, "vol"))
	b := s.mustPut(draft("k", "", 1, 5000))
	fs.failWith(failing(syscall.EIO, "read"))
	var got bytes.Buffer
	if n, err := b.WriteRange(&got, 0, 5000); n != 0 || !errors.Is(err, ErrFailed) {
		t.Errorf("%d, %v", n, err)
	}
	if blobs, err := s.Get("k"); len(blobs) != 0 || !errors.Is(err, ErrFailed) {
		t.Errorf("%v, %v", blobs, err)
	}
	fs.failWith(nil)
	if got := s.seeds("k"); got[""] != 1 {
		t.Errorf("%v", got)
	}
}

func TestASegmentThatCantBeDeletedStopsEviction(t *testing.T) {
	fs := newMemFS()
	s := run(t, small(fs, "vol"))
	fs.failWith(failing(syscall.EIO, "remove"))
	for i := range 300 {
		_, _ = s.put(draft(fmt.Sprint("k", i), "", 1, 5000))
	}
	if u := s.Usage(); u.Bytes > u.BytesMax || s.state() != Failing {
		t.Errorf("%+v", u)
	}
}

// filled puts some blobs and removes some of them, and returns what is there; segments are left as a kill leaves them.
func filledFS(t *testing.T) (*memFS, map[string]uint64) {
	fs := newMemFS()
	s := run(t, small(fs, "vol"))
	want := map[string]uint64{}
	for i := range 60 {
		key := fmt.Sprint("k", i%40)
		s.mustPut(draft(key, "", uint64(i+1), 100+i*50))
		want[key] = uint64(i + 1)
		if i%7 == 3 {
			if _, err := s.Remove(key); err != nil {
				t.Fatal(err)
			}
			delete(want, key)
		}
	}
	defer s.end()
	return fs.killed(), want
}

// onlyRight sees that a store has nothing but what it should have, and returns how much of it.
func onlyRight(t *testing.T, s *harness, want map[string]uint64) int {
	t.Helper()
	n := 0
	for i := range 40 {
		key := fmt.Sprint("k", i)
		blobs, _ := s.Get(key)
		for _, b := range blobs {
			seed, err := verify(b)
			if errors.Is(err, ErrDamaged) {
				continue
			}
			if err != nil || seed != want[key] {
				t.Fatalf("%s is %d, it should be %d: %v", key, seed, want[key], err)
			}
			n++
		}
	}
	return n
}

func TestATornTailLosesOnlyItself(t *testing.T) {
	whole, want := filledFS(t)
	names := whole.segments()
	last := names[len(names)-1]
	size := len(whole.files[last].data)
	for cut := 0; cut < size; cut += 1 + rand.IntN(size/100) {
		fs := whole.killed()
		fs.files[last].data = fs.files[last].data[:cut]
		m := NewMetrics(prometheus.NewRegistry())
		o := small(fs, "vol")
		o.Metrics = m
		s := run(t, o)
		// What was replaced or removed in the part that is cut may be there as it was before; what is there must be whole.
		for i := range 40 {
			key := fmt.Sprint("k", i)
			for _, seed := range s.seeds(key) {
				if seed > want[key] && want[key] != 0 {
					t.Fatalf("cut at %d: %s is %d, never later than %d", cut, key, seed, want[key])
				}
			}
		}
		s.mustPut(draft("more", "", 1, 1000))
		if testutil.ToFloat64(m.torn) > 1 {
			t.Errorf("cut at %d: %v torn segments", cut, testutil.ToFloat64(m.torn))
		}
		s.end()
	}
}

// TestFlippedBitsAreNeverServed flips bits anywhere in any segment: also what was removed must stay away, where its tombstone is
// damaged.
func TestFlippedBitsAreNeverServed(t *testing.T) {
	whole, want := filledFS(t)
	if n := onlyRight(t, run(t, small(whole.killed(), "vol")), want); n != len(want) {
		t.Fatalf("%d of %d", n, len(want))
	}
	// The end of the newest segment is as good as torn, and what is torn off there was never acknowledged.
	names := whole.segments()
	names = names[:len(names)-1]
	for range 300 {
		fs := whole.killed()
		for range 1 + rand.IntN(3) {
			f := fs.files[names[rand.IntN(len(names))]]
			f.data[rand.IntN(len(f.data))] ^= 1 << rand.IntN(8)
		}
		for range 2 {
			s := run(t, small(fs, "vol"))
			onlyRight(t, s, want)
			s.settled()
			s.end()
		}
	}
}

// TestChaos has every operation fail at random, kills at random, and sees that nothing wrong is there afterwards.
func TestChaos(t *testing.T) {
	for seed := range uint64(25) {
		chaos(t, rand.New(rand.NewPCG(seed, 1)), func(fs *memFS) Options { return small(fs, "vol") })
		// Two that have room: where one fails, its keys go to the other and back.
		chaos(t, rand.New(rand.NewPCG(seed, 1)), func(fs *memFS) Options {
			o := small(fs, "a", "b")
			o.Volumes[0].BytesMax, o.Volumes[1].BytesMax = 1<<30, 1<<30
			return o
		})
	}
}

func chaos(t *testing.T, rnd *rand.Rand, options func(*memFS) Options) {
	fs := newMemFS()
	allowed := map[string][]uint64{}
	n := uint64(0)
	for range 4 {
		s := run(t, options(fs))
		fs.failWith(randomFaults(rnd.Uint64()))
		for range 80 {
			n++
			key := fmt.Sprint("k", rnd.IntN(6))
			switch rnd.IntN(5) {
			case 0:
				if _, err := s.Remove(key); err == nil {
					allowed[key] = nil
				} else if s.Has(key) {
					t.Fatal("removed, and there")
				}
			case 1:
				check(t, s, key, allowed[key])
			default:
				_, err := s.put(draft(key, "", n, rnd.IntN(20000)))
				if err == nil {
					allowed[key] = nil
				}
				if !errors.Is(err, errRefused) {
					allowed[key] = append(allowed[key], n)
				}
			}
			// A failing disk is tried again at once.
			for _, v := range s.volumes {
				v.health.mu.Lock()
				if !v.health.retryAt.IsZero() {
					v.health.retryAt = time.Time{}.Add(1)
				}
				v.health.mu.Unlock()
				v.queue.poke()
			}
		}
		killed := fs.killed()
		s.end()
		fs = killed
	}
	s := run(t, options(fs))
	for key := range maps.Keys(allowed) {
		check(t, s, key, allowed[key])
	}
	s.end()
}

func check(t *testing.T, s *harness, key string, allowed []uint64) {
	t.Helper()
	blobs, _ := s.Get(key)
	for _, b := range blobs {
		seed, err := verify(b)
		if errors.Is(err, errWrong) || err == nil && !slices.Contains(allowed, seed) {
			t.Fatalf("%s is %d, allowed are %v: %v", key, seed, allowed, err)
		}
	}
}

// randomFaults fails one operation in eight.
func randomFaults(seed uint64) func(string, string) (bool, error) {
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 2))
	return func(op, _ string) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		switch rnd.IntN(32) {
		case 0:
			return true, syscall.EIO
		case 1:
			return true, syscall.ENOSPC
		case 2:
			return false, syscall.EIO
		case 3:
			// A short write without an error, as a bad driver does it.
			return op == "write", nil
		}
		return false, nil
	}
}

// TestABodyCantPassForARecord stores the bytes of a segment as a body, and damages its own header so that a scan goes through it.
func TestABodyCantPassForARecord(t *testing.T) {
	victim := newMemFS()
	s := run(t, small(victim, "vol"))
	s.mustPut(draft("victim", "", 1, 1000))
	open := victim.killed()
	s.end()
	for _, from := range []*memFS{open, victim} {
		forged := from.files[segmentPath("vol", 1)].data
		fs := newMemFS()
		s := run(t, small(fs, "vol"))
		s.mustPut(Draft{Key: "evil", Body: bytes.NewReader(forged), Size: int64(len(forged))})
		s.mustPut(draft("good", "", 2, 10))
		fs = fs.killed()
		s.end()
		fs.files[segmentPath("vol", 1)].data[fileHeaderBytes+20] ^= 1
		s = run(t, small(fs, "vol"))
		if s.Has("victim") || s.Has("evil") || !s.Has("good") {
			t.Errorf("victim %v, evil %v, good %v", s.Has("victim"), s.Has("evil"), s.Has("good"))
		}
	}
}

func TestKeysStayOnTheirVolume(t *testing.T) {
	s := run(t, small(newMemFS(), "a", "b", "c"))
	before, counts := map[string]*volume{}, map[*volume]int{}
	for i := range 3000 {
		key := fmt.Sprint("k", i)
		before[key] = s.volumeFor(hashOf(key))
		counts[before[key]]++
	}
	for v, n := range counts {
		if n < 800 {
			t.Errorf("%s has %d of 3000 keys", v.dir, n)
		}
	}
	gone := s.volumes[1]
	gone.health.mu.Lock()
	gone.health.retryAt = time.Now().Add(time.Hour)
	gone.health.mu.Unlock()
	for key, v := range before {
		if now := s.volumeFor(hashOf(key)); now == gone || v != gone && now != v {
			t.Fatalf("%s moved from %s to %s", key, v.dir, now.dir)
		}
	}
}

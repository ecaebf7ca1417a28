package ring_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/ring"
)

func TestLockExcludes(t *testing.T) {
	var lock ring.Lock
	var bell ring.Parking
	const goroutines, rounds = 8, 2000
	count := 0
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := range rounds {
				lock.Acquire(&bell)
				seen := count
				if i%64 == 0 {
					runtime.Gosched() // others find it held, and sleep
				}
				count = seen + 1
				lock.Release(&bell)
			}
		})
	}
	wg.Wait()
	if count != goroutines*rounds {
		t.Errorf("%d increments were seen, want %d: two owners at a time", count, goroutines*rounds)
	}
}

func TestLockThatIsNeverReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lock ring.Lock
		var bell ring.Parking
		lock.Acquire(&bell)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := lock.AcquireContext(ctx, &bell); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("acquired a held lock: %v", err)
		}
		lock.Release(&bell)
		if !lock.TryAcquire() || lock.TryAcquire() {
			t.Error("a released lock is acquired once")
		}
	})
}

// TestWaitLosesNoNotify is the lecture's bounded buffer of one message: one lock, two conditions, one Notify a change. A lost one stops it.
func TestWaitLosesNoNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lock ring.Lock
		var notFull, notEmpty ring.Cond
		var bell ring.Parking
		full, sum := false, 0
		const threads, each = 4, 500
		var wg sync.WaitGroup
		for range threads {
			wg.Go(func() {
				for range each {
					lock.Acquire(&bell)
					for full {
						_ = notFull.Wait(t.Context(), &lock, &bell)
					}
					full = true
					notEmpty.Notify(&bell, 1)
					lock.Release(&bell)
				}
			})
			wg.Go(func() {
				for range each {
					lock.Acquire(&bell)
					for !full {
						_ = notEmpty.Wait(t.Context(), &lock, &bell)
					}
					full = false
					sum++
					notFull.Notify(&bell, 1)
					lock.Release(&bell)
				}
			})
		}
		wg.Wait() // a bubble whose goroutines all sleep fails the test
		if sum != threads*each {
			t.Errorf("%d messages, want %d", sum, threads*each)
		}
	})
}

func TestSendWaitsExactlyWhileFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ring.New[int](3) // not a power of two: what counts is what was asked for
		for i := range 3 {
			if err := r.Send(t.Context(), i); err != nil {
				t.Fatal(err)
			}
		}
		if ok, err := r.TrySend(9); ok || err != nil {
			t.Fatalf("TrySend to a full ring: %v, %v", ok, err)
		}
		sent := make(chan error, 2)
		for i := 3; i < 5; i++ {
			go func() { sent <- r.Send(t.Context(), i) }()
			synctest.Wait()
		}
		if len(sent) != 0 {
			t.Fatal("Send returned while the ring was full")
		}
		if m, err := r.Receive(t.Context()); m != 0 || err != nil {
			t.Fatalf("received %d, %v", m, err)
		}
		synctest.Wait()
		if len(sent) != 1 || r.Len() != 3 {
			t.Fatalf("after one Receive %d senders went on and %d messages are there; want 1 and 3", len(sent), r.Len())
		}
		into := make([]int, 8)
		n, err := r.ReceiveAll(t.Context(), into)
		synctest.Wait()
		if want := []int{1, 2, 3}; err != nil || !slices.Equal(into[:n], want) || len(sent) != 2 {
			t.Fatalf("received %v, %v, and %d senders went on", into[:n], err, len(sent))
		}
	})
}

func TestGivingUpLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ring.New[int](1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("receive from an empty ring: %v", err)
		}
		// Those who gave up are still counted as waiting; who waits now must be woken all the same.
		got := make(chan int, 2)
		for range 2 {
			go func() {
				m, _ := r.Receive(t.Context())
				got <- m
			}()
		}
		synctest.Wait()
		for i := range 2 {
			if err := r.Send(t.Context(), i+1); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if len(got) != 2 || <-got+<-got != 3 {
			t.Fatal("a receiver that waits wasn't woken")
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ring.New[string](2)
		_ = r.Send(t.Context(), "last words")
		blocked := make(chan error, 2)
		r.Close()
		if err := r.Send(t.Context(), "too late"); !errors.Is(err, ring.ErrClosed) {
			t.Errorf("send after close: %v", err)
		}
		if m, err := r.Receive(t.Context()); m != "last words" || err != nil {
			t.Errorf("received %q, %v", m, err)
		}
		if _, err := r.Receive(t.Context()); !errors.Is(err, ring.ErrClosed) {
			t.Errorf("receive after close: %v", err)
		}
		full, empty := ring.New[int](1), ring.New[int](1)
		_ = full.Send(t.Context(), 1)
		go func() { blocked <- full.Send(t.Context(), 2) }()
		go func() { _, err := empty.Receive(t.Context()); blocked <- err }()
		synctest.Wait()
		full.Close()
		empty.Close()
		for range 2 {
			if err := <-blocked; !errors.Is(err, ring.ErrClosed) {
				t.Errorf("who waited got %v", err)
			}
		}
	})
}

func TestNothingIsLostBetweenMany(t *testing.T) {
	for _, capacity := range []int{1, 2, 7, 64} {
		r := ring.New[int](capacity)
		const senders, receivers, each = 4, 3, 3000
		var sending, receiving sync.WaitGroup
		for s := range senders {
			sending.Go(func() {
				for i := range each {
					_ = r.Send(t.Context(), s*each+i)
				}
			})
		}
		seen := make([][]int, receivers)
		for i := range receivers {
			receiving.Go(func() {
				for {
					m, err := r.Receive(t.Context())
					if err != nil {
						return
					}
					seen[i] = append(seen[i], m)
				}
			})
		}
		sending.Wait()
		r.Close()
		receiving.Wait()
		for i, ms := range seen {
			last := map[int]int{}
			for _, m := range ms {
				if before, ok := last[m/each]; ok && before >= m {
					t.Fatalf("receiver %d got %d after %d of the same sender", i, m, before)
				}
				last[m/each] = m
			}
		}
		all := slices.Concat(seen...)
		slices.Sort(all)
		for i, m := range all {
			if m != i || len(all) != senders*each {
				t.Fatalf("capacity %d: %d messages of %d; number %d is %d", capacity, len(all), senders*each, i, m)
			}
		}
	}
}

//go:build linux

package apart

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/vmm/backend"
)

// killsDefault is how often TestKills kills the monitor where envKills doesn't say.
const (
	killsDefault = 20
	envKills     = "WHERRY_MONITOR_KILLS"
)

// failure is a request that wasn't answered: when it began, and how it ended.
type failure struct {
	began, ended time.Time
	err          error
}

// TestKills kills the monitor again and again while it is asked: only requests that were under way fail, with 502, and nothing is left of monitors.
func TestKills(t *testing.T) {
	kills := killsDefault
	if text := os.Getenv(envKills); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	h := running(t, Options{Compute: compute.Options{Machine: backend.Emulator}})
	h.again.never = true
	deploy(t, h, guest(t))
	mustGet(t, h, "guest", "/count", "1")

	var mu sync.Mutex
	var failures []failure
	var end atomic.Bool
	var calls atomic.Int64
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for !end.Load() {
				began := time.Now()
				got, err := get(h, "guest", "/count")
				calls.Add(1)
				switch {
				case err != nil:
					mu.Lock()
					failures = append(failures, failure{began, time.Now(), err})
					mu.Unlock()
				case got != "1":
					t.Errorf("%q", got)
				}
			}
		})
	}
	var killed [][2]time.Time // from the signal until the edge knows
	var counted uint64
	var resources [2]usage
	var down time.Duration
	for i := range kills {
		s, err := h.await(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		for before := calls.Load(); calls.Load() < before+4; {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(rand.N(20 * time.Millisecond))
		if n := h.Metrics()["guest"].Calls; n < counted {
			t.Errorf("%d calls are counted, after %d", n, counted)
		} else {
			counted = n
		}
		if i == kills/4 {
			resources[0] = used(t)
		}
		now := time.Now()
		if err := unix.Kill(s.cmd.Process.Pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-s.link.Context().Done()
		killed = append(killed, [2]time.Time{now, time.Now()})
		for next := s; next == s; {
			if next, err = h.await(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}
		down += time.Since(now)
	}
	end.Store(true)
	callers.Wait()
	resources[1] = used(t)
	for _, f := range failures {
		if got := fault.Of(f.err); got.Party != fault.Edge || got.Status != http.StatusBadGateway || !got.Retry {
			t.Errorf("%+v", got)
		}
		if !during(killed, f) {
			t.Errorf("a request failed from %v to %v, and no kill was then: %v", f.began, f.ended, f.err)
		}
	}
	m := h.Metrics()["guest"]
	if m.Errors[lostKind] != uint64(len(failures)) || h.Restarts() < uint64(kills) {
		t.Errorf("%d requests failed, counted are %v; %d restarts", len(failures), m.Errors, h.Restarts())
	}
	t.Logf("%d kills, %d calls, %d failed; %v from a kill to the next monitor with its programs; before and after: %+v", kills, calls.Load(), len(failures), down/time.Duration(kills), resources)
	a, b := resources[0], resources[1]
	if b.goroutines > a.goroutines+8 || b.files > a.files+8 || b.memory > a.memory+16<<20 {
		t.Errorf("something is left of monitors: %+v, before %+v", b, a)
	}
}

// during reports whether f was under way at a kill.
func during(killed [][2]time.Time, f failure) bool {
	for _, k := range killed {
		if f.began.Before(k[1]) && f.ended.After(k[0]) {
			return true
		}
	}
	return false
}

// usage is what this process has.
type usage struct {
	goroutines, files int
	memory            int64 // of the heap and of mappings
}

func used(t *testing.T) usage {
	t.Helper()
	runtime.GC()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{runtime.NumGoroutine(), len(files), int64(m.HeapAlloc) + int64(strings.Count(string(maps), "wherry-monitor"))<<22}
}

// TestRestartHasTheLatestPrograms kills the monitor while programs are ready to be committed: the next one has them.
func TestRestartHasTheLatestPrograms(t *testing.T) {
	h := running(t, Options{Compute: compute.Options{Machine: backend.Emulator}})
	deploy(t, h, guest(t))
	next := guest(t)
	next.Env = append(next.Env, "SAY=next-")
	c, err := h.Prepare(t.Context(), []compute.Program{next})
	if err != nil {
		t.Fatal(err)
	}
	pid := h.pid(t)
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for h.pid(t) == pid {
		time.Sleep(time.Millisecond)
	}
	mustGet(t, h, "guest", "/count", "1")
	c.Commit(func() {})
	mustGet(t, h, "guest", "/count", "next-1")
	if got := h.Restarts(); got != 1 {
		t.Errorf("%d restarts", got)
	}
	deploy(t, h)
	if _, err := get(h, "guest", "/count"); fault.Of(err).Party != fault.Config {
		t.Errorf("it was removed: %v", err)
	}
}

// BenchmarkSmall asks for a small response, in this process and apart, by one and by twelve.
func BenchmarkSmall(b *testing.B) {
	p := guest(b)
	inside, err := compute.New(compute.Options{Machine: backend.Emulator})
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = inside.Run(b.Context()) }()
	if _, err := inside.Deploy(b.Context(), p); err != nil {
		b.Fatal(err)
	}
	apart := running(b, Options{Compute: compute.Options{Machine: backend.Emulator}})
	deploy(b, apart, p)
	for name, r := range map[string]http.RoundTripper{"inside": inside.RoundTripper("guest"), "apart": apart.RoundTripper("guest")} {
		for _, clients := range []int{1, 12} {
			b.Run(fmt.Sprintf("%s/%d", name, clients), func(b *testing.B) { small(b, apart, r, clients) })
		}
	}
}

func small(b *testing.B, apart *Host, r http.RoundTripper, clients int) {
	before := cpu(b, apart)
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	b.ResetTimer()
	for range clients {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				request, err := http.NewRequest(http.MethodGet, "http://shop.example/count", nil)
				if err != nil {
					b.Error(err)
					return
				}
				response, err := r.RoundTrip(request)
				if err != nil {
					b.Error(err)
					return
				}
				var text [8]byte
				_, _ = response.Body.Read(text[:])
				_ = response.Body.Close()
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64((cpu(b, apart)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// cpu is the time of this process and of the monitor.
func cpu(b *testing.B, h *Host) time.Duration {
	b.Helper()
	total := time.Duration(0)
	for _, pid := range []int{os.Getpid(), h.pid(b)} {
		var t unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil { // CPUCLOCK_SCHED of a process (linux/posix-timers.h)
			b.Fatal(err)
		}
		total += time.Duration(t.Nano())
	}
	return total
}

// TestStandsStill stops the monitor while it is asked: it is ended, the request fails with 502, and the next one is answered by another.
func TestStandsStill(t *testing.T) {
	h := running(t, Options{Compute: compute.Options{Machine: backend.Emulator}})
	h.silence = 2 * time.Second
	deploy(t, h, guest(t))
	mustGet(t, h, "guest", "/count", "1")
	pid := h.pid(t)
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil { // until all its threads stand; before that it may answer
		t.Fatal(err)
	}
	_, err := get(h, "guest", "/count")
	if got := fault.Of(err); got.Party != fault.Edge || got.Status != http.StatusBadGateway || !got.Retry {
		t.Errorf("%+v", got)
	}
	mustGet(t, h, "guest", "/count", "1")
	if h.Restarts() == 0 {
		t.Error("it wasn't ended")
	}
}

// TestOverdue waits for turns that don't end; one that is late for a moment isn't one.
func TestOverdue(t *testing.T) {
	looks := []time.Duration{0, time.Minute, time.Minute, 0, time.Minute, time.Minute, time.Minute}
	next := func() time.Duration {
		look := looks[0]
		looks = looks[1:]
		return look
	}
	if !overdue(t.Context(), next, time.Microsecond) || len(looks) != 0 {
		t.Errorf("it ended with %d looks left", len(looks))
	}
	ctx, cancel := context.WithCancel(t.Context())
	if overdue(ctx, func() time.Duration { cancel(); return time.Minute }, time.Microsecond) {
		t.Error("it doesn't end with its context")
	}
}

// TestImagesCrossOnce deploys a large program again beside another one: its image doesn't cross again, and what it remembers stays.
func TestImagesCrossOnce(t *testing.T) {
	h := running(t, Options{Compute: compute.Options{Machine: backend.Emulator}})
	keeps := guest(t)
	keeps.Isolation = compute.PerInstance
	deploy(t, h, keeps)
	mustGet(t, h, "guest", "/count", "1")
	other := guest(t)
	other.Name = "other"
	for range 2 { // the second time by a monitor that was restarted, which has them as well
		s, err := h.await(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		if fresh, kept := h.unlike([]compute.Program{other, keeps}, s); len(fresh) != 1 || len(kept) != 1 || kept[0] != "guest" {
			t.Errorf("%d programs cross, %q are kept", len(fresh), kept)
		}
		if err := unix.Kill(s.cmd.Process.Pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for h.pid(t) == s.cmd.Process.Pid {
			time.Sleep(time.Millisecond)
		}
	}
	mustGet(t, h, "guest", "/count", "1")
	reports := deploy(t, h, other, keeps)
	if !reports["guest"].Unchanged || reports["other"].Unchanged {
		t.Errorf("%+v", reports)
	}
	mustGet(t, h, "guest", "/count", "2")
	mustGet(t, h, "other", "/count", "1")
	keeps.Env = append(keeps.Env, "SAY=new-")
	if reports = deploy(t, h, keeps); reports["guest"].Unchanged {
		t.Errorf("%+v", reports)
	}
	mustGet(t, h, "guest", "/count", "new-1")
}

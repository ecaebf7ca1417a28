package compute

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/vmm/backend"
)

// TestRedeploy replaces a program again and again while it is asked: each request is answered by one version or the next.
func TestRedeploy(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		p := guest(t)
		version := func(say string) Program {
			q := p
			q.Env = append([]string{"SAY=" + say}, p.Env...)
			return q
		}
		deploy(t, h, version("v0-"))
		var end atomic.Bool
		var callers sync.WaitGroup
		var calls atomic.Int64
		for range 3 {
			callers.Go(func() {
				for last := ""; !end.Load(); calls.Add(1) {
					got, err := get(h, "guest", "/count")
					if err != nil || !strings.HasSuffix(got, "-1") || got < last {
						t.Errorf("%q, %v, after %q", got, err, last)
						return
					}
					last = got
				}
			})
		}
		for n := range 4 {
			if report := deploy(t, h, version("v"+string(rune('1'+n))+"-")); report.Unchanged {
				t.Error("another program isn't told from the one before")
			}
		}
		end.Store(true)
		callers.Wait()
		mustGet(t, h, "guest", "/count", "v4-1")
		if calls.Load() == 0 {
			t.Error("nobody asked")
		}
		if again := deploy(t, h, version("v4-")); !again.Unchanged || again.Boot != 0 {
			t.Errorf("the same program again: %+v", again)
		}
	})
}

// TestBadDeployments are refused with a reason, and the program before goes on.
func TestBadDeployments(t *testing.T) {
	h := running(t, Options{Machine: backend.Emulator, Memory: 512 << 20})
	good := guest(t)
	deploy(t, h, good)
	changed := func(change func(*Program)) Program {
		p := good
		change(&p)
		return p
	}
	arm := append([]byte(nil), good.Image...)
	arm[18] = 183 // e_machine
	for want, p := range map[string]Program{
		"not an ELF file":       changed(func(p *Program) { p.Image = []byte("#!/bin/sh\n") }),
		"build it for x86-64":   changed(func(p *Program) { p.Image = arm }),
		"as asked":              changed(func(p *Program) { p.Env = []string{"START=crash"} }),
		"exited with status 0":  changed(func(p *Program) { p.Env = []string{"START=exit"} }),
		"all programs together": changed(func(p *Program) { p.Memory = 1 << 30 }),
		"isolation by \"none\"": changed(func(p *Program) { p.Isolation = "none" }),
		"listens on port 70000": changed(func(p *Program) { p.Listen = 70_000 }),
		"a concurrency of -1":   changed(func(p *Program) { p.Limits.Concurrency = -1 }),
	} {
		if _, err := h.Deploy(t.Context(), p); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"guest"`) {
			t.Errorf("%v, want %s", err, want)
		}
		mustGet(t, h, "guest", "/count", "1")
	}
	if err := h.Remove("guest"); err != nil {
		t.Fatal(err)
	}
	if _, err := get(h, "guest", "/count"); fault.Of(err).Status != http.StatusServiceUnavailable {
		t.Errorf("a removed program: %v", err)
	}
	if err := h.Remove("guest"); err == nil {
		t.Error("it was removed twice")
	}
}

// TestScaleToZero lets go of idle instances; the next request has a new one.
func TestScaleToZero(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	h := running(t, Options{Machine: backend.Emulator, Now: func() time.Time { return now }})
	deploy(t, h, guest(t))
	mustGet(t, h, "guest", "/count", "1")
	before := quiet(h)["guest"]
	h.sweep(now.Add(idleDefault - 1))
	if m := h.Metrics()["guest"]; m.Ready != 1 {
		t.Errorf("too early: %+v", m)
	}
	h.sweep(now.Add(idleDefault))
	if m := h.Metrics()["guest"]; m.Ready != 0 || m.Memory >= before.Memory || m.Exits["system call"] < before.Exits["system call"] {
		t.Errorf("idle for long: %+v, before %+v", m, before)
	}
	mustGet(t, h, "guest", "/count", "1")
	if m := quiet(h)["guest"]; m.Ready != 1 || m.ColdStarts != 1 {
		t.Errorf("asked again: %+v", m)
	}
}

// TestEviction has more programs than memory for their instances: who is asked most stays.
func TestEviction(t *testing.T) {
	p := guest(t)
	p.Memory = 64 << 20
	budget := int64(96 << 20)
	h := running(t, Options{Machine: backend.Emulator, Memory: budget})
	names := []string{"often", "b", "c", "d", "e", "f", "g", "h"}
	for _, name := range names {
		p.Name = name
		deploy(t, h, p)
	}
	h.mu.Lock()
	h.options.Memory = h.memory - h.idle + p.Memory + 3*overhead // what one call and not all idle instances have room in
	budget = h.options.Memory
	h.mu.Unlock()
	for range 10 {
		for _, name := range names {
			mustGet(t, h, "often", "/count", "1")
			mustGet(t, h, name, "/count", "1")
			if n := h.Memory(); n > budget {
				t.Fatalf("%d bytes of %d", n, budget)
			}
		}
	}
	evictions := uint64(0)
	all := quiet(h)
	for _, name := range names[1:] {
		evictions += all[name].Evictions
	}
	if evictions == 0 || all["often"].ColdStarts > 1 {
		t.Errorf("%d evictions of others; the one asked most started %d times in %d calls", evictions, all["often"].ColdStarts, all["often"].Calls)
	}
}

// TestFairness has one tenant's programs loop to their limit, with many requests at a time, while another asks one after another.
func TestFairness(t *testing.T) {
	h := running(t, Options{Machine: backend.Emulator})
	p := guest(t)
	deploy(t, h, p)
	p.Name, p.Tenant, p.Limits.CPU, p.Memory = "loops", "hostile", 20*time.Millisecond, 32<<20
	deploy(t, h, p)
	var end atomic.Bool
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			for !end.Load() {
				_, err := get(h, "loops", "/loop")
				if l := new(LimitError); !errors.As(err, &l) || l.Limit != "cpu" {
					t.Error(err)
					return
				}
			}
		})
	}
	for h.Metrics()["loops"].Calls < 4 {
		runtime.Gosched()
	}
	before := h.Metrics()["loops"].Calls
	const asked = 100
	for range asked {
		mustGet(t, h, "guest", "/count", "1")
	}
	if loops := h.Metrics()["loops"].Calls - before; loops > 2*asked {
		t.Errorf("%d loops to the limit while another's %d small requests waited", loops, asked)
	}
	end.Store(true)
	callers.Wait()
}

// TestOverload asks for more than there is room to wait.
func TestOverload(t *testing.T) {
	h, err := New(Options{Machine: backend.Emulator})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	deploy(t, h, guest(t))
	var callers sync.WaitGroup
	var refused, stopped atomic.Int64
	const extra = 10
	for range queueMax + extra { // nobody works
		callers.Go(func() {
			response, err := h.RoundTripper("guest").RoundTrip(httptest.NewRequest(http.MethodGet, "http://a/count", nil))
			switch {
			case err != nil && fault.Of(err).Status == http.StatusServiceUnavailable:
				stopped.Add(1)
			case err == nil && response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") == "1":
				if refused.Add(1) == extra {
					h.refuseAll()
				}
			default:
				t.Error(response, err)
			}
		})
	}
	callers.Wait()
	if refused.Load() != extra || stopped.Load() != queueMax || h.Metrics()["guest"].Errors["queue"] != extra {
		t.Errorf("%d were refused, %d waited until the end", refused.Load(), stopped.Load())
	}
}

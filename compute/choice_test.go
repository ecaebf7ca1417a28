package compute

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/wherry/wherry/vmm/backend"
)

// TestChoice has a program asked until the emulator was tried with it, on a host where that may pay: it stays there or goes back, as its calls cost, and answers all the time.
func TestChoice(t *testing.T) {
	if host := backend.Find(); !host.KVM {
		t.Skip(host.WhyNot)
	}
	for _, c := range []struct {
		name string
		cost time.Duration // of calls in the emulator
		want backend.Kind
	}{
		{"cheaper", 0, backend.Emulator},
		{"not cheaper", time.Second, backend.KVM},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := running(t, Options{})
			h.mu.Lock()
			h.dear = true
			h.mu.Unlock()
			deploy(t, h, guest(t))
			for range recordAfter + 1 {
				mustGet(t, h, "guest", "/count", "1")
			}
			if got := h.Metrics()["guest"].Machine; got != string(backend.KVM) {
				t.Fatalf("it begins on %s", got)
			}
			v := h.programs["guest"].current
			if exits(backend.Auto) < exitDear { // the host's exits are cheap, and so nobody tries
				if err := h.try(t.Context(), v); err != nil {
					t.Fatal(err)
				}
			}
			for h.Metrics()["guest"].Machine != string(backend.Emulator) {
				mustGet(t, h, "guest", "/count", "1")
			}
			h.mu.Lock()
			tried := h.programs["guest"].current
			if tried.instead != v {
				t.Error("the version before isn't kept")
			}
			for range recordAfter {
				tried.record.add(c.cost)
			}
			h.mu.Unlock()
			for settled := false; !settled; {
				mustGet(t, h, "guest", "/count", "1")
				h.mu.Lock()
				for range recordSize {
					tried.record.add(c.cost)
				}
				h.mu.Unlock()
				if exits(backend.Auto) < exitDear {
					h.choose()
				}
				h.mu.Lock()
				settled = h.programs["guest"].current.settled
				h.mu.Unlock()
			}
			if got := h.Metrics()["guest"].Machine; got != string(c.want) {
				t.Errorf("it runs on %s, want %s", got, c.want)
			}
			for range 3 {
				mustGet(t, h, "guest", "/count", "1")
			}
			if c.want == backend.KVM && h.programs["guest"].current != v {
				t.Error("it isn't the version before")
			}
		})
	}
}

// TestServersBeginInTheEmulator deploys a server where exits cost much: it begins in the emulator unless it is to be elsewhere, and is tried on KVM if its calls are long.
func TestServersBeginInTheEmulator(t *testing.T) {
	if host := backend.Find(); !host.KVM {
		t.Skip(host.WhyNot)
	}
	for _, c := range []struct {
		says, begins, ends backend.Kind
		isolation          Isolation
		cost               time.Duration // of calls where it begins; they are free elsewhere
	}{
		{"", backend.Emulator, backend.Emulator, PerConnection, time.Microsecond},
		{"", backend.Emulator, backend.KVM, PerInstance, 10 * time.Millisecond},
		{backend.Auto, backend.Emulator, backend.KVM, PerConnection, 10 * time.Millisecond},
		{backend.KVM, backend.KVM, backend.KVM, PerConnection, 10 * time.Millisecond},
		{backend.Emulator, backend.Emulator, backend.Emulator, PerRequest, 10 * time.Millisecond},
	} {
		h := running(t, Options{})
		h.mu.Lock()
		h.dear, h.dearest = true, true
		h.mu.Unlock()
		p := server(t, c.isolation)
		p.Machine = c.says
		deploy(t, h, p)
		machine := func() backend.Kind {
			if _, err := send(h, p.Name, httptest.NewRequest(http.MethodGet, "http://shop.example/count", nil)); err != nil {
				t.Fatal(err)
			}
			return backend.Kind(h.Metrics()[p.Name].Machine)
		}
		if got := machine(); got != c.begins {
			t.Errorf("%+v: it begins on %s", c, got)
		}
		for {
			h.mu.Lock()
			v := h.programs[p.Name].current
			settled := v.settled
			for range recordAfter {
				if v.snapshot.Kind() == string(c.begins) {
					h.note(v, c.cost)
				} else {
					h.note(v, 0)
				}
			}
			h.mu.Unlock()
			if settled {
				break
			}
			if try := h.choose(); try != nil {
				if err := h.try(t.Context(), try); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := machine(); got != c.ends {
			t.Errorf("%+v: it ends on %s", c, got)
		}
	}
}

// TestChoiceEnds removes, and replaces, a program while the emulator is tried with it: nothing of either is left.
func TestChoiceEnds(t *testing.T) {
	if host := backend.Find(); !host.KVM {
		t.Skip(host.WhyNot)
	}
	for _, replaced := range []bool{false, true} {
		h := running(t, Options{})
		deploy(t, h, guest(t))
		mustGet(t, h, "guest", "/count", "1")
		v := h.programs["guest"].current
		if err := h.try(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		mustGet(t, h, "guest", "/count", "1")
		next := guest(t)
		next.Env = append(next.Env, "SAY=next-")
		if replaced {
			deploy(t, h, next)
			mustGet(t, h, "guest", "/count", "next-1")
		} else if err := h.Remove("guest"); err != nil {
			t.Fatal(err)
		}
		h.mu.Lock()
		if v.snapshot != nil || v.kept {
			t.Error("the version that was kept is still there")
		}
		h.mu.Unlock()
		if err := h.try(t.Context(), v); err != nil { // it is over: there is nothing to try
			t.Error(err)
		}
	}
}

func TestRecord(t *testing.T) {
	var r record
	if _, ok := r.mean(); ok {
		t.Error("no calls are enough")
	}
	for range recordAfter - recordSize {
		r.add(time.Hour)
	}
	for i := range recordSize {
		if _, ok := r.mean(); ok {
			t.Errorf("%d calls are enough", i)
		}
		r.add(time.Millisecond)
	}
	if got, ok := r.mean(); !ok || got != time.Millisecond {
		t.Errorf("the mean of the last ones is %v, %v", got, ok)
	}
}

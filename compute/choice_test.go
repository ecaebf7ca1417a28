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
			h := running(t, Options{exit: exitDear})
			deploy(t, h, guest(t))
			v := h.programs["guest"].current
			if got := v.snapshot.Kind(); got != string(backend.KVM) {
				t.Fatalf("it begins on %s", got)
			}
			var tried *version
			for tried == nil {
				mustGet(t, h, "guest", "/count", "1")
				h.mu.Lock()
				if now := h.programs["guest"].current; now != v {
					tried = now
				}
				h.mu.Unlock()
			}
			if tried.instead != v || tried.snapshot.Kind() != string(backend.Emulator) {
				t.Error("the version before isn't kept, or it isn't the emulator that is tried")
			}
			for settled := false; !settled; {
				mustGet(t, h, "guest", "/count", "1")
				h.mu.Lock()
				for range recordAfter {
					tried.record.add(c.cost)
				}
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

// TestBeginsInTheEmulator deploys programs where exits cost much: they begin in the emulator unless they are to be elsewhere, and are tried on KVM if their calls are long.
func TestBeginsInTheEmulator(t *testing.T) {
	if host := backend.Find(); !host.KVM {
		t.Skip(host.WhyNot)
	}
	for _, c := range []struct {
		says, begins, ends backend.Kind
		isolation          Isolation
		cost               time.Duration // of calls where it begins; elsewhere they are free
	}{
		{"", backend.Emulator, backend.Emulator, PerConnection, time.Microsecond},
		{"", backend.Emulator, backend.KVM, PerInstance, 10 * time.Millisecond},
		{backend.Auto, backend.Emulator, backend.KVM, PerConnection, time.Second},
		{backend.KVM, backend.KVM, backend.KVM, PerConnection, 10 * time.Millisecond},
		{backend.Emulator, backend.Emulator, backend.Emulator, PerRequest, 10 * time.Millisecond},
	} {
		h := running(t, Options{exit: exitDearest})
		p := server(t, c.isolation)
		p.Machine = c.says
		deploy(t, h, p)
		if got := h.programs[p.Name].current.snapshot.Kind(); got != string(c.begins) {
			t.Errorf("%+v: it begins on %s", c, got)
		}
		for settled := false; !settled; time.Sleep(time.Millisecond) {
			h.mu.Lock()
			v := h.programs[p.Name].current
			settled = v.settled
			for range recordAfter {
				if v.snapshot.Kind() == string(c.begins) {
					h.note(v, c.cost)
				} else {
					h.note(v, 0)
				}
			}
			h.mu.Unlock()
		}
		if _, err := send(h, p.Name, httptest.NewRequest(http.MethodGet, "http://shop.example/count", nil)); err != nil {
			t.Error(err)
		}
		if got := h.Metrics()[p.Name].Machine; got != string(c.ends) {
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
		r.add(recordTime / recordAfter)
	}
	for i := range recordSize {
		if _, ok := r.mean(); ok {
			t.Errorf("%d calls are enough", i)
		}
		r.add(time.Microsecond)
	}
	if got, ok := r.mean(); !ok || got != time.Microsecond {
		t.Errorf("the mean of the last ones is %v, %v", got, ok)
	}
	long := record{}
	for range 3 {
		if _, ok := long.mean(); ok {
			t.Error("it has taken too little time")
		}
		long.add(recordTime / 3)
	}
	long.add(recordTime / 3)
	if got, ok := long.mean(); !ok || got != recordTime/3 {
		t.Errorf("the mean of long calls is %v, %v", got, ok)
	}
}

package linux

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/wherry/wherry/vmm"
)

// clockGuests read the time so often as their first argument says.
func clockGuests(t testing.TB) map[string]string {
	return map[string]string{
		"go": buildGo(t, "clock"), "musl": buildC(t, "musl-gcc", "clock"), "glibc": buildC(t, "gcc", "clock"),
	}
}

// callsForTime is how many system calls asked for the time.
func callsForTime(p *Process) uint64 {
	n := uint64(0)
	for _, name := range []string{"clock_gettime", "gettimeofday", "time", "clock_getres"} {
		n += p.Metrics().Calls[name]
	}
	return n
}

// agrees is how far a program's time may be from the host's.
const agrees = int64(time.Millisecond)

func TestTimeCostsNoSystemCall(t *testing.T) {
	for name, file := range clockGuests(t) {
		t.Run(name, func(t *testing.T) {
			onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
				m := newMachine()
				before := time.Now().UnixNano()
				r := runGuest(t, m, file, Options{Args: []string{"clock", "20000"}}, "")
				after := time.Now().UnixNano()
				var begin, end, took int64
				if _, err := fmt.Sscan(r.out, &begin, &end, &took); err != nil || r.stop.Kind != Exited || r.stop.Status != 0 {
					t.Fatalf("%+v %q", r.stop, r.out)
				}
				if begin < before-agrees || end > after+agrees || took < end-begin-agrees || took > end-begin+agrees {
					t.Errorf("the program's time is %d to %d, %d ns, the host's %d to %d", begin, end, took, before, after)
				}
				calls := callsForTime(r.p)
				t.Logf("%d calls, %d ns", calls, took)
				if m.Caps().HostCounter && calls != 0 {
					t.Errorf("%d system calls asked for the time", calls)
				}
			})
		})
	}
}

func TestVirtualTimeCostsNoSystemCall(t *testing.T) {
	for name, file := range clockGuests(t) {
		t.Run(name, func(t *testing.T) {
			var first string
			for range 2 {
				m, _ := backends["emulator"]()
				r := runGuest(t, m, file, Options{Args: []string{"clock", "1000"}, Time: Time{Virtual: true, Start: time.Unix(1e9, 0)}}, "")
				if r.stop.Kind != Exited || r.stop.Status != 0 || callsForTime(r.p) != 0 {
					t.Errorf("%+v %q, %d system calls asked for the time", r.stop, r.out, callsForTime(r.p))
				}
				if first != "" && first != r.out {
					t.Errorf("%q, the first time %q", r.out, first)
				}
				first = r.out
				_ = m.Close()
			}
		})
	}
}

// TestTimeAfterRestoreGoesOnFromTheCheckpoints also has a machine whose memory says nothing right for the counter of another.
func TestTimeAfterRestoreGoesOnFromTheCheckpoints(t *testing.T) {
	file := buildC(t, "musl-gcc", "clock")
	onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
		args := Options{Memory: 64 << 20, Args: []string{"clock", "100", "again"}}
		s, images := snapshotWith(t, newMachine(), file, args)
		checkpoint := s.numbers.Monotonic
		var out bytes.Buffer
		p := resume(t, newMachine(), s, images, &out)
		for range 3 {
			out.Reset()
			began := time.Now()
			p.WriteStdin([]byte("again\n"))
			if stop, err := p.Run(context.Background()); err != nil || stop.Kind != WantsInput {
				t.Fatalf("%+v %v %q", stop, err, out.String())
			}
			ended := time.Now()
			var begin, end, took, monotonic int64
			if _, err := fmt.Sscan(out.String(), &begin, &end, &took, &monotonic); err != nil {
				t.Fatal(err, out.String())
			}
			if monotonic < checkpoint || monotonic > checkpoint+int64(ended.Sub(began))+agrees {
				t.Errorf("the monotonic clock is %d, the checkpoint's %d, and %v have passed", monotonic, checkpoint, ended.Sub(began))
			}
			if begin < began.UnixNano()-agrees || end > ended.UnixNano()+agrees {
				t.Errorf("the program's time is %d to %d, the host's %v to %v", begin, end, began, ended)
			}
			reset(t, p, s)
		}
	})
}

// TestTimeOfThreads has threads be stopped between any two instructions: then what one has read of the data page isn't the page's any more.
func TestTimeOfThreads(t *testing.T) {
	file := buildGo(t, "clock")
	onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
		m := newMachine()
		for seed := range uint64(4) {
			o := Options{
				Args: []string{"clock", "1000", "3"}, Time: Time{Virtual: m.Caps().Deterministic},
				Slice: Slice{Instructions: 2000, CPU: 200 * time.Microsecond, Random: 1 + seed},
			}
			o.Time.Start = time.Unix(1e9, 0)
			r := runGuest(t, m, file, o, "")
			if r.stop.Kind != Exited || r.stop.Status != 0 {
				t.Fatalf("seed %d: %+v %q", seed, r.stop, r.out)
			}
			if n := callsForTime(r.p); n > 0 {
				t.Errorf("seed %d: %d system calls asked for the time", seed, n)
			}
			m = newMachine()
		}
	})
}

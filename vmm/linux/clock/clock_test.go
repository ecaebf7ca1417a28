package clock

import (
	"testing"
	"time"

	"github.com/wherry/wherry/vmm/linux/vdso"
)

func TestTimeNeverGoesBehindWhatWasRead(t *testing.T) {
	const rate = vdso.RateOne / 2 // the counter has two ticks a nanosecond
	for name, drift := range map[string]float64{"same": 1, "host slower": 0.9996, "host faster": 1.0004} {
		t.Run(name, func(t *testing.T) {
			c := Clock{Counter: Host}
			last, counter := int64(0), uint64(5000)
			for i := range 10000 {
				counter += uint64(1000 + i*7919%4_000_000)
				now := int64(float64(counter) / 2 * drift)
				page := c.Page(0)
				c.follow(now, counter, rate)
				if page.On && c.Monotonic < page.At(counter) || c.Monotonic < last {
					t.Fatalf("tick %d: %d, the program may have read %d, and the last was %d", i, c.Monotonic, page.At(counter), last)
				}
				if lead := c.Monotonic - now; lead < 0 || lead > int64(20*time.Microsecond) {
					t.Fatalf("tick %d: %d ns before the host", i, lead)
				}
				last = c.Monotonic
			}
		})
	}
}

func TestACounterThatJumpsIsNoClock(t *testing.T) {
	c := Clock{Counter: Host}
	c.follow(1000, 1000, vdso.RateOne)
	if !c.Page(0).On {
		t.Fatal("the counter isn't used")
	}
	c.follow(2000, 1<<40, vdso.RateOne)
	if c.Monotonic != 2000 || c.Page(0).On {
		t.Errorf("at %d, counter used: %v", c.Monotonic, c.Page(0).On)
	}
}

func TestAFreshPageIsTheTime(t *testing.T) {
	c := Clock{Counter: Host}
	c.follow(1000, 5000, vdso.RateOne)
	page := c.Page(0)
	if !c.fresh(5100) || c.Monotonic != 1100 || c.Page(0) != page {
		t.Errorf("at %d", c.Monotonic)
	}
	if c.fresh(4000) || c.fresh(5001+uint64(freshFor)) || c.Monotonic != 1100 {
		t.Errorf("an old page is fresh, or the counter went back; at %d", c.Monotonic)
	}
}

func TestVirtualTimeIsInstructions(t *testing.T) {
	c := New(true, time.Unix(1000, 0), Instructions)
	c.Tick(500)
	p := c.Page(700)
	if got := p.At(900) + p.RealOffset; got != 1000*int64(time.Second)+700 {
		t.Errorf("%d", got)
	}
}

package clock

import (
	"math/bits"
	"sync"
	"time"

	"github.com/wherry/wherry/internal/tsc"
	"github.com/wherry/wherry/vmm/linux/vdso"
)

// pairTries is how often the counter and the clock are read together, until they were read within pairTicks: a thread may be stopped in between.
const (
	pairTries = 4
	pairTicks = 2000
)

// pair is the host's clock, and the counter at that time or a little later: so the program's time is a little behind the host's, not before it.
func pair() (int64, uint64) {
	var now int64
	var after uint64
	for range pairTries {
		before := tsc.Read()
		now = hostNow()
		if after = tsc.Read(); after-before < pairTicks {
			break
		}
	}
	return now, after
}

// rateTime is for how long the rate is measured at least: reading takes some 50 ns, which are 25 millionths of it.
const rateTime = int64(2 * time.Millisecond)

// rate is how many nanoseconds a tick of the counter takes, × 2³², or 0 where the counter is no clock. It's measured from the start of this process on.
var rate = sync.OnceValue(func() uint64 {
	if !tsc.Steady() {
		return 0
	}
	now, counter := pair()
	for now < rateTime {
		now, counter = pair()
	}
	high, low := bits.Mul64(uint64(now), vdso.RateOne)
	ticks := counter - startedCounter
	if high >= ticks {
		return 0
	}
	r, _ := bits.Div64(high, low, ticks)
	return r
})

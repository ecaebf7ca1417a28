package clock

import (
	"math"
	"time"

	"github.com/wherry/wherry/internal/tsc"
	"github.com/wherry/wherry/vmm/linux/vdso"
)

// Clock is the program's time, in nanoseconds. It moves by Tick and Pass, between runs of tasks, and stands still in a call.
type Clock struct {
	Virtual    bool
	Monotonic  int64
	RealOffset int64 // what to add for CLOCK_REALTIME
	// Counter says what the program reads by RDTSC.
	Counter Counter

	offset int64     // of the host's clock: what to add to hostNow
	page   vdso.Page // that the program reads its time by, but for RealOffset
}

// Counter is what RDTSC is in a machine.
type Counter uint8

const (
	// Unrelated to any clock: the program makes system calls.
	Unrelated Counter = iota
	// Host is the host's own counter.
	Host
	// Instructions are the executed ones, of which each is a nanosecond of virtual time.
	Instructions
)

// started is where this process's monotonic clock begins, and what the counter was.
var started, startedCounter = time.Now(), tsc.Read()

func hostNow() int64 { return int64(time.Since(started)) }

// uptime is what the monotonic clock says when a program starts: a machine that was just switched on confuses some.
const uptime = int64(time.Hour)

// New is a clock at the start of a program. Virtual time begins at start.
func New(virtual bool, start time.Time, counter Counter) Clock {
	c := Clock{Virtual: virtual, Monotonic: uptime, Counter: counter}
	begin := start.UnixNano()
	if !virtual {
		begin = time.Now().UnixNano()
		c.offset = uptime - hostNow()
	}
	c.RealOffset = begin - c.Monotonic
	return c
}

// Restore goes on from a checkpoint's time. What CLOCK_REALTIME says is the host's, unless time is virtual.
func (c *Clock) Restore(monotonic, realOffset int64) {
	c.Monotonic, c.RealOffset, c.page.On = monotonic, realOffset, false
	if !c.Virtual {
		c.offset = monotonic - hostNow()
		c.RealOffset = time.Now().UnixNano() - monotonic
	}
}

// Tick has the time pass that the machine ran.
func (c *Clock) Tick(ran int64) {
	if c.Virtual {
		c.Monotonic = Add(c.Monotonic, ran)
		return
	}
	c.pass(true)
}

// Pass has the time pass in which the machine didn't run. Virtual time stands still.
func (c *Clock) Pass() {
	if !c.Virtual {
		c.pass(false)
	}
}

func (c *Clock) pass(ran bool) {
	if c.Counter != Host {
		c.Monotonic = max(c.Monotonic, hostNow()+c.offset)
		return
	}
	if c.page.On && c.fresh(tsc.Read()) {
		return
	}
	c.page.On = c.page.On && ran // else the program has read nothing since
	now, counter := pair()
	c.follow(now+c.offset, counter, rate())
}

// freshFor is for how long the data page is good for us, too: there is less to do at an exit. What the host's clock is slewed by in that time, and what rate
// is wrong by, is less than a microsecond.
const freshFor = int64(time.Millisecond)

// fresh makes the time what the data page says, if that was written not long ago.
func (c *Clock) fresh(counter uint64) bool {
	now := c.page.At(counter)
	if counter < c.page.Counter || now-c.page.Monotonic > freshFor {
		return false
	}
	c.Monotonic = max(c.Monotonic, now)
	return true
}

// leadMax is how far the program's time may be before the host's. What is beyond comes of a counter that jumped, as when the host itself was moved.
const leadMax = int64(time.Millisecond)

// slower is how much slower the program's time goes while it is before the host's: a thousandth. As the host's clock is slewed by half of that at most
// (adjtimex(2)), it falls back.
const slower = 1 << 10

// follow brings the time up to the host's, now when the counter says so, but not behind what the program may have read.
func (c *Clock) follow(now int64, counter, rate uint64) {
	read := c.Monotonic
	if c.page.On {
		read = max(read, c.page.At(counter))
	}
	if read > now {
		if rate -= rate / slower; read-now > leadMax {
			c.Counter, read = Unrelated, c.Monotonic
		}
	}
	c.Monotonic = max(read, now)
	c.page = vdso.Page{On: c.Counter == Host && rate > 0, Counter: counter, Rate: rate, Monotonic: c.Monotonic}
}

// Page is what the program's data page says until the next Tick; it's often the same again. executed is what RDTSC says now where it counts instructions.
func (c *Clock) Page(executed uint64) vdso.Page {
	if c.Virtual && c.Counter == Instructions && (!c.page.On || c.page.At(executed) != c.Monotonic) {
		c.page = vdso.Page{On: true, Counter: executed, Rate: vdso.RateOne, Monotonic: c.Monotonic}
	}
	if !c.page.On {
		return vdso.Page{}
	}
	p := c.page
	p.RealOffset = c.RealOffset
	return p
}

// Add is a+b, at most the latest time and at least the earliest.
func Add(a, b int64) int64 {
	s := a + b
	switch {
	case b > 0 && s < a:
		return math.MaxInt64
	case b < 0 && s > a:
		return math.MinInt64
	}
	return s
}

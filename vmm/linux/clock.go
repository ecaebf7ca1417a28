package linux

import (
	"math"
	"time"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// clock is the program's time, in nanoseconds. It moves between runs of tasks, and stands still in a call.
type clock struct {
	virtual    bool
	monotonic  int64
	realOffset int64 // what to add for CLOCK_REALTIME
	// of the host's clock: what to add to hostNow
	offset int64
}

// started is where this process's monotonic clock begins.
var started = time.Now()

func hostNow() int64 { return int64(time.Since(started)) }

// uptime is what the monotonic clock says when a program starts: a machine that was just switched on confuses some.
const uptime = int64(time.Hour)

func newClock(o Time) clock {
	c := clock{virtual: o.Virtual, monotonic: uptime}
	begin := o.Start.UnixNano()
	if !o.Virtual {
		begin = time.Now().UnixNano()
		c.offset = uptime - hostNow()
	}
	c.realOffset = begin - c.monotonic
	return c
}

// tick has the time pass that the machine ran.
func (c *clock) tick(ran int64) {
	if c.virtual {
		c.monotonic = add(c.monotonic, ran)
		return
	}
	c.monotonic = max(c.monotonic, hostNow()+c.offset)
}

// add is a+b, at most the latest time and at least the earliest.
func add(a, b int64) int64 {
	s := a + b
	switch {
	case b > 0 && s < a:
		return math.MaxInt64
	case b < 0 && s > a:
		return math.MinInt64
	}
	return s
}

func (p *Process) timespec(va uint64) (int64, abi.Errno) {
	var b [abi.TimespecSize]byte
	if e := p.space.CopyIn(b[:], va); e != 0 {
		return 0, e
	}
	return abi.GetTimespec(b[:])
}

func (p *Process) putTimespec(va uint64, ns int64) abi.Errno {
	var b [abi.TimespecSize]byte
	abi.PutTimespec(b[:], ns)
	return p.space.CopyOut(va, b[:])
}

// read is what a clock says now.
func (p *Process) readClock(t *Task, id uint64) (int64, abi.Errno) {
	switch int32(id) {
	case abi.CLOCK_REALTIME, abi.CLOCK_REALTIME_COARSE, abi.CLOCK_TAI, abi.CLOCK_REALTIME_ALARM:
		return add(p.clock.monotonic, p.clock.realOffset), 0
	case abi.CLOCK_MONOTONIC, abi.CLOCK_MONOTONIC_RAW, abi.CLOCK_MONOTONIC_COARSE, abi.CLOCK_BOOTTIME, abi.CLOCK_BOOTTIME_ALARM:
		return p.clock.monotonic, 0
	case abi.CLOCK_PROCESS_CPUTIME_ID:
		return p.cpuTime, 0
	case abi.CLOCK_THREAD_CPUTIME_ID:
		return t.CPU, 0
	}
	// A negative id names the CPU clock of a task (include/linux/posix-timers_types.h): pthread_getcpuclockid makes them.
	if pid := ^(int32(id) >> 3); int32(id) < 0 && int32(id)&7 >= 4 {
		if other := p.task(pid); other != nil {
			return other.CPU, 0
		} else if pid == 0 {
			return t.CPU, 0
		}
	} else if int32(id) < 0 && (pid == 0 || pid == firstID) {
		return p.cpuTime, 0
	}
	return 0, abi.EINVAL
}

func callClockGettime(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	ns, e := p.readClock(t, a[0])
	if e != 0 {
		return 0, e
	}
	return 0, p.putTimespec(a[1], ns)
}

func callClockGetres(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	if _, e := p.readClock(t, a[0]); e != 0 {
		return 0, e
	}
	if a[1] == 0 {
		return 0, 0
	}
	return 0, p.putTimespec(a[1], 1)
}

func callGettimeofday(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	if a[0] != 0 {
		var b [abi.TimevalSize]byte
		ns, _ := p.readClock(t, abi.CLOCK_REALTIME)
		abi.PutTimeval(b[:], ns)
		if e := p.space.CopyOut(a[0], b[:]); e != 0 {
			return 0, e
		}
	}
	if a[1] != 0 {
		return 0, p.space.CopyOut(a[1], make([]byte, 8)) // struct timezone
	}
	return 0, 0
}

func callTime(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	ns, _ := p.readClock(t, abi.CLOCK_REALTIME)
	s := uint64(ns / int64(time.Second))
	if a[0] != 0 {
		var b [8]byte
		le.PutUint64(b[:], s)
		if e := p.space.CopyOut(a[0], b[:]); e != 0 {
			return 0, e
		}
	}
	return s, 0
}

func callNanosleep(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	return p.sleep(t, a[0], 0, abi.CLOCK_MONOTONIC)
}

func callClockNanosleep(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	if _, e := p.readClock(t, a[0]); e != 0 || int32(a[0]) == abi.CLOCK_THREAD_CPUTIME_ID {
		return 0, abi.EINVAL
	}
	return p.sleep(t, a[2], a[1], a[0])
}

func (p *Process) sleep(t *Task, at, flags, id uint64) (uint64, abi.Errno) {
	if t.Wait.Expired {
		return 0, 0
	}
	ns, e := p.timespec(at)
	if e != 0 {
		return 0, e
	}
	deadline := add(p.clock.monotonic, ns)
	restart := abi.ERESTART_RESTARTBLOCK
	if flags&abi.TIMER_ABSTIME != 0 {
		restart = abi.ERESTARTNOHAND
		deadline = ns
		if now, _ := p.readClock(t, id); id == abi.CLOCK_REALTIME || id == abi.CLOCK_TAI {
			deadline = add(add(ns, -now), p.clock.monotonic)
		}
	}
	if deadline <= p.clock.monotonic {
		return 0, 0
	}
	t.until(deadline)
	return t.block(waitSleep, restart)
}

// remaining writes what is left of a sleep that a signal ended.
func (p *Process) remaining(t *Task) {
	w := &t.Wait
	at := w.Args[1]
	if abi.Call(w.Call) == abi.SYS_CLOCK_NANOSLEEP {
		at = w.Args[3]
		if w.Args[1]&abi.TIMER_ABSTIME != 0 {
			return
		}
	}
	if at != 0 {
		_ = p.putTimespec(at, max(w.Deadline-p.clock.monotonic, 0))
	}
}

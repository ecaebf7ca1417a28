package linux

import (
	"time"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/clock"
)

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
	if int32(id) < 0 || id == abi.CLOCK_PROCESS_CPUTIME_ID || id == abi.CLOCK_THREAD_CPUTIME_ID {
		p.look()
	}
	switch int32(id) {
	case abi.CLOCK_REALTIME, abi.CLOCK_REALTIME_COARSE, abi.CLOCK_TAI, abi.CLOCK_REALTIME_ALARM:
		return clock.Add(p.clock.Monotonic, p.clock.RealOffset), 0
	case abi.CLOCK_MONOTONIC, abi.CLOCK_MONOTONIC_RAW, abi.CLOCK_MONOTONIC_COARSE, abi.CLOCK_BOOTTIME, abi.CLOCK_BOOTTIME_ALARM:
		return p.clock.Monotonic, 0
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
	deadline := clock.Add(p.clock.Monotonic, ns)
	restart := abi.ERESTART_RESTARTBLOCK
	if flags&abi.TIMER_ABSTIME != 0 {
		restart = abi.ERESTARTNOHAND
		deadline = ns
		if now, _ := p.readClock(t, id); id == abi.CLOCK_REALTIME || id == abi.CLOCK_TAI {
			deadline = clock.Add(clock.Add(ns, -now), p.clock.Monotonic)
		}
	}
	if deadline <= p.clock.Monotonic {
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
		_ = p.putTimespec(at, max(w.Deadline-p.clock.Monotonic, 0))
	}
}

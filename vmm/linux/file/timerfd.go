package file

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// timerfd is a timer (fs/timerfd.c).
type timerfd struct {
	kept
	ino       uint64
	realtime  bool // due is since 1970
	now, then timerState
}

type timerState struct {
	due      int64 // on the timer's clock; 0 when it isn't armed
	interval int64
	set      uint64 // how often it was set: an edge
}

func (f *timerfd) save() { f.then = f.now }
func (f *timerfd) back() { f.now = f.then }

// Timerfd is timerfd_create.
func (t *Table) Timerfd(clock, flags int) (int, abi.Errno) {
	if flags&^(abi.TFD_CLOEXEC|abi.TFD_NONBLOCK) != 0 {
		return 0, abi.EINVAL
	}
	o := &timerfd{kept: t.made(), ino: t.newIno()}
	switch clock {
	case abi.CLOCK_REALTIME, abi.CLOCK_REALTIME_ALARM:
		o.realtime = true
	case abi.CLOCK_MONOTONIC, abi.CLOCK_BOOTTIME, abi.CLOCK_BOOTTIME_ALARM:
	default:
		return 0, abi.EINVAL
	}
	fd, e := t.install(o, nil, flags|abi.O_RDWR)
	if e == 0 {
		t.keep(&t.slots.kept, &t.slots)
		t.timers = append(t.timers, o)
	}
	return fd, e
}

func (t *Table) timer(fd int) (*timerfd, abi.Errno) {
	f, e := t.get(fd)
	if e != 0 {
		return nil, e
	}
	if o, ok := f.object.(*timerfd); ok {
		return o, 0
	}
	return nil, abi.EINVAL
}

// TimerfdSettime is timerfd_settime.
func (t *Table) TimerfdSettime(fd, flags int, to abi.Itimerspec) (old abi.Itimerspec, e abi.Errno) {
	if flags&^(abi.TFD_TIMER_ABSTIME|abi.TFD_TIMER_CANCEL_ON_SET) != 0 || to.Value < 0 || to.Interval < 0 {
		return old, abi.EINVAL
	}
	f, e := t.timer(fd)
	if e != 0 {
		return old, e
	}
	old = f.get(t)
	t.keep(&f.kept, f)
	f.now = timerState{set: f.now.set + 1}
	if to.Value > 0 {
		f.now.due, f.now.interval = to.Value, to.Interval
		if flags&abi.TFD_TIMER_ABSTIME == 0 {
			f.now.due = addTime(f.clock(t), to.Value)
		}
	}
	t.timerAt = 0
	t.version++
	return old, 0
}

// TimerfdGettime is timerfd_gettime.
func (t *Table) TimerfdGettime(fd int) (abi.Itimerspec, abi.Errno) {
	f, e := t.timer(fd)
	if e != 0 {
		return abi.Itimerspec{}, e
	}
	return f.get(t), 0
}

func (f *timerfd) clock(t *Table) int64 {
	if f.realtime {
		return t.real
	}
	return t.mono
}

// expired is how often the timer was due since it was set or read.
func (f *timerfd) expired(t *Table) uint64 {
	late := f.clock(t) - f.now.due
	switch {
	case f.now.due == 0 || late < 0:
		return 0
	case f.now.interval == 0:
		return 1
	}
	return 1 + uint64(late/f.now.interval)
}

// get is the time until the timer is due next.
func (f *timerfd) get(t *Table) abi.Itimerspec {
	n := f.expired(t)
	switch {
	case f.now.due == 0:
		return abi.Itimerspec{}
	case n == 0:
		return abi.Itimerspec{Interval: f.now.interval, Value: f.now.due - f.clock(t)}
	case f.now.interval == 0:
		return abi.Itimerspec{}
	}
	return abi.Itimerspec{Interval: f.now.interval, Value: f.now.interval - (f.clock(t)-f.now.due)%f.now.interval}
}

// next is when, on the monotonic clock, the timer is due next.
func (f *timerfd) next(t *Table) (int64, bool) {
	s := f.get(t)
	if s.Value == 0 {
		return 0, false
	}
	return addTime(t.mono, s.Value), true
}

func addTime(a, b int64) int64 {
	if b > 0 && a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func (f *timerfd) read(t *Table, _ *openFile, v [][]byte) (int, abi.Errno) {
	if total(v) < 8 {
		return 0, abi.EINVAL
	}
	n := f.expired(t)
	if n == 0 {
		return 0, abi.EAGAIN
	}
	t.keep(&f.kept, f)
	if f.now.interval == 0 {
		f.now.due = 0
	} else {
		f.now.due = addTime(f.clock(t), f.get(t).Value)
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	scatter(v, b[:])
	return 8, 0
}

func (f *timerfd) write(*Table, *openFile, [][]byte) (int, abi.Errno) { return 0, abi.EINVAL }

func (f *timerfd) ready(t *Table, _ *openFile) uint32 {
	if f.expired(t) > 0 {
		return abi.POLLIN
	}
	return 0
}

// edges counts an edge each time that the timer is due: the point in time at which it was due last tells them apart.
func (f *timerfd) edges(t *Table, _ *openFile) (in, out uint64) {
	n := f.expired(t)
	if n == 0 {
		return f.now.set, 0
	}
	return f.now.set ^ uint64(f.now.due+int64(n-1)*f.now.interval)<<1, 0
}

func (f *timerfd) stat(_ *Table, _ *openFile, s *abi.Stat) { anonymous(s, f.ino) }

func (f *timerfd) closed(t *Table, _ *openFile) {
	t.keep(&t.slots.kept, &t.slots)
	t.timers = slices.DeleteFunc(t.timers, func(o *timerfd) bool { return o == f })
}

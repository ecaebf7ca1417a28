package abi

import "math"

// Sizes of the structures of time.
const (
	TimespecSize   = 16
	TimevalSize    = 16
	ItimerspecSize = 32
)

const second = 1_000_000_000

// PutTimespec writes nanoseconds as struct timespec.
func PutTimespec(b []byte, ns int64) {
	s, n := split(ns)
	le.PutUint64(b[0:], uint64(s))
	le.PutUint64(b[8:], uint64(n))
}

// GetTimespec reads struct timespec as nanoseconds: EINVAL for what the kernel calls no valid time. What has no room is the latest time that there is.
func GetTimespec(b []byte) (int64, Errno) {
	s, n := int64(le.Uint64(b)), int64(le.Uint64(b[8:]))
	if s < 0 || n < 0 || n >= second {
		return 0, EINVAL // timespec64_valid in include/linux/time64.h
	}
	return join(s, n), 0
}

// PutTimeval writes nanoseconds as struct timeval.
func PutTimeval(b []byte, ns int64) {
	s, n := split(ns)
	le.PutUint64(b[0:], uint64(s))
	le.PutUint64(b[8:], uint64(n/1000))
}

// GetTimeval reads struct timeval as nanoseconds.
func GetTimeval(b []byte) (int64, Errno) {
	s, us := int64(le.Uint64(b)), int64(le.Uint64(b[8:]))
	if s < 0 || us < 0 || us >= second/1000 {
		return 0, EINVAL
	}
	return join(s, us*1000), 0
}

// Itimerspec is struct itimerspec in nanoseconds.
type Itimerspec struct{ Interval, Value int64 }

// Put writes the structure.
func (i *Itimerspec) Put(b []byte) {
	PutTimespec(b, i.Interval)
	PutTimespec(b[16:], i.Value)
}

// Get reads the structure.
func (i *Itimerspec) Get(b []byte) (e Errno) {
	if i.Interval, e = GetTimespec(b); e != 0 {
		return e
	}
	i.Value, e = GetTimespec(b[16:])
	return e
}

func split(ns int64) (s, n int64) {
	s, n = ns/second, ns%second
	if n < 0 {
		s, n = s-1, n+second
	}
	return s, n
}

func join(s, ns int64) int64 {
	if s >= math.MaxInt64/second {
		return math.MaxInt64
	}
	return s*second + ns
}

package mtu

import "time"

// sizes are what a path is tried for, in bytes of UDP payload: tunnels and DSL, Ethernet over IPv6 and IPv4, jumbo frames, loopback.
var sizes = [...]int{1372, 1452, 1472, 8932, 8972, 16 << 10}

const (
	again      = 10 * time.Minute // until what failed is tried again: the path may be another by then
	afterwards = 5 * time.Second  // after large packets vanished
	triesMax   = 3

	// Large packets have vanished when so many were lost in a row, for so long (RFC 8899 §4.3).
	missedMax   = 6
	missedAfter = time.Second
)

// Search is of one path. Its zero value has a Size of 0: begin with Reset.
type Search struct {
	Size int // bytes of UDP payload that the path carries

	try     int // index into sizes of the next to try
	tries   int
	pending bool
	from    time.Time // not before

	least  int       // what every path carries
	missed int       // larger packets lost since the last one that arrived
	since  time.Time // when the first of them was missed
}

// Reset begins anew with what every path carries.
func (s *Search) Reset(least int) { *s = Search{Size: least, least: least} }

// Next is the size to try now, which may be most; 0: none (RFC 8899 §5.3).
func (s *Search) Next(now time.Time, most int) int {
	if s.pending || now.Before(s.from) {
		return 0
	}
	if s.try == len(sizes) && !s.from.IsZero() {
		s.try, s.from = 0, time.Time{}
	}
	for s.try < len(sizes) && sizes[s.try] <= s.Size {
		s.try++
	}
	if s.try == len(sizes) || sizes[s.try] > most {
		return 0
	}
	return sizes[s.try]
}

// Sent says that a packet of the size of Next leaves.
func (s *Search) Sent() { s.pending = true }

// Arrived is told that a packet of that size got through.
func (s *Search) Arrived(size int) {
	s.pending = false
	s.Size = max(s.Size, size)
	s.try, s.tries = min(s.try+1, len(sizes)), 0
}

// Lost is told that it didn't.
func (s *Search) Lost(now time.Time) {
	s.pending = false
	if s.tries++; s.tries == triesMax {
		s.try, s.tries, s.from = len(sizes), 0, now.Add(again)
	}
}

// Delivered is told of each packet that got through, whatever it was for.
func (s *Search) Delivered(size int) {
	if size > s.least {
		s.missed = 0
	}
}

// Missed is told of each packet that didn't, and says whether large ones vanish, so that it is time to Shrink.
func (s *Search) Missed(now time.Time, size int) bool {
	if s.Size == s.least || size <= s.least {
		return false
	}
	if s.missed++; s.missed == 1 {
		s.since = now
	}
	return s.missed >= missedMax && now.Sub(s.since) >= missedAfter
}

// Refused is told that the system wouldn't send it. trying is false if it was none that tries.
func (s *Search) Refused(now time.Time) (trying bool) {
	s.pending = false
	if trying = s.try < len(sizes) && sizes[s.try] > s.Size; trying {
		s.try, s.from = len(sizes), now.Add(again)
	}
	return trying
}

// Shrink goes back to least: large packets seem to vanish.
func (s *Search) Shrink(now time.Time, least int) {
	if s.Size > least {
		s.Size, s.try, s.tries, s.from, s.missed = least, 0, 0, now.Add(afterwards), 0
	}
}

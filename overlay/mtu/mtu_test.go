package mtu

import (
	"testing"
	"time"
)

// The search ends with the largest size that the path carries, and looks again later.
func TestTheLargestSizeIsFound(t *testing.T) {
	for carries, want := range map[int]int{1200: 1200, 1400: 1372, 1472: 1472, 1 << 16: 16 << 10} {
		var s Search
		s.Reset(1200)
		now := time.Unix(0, 0)
		for range 100 {
			size := s.Next(now, 1<<16)
			if size == 0 {
				break
			}
			if s.Sent(); size <= carries {
				s.Arrived(size)
			} else {
				s.Lost(now)
			}
		}
		if s.Size != want {
			t.Errorf("a path that carries %d: %d was found, want %d", carries, s.Size, want)
		}
		if want < 16<<10 && s.Next(now.Add(again), 1<<16) == 0 {
			t.Errorf("a path that carries %d isn't tried again", carries)
		}
	}
}

// Large packets that vanish while small ones arrive are seen; those of a burst of losses aren't taken for it.
func TestLargePacketsVanish(t *testing.T) {
	now := time.Unix(0, 0)
	for _, c := range []struct {
		name     string
		arrives  int           // each so many large ones one gets through; 0: none does
		apart    time.Duration // of packets
		vanished bool
	}{
		{"none arrives", 0, 300 * time.Millisecond, true},
		{"a burst of losses", 0, time.Millisecond, false},
		{"one of four arrives", 4, 300 * time.Millisecond, false},
	} {
		var s Search
		s.Reset(1200)
		s.Arrived(16 << 10)
		vanished := false
		for i := range 20 {
			at := now.Add(time.Duration(i) * c.apart)
			s.Delivered(100)
			if c.arrives > 0 && i%c.arrives == 0 {
				s.Delivered(16 << 10)
			}
			vanished = s.Missed(at, 16<<10) || vanished
		}
		if vanished != c.vanished {
			t.Errorf("%s: vanished is %v", c.name, vanished)
		}
	}
}

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

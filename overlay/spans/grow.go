package spans

import "time"

// Grow raises limit, up to which a peer may send, when half of the window before it is used, and the window when it seems to be what slows the peer
// down: half of it used in less than two round trips, or nearly all of one while a gap was waited for. It says whether limit was raised.
func Grow(window *uint64, updated *time.Time, limit *uint64, used, highest uint64, round time.Duration, now time.Time, most int) bool {
	if *limit-used > *window/2 {
		return false
	}
	if !updated.IsZero() && now.Sub(*updated) < 2*round || highest+*window/8 >= *limit {
		*window = min(2**window, uint64(most))
	}
	*updated = now
	*limit = max(*limit, used+*window)
	return true
}

package garbage

import "testing"

func TestGarbageIsBounded(t *testing.T) {
	const mega = 1 << 20
	for _, c := range []struct {
		name                string
		cache, live, tick   int64
		garbage, garbageMax int64
	}{
		{"small cache, idle", 64 * mega, 20 * mega, 0, 10 * mega, 10 * mega},
		{"small cache, very busy", 32 * mega, 32 * mega, 900 * mega, 32 * mega, 32 * mega},
		{"large cache, idle and nearly empty", 512 * mega, 20 * mega, 0, 5 * mega, 5 * mega},
		{"large cache, busy and nearly empty", 512 * mega, 20 * mega, 60 * mega, 120 * mega, 120 * mega},
		{"large cache, very busy", 512 * mega, 20 * mega, 900 * mega, 128 * mega, 128 * mega},
		{"large cache, busy and full", 512 * mega, 512 * mega, 900 * mega, 127 * mega, 129 * mega},
		{"huge cache, full", 1 << 40, 1 << 40, 900 * mega, 1 << 40 / 10, 1 << 40 / 10},
		{"nothing known yet", 512 * mega, 0, 0, 0, 0},
	} {
		got := c.live / 100 * int64(gcPercent(c.cache, c.live, c.tick))
		if got < c.garbage-mega || got > c.garbageMax+mega {
			t.Errorf("%s: %d MB of garbage, want %d to %d", c.name, got/mega, c.garbage/mega, c.garbageMax/mega)
		}
	}
	// Before the first collection nothing is known to live; that must not keep it from coming.
	if got := gcPercent(512*mega, 0, 900*mega); got > 1000 {
		t.Errorf("%d %% at the start", got)
	}
}

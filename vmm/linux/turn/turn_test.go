package turn

import (
	"testing"
	"time"
)

func TestLoneTasksRunUntilSomebodyIsToWake(t *testing.T) {
	const ms = int64(time.Millisecond)
	for _, c := range []struct {
		what            string
		slice           Slice
		instructions    bool
		left, due, want int64
	}{
		{"nobody sleeps", Slice{}, false, 2 * ms, 0, int64(AloneMax)},
		{"one wakes in ten slices", Slice{}, false, 2 * ms, 20 * ms, 20 * ms},
		{"one wakes within the slice, and waits for its end", Slice{}, false, 2 * ms, ms, 2 * ms},
		{"one wakes tomorrow", Slice{}, false, 2 * ms, 86_400_000 * ms, int64(AloneMax)},
		{"slices at random stay so", Slice{Random: 1}, false, 2 * ms, 0, 2 * ms},
		{"instructions are counted: replays stay as they are", Slice{}, true, 1000, 0, 1000},
	} {
		if got := New(c.slice, c.instructions).Alone(c.left, c.due); got != c.want {
			t.Errorf("%s: %d, wanted %d", c.what, got, c.want)
		}
	}
}

func TestSlices(t *testing.T) {
	if got := New(Slice{}, true).Next(); got != defaultInstructions {
		t.Errorf("%d instructions", got)
	}
	if got := New(Slice{CPU: time.Second}, false).Next(); got != int64(time.Second) {
		t.Errorf("%d ns", got)
	}
	a, b := New(Slice{Instructions: 100, Random: 7}, true), New(Slice{Instructions: 100, Random: 7}, true)
	for range 1000 {
		if x, y := a.Next(), b.Next(); x != y || x < 1 || x > 100 {
			t.Fatalf("%d and %d of the same seed", x, y)
		}
	}
}

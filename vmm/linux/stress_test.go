package linux

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/wherry/wherry/vmm"
)

// runs is how often each stress is done: WHERRY_GUEST_RUNS, or a few.
func runs(t testing.TB, few int) int {
	t.Helper()
	if n, err := strconv.Atoi(os.Getenv("WHERRY_GUEST_RUNS")); err == nil {
		return n
	}
	return few
}

// slices are how long tasks run before the next one's turn: from a few instructions to rarely, or at random.
func slicesOf(i int) Slice {
	bounds := []Slice{
		{Instructions: 701, CPU: 300 * time.Microsecond},
		{Instructions: 20_011, CPU: time.Millisecond},
		{Instructions: 300_007, CPU: 3 * time.Millisecond},
		{Instructions: 3_000_000, CPU: 5 * time.Millisecond},
	}
	s := bounds[i%len(bounds)]
	if i%3 != 0 {
		s.Random = uint64(i) + 1
	}
	return s
}

// stress runs a program with many threads under forced switches, and wants the native output each time.
func stress(t *testing.T, file string, args []string, few int) {
	t.Helper()
	want, status := native(t, file, args, "")
	if status != 0 {
		t.Fatalf("natively status %d: %s", status, want)
	}
	onEach(t, func(t *testing.T, open func(*testing.T) vmm.Machine) {
		clean := 0
		n := runs(t, few)
		for i := range n {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				o := Options{Args: args, Slice: slicesOf(i), Time: Time{Virtual: i%2 == 0}}
				r := runGuest(t, open(t), file, o, "") // a thousand machines at a time have no room
				if r.stop.Kind != Exited || r.stop.Status != 0 || r.out != want {
					t.Errorf("slices %+v: stop %+v\n%s\nwanted\n%s", slicesOf(i), r.stop, r.out, want)
					return
				}
				clean++
			})
		}
		t.Logf("%d of %d runs clean", clean, n)
	})
}

func TestGoThreads(t *testing.T) {
	stress(t, buildGo(t, "threads"), []string{"threads", "1"}, 3)
}

func TestPthreads(t *testing.T) {
	for _, compiler := range []string{"musl-gcc", "gcc"} {
		t.Run(compiler, func(t *testing.T) {
			stress(t, buildC(t, compiler, "pthreads", "-pthread"), []string{"pthreads", "40"}, 3)
		})
	}
}

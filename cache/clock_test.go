package cache

import (
	"testing"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/purges"
	"github.com/wherry/wherry/cache/store"
)

// TestHeadAndTheClock: what a process before this one received is as old as the wall clock says, and stale if that can't be.
func TestHeadAndTheClock(t *testing.T) {
	h := fields("Cache-Control", "max-age=3600, stale-while-revalidate=3600", "Date", at(0), "Etag", `"1"`)
	head := store.NewResponse("k", nil, 200, h, received, received).Append(nil)
	for _, c := range []struct {
		passed, age time.Duration
		reuse       reuse
	}{
		{0, 0, reuseFresh},
		{90 * time.Second, 90 * time.Second, reuseFresh},
		{90 * time.Minute, 90 * time.Minute, reuseRefresh},
		{-30 * time.Second, 0, reuseFresh}, // clocks are set by some seconds
		{-2 * time.Minute, field.MaxDelta, reuseValidate},
		{-24 * time.Hour, field.MaxDelta, reuseValidate},
	} {
		now := received.Add(c.passed)
		r, err := store.ParseResponse("k", head, now)
		if err != nil {
			t.Fatal(err)
		}
		nothing := field.NoDirectives()
		if age, d := r.Fresh.Age(now), decide(r, true, &purges.Finding{}, &nothing, &Policy{}, now); age != c.age || d.reuse != c.reuse {
			t.Errorf("after %s: age %s, %s (%s)", c.passed, age, d.reuse, d.why)
		}
	}
}

package trace

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

const token = "0123456789abcdef0123456789abcdef"

func TestCredential(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	good := Credential(token, "a1", now)
	parts := strings.Split(good, ".")
	for _, c := range []struct {
		name       string
		token      string
		credential string
		at         time.Time
		ok         bool
	}{
		{"good", token, good, now, true},
		{"a little later", token, good, now.Add(59 * time.Second), true},
		{"from a clock that is behind", token, good, now.Add(-30 * time.Second), true},
		{"expired", token, good, now.Add(2 * time.Minute), false},
		{"from the far future", token, good, now.Add(-5 * time.Minute), false},
		{"of another network", "another" + token, good, now, false},
		{"for another id", token, "b2." + parts[1] + "." + parts[2], now, false},
		{"with a later expiry", token, parts[0] + ".1900000000." + parts[2], now, false},
		{"without an id", token, Credential(token, "", now), now, false},
		{"nothing", token, "", now, false},
		{"words", token, "please", now, false},
		{"endless", token, strings.Repeat("a", 300) + good, now, false},
		{"no token, so nobody", "", Credential("", "a1", now), now, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := Verify(c.token, c.credential, c.at)
			if (err == nil) != c.ok || c.ok && id != "a1" {
				t.Errorf("id %q, error %v; want ok = %t", id, err, c.ok)
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	good := Credential(token, "a1", now)
	f.Add(good)
	f.Add("a.b.c")
	f.Add("..")
	f.Fuzz(func(t *testing.T, credential string) {
		id, err := Verify(token, credential, now)
		if err == nil && Credential(token, id, now) != credential {
			t.Errorf("%q is taken for a credential of %q", credential, id)
		}
	})
}

func TestTraceKeepsStepsInOrderAndIsBounded(t *testing.T) {
	tr := New("a1")
	ctx := With(context.Background(), tr)
	for i := range MaxSteps + 3 {
		From(ctx).Addf("cache", "lookup", "step %d", i)
	}
	steps, dropped := tr.Steps()
	if len(steps) != MaxSteps || dropped != 3 {
		t.Fatalf("%d steps and %d dropped, want %d and 3", len(steps), dropped, MaxSteps)
	}
	for i, s := range steps {
		if s.Decision != fmt.Sprintf("step %d", i) || s.Room != "cache" {
			t.Fatalf("step %d is %+v", i, s)
		}
	}
}

func TestWithoutATraceNothingIsKept(t *testing.T) {
	tr := From(context.Background())
	tr.Add("cache", "lookup", "hit")
	tr.Addf("cache", "lookup", "%d", 1)
	if steps, dropped := tr.Steps(); tr.On() || len(steps) != 0 || dropped != 0 {
		t.Error("a nil trace keeps steps")
	}
}

func TestShelfKeepsTheLastReports(t *testing.T) {
	var s Shelf
	if _, ok := s.Get(""); ok {
		t.Error("an empty shelf has a report without an id")
	}
	for i := range shelfSize + 1 {
		s.Put(Report{ID: fmt.Sprint("r", i), Status: 200 + i})
	}
	if _, ok := s.Get("r0"); ok {
		t.Error("the oldest report is still there")
	}
	if r, ok := s.Get("r1"); !ok || r.Status != 201 {
		t.Errorf("r1 is %+v, %t", r, ok)
	}
}

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test's own program be the relays and the subscribers.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := runChild(role); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestSmallNetwork runs the measurement with 200 subscribers; how long anything took doesn't matter.
func TestSmallNetwork(t *testing.T) {
	o := &options{
		subscribers: 200, upper: 2, lower: 4, processes: 2, entries: 5, interval: 10 * time.Millisecond, objectBytes: 1024, time: time.Minute,
	}
	r, err := run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.times) != o.entries || len(r.confirmed) != o.entries {
		t.Errorf("%d entries arrived, %d were confirmed, want %d", len(r.times), len(r.confirmed), o.entries)
	}
	for seq, times := range r.times {
		if len(times) != o.subscribers {
			t.Errorf("entry %d reached %d subscribers", seq, len(times))
		}
	}
	if r.unasked != 0 {
		t.Errorf("%d entries came without their object", r.unasked)
	}
	if len(r.relays) != 6 || slices.Contains(r.relays, memory{}) {
		t.Errorf("memory of relays: %v", r.relays)
	}
	if table := r.table(); !strings.Contains(table, "| every subscriber has it | 5 |") {
		t.Errorf("the table:\n%s", table)
	}
}

func TestQuantile(t *testing.T) {
	var times []time.Duration
	for i := range 100 {
		times = append(times, time.Duration(i+1))
	}
	for q, want := range map[float64]time.Duration{0.5: 51, 0.99: 100, 1: 100, 0: 1} {
		if got := quantile(times, q); got != want {
			t.Errorf("%v: got %d, want %d", q, got, want)
		}
	}
}

func TestNumbersAreChecked(t *testing.T) {
	for _, o := range []options{{}, {subscribers: 1, upper: 1, lower: 1, processes: 1, entries: 1, objectBytes: 1 << 20}} {
		if o.check() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

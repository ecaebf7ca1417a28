package main

import (
	"testing"
	"time"
)

func TestRow(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		times []time.Duration
		want  string
	}{
		{[]time.Duration{30 * ms, 10 * ms, 20 * ms}, "| a | b | 10 ms | 20 ms | 30 ms |"},
		{[]time.Duration{40 * ms, 10 * ms, 30 * ms, 20 * ms}, "| a | b | 10 ms | 25 ms | 40 ms |"},
		{[]time.Duration{5 * ms}, "| a | b | 5 ms | 5 ms | 5 ms |"},
	} {
		if got := row("a", "b", c.times); got != c.want {
			t.Errorf("%v: got %s, want %s", c.times, got, c.want)
		}
	}
}

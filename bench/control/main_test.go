package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain is a member's process if it was started as one.
func TestMain(m *testing.M) {
	if text := os.Getenv(memberEnv); text != "" {
		if err := runMember(text); err != nil {
			fmt.Fprintln(os.Stderr, "member:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestNothingIsLostOrDoneTwice(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes, and waits for them to be missed")
	}
	results, err := run(t.Context(), &options{rounds: len(faults), members: 3, faults: strings.Join(faults, ",")})
	if err != nil {
		t.Fatal(err)
	}
	if n := bad(results); n != 0 {
		t.Errorf("%d things that must not be: %+v", n, results)
	}
	for _, r := range results {
		if r.acked == 0 {
			t.Errorf("nothing was written in a round: %+v", r)
		}
	}
	t.Log("\n" + table(results))
}

func TestCheckLog(t *testing.T) {
	ops := []op{
		{kind: "append", value: "a", outcome: "ok"},
		{kind: "append", value: "b", outcome: "ok"},
		{kind: "append", value: "c", outcome: "unknown"},
		{kind: "append", value: "d", outcome: "none"},
		{kind: "put", value: "e", outcome: "ok"},
	}
	for _, c := range []struct {
		values                  string
		lost, duplicated, wrong int
	}{
		{"a b", 0, 0, 0}, {"b c a", 0, 0, 0}, {"a", 1, 0, 0}, {"a b a", 0, 1, 0}, {"a b c c c", 0, 1, 0}, {"a b d", 0, 0, 1}, {"", 2, 0, 0},
	} {
		lost, duplicated, wrong := checkLog(ops, strings.Fields(c.values))
		if lost != c.lost || duplicated != c.duplicated || wrong != c.wrong {
			t.Errorf("%q: %d lost, %d duplicated, %d wrong", c.values, lost, duplicated, wrong)
		}
	}
}

func TestCheckActs(t *testing.T) {
	ops := []op{
		{kind: "act", value: "a", outcome: "ok", term: 5},
		{kind: "act", value: "b", outcome: "ok", term: 9},
		{kind: "act", value: "c", outcome: "conflict", term: 5},
		{kind: "act", value: "d", outcome: "unknown", term: 5},
	}
	for _, c := range []struct {
		values                  string
		lost, duplicated, wrong int
	}{
		{"5 a,9 b", 0, 0, 0},
		{"5 a,5 d,9 b", 0, 0, 0},
		{"5 a,9 b,5 d", 0, 0, 1},
		{"9 b", 1, 0, 0},
		{"5 a,9 b,9 b", 0, 1, 0},
		{"5 a,5 c,9 b", 0, 0, 1},
		{"5 a,6 b", 0, 0, 1},
	} {
		lost, duplicated, wrong, err := checkActs(ops, strings.Split(c.values, ","))
		if lost != c.lost || duplicated != c.duplicated || wrong != c.wrong || err != nil {
			t.Errorf("%q: %d lost, %d duplicated, %d wrong, %v", c.values, lost, duplicated, wrong, err)
		}
	}
	if _, _, _, err := checkActs(ops, []string{"what"}); err == nil {
		t.Error("an action without a term was taken")
	}
}

func TestSettled(t *testing.T) {
	ops := []op{
		{kind: "put", value: "a", outcome: "ok", ret: 1},
		{kind: "put", value: "b", outcome: "unknown", ret: forever},
		{kind: "put", value: "c", outcome: "unknown", ret: forever},
		{kind: "get", value: "b", outcome: "ok", ret: 9},
		{kind: "cas", from: "b", value: "d", outcome: "ok", ret: 7},
		{kind: "cas", from: "d", value: "e", outcome: "conflict", ret: 8},
		{kind: "get", value: "e", outcome: "unknown", ret: forever},
	}
	done, denied := settled(ops)
	var got []string
	for _, o := range done {
		got = append(got, fmt.Sprint(o.kind, o.value, int64(o.ret)))
	}
	if strings.Join(got, " ") != "puta1 putb7 getb9 casd7" || denied != 0 {
		t.Errorf("%q, %d denied", got, denied)
	}
	if _, denied = settled(append(ops, op{kind: "get", value: "e", outcome: "ok", ret: 10})); denied != 1 {
		t.Error("a value was seen that was said not to have been written")
	}
}

func TestGap(t *testing.T) {
	h := history{}
	for _, at := range []int{100, 200, 300, 900, 1000, 1400} {
		h.add(op{kind: "put", outcome: "ok", ret: time.Duration(at)})
	}
	h.add(op{kind: "put", outcome: "unknown", ret: 600})
	all := func(*op) bool { return true }
	for _, c := range []struct{ fault, end, want time.Duration }{{250, 1500, 600}, {350, 1500, 600}, {950, 1500, 400}, {950, 5000, 3600}, {2000, 2100, 700}} {
		if got := h.gap(c.fault, c.end, all); got != c.want {
			t.Errorf("from %d to %d: %d, want %d", c.fault, c.end, got, c.want)
		}
	}
}

func TestCheckSteps(t *testing.T) {
	start := time.Unix(1e9, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	known := []step{
		{5, "a", at(-10), at(10), "ok"}, // its value came before the first that is looked at, or after
		{5, "a", at(20), at(30), "ok"},
		{5, "b", at(40), time.Time{}, "unknown"},
		{9, "a", at(50), at(60), "ok"},
		{5, "a", at(70), at(80), "conflict"},
	}
	for _, c := range []struct {
		values      string
		lost, wrong int
		ops         int
	}{
		{"5 a,9 a", 0, 0, 3},
		{"5 a,5 a,5 b,9 a", 0, 0, 4},
		{"5 a", 1, 0, 3},
		{"5 a,9 a,5 b", 0, 1, 4},     // of a former term
		{"5 a,5 a,5 a,9 a", 0, 1, 3}, // one that was said to be refused
		{"5 a,7 a,9 a", 0, 1, 3},     // nobody knows of it
	} {
		lost, wrong, ops := checkSteps(known, known, start, strings.Split(c.values, ","))
		if lost != c.lost || wrong != c.wrong || len(ops) != c.ops {
			t.Errorf("%s: %d lost, %d wrong, %d ops", c.values, lost, wrong, len(ops))
		}
	}
}

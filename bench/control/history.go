package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// op is something that a client asked for, and what became of it.
type op struct {
	client    int
	node      string
	kind      string // get, put, cas, append, act
	key       string
	value     string // put, or got
	from      string // of cas: the value before
	outcome   string // as in answer; unknown also where no answer came
	term      int64
	call, ret time.Duration // since the start of the round
}

func (o *op) writes() bool { return o.kind != "get" }

// forever is when something ends that nobody knows the end of.
const forever = time.Duration(math.MaxInt64)

// history is what happened in a round.
type history struct {
	start time.Time

	mu  sync.Mutex
	ops []op // under mu
}

func (h *history) now() time.Duration { return time.Since(h.start) }

func (h *history) add(o op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
}

// gap returns the longest time from the fault on without an acknowledged op, of those that count.
func (h *history) gap(fault, end time.Duration, counts func(*op) bool) time.Duration {
	var acks []time.Duration
	for i := range h.ops {
		if o := &h.ops[i]; o.outcome == "ok" && o.ret < end && counts(o) {
			acks = append(acks, o.ret)
		}
	}
	slices.Sort(acks)
	last, longest := fault, time.Duration(0)
	for _, at := range append(acks, end) {
		if at > fault {
			longest = max(longest, at-last)
		}
		last = at
	}
	return longest
}

// checkLog compares what was acknowledged with what is in the log.
func checkLog(ops []op, values []string) (lost, duplicated, undone int) {
	times := map[string]int{}
	for _, v := range values {
		times[v]++
		if times[v] == 2 {
			duplicated++
		}
	}
	for i := range ops {
		switch o := &ops[i]; {
		case o.kind != "append":
		case o.outcome == "ok" && times[o.value] == 0:
			lost++
		case (o.outcome == "none" || o.outcome == "conflict") && times[o.value] > 0:
			undone++ // it was said not to have been done
		}
	}
	return lost, duplicated, undone
}

// checkActs looks at what leaders did, in the store's order: "TERM ID".
func checkActs(ops []op, values []string) (lost, duplicated, wrong int, err error) {
	terms, times, last := map[string]int64{}, map[string]int{}, int64(0)
	for _, v := range values {
		text, id, _ := strings.Cut(v, " ")
		term, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, 0, 0, fmt.Errorf("the action %q: %w", v, err)
		}
		if term < last {
			wrong++
		}
		last = max(last, term)
		terms[id] = term
		if times[id]++; times[id] == 2 {
			duplicated++
		}
	}
	for i := range ops {
		switch o := &ops[i]; {
		case o.kind != "act":
		case o.outcome == "ok" && times[o.value] == 0:
			lost++
		case o.outcome == "ok" && terms[o.value] != o.term, (o.outcome == "none" || o.outcome == "conflict") && times[o.value] > 0:
			wrong++
		}
	}
	return lost, duplicated, wrong, nil
}

// settled returns the ops that happened for sure. A write that nobody knows the outcome of happened if its value, which is its own, was seen; then it
// did before that look was over. If it wasn't seen, a history without it is linearizable if one with it is. denied counts values that were
// seen though their writes were said not to have been done.
func settled(ops []op) (done []op, denied int) {
	seen := map[string]time.Duration{} // values: when the first look at it was over
	for i := range ops {
		o := &ops[i]
		value := o.value
		if o.kind == "cas" {
			value = o.from
		}
		if o.outcome != "ok" || value == "" || o.kind != "get" && o.kind != "cas" {
			continue
		}
		if at, ok := seen[value]; !ok || o.ret < at {
			seen[value] = o.ret
		}
	}
	for _, o := range ops {
		at, wasSeen := seen[o.value]
		switch {
		case o.outcome == "ok":
			done = append(done, o)
		case !wasSeen || o.kind != "put" && o.kind != "cas":
		case o.outcome == "unknown":
			o.ret = at
			done = append(done, o)
		default:
			denied++
		}
	}
	return done, denied
}

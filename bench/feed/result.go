package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// memory is what a process has resident, in bytes: now, and at most since it began.
type memory struct{ now, most int64 }

// result is what was measured.
type result struct {
	o         *options
	setup     time.Duration
	first     uint64 // the seq of the first entry that counts
	confirmed []time.Duration
	times     map[uint64][]time.Duration
	relays    []memory
	relayCPU  []time.Duration
	control   memory
	lost      int64
	unasked   int64
}

// The bars.
const (
	barTime   = 1500 * time.Millisecond
	barMemory = 60 << 20
)

func (r *result) relay(pid int) {
	r.relays = append(r.relays, memoryOf(pid))
	r.relayCPU = append(r.relayCPU, cpuOf(pid))
}

func (r *result) add(o *outcome) {
	if r.times == nil {
		r.times = map[uint64][]time.Duration{}
	}
	for seq, times := range o.Times {
		if seq >= r.first {
			r.times[seq] = append(r.times[seq], times...)
		}
	}
	r.lost, r.unasked = r.lost+o.Lost, r.unasked+o.Unasked
}

// memoryOf reads VmRSS and VmHWM of /proc/PID/status (proc_pid_status(5)).
func memoryOf(pid int) (m memory) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		kib, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			m.now = kib << 10
		case "VmHWM:":
			m.most = kib << 10
		}
	}
	return m
}

// cpuOf reads utime and stime of /proc/PID/stat; the command of these processes has no spaces.
func cpuOf(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	f := strings.Fields(string(text))
	if len(f) < 15 {
		return 0
	}
	user, _ := strconv.ParseInt(f[13], 10, 64)
	system, _ := strconv.ParseInt(f[14], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// quantile returns the q-th of sorted times, by the nearest rank.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func row(what string, times []time.Duration) string {
	times = slices.Sorted(slices.Values(times))
	ms := func(d time.Duration) string { return d.Round(time.Millisecond).String() }
	return fmt.Sprintf("| %s | %d | %s | %s | %s |\n", what, len(times), ms(quantile(times, 0.5)), ms(quantile(times, 0.99)), ms(quantile(times, 1)))
}

// last returns when the last subscriber had each entry.
func (r *result) last() (last []time.Duration) {
	for _, times := range r.times {
		last = append(last, slices.Max(times))
	}
	return last
}

func (r *result) each() (each []time.Duration) {
	for _, times := range r.times {
		each = append(each, times...)
	}
	return each
}

func (r *result) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d subscribers in %d processes, %d + %d relays, mTLS, %d entries with an object of %d bytes, %d CPUs; joined in %v\n\n",
		r.o.subscribers, r.o.processes, r.o.upper, r.o.lower, len(r.confirmed), r.o.objectBytes, runtime.NumCPU(), r.setup.Round(100*time.Millisecond))
	b.WriteString("| from the append until | n | p50 | p99 | max |\n|---|---:|---:|---:|---:|\n")
	b.WriteString(row("one subscriber has it", r.each()))
	b.WriteString(row("every subscriber has it", r.last()))
	b.WriteString(row("control knows that every one has it", r.confirmed))
	b.WriteString("\n| process | n | resident, median | resident, most ever | CPU seconds, most |\n|---|---:|---:|---:|---:|\n")
	b.WriteString(r.layer("relay below control", 0, min(r.o.upper, len(r.relays))))
	b.WriteString(r.layer("relay with subscribers", min(r.o.upper, len(r.relays)), len(r.relays)))
	fmt.Fprintf(&b, "| control | 1 | %d MiB | %d MiB | |\n", r.control.now>>20, r.control.most>>20)
	fmt.Fprintf(&b, "\n%d streams lost, %d entries came without their object\n", r.lost, r.unasked)
	return b.String()
}

func (r *result) layer(what string, from, to int) string {
	var now, most []int64
	var cpu time.Duration
	for i := from; i < to; i++ {
		now, most, cpu = append(now, r.relays[i].now), append(most, r.relays[i].most), max(cpu, r.relayCPU[i])
	}
	slices.Sort(now)
	slices.Sort(most)
	if len(now) == 0 {
		return ""
	}
	return fmt.Sprintf("| %s | %d | %d MiB | %d MiB | %.1f |\n", what, len(now), now[len(now)/2]>>20, most[len(most)-1]>>20, cpu.Seconds())
}

// problem says what isn't as it must be.
func (r *result) problem() error {
	var errs []error
	for seq, times := range r.times {
		if len(times) != r.o.subscribers {
			errs = append(errs, fmt.Errorf("entry %d reached %d of %d subscribers", seq, len(times), r.o.subscribers))
		}
	}
	if len(r.times) != r.o.entries {
		errs = append(errs, fmt.Errorf("%d of %d entries arrived", len(r.times), r.o.entries))
	}
	if p99 := quantile(slices.Sorted(slices.Values(r.last())), 0.99); p99 > barTime {
		errs = append(errs, fmt.Errorf("p99 is %v: the bar is %v", p99, barTime))
	}
	for _, m := range r.relays {
		if m.most > barMemory {
			errs = append(errs, fmt.Errorf("a relay had %d MiB: the bar is %d", m.most>>20, barMemory>>20))
		}
	}
	return errors.Join(errs...)
}

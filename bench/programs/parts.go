package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// report is what `wherry program bench --json` prints, as far as it is used here.
type report struct {
	Machine  string  `json:"machine"`
	Call     spread  `json:"call_us"`
	Reset    spread  `json:"reset_us"`
	Start    spread  `json:"start_us"`
	Dirty    float64 `json:"dirty_pages"`
	Exits    float64 `json:"exits"`
	Instance float64 `json:"instance_bytes"` // of the host's memory
}

type spread struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// bench asks wherry program bench.
func (r *run) bench(program, request string, args ...string) (report, error) {
	in, err := os.ReadFile(request)
	if err != nil {
		return report{}, err
	}
	out, err := output(in, r.wherry, append(append([]string{"program", "bench", "--json"}, args...), program)...)
	if err != nil {
		return report{}, err
	}
	var rep report
	if err := json.Unmarshal(out, &rep); err != nil {
		return report{}, fmt.Errorf("wherry program bench printed %.80q: %w", out, err)
	}
	return rep, nil
}

// machines are those that this host has.
func machines() []string {
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return []string{"emulator"}
	}
	return []string{"kvm", "emulator"}
}

func (r *run) call(ctx context.Context) error {
	request, err := os.ReadFile(r.cartRequest)
	if err != nil {
		return err
	}
	kept, fresh, err := wazeroCalls(ctx, r.cartWasm, request, r.times(3000), r.times(100))
	if err != nil {
		return err
	}
	bars := map[string]float64{"C": 56, "Go": 85}
	for _, f := range []struct{ language, program, request string }{{"C", r.signed, r.signedRequest}, {"Go", r.cart, r.cartRequest}} {
		in, err := os.ReadFile(f.request)
		if err != nil {
			return err
		}
		native, err := nativeCalls(f.program, in, r.times(20000))
		if err != nil {
			return err
		}
		r.tell("call", f.language+", a native process that lives on, asked through pipes", native, "µs")
		for _, machine := range machines() {
			rep, err := r.bench(f.program, f.request, "--machine", machine, "--requests", strconv.Itoa(r.times(5000)))
			if err != nil {
				return err
			}
			what := f.language + ", " + machine + ", reset after each call: "
			if machine == "kvm" {
				r.most("call", what+"p50", rep.Call.P50, "µs", bars[f.language])
			} else {
				r.tell("call", what+"p50", rep.Call.P50, "µs")
			}
			r.tell("call", what+"p99", rep.Call.P99, "µs")
			r.tell("call", what+"exits", rep.Exits, "")
			r.most("call", what+fmt.Sprintf("reset, %.0f dirty pages", rep.Dirty), rep.Reset.P50, "µs", 2+.12*rep.Dirty)
			if f.language == "Go" {
				total := rep.Call.P50 + rep.Reset.P50
				what = "Go, wazero's compiler, fresh instance: p50 / " + machine + " with reset"
				if machine == "kvm" {
					r.least("call", what, fresh.quantile(.5)/total, "×", 150)
				} else {
					r.tell("call", what, fresh.quantile(.5)/total, "×")
				}
			}
		}
	}
	r.tell("call", "Go, wazero's compiler, kept: p50", kept.quantile(.5), "µs")
	r.tell("call", "Go, wazero's compiler, fresh instance: p50", fresh.quantile(.5), "µs")
	return nil
}

func (r *run) start(context.Context) error {
	for _, f := range []struct{ language, program, request string }{{"C", r.signed, r.signedRequest}, {"Go", r.cart, r.cartRequest}} {
		for _, machine := range machines() {
			rep, err := r.bench(f.program, f.request, "--machine", machine, "--isolation", "instance", "--requests", strconv.Itoa(r.times(300)))
			if err != nil {
				return err
			}
			r.most("start", f.language+", "+machine+": a new instance from a snapshot, p50", rep.Start.P50/1e3, "ms", .7)
		}
	}
	return nil
}

// cpu compares CPU time less that of a short run, so that a program's beginning isn't counted.
func (r *run) cpu(context.Context) error {
	for _, w := range []struct {
		program, kind string
		rounds        int // for about a second
	}{
		{r.cpuC, "integer", 400},
		{r.cpuC, "float", 400},
		{r.cpuC, "memory", 40},
		{r.cpuC, "hash", 100},
		{r.cpuGo, "json", 200},
		{r.cpuGo, "sha256", 1500},
		{r.cpuGo, "map", 300},
	} {
		native, err := work(w.kind, r.times(w.rounds), w.program)
		if err != nil {
			return err
		}
		for _, machine := range []struct {
			name string
			bar  float64
			part int
		}{{"kvm", 1.05, 1}, {"emulator", 12, 10}} {
			if !slices.Contains(machines(), machine.name) {
				continue
			}
			rounds := max(r.times(w.rounds)/machine.part, 2)
			seconds, err := work(w.kind, rounds, r.wherry, "program", "run", "--machine", machine.name, "--cpu", "10m", "--wall", "10m", w.program)
			if err != nil {
				return err
			}
			r.most("cpu", w.kind+", "+machine.name+" / native", seconds/native, "×", machine.bar)
		}
	}
	return nil
}

// work is the CPU seconds that one round takes.
func work(kind string, rounds int, command ...string) (float64, error) {
	name, args := command[0], command[1:]
	var seconds [2]float64
	for i, n := range []int{1, 1 + rounds} {
		var err error
		if seconds[i], _, err = cpuTime(name, append(args[:len(args):len(args)], kind, strconv.Itoa(n))...); err != nil {
			return 0, err
		}
	}
	return (seconds[1] - seconds[0]) / float64(rounds), nil
}

func (r *run) idle(context.Context) error {
	if !slices.Contains(machines(), "kvm") {
		return nil
	}
	for _, f := range []struct{ language, program, request string }{{"C", r.signed, r.signedRequest}, {"Go", r.cart, r.cartRequest}} {
		rep, err := r.bench(f.program, f.request, "--machine", "kvm", "--isolation", "instance", "--requests", "1", "--idle", strconv.Itoa(r.times(2000)))
		if err != nil {
			return err
		}
		r.tell("idle", f.language+", kvm: the host's memory for an idle instance", rep.Instance/1024, "KiB")
		r.least("idle", f.language+", kvm: idle instances in 8 GiB", float64(8<<30)/rep.Instance, "", 10000)
	}
	return nil
}

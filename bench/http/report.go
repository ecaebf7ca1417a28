package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const resultsDir = "bench/http/results"

// line is one server in one cell.
type line struct {
	Cell    string   `json:"cell"`
	Server  string   `json:"server"`
	Samples []sample `json:"samples"` // one a round
}

// report gathers the figures of a run.
type report struct {
	Began       time.Time         `json:"began"`
	Revision    string            `json:"revision"`
	Machine     string            `json:"machine"`
	LoadBefore  string            `json:"load_average_before"`
	Seconds     float64           `json:"seconds_per_sample"`
	Connections int               `json:"connections"`
	Versions    map[string]string `json:"versions"`
	Notes       []string          `json:"notes"`
	Lines       []*line           `json:"lines"`
}

func newReport(ctx context.Context, o *options) *report {
	return &report{
		Began: time.Now().UTC(), Revision: output(ctx, "git", "describe", "--always", "--dirty"), Machine: machine(ctx),
		LoadBefore: output(ctx, "cat", "/proc/loadavg"), Seconds: o.duration.Seconds(), Connections: o.connections, Versions: map[string]string{},
	}
}

// machine names the processor, how many of them there are, and the kernel.
func machine(ctx context.Context) string {
	_, model, _ := strings.Cut(output(ctx, "grep", "-m1", "model name", "/proc/cpuinfo"), ": ")
	return fmt.Sprintf("%d × %s, Linux %s, %s", runtime.NumCPU(), model, output(ctx, "uname", "-r"), runtime.Version())
}

func output(ctx context.Context, argv ...string) string {
	out, _ := exec.CommandContext(ctx, argv[0], argv[1:]...).Output() // for people only
	return strings.TrimSpace(string(out))
}

func (r *report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func (r *report) add(c cell, name string, s sample) {
	if err := s.check(c); err != nil {
		r.note("INVALID: %s, %s: %v", c.Name, name, err)
	}
	l := r.find(c.Name, name)
	if l == nil {
		l = &line{Cell: c.Name, Server: name}
		r.Lines = append(r.Lines, l)
	}
	l.Samples = append(l.Samples, s)
}

// median returns the median of what of gives for each sample.
func (l *line) median(of func(sample) float64) float64 {
	values := make([]float64, len(l.Samples))
	for i, s := range l.Samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 0 {
		return (values[middle-1] + values[middle]) / 2
	}
	return values[middle]
}

func (l *line) perSecond() float64 { return l.median(func(s sample) float64 { return s.PerSecond }) }

func (l *line) cpu() float64 { return l.median(func(s sample) float64 { return s.CPUMicros }) }

func (l *line) p50() float64 { return l.median(func(s sample) float64 { return float64(s.P50Micros) }) }

func (l *line) p99() float64 { return l.median(func(s sample) float64 { return float64(s.P99Micros) }) }

// find returns the line of a server in a cell, or nil.
func (r *report) find(cell, server string) *line {
	for _, l := range r.Lines {
		if l.Cell == cell && l.Server == server {
			return l
		}
	}
	return nil
}

// write writes the table.
func (r *report) write(w io.Writer) {
	fmt.Fprintf(w, "%s, %s; load average before: %s\n", r.Began.Format(time.DateTime), r.Machine, r.LoadBefore)
	fmt.Fprintf(w, "%d connections, medians of samples of %.0f s; revision %s\n\n", r.Connections, r.Seconds, r.Revision)
	fmt.Fprintln(w, "| cell | server | requests/s | p50 ms | p99 ms | CPU-µs a request | requests/s to nginx | CPU to nginx |")
	fmt.Fprintln(w, "|---|---|---:|---:|---:|---:|---:|---:|")
	for _, l := range r.Lines {
		rate, cost := "–", "–"
		if n := r.find(l.Cell, "nginx"); n != nil {
			rate, cost = ratio(l.perSecond(), n.perSecond()), ratio(l.cpu(), n.cpu())
		}
		fmt.Fprintf(w, "| %s | %s | %.0f | %.2f | %.2f | %.1f | %s | %s |\n", l.Cell, l.Server, l.perSecond(), l.p50()/1e3, l.p99()/1e3,
			l.cpu(), rate, cost)
	}
	fmt.Fprintln(w)
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		fmt.Fprintf(w, "- %s: %s\n", name, r.Versions[name])
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "- %s\n", n)
	}
}

func ratio(a, b float64) string {
	if b == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", a/b)
}

// finish prints the table, saves the figures if asked to, and fails if some are invalid.
func (r *report) finish(w io.Writer, save bool) error {
	r.write(w)
	if save {
		data, err := json.MarshalIndent(r, "", "\t")
		if err != nil {
			return err
		}
		if err := os.MkdirAll(resultsDir, 0o755); err != nil {
			return err
		}
		file := filepath.Join(resultsDir, r.Began.Format("2006-01-02T1504")+".json")
		if err := os.WriteFile(file, append(data, '\n'), 0o644); err != nil {
			return err
		}
		fmt.Fprintln(w, "\nsaved as", file)
	}
	if slices.ContainsFunc(r.Notes, func(n string) bool { return strings.HasPrefix(n, "INVALID") }) {
		return errors.New("some figures are invalid: see the notes")
	}
	return nil
}

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
	Target  float64  `json:"target,omitempty"` // see cell
	Samples []sample `json:"samples"`          // one a round
}

// report gathers the figures of a run.
type report struct {
	Began       time.Time         `json:"began"`
	Revision    string            `json:"revision"`
	Machine     string            `json:"machine"`
	LoadBefore  string            `json:"load_average_before"`
	FileSystem  string            `json:"file_system"` // of the servers' caches and logs
	Seconds     float64           `json:"seconds_per_sample"`
	Connections int               `json:"connections"`
	Versions    map[string]string `json:"versions"`
	Notes       []string          `json:"notes"`
	Lines       []*line           `json:"lines"`
}

func newReport(ctx context.Context, o *options) *report {
	return &report{
		Began: time.Now().UTC(), Revision: output(ctx, "git", "describe", "--always", "--dirty"), Machine: machine(ctx),
		LoadBefore: output(ctx, "cat", "/proc/loadavg"), FileSystem: output(ctx, "stat", "-f", "-c", "%T", os.TempDir()),
		Seconds: o.duration.Seconds(), Connections: o.connections, Versions: map[string]string{},
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
		l = &line{Cell: c.Name, Server: name, Target: c.Target}
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

// write writes the tables.
func (r *report) write(w io.Writer) {
	fmt.Fprintf(w, "%s, %s; load average before: %s; files on %s\n", r.Began.Format(time.DateTime), r.Machine, r.LoadBefore,
		r.FileSystem)
	fmt.Fprintf(w, "%d connections, HTTP/2 %d with %d streams each; medians of samples of %.0f s; revision %s\n\n", r.Connections,
		h2Connections, h2Streams, r.Seconds, r.Revision)
	r.writeLoad(w)
	r.writeIdle(w)
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		fmt.Fprintf(w, "- %s: %s\n", name, r.Versions[name])
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "- %s\n", n)
	}
}

func (r *report) writeLoad(w io.Writer) {
	fmt.Fprintln(w, "| cell | server | requests/s | p50 ms | p99 ms | CPU-µs a request | requests/s to nginx | p99 to nginx | CPU to nginx | target |")
	fmt.Fprintln(w, "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, l := range r.Lines {
		if l.idle() {
			continue
		}
		rate, late, cost := "–", "–", "–"
		if n := r.find(l.Cell, "nginx"); n != nil {
			rate, late, cost = ratio(l.perSecond(), n.perSecond()), ratio(l.p99(), n.p99()), ratio(l.cpu(), n.cpu())
		}
		fmt.Fprintf(w, "| %s | %s | %.0f | %.2f | %.2f | %.1f | %s | %s | %s | %s |\n", l.Cell, l.Server, l.perSecond(), l.p50()/1e3,
			l.p99()/1e3, l.cpu(), rate, late, cost, l.target("≤ %.2f"))
	}
	fmt.Fprintln(w)
}

func (r *report) writeIdle(w io.Writer) {
	if !slices.ContainsFunc(r.Lines, (*line).idle) {
		return
	}
	fmt.Fprintln(w, "| cell | server | connections | MB before | MB with them | KB a connection | target |")
	fmt.Fprintln(w, "|---|---|---:|---:|---:|---:|---:|")
	for _, l := range r.Lines {
		if !l.idle() {
			continue
		}
		n := l.median(func(s sample) float64 { return float64(s.Connections) })
		before, with := l.median(func(s sample) float64 { return s.MemoryBefore }), l.median(func(s sample) float64 { return s.Memory })
		fmt.Fprintf(w, "| %s | %s | %.0f | %.0f | %.0f | %.1f | %s |\n", l.Cell, l.Server, n, before, with, (with-before)*1e3/n,
			l.target("≤ %.0f MB"))
	}
	fmt.Fprintln(w)
}

func (l *line) idle() bool { return l.Samples[0].Connections > 0 }

// target writes what is asked of the line, which is something only if it is wherry's.
func (l *line) target(format string) string {
	if l.Server != "wherry" || l.Target == 0 {
		return ""
	}
	return fmt.Sprintf(format, l.Target)
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

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/internal/garbage"
	"github.com/wherry/wherry/vmm/backend"
)

// result is one figure beside its bar.
type result struct {
	Part  string  `json:"part"`
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Bar   string  `json:"bar,omitempty"`
	Met   *bool   `json:"met,omitempty"`
}

// run is what all parts share.
type run struct {
	quick   bool
	machine backend.Kind
	dir     string // of what is built
	results []result
}

var parts = map[string]func(*run, context.Context) error{"cold": (*run).cold, "tenants": (*run).tenants, "churn": (*run).churn, "serve": (*run).serve}

func main() {
	r := &run{}
	quick := flag.Bool("quick", false, "a tenth of the requests and of the time")
	asJSON := flag.Bool("json", false, "print the figures as JSON")
	machine := flag.String("machine", "auto", "kvm, emulator or auto")
	only := flag.String("only", "cold,tenants,churn,serve", "the parts to measure")
	flag.Parse()
	r.quick, r.machine = *quick, backend.Kind(*machine)
	go garbage.Bound(context.Background(), garbage.OfPrograms) // as in a monitor
	if err := r.measure(strings.Split(*only, ","), *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "compute:", err)
		os.Exit(1)
	}
}

func (r *run) measure(names []string, asJSON bool) (err error) {
	if r.dir, err = os.MkdirTemp("", "compute"); err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	for _, name := range names {
		part, ok := parts[name]
		if !ok {
			return fmt.Errorf("there is no part %q: cold, tenants, churn and serve are", name)
		}
		if failed := part(r, context.Background()); failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, failed))
		}
	}
	if asJSON {
		return errors.Join(err, json.NewEncoder(os.Stdout).Encode(r.results))
	}
	for _, f := range r.results {
		verdict := ""
		if f.Met != nil {
			verdict = map[bool]string{true: "met", false: "MISSED"}[*f.Met]
		}
		fmt.Printf("%-8s %-72s %12.2f %-8s %-10s %s\n", f.Part, f.What, f.Value, f.Unit, f.Bar, verdict)
	}
	return err
}

// tell notes a figure; one that may be as large as most at most, if most isn't 0; one that has to be least at least, if least isn't 0.
func (r *run) tell(part, what string, value float64, unit string, most, least float64) {
	f := result{Part: part, What: what, Value: value, Unit: unit}
	met := true
	switch {
	case most != 0:
		f.Bar, met = fmt.Sprintf("≤ %.4g", most), value <= most
		f.Met = &met
	case least != 0:
		f.Bar, met = fmt.Sprintf("≥ %.4g", least), value >= least
		f.Met = &met
	}
	r.results = append(r.results, f)
}

// scaled is n, or a tenth of it in a quick run.
func (r *run) scaled(n int) int {
	if r.quick {
		return max(n/10, 1)
	}
	return n
}

// build makes a program by a command in which OUT is its file, and returns that.
func (r *run) build(name string, command ...string) (string, error) {
	out := filepath.Join(r.dir, name)
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	for i := range command {
		command[i] = strings.ReplaceAll(command[i], "OUT", out)
	}
	c := exec.Command(command[0], command[1:]...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, bytes.TrimSpace(text))
	}
	return out, nil
}

func (r *run) image(name string, command ...string) ([]byte, error) {
	file, err := r.build(name, command...)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// images are the example in C and the one in Go, by the SDK.
func (r *run) images() (c, g []byte, err error) {
	c, err = r.image("hello-c", "gcc", "-O2", "-static", "-I", "sdk/c", "-o", "OUT", "examples/programs/hello/c/hello.c")
	if err != nil {
		return nil, nil, err
	}
	g, err = r.image("hello-go", "go", "build", "-o", "OUT", "./examples/programs/hello/go")
	return c, g, err
}

// with has a host for the time of do.
func (r *run) with(o compute.Options, do func(h *compute.Host) error) error {
	o.Machine, o.Log, o.Workers = r.machine, slog.New(slog.DiscardHandler), runtime.NumCPU()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(o.Workers + 2)) // as the monitor has it
	h, err := compute.New(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	err = do(h)
	cancel()
	return errors.Join(err, <-ran, h.Close())
}

// ask asks a program, and says how long that took.
func ask(h *compute.Host, name, path string) (took time.Duration, status int, err error) {
	q, err := http.NewRequest(http.MethodGet, "http://shop.example"+path, http.NoBody)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	response, err := h.RoundTripper(name).RoundTrip(q)
	if err != nil {
		return time.Since(began), 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return time.Since(began), response.StatusCode, errors.Join(err, response.Body.Close())
}

// quantile is the q-quantile of times in milliseconds, 0 <= q < 1.
func quantile(times []time.Duration, q float64) float64 {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return float64(sorted[int(q*float64(len(sorted)))]) / 1e6
}

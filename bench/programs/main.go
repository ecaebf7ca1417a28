package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	built
	quick   bool
	results []result
}

func main() {
	quick := flag.Bool("quick", false, "a tenth of the requests and rounds")
	asJSON := flag.Bool("json", false, "print the figures as JSON")
	only := flag.String("only", "call,start,cpu,idle", "the parts to measure")
	flag.Parse()
	if err := measure(*quick, *asJSON, strings.Split(*only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "programs:", err)
		os.Exit(1)
	}
}

var parts = map[string]func(*run, context.Context) error{"call": (*run).call, "start": (*run).start, "cpu": (*run).cpu, "idle": (*run).idle}

func measure(quick, asJSON bool, names []string) error {
	dir, err := os.MkdirTemp("", "programs")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := &run{quick: quick}
	if r.built, err = build(dir); err != nil {
		return err
	}
	for _, name := range names {
		part, ok := parts[name]
		if !ok {
			return fmt.Errorf("there is no part %q: call, start, cpu and idle are", name)
		}
		if err := part(r, context.Background()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(r.results)
	}
	r.print()
	return nil
}

func (r *run) print() {
	fmt.Printf("%-6s %-70s %12s %-8s %-22s\n", "part", "what", "value", "", "bar")
	for _, f := range r.results {
		verdict := ""
		if f.Met != nil {
			verdict = "met"
			if !*f.Met {
				verdict = "MISSED"
			}
		}
		fmt.Printf("%-6s %-70s %12.2f %-8s %-14s %s\n", f.Part, f.What, f.Value, f.Unit, f.Bar, verdict)
	}
}

// tell notes a figure without a bar.
func (r *run) tell(part, what string, value float64, unit string) {
	r.results = append(r.results, result{Part: part, What: what, Value: value, Unit: unit})
}

// most notes a figure that may be as large as bar; least, as small.
func (r *run) most(part, what string, value float64, unit string, bar float64) {
	met := value <= bar
	r.results = append(r.results, result{part, what, value, unit, fmt.Sprintf("≤ %.4g", bar), &met})
}

func (r *run) least(part, what string, value float64, unit string, bar float64) {
	met := value >= bar
	r.results = append(r.results, result{part, what, value, unit, fmt.Sprintf("≥ %.4g", bar), &met})
}

// times returns n, or a tenth of it in a quick run.
func (r *run) times(n int) int {
	if r.quick {
		return max(n/10, 1)
	}
	return n
}

// root is the repository's directory, seen from this module's.
var root = filepath.Join("..", "..")

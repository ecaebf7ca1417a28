package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wherry/wherry/internal/linkem/flows"
)

// session is how all groups are measured, and where to what was seen goes.
type session struct {
	runs   int
	time   time.Duration
	atOnce int    // kinds that are measured at the same time, each over a link of its own
	out    string // directory; empty: nothing is kept
	kept   record
}

// record is what -out keeps in bars.json.
type record struct {
	Began  time.Time     `json:"began"`
	Load   string        `json:"load"` // of the machine, as /proc/loadavg had it
	Runs   int           `json:"runs"`
	AtOnce int           `json:"kinds_at_once"`
	Groups []groupRecord `json:"groups"`
}

type groupRecord struct {
	Name    string              `json:"name"`
	Flows   string              `json:"flows"`
	Picture string              `json:"picture"` // file name without its ending
	Bars    []barRecord         `json:"bars"`
	Reports []*flows.LinkReport `json:"reports"` // of each run, without series
}

// barRecord has null where a bound is none, or a value couldn't be measured.
type barRecord struct {
	What    string     `json:"what"`
	Least   *float64   `json:"least"`
	Most    *float64   `json:"most"`
	Median  *float64   `json:"median"`
	Values  []*float64 `json:"values"`
	Reached string     `json:"reached"`
}

func finite(v float64) *float64 {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return nil
	}
	return &v
}

// duration is how long a group takes, without what making links takes.
func (s *session) duration(g group) time.Duration {
	kinds := strings.Count(g.flows, ",") + 1
	rounds := (kinds + s.atOnce - 1) / s.atOnce
	if g.together {
		rounds = 1
	}
	return time.Duration(rounds*s.runs*max(g.times, 1)) * s.time
}

// bars measures all groups, or those of a name, and prints a row for each bar.
func (s *session) bars(ctx context.Context, only string) error {
	var chosen []group
	var total time.Duration
	for _, g := range groups() {
		if only == "all" || only == g.name {
			chosen = append(chosen, g)
			total += s.duration(g)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no bars are called %q: take goodput, objects, fairness, queue, same or all", only)
	}
	if s.out != "" {
		if err := os.MkdirAll(s.out, 0o755); err != nil {
			return err
		}
	}
	load, _ := os.ReadFile("/proc/loadavg") // where there is none, none is told
	s.kept = record{Began: time.Now(), Load: strings.TrimSpace(string(load)), Runs: s.runs, AtOnce: s.atOnce}
	fmt.Fprintf(os.Stderr, "linkem: this takes more than %v\n", total.Round(time.Second))
	fmt.Printf("100 Mbit/s, 100 ms there and back, medians of %d runs of %v, second half; load before: %s\n\n", s.runs, s.time, s.kept.Load)
	fmt.Printf("| loss | what | median | all | wanted | reached |\n|--:|---|--:|--:|--:|---|\n")
	for _, g := range chosen {
		if err := s.measure(ctx, g); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	return nil
}

// measure repeats a group.
func (s *session) measure(ctx context.Context, g group) error {
	kept := groupRecord{Name: g.name, Flows: g.flows}
	kept.Picture = fmt.Sprintf("%s-%d", g.name, len(s.kept.Groups)+1)
	values := make([][]float64, len(g.bars))
	for range s.runs {
		report, err := s.run(ctx, g)
		if err != nil {
			return err
		}
		byKind := results{}
		for _, r := range report.Results {
			byKind[r.Kind] = r
		}
		for i, b := range g.bars {
			values[i] = append(values[i], b.value(byKind))
		}
		kept.Reports = append(kept.Reports, report)
	}
	typical := middle(values[0])
	for i, b := range g.bars {
		seen := values[i]
		median := seen[middle(seen)]
		fmt.Printf("| %.4g %% | %s | %.3g | %.3g–%.3g | %s | %s |\n",
			100*g.shape.Loss.Fraction(), b.what, median, slices.Min(seen), slices.Max(seen), b.wanted(), b.verdict(median))
		bar := barRecord{What: b.what, Least: finite(b.least), Most: finite(b.most), Median: finite(median), Reached: strings.Trim(b.verdict(median), "*")}
		for _, v := range seen {
			bar.Values = append(bar.Values, finite(v))
		}
		kept.Bars = append(kept.Bars, bar)
	}
	return s.keep(kept, typical)
}

// middle is the index of the median.
func middle(values []float64) int {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	return order[len(order)/2]
}

// run measures the kinds of a group once.
func (s *session) run(ctx context.Context, g group) (*flows.LinkReport, error) {
	kinds, err := flows.LinkFlows(g.flows)
	if err != nil {
		return nil, err
	}
	plan := flows.LinkPlan{
		Shape: g.shape, Flows: kinds, Duration: s.time * time.Duration(max(g.times, 1)),
		ObjectBytes: g.objectBytes, Together: g.together, Seed: rand.Uint64() >> 32,
	}
	if g.together || s.atOnce == 1 {
		return flows.RunLink(ctx, plan)
	}
	var whole *flows.LinkReport
	for chunk := range slices.Chunk(kinds, s.atOnce) {
		reports, errs := make([]*flows.LinkReport, len(chunk)), make([]error, len(chunk))
		var all sync.WaitGroup
		for i, kind := range chunk {
			one := plan
			one.Flows, one.Seed = []flows.Flow{kind}, plan.Seed+uint64(i)
			all.Go(func() { reports[i], errs[i] = flows.RunLink(ctx, one) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		for _, r := range reports {
			for i := range r.Results {
				r.Results[i].CPUSeconds, r.Results[i].CPUSecondsOfGB = 0, 0 // it would be that of all who ran
			}
			if whole == nil {
				whole = r
				continue
			}
			whole.Results = append(whole.Results, r.Results...)
		}
	}
	return whole, nil
}

// keep draws the typical run and writes what was seen until now, so that nothing is lost when somebody stops it.
func (s *session) keep(g groupRecord, typical int) error {
	if s.out != "" {
		figure := g.Reports[typical].Figure()
		for _, f := range []struct {
			ending string
			draw   func(*os.File) error
		}{
			{".svg", func(f *os.File) error { return figure.SVG(f) }},
			{".png", func(f *os.File) error { return figure.PNG(f) }},
		} {
			if err := create(filepath.Join(s.out, g.Picture+f.ending), f.draw); err != nil {
				return err
			}
		}
	}
	for _, r := range g.Reports {
		for i := range r.Results {
			r.Results[i].Series = nil
		}
	}
	s.kept.Groups = append(s.kept.Groups, g)
	if s.out == "" {
		return nil
	}
	return create(filepath.Join(s.out, "bars.json"), func(f *os.File) error {
		e := json.NewEncoder(f)
		e.SetIndent("", " ")
		return e.Encode(s.kept)
	})
}

func create(name string, write func(*os.File) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

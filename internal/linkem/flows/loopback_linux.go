package flows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"text/tabwriter"
	"time"
)

// LoopbackReport is what wherry bench loopback --json prints; docs/operate/bench-link.md describes the fields.
type LoopbackReport struct {
	BytesOfFlow int64            `json:"bytes_per_flow"`
	Results     []LoopbackResult `json:"results"`
}

// LoopbackResult is one kind of flow over loopback.
type LoopbackResult struct {
	Kind           string  `json:"kind"`
	Flows          int     `json:"flows"`
	Seconds        float64 `json:"seconds"`
	GoodputGbit    float64 `json:"goodput_gbit"`
	CPUSeconds     float64 `json:"cpu_seconds"`
	CPUSecondsOfGB float64 `json:"cpu_seconds_per_gb"`
}

// RunLoopback sends so many bytes with each flow over this host's loopback, each kind alone, and tells what both sides spent on it.
func RunLoopback(ctx context.Context, kinds []Flow, bytes int64) (*LoopbackReport, error) {
	report := &LoopbackReport{BytesOfFlow: bytes}
	for _, f := range kinds {
		r, err := runLoopback(ctx, f, bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Kind, err)
		}
		report.Results = append(report.Results, r)
	}
	return report, nil
}

func runLoopback(ctx context.Context, f Flow, bytes int64) (LoopbackResult, error) {
	t := &track{}
	serving, stopServing := context.WithCancel(ctx)
	var servers sync.WaitGroup
	defer servers.Wait()
	defer stopServing()
	defer t.hangUp()
	transport, err := transportOf(f.Kind, false)
	if err != nil {
		return LoopbackResult{}, err
	}
	for range f.Count {
		l, err := t.open(ctx, serving, &servers, transport, loopback{}, loopback{})
		if err != nil {
			return LoopbackResult{}, err
		}
		t.legs = append(t.legs, l)
	}
	cpu, start := processCPU(), time.Now()
	errs := make([]error, len(t.legs))
	var sending sync.WaitGroup
	for i, l := range t.legs {
		sending.Go(func() { errs[i] = l.session.send(ctx, bytes) })
	}
	sending.Wait()
	r := LoopbackResult{
		Kind: f.Kind, Flows: f.Count, Seconds: time.Since(start).Seconds(), CPUSeconds: (processCPU() - cpu).Seconds(),
	}
	var received int64
	for _, l := range t.legs {
		received += l.received.bytes.Load()
	}
	r.GoodputGbit = float64(received) * 8 / r.Seconds / 1e9
	r.CPUSecondsOfGB = r.CPUSeconds / (float64(received) / 1e9)
	if err := errors.Join(append(errs, context.Cause(ctx))...); err != nil {
		return r, err
	}
	if want := bytes * int64(f.Count); received != want {
		return r, fmt.Errorf("%d bytes were sent and %d read", want, received)
	}
	return r, nil
}

// Table prints a report for people.
func (r *LoopbackReport) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "flows\tGbit/s\tCPU s/GB\tCPU s\tseconds\t")
	for _, k := range r.Results {
		fmt.Fprintf(t, "%s:%d\t%.2f\t%.2f\t%.2f\t%.2f\t\n", k.Kind, k.Flows, k.GoodputGbit, k.CPUSecondsOfGB, k.CPUSeconds, k.Seconds)
	}
	return t.Flush()
}

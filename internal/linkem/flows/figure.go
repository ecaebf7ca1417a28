package flows

import (
	"fmt"

	"github.com/wherry/wherry/internal/linkem/plot"
)

// Figure draws what happened over time, and what each flow got.
func (r *LinkReport) Figure() plot.Figure {
	l := r.Link
	how := "each kind alone"
	if r.Together {
		how = "together"
	}
	f := plot.Figure{Title: fmt.Sprintf("%.4g Mbit/s, %.4g ms one way, loss %.4g %%, queue %d bytes, %s; %s", l.RateMbit, l.DelayMs, 100*l.Loss, l.QueueBytes, l.AQM, how)}
	for _, p := range []struct {
		title, unit string
		value       func(Point) float64
	}{
		{"Goodput", "Mbit/s", func(p Point) float64 { return p.GoodputMbit }},
		{"Congestion window", "KiB a flow", func(p Point) float64 { return float64(p.WindowBytes) / 1024 }},
		{"Round trip", "ms", func(p Point) float64 { return p.RTTMs }},
	} {
		panel := plot.Panel{Title: p.title, X: "seconds", Y: p.unit}
		for _, k := range r.Results {
			line := plot.Line{Name: k.Kind}
			for _, point := range k.Series {
				line.X, line.Y = append(line.X, point.Ms/1000), append(line.Y, p.value(point))
			}
			panel.Lines = append(panel.Lines, line)
		}
		f.Panels = append(f.Panels, panel)
	}
	fairness := plot.Panel{Title: "Each flow", Y: "Mbit/s"}
	if r.All != nil {
		fairness.X = fmt.Sprintf("Jain's index of all flows %.3f", r.All.Jain)
	}
	for _, k := range r.Results {
		for _, flow := range k.FlowMbit {
			fairness.Bars = append(fairness.Bars, plot.Bar{Name: k.Kind, Value: flow})
		}
	}
	f.Panels = append(f.Panels, fairness)
	return f
}

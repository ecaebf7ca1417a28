package route

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/wherry/wherry/config"
)

// Explain says why traffic to a node goes where it does, for people.
type Explain struct {
	To       config.NodeID `json:"to"`
	Class    string        `json:"class"`
	Chosen   string        `json:"chosen"`
	Since    time.Time     `json:"since"`
	Why      string        `json:"why"`
	Switches uint64        `json:"switches"`
	Lines    []Line        `json:"routes"` // the chosen one first
	now      time.Time
}

// Line is one route.
type Line struct {
	Route    string        `json:"route"`
	State    string        `json:"state"`
	RTT      time.Duration `json:"rtt_ns"`
	Variance time.Duration `json:"variance_ns"`
	Loss     float64       `json:"loss"`
	Goodput  float64       `json:"goodput"`  // bytes a second, expected
	Expected time.Duration `json:"expected"` // time of an exchange of the class
	Note     string        `json:"note"`
}

// Explain says why the latest choice for a node was made. ok is false if nothing goes there.
func (r *Router) Explain(to config.NodeID, class Class, now time.Time) (x Explain, ok bool) {
	d := r.byTo[to]
	if d == nil || !d.picks[class].asked {
		return Explain{}, false
	}
	p := &d.picks[class]
	x = Explain{To: to, Class: class.String(), Chosen: p.route.String(), Since: p.since, Why: p.why, Switches: p.switches, now: now}
	options := r.options(d, class, now)
	used := find(options, p.route)
	for i := range options {
		o := &options[i]
		line := Line{
			Route: o.Route.String(), State: o.State.String(), RTT: o.Smoothed, Variance: o.Variance, Loss: o.loss(),
			Goodput: goodput(&o.Estimate, o.rate), Expected: o.cost, Note: p.note(o, used),
		}
		if o == used {
			x.Lines = slices.Insert(x.Lines, 0, line)
		} else {
			x.Lines = append(x.Lines, line)
		}
	}
	return x, true
}

// note says why a route isn't the one in use.
func (p *pick) note(o, used *option) string {
	switch {
	case o == used:
		return "in use"
	case o.barred != "":
		return o.barred
	case o.tight:
		return "the budget for detours is used up"
	case o.State == Unknown:
		return "expected; not measured yet"
	case o.Samples == 0:
		return "never answered"
	case !o.answering():
		return fmt.Sprintf("silent for %s", brief(o.Age))
	case o.Heavy:
		return "loses much"
	case !o.ready():
		return "too new to be trusted"
	case used == nil || o.cost < used.cost:
		return fmt.Sprintf("quicker by %s, which isn't enough or hasn't lasted", percent(1-float64(o.cost)/float64(max(o.cost, costOf(used)))))
	default:
		return fmt.Sprintf("slower by %s", percent(float64(o.cost)/float64(used.cost)-1))
	}
}

func costOf(o *option) time.Duration {
	if o == nil {
		return 0
	}
	return o.cost
}

// String is a page for a terminal.
func (x Explain) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "to %s, %s: %s, since %s\n%s\n", x.To, x.Class, x.Chosen, brief(x.now.Sub(x.Since)), x.Why)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROUTE\tSTATE\tRTT\tLOSS\tGOODPUT\tEXPECTED\t")
	for _, l := range x.Lines {
		fmt.Fprintf(w, "%s\t%s\t%s ± %s\t%s\t%.3g Mbit/s\t%s\t%s\n", l.Route, l.State, brief(l.RTT), brief(l.Variance), percent(l.Loss), l.Goodput*8/1e6,
			brief(l.Expected), l.Note)
	}
	w.Flush()
	return b.String()
}

// brief is a duration with three digits or less.
func brief(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%dms", d.Round(time.Millisecond).Milliseconds())
	default:
		return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
	}
}

func percent(v float64) string {
	if v < 0.0995 {
		return fmt.Sprintf("%.1f %%", v*100)
	}
	return fmt.Sprintf("%.0f %%", v*100)
}

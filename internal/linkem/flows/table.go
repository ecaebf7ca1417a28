package flows

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Table prints a report for people.
func (r *LinkReport) Table(w io.Writer) error {
	l := r.Link
	fmt.Fprintf(w, "link: %.4g Mbit/s, %.4g ms one way, loss %.4g %%", l.RateMbit, l.DelayMs, 100*l.Loss)
	if l.BurstPackets > 0 {
		fmt.Fprintf(w, " in bursts of %.4g packets", l.BurstPackets)
	}
	if l.JitterMs > 0 {
		fmt.Fprintf(w, ", jitter %.4g ms", l.JitterMs)
	}
	if l.Reorder > 0 {
		fmt.Fprintf(w, ", %.4g %% reordered", 100*l.Reorder)
	}
	fmt.Fprintf(w, "; queue %d bytes (%.3g BDP), %s; %.4g s", l.QueueBytes, float64(l.QueueBytes)/float64(max(l.BDPBytes, 1)), l.AQM, r.Seconds)
	if r.Together {
		fmt.Fprint(w, ", together")
	}
	fmt.Fprint(w, "\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	objects := r.ObjectBytes > 0
	fmt.Fprint(t, "flows\tMbit/s\tof link\tretransmits\tRTT min\tmean\tp95 ms\tqueue mean\tp95 ms\tCPU s\ts/GB\tJain\t")
	if objects {
		fmt.Fprint(t, "objects\tp50\tp99 ms\t")
	}
	fmt.Fprintln(t)
	for _, k := range r.Results {
		fmt.Fprintf(t, "%s:%d\t%.2f\t%.1f %%\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t", k.Kind, k.Flows, k.GoodputMbit, 100*k.Share, k.Retransmits,
			k.RTT.MinMs, k.RTT.MeanMs, k.RTT.P95Ms, k.Queue.MeanMs, k.Queue.P95Ms)
		if r.Together {
			fmt.Fprint(t, "–\t–\t")
		} else {
			fmt.Fprintf(t, "%.2f\t%.2f\t", k.CPUSeconds, k.CPUSecondsOfGB)
		}
		fmt.Fprintf(t, "%.3f\t", k.Jain)
		if objects && k.Objects != nil {
			fmt.Fprintf(t, "%d\t%.1f\t%.1f\t", k.Objects.Count, k.Objects.P50Ms, k.Objects.P99Ms)
		} else if objects {
			fmt.Fprint(t, "0\t–\t–\t")
		}
		fmt.Fprintln(t)
	}
	if a := r.All; a != nil {
		fmt.Fprintf(t, "all\t%.2f\t%.1f %%\t\t\t\t\t\t\t%.2f\t\t%.3f\t\n", a.GoodputMbit, 100*a.Share, a.CPUSeconds, a.Jain)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return r.footnotes(w)
}

// footnotes print each flow where there are several, and whether the emulator kept up.
func (r *LinkReport) footnotes(w io.Writer) error {
	for _, k := range r.Results {
		if k.Flows < 2 {
			continue
		}
		fmt.Fprintf(w, "\n%s, Mbit/s of each flow:", k.Kind)
		for _, f := range k.FlowMbit {
			fmt.Fprintf(w, " %.2f", f)
		}
		fmt.Fprintln(w)
	}
	for _, k := range r.Results {
		if e := k.Emulator; e.Missed > 0 {
			_, err := fmt.Fprintf(w, "\n%s: the emulator was too slow and missed %d packets: this is no measurement of the link. Take a lower --rate, or a quieter machine.\n",
				k.Kind, e.Missed)
			return err
		}
	}
	return nil
}

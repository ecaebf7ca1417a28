package main

import (
	"flag"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/wherry/wherry/overlay/route/routesim"
)

func main() {
	hours := flag.Float64("hours", 4, "how long the internet of places lives, in virtual time")
	seeds := flag.Int("seeds", 3, "how many internets")
	first := flag.Uint64("seed", 1, "the first one's `number`")
	large := flag.Int("large", 500, "the `nodes` of the network that shows what probing costs; 0 leaves it out")
	flag.Parse()
	if *hours <= 0 || *seeds < 1 || *large < 0 || *large > 2000 {
		fmt.Fprintln(os.Stderr, "route: -hours and -seeds must be more than 0, -large at most 2000")
		os.Exit(2)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "seed\troutes\tdone within 1 s\twithin 3 s\ton a path that works\tmean\tp50\tp95\tp99\t")
	var all []routesim.Result
	for i := range *seeds {
		o := routesim.Usual(*first + uint64(i))
		o.Duration, o.Limits = time.Duration(*hours*float64(time.Hour)), true
		r := routesim.Run(o)
		all = append(all, r)
		row(w, o.Seed, "direct", r.Direct)
		row(w, o.Seed, "oracle", r.Oracle)
		row(w, o.Seed, "of what is measured, oracle", r.Known)
		row(w, o.Seed, "of what was heard of it, oracle", r.Heard)
		row(w, o.Seed, "ours", r.Ours)
		gains(w, o.Seed, "of the oracle's gain: measured", &r, r.Known)
		gains(w, o.Seed, "heard", &r, r.Heard)
		gains(w, o.Seed, "ours", &r, r.Ours)
	}
	w.Flush()
	fmt.Println()
	for i := range all {
		m := all[i].Missed
		fmt.Printf("longer than by the oracle's choice: %.2f ms where it is less than 5 %% longer, %.2f ms where the node doesn't know its route, %.2f ms while it waits\n",
			ms(m.Near), ms(m.Unknown), ms(m.Late))
		cost(&all[i])
	}
	if *large > 0 {
		o := routesim.Usual(*first)
		o.Places, o.Pairs, o.Rate, o.Duration, o.WarmUp, o.Alone = *large, *large, 1, 5*time.Minute, 2*time.Minute, true
		r := routesim.Run(o)
		cost(&r)
	}
}

func row(w *tabwriter.Writer, seed uint64, name string, o routesim.Outcome) {
	fmt.Fprintf(w, "%d\t%s\t%.4f %%\t%.4f %%\t%.4f %%\t%.1f ms\t%.1f ms\t%.1f ms\t%.1f ms\t\n", seed, name, o.Prompt*100, o.Useful*100, o.Working*100, ms(o.Mean), ms(o.P50), ms(o.P95), ms(o.P99))
}

func gains(w *tabwriter.Writer, seed uint64, name string, r *routesim.Result, o routesim.Outcome) {
	prompt, useful, working, mean, p95 := r.GainsOf(&o)
	fmt.Fprintf(w, "%d\t%s\t%.2f %%\t%.2f %%\t%.2f %%\t%.1f %%\t\t%.1f %%\t\t\n", seed, name, prompt*100, useful*100, working*100, mean*100, p95*100)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func cost(r *routesim.Result) {
	fmt.Printf("%d nodes, %d pairs, %d exchanges: %.1f switches an hour and pair (most %.1f), %.1f %% by detours, %.1f kB/s of them a node (budget %.0f, held back %d); %.2f probes/s and %.0f B/s of them a node, %.0f B/s of reports\n",
		r.Places, r.Pairs, r.Exchanges, r.SwitchesHour, r.SwitchesHourMost, r.Detours*100, r.DetourBytesSecond/1000, r.DetourBytesSecondBound/1000, r.Held,
		r.ProbesSecond, r.ProbeBytes, r.ReportBytesSecond)
}

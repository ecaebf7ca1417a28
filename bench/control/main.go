package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// memberEnv tells a process that it is a member, and of which kind.
const memberEnv = "WHERRY_BENCH_MEMBER"

// options are the flags.
type options struct {
	rounds, members int
	faults          string
	election        time.Duration
	verbose         bool
}

func main() {
	if text := os.Getenv(memberEnv); text != "" {
		if err := runMember(text); err != nil {
			fmt.Fprintln(os.Stderr, "member:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 12, "how many faults")
	flag.IntVar(&o.members, "members", 3, "how many members: 3 or 5")
	flag.StringVar(&o.faults, "faults", strings.Join(faults, ","), "which faults, in turn")
	flag.DurationVar(&o.election, "election", 0, "store.Options.Election; 0: its default")
	flag.BoolVar(&o.verbose, "v", false, "print each round")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	results, err := run(ctx, &o)
	fmt.Print(table(results))
	if err == nil && bad(results) > 0 {
		err = errors.New("what was acknowledged isn't what is there")
	}
	if err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "control:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) (results []result, err error) {
	dir, err := os.MkdirTemp("", "wherry-control-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	c, err := newCluster(ctx, dir, o.members, o.election)
	if c != nil {
		defer c.close()
	}
	if err != nil {
		return nil, err
	}
	kinds := strings.Split(o.faults, ",")
	for i := range o.rounds {
		kind := kinds[i%len(kinds)]
		if !slices.Contains(faults, kind) {
			return results, fmt.Errorf("there is no fault %q", kind)
		}
		r, err := c.round(ctx, i, kind)
		if err != nil {
			return results, fmt.Errorf("round %d (%s): %w", i, kind, err)
		}
		if results = append(results, r); o.verbose {
			fmt.Printf("%d %+v\n", i, r)
		}
	}
	return results, nil
}

// bad counts what must not be.
func bad(results []result) (n int) {
	for _, r := range results {
		n += r.lost + r.duplicated + r.wrong + r.crooked + r.leaders
	}
	return n
}

// table prints the results, a row for each fault.
func table(results []result) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| fault | rounds | ops | acked writes | steps of control.Lead | lost | duplicated | wrong | registers not linearizable | two leaders | "+
		"gap in writes, etcd's leader hit: p50 / max | others hit: p50 / max | gap in actions, control's leader hit: p50 / max | both hit: p50 / max |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	kinds := append(slices.Clone(faults), "all")
	for _, kind := range kinds {
		var sum result
		var leader, others, acts, both []time.Duration
		n := 0
		for _, r := range results {
			if kind != "all" && r.fault != kind {
				continue
			}
			n++
			sum.ops, sum.acked, sum.lost = sum.ops+r.ops, sum.acked+r.acked, sum.lost+r.lost
			sum.steps += r.steps
			sum.duplicated, sum.wrong, sum.unchecked = sum.duplicated+r.duplicated, sum.wrong+r.wrong, sum.unchecked+r.unchecked
			sum.crooked, sum.leaders = sum.crooked+r.crooked, sum.leaders+r.leaders
			if r.etcdLeader {
				leader = append(leader, r.gap)
			} else {
				others = append(others, r.gap)
			}
			switch {
			case r.workLeader && r.etcdLeader:
				both = append(both, r.actGap)
			case r.workLeader:
				acts = append(acts, r.actGap)
			}
		}
		if n > 0 {
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d | %s | %s | %s | %s | %s | %s |\n", kind, n, sum.ops, sum.acked, sum.steps, sum.lost,
				sum.duplicated, sum.wrong, checked(sum.crooked, sum.unchecked), checked(sum.leaders, sum.unchecked), spread(leader), spread(others), spread(acts), spread(both))
		}
	}
	return b.String()
}

func checked(n, unchecked int) string {
	switch {
	case !checksHistories:
		return "not checked"
	case unchecked > 0:
		return fmt.Sprintf("%d (%d rounds took too long to check)", n, unchecked)
	}
	return fmt.Sprint(n)
}

func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "–"
	}
	slices.Sort(all)
	return fmt.Sprintf("%.2f / %.2f s (%d)", all[len(all)/2].Seconds(), all[len(all)-1].Seconds(), len(all))
}

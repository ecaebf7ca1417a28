package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/wherry/wherry/bench/proc"
)

const (
	siteHost    = "shop.test"
	waitTimeout = 30 * time.Second // for a process to start and for an answer to change
)

var (
	lisbon = netip.MustParseAddr("127.0.0.1")
	osaka  = netip.MustParseAddr("127.0.0.2")
)

// options are the flags.
type options struct {
	wherry         string
	rounds         int
	healthInterval time.Duration
	pollInterval   time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.wherry, "wherry", "bin/wherry", "the `file` to measure")
	flag.IntVar(&o.rounds, "rounds", 10, "how often to kill and restart")
	flag.DurationVar(&o.healthInterval, "health-interval", 500*time.Millisecond, "dns.health_interval of the configuration")
	flag.DurationVar(&o.pollInterval, "poll", 20*time.Millisecond, "how often to ask the name server")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	if _, err := exec.LookPath(o.wherry); err != nil {
		return fmt.Errorf("%s isn't there: make build", o.wherry)
	}
	if o.rounds < 1 || o.healthInterval <= 0 || o.pollInterval <= 0 {
		return errors.New("-rounds, -health-interval and -poll must be more than 0")
	}
	dir, err := os.MkdirTemp("", "wherry-failover-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	config, names, err := writeConfig(dir, o)
	if err != nil {
		return err
	}
	start := func(node string) (*proc.Process, error) {
		return proc.Start("ready", o.wherry, "edge", "--config", config, "--node", node, "--dir", filepath.Join(dir, node))
	}
	steady, err := start("osaka-1")
	if err != nil {
		return err
	}
	defer steady.Stop()
	if err := steady.AwaitReady(ctx); err != nil {
		return err
	}
	w := &watcher{client: dns.Client{Timeout: time.Second}, names: names, pollInterval: o.pollInterval}
	gone, back, err := measure(ctx, o, w, func() (*proc.Process, error) { return start("lisbon-1") })
	if err != nil {
		return err
	}
	fmt.Printf("%d rounds, health checks every %v, asked every %v, %d queries, %d unanswered\n\n", o.rounds, o.healthInterval,
		o.pollInterval, w.asked, w.unanswered)
	fmt.Println("| from | to | min | median | max |\n|---|---|---:|---:|---:|")
	fmt.Println(row("kill -9", "gone from the answers", gone))
	fmt.Println(row("ready again", "back in the answers", back))
	return nil
}

// measure kills and starts the node that start starts, and returns how long the answers took to follow each time.
func measure(ctx context.Context, o *options, w *watcher, start func() (*proc.Process, error)) (gone, back []time.Duration, err error) {
	node, err := start()
	if err != nil {
		return nil, nil, err
	}
	defer func() { node.Stop() }() // the one of the last round
	if _, err := w.await(ctx, node, lisbon); err != nil {
		return nil, nil, err
	}
	for round := range o.rounds {
		// Health checks have no part in when the node dies.
		if err := pause(ctx, rand.N(2*o.healthInterval)); err != nil {
			return nil, nil, err
		}
		killed := time.Now()
		node.Kill()
		at, err := w.until(ctx, func(answer []netip.Addr) bool {
			return len(answer) > 0 && !slices.Contains(answer, lisbon)
		})
		if err != nil {
			return nil, nil, fmt.Errorf("round %d, killed: %w", round+1, err)
		}
		gone = append(gone, at.Sub(killed))
		if node, err = start(); err != nil {
			return nil, nil, err
		}
		took, err := w.await(ctx, node, lisbon)
		if err != nil {
			return nil, nil, fmt.Errorf("round %d, started: %w", round+1, err)
		}
		back = append(back, took)
		fmt.Fprintf(os.Stderr, "round %2d: gone after %v, back after %v\n", round+1, gone[round].Round(time.Millisecond),
			took.Round(time.Millisecond))
	}
	return gone, back, nil
}

// writeConfig writes the configuration of both nodes and returns its name and where the names are served.
func writeConfig(dir string, o *options) (file, names string, err error) {
	names, err = proc.FreeAddr(osaka.String())
	if err != nil {
		return "", "", err
	}
	var doors [2]string
	for i, addr := range [...]netip.Addr{lisbon, osaka} {
		if doors[i], err = proc.FreeAddr(addr.String()); err != nil {
			return "", "", err
		}
	}
	text := fmt.Sprintf(`dns: {health_interval: %v}
log: {access: off, level: error}
listen: {https: off, portal: off, dns: off}
clusters:
  - name: lisbon
    prefixes: [127.0.0.0/8]
    nodes: [{name: lisbon-1, addresses: [%v], listen: {http: %q}}]
  - name: osaka
    nodes: [{name: osaka-1, addresses: [%v], listen: {http: %q, dns: %q}}]
sites: [{name: shop, hosts: [%s], origins: [{url: "http://127.0.0.1:9"}]}]
`, o.healthInterval, lisbon, doors[0], osaka, doors[1], names, siteHost)
	file = filepath.Join(dir, "wherry.yaml")
	return file, names, os.WriteFile(file, []byte(text), 0o600)
}

// watcher asks the name server.
type watcher struct {
	client            dns.Client
	names             string
	pollInterval      time.Duration
	asked, unanswered int
}

// await waits until node is ready and addr in the answers, and returns how long the second took.
func (w *watcher) await(ctx context.Context, node *proc.Process, addr netip.Addr) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	if err := node.AwaitReady(ctx); err != nil {
		return 0, err
	}
	ready := time.Now()
	at, err := w.until(ctx, func(answer []netip.Addr) bool { return slices.Contains(answer, addr) })
	return at.Sub(ready), err
}

// until asks until an answer is as wanted, and returns when that was.
func (w *watcher) until(ctx context.Context, wanted func([]netip.Addr) bool) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	tick := time.NewTicker(w.pollInterval)
	defer tick.Stop()
	var last []netip.Addr
	for {
		answer, err := w.ask(ctx)
		if err == nil && wanted(answer) {
			return time.Now(), nil
		}
		if err == nil {
			last = answer
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("the answer is still %v: %w", last, errors.Join(ctx.Err(), err))
		}
	}
}

func (w *watcher) ask(ctx context.Context) ([]netip.Addr, error) {
	query := new(dns.Msg).SetQuestion(dns.Fqdn(siteHost), dns.TypeA)
	w.asked++
	answer, _, err := w.client.ExchangeContext(ctx, query, w.names)
	if err != nil {
		w.unanswered++
		return nil, err
	}
	var addrs []netip.Addr
	for _, rr := range answer.Answer {
		if a, ok := rr.(*dns.A); ok {
			if addr, ok := netip.AddrFromSlice(net.IP(a.A).To4()); ok {
				addrs = append(addrs, addr)
			}
		}
	}
	return addrs, nil
}

// row is a line of the table; times may not be empty.
func row(from, to string, times []time.Duration) string {
	sorted := slices.Sorted(slices.Values(times))
	n := len(sorted)
	median := (sorted[(n-1)/2] + sorted[n/2]) / 2
	ms := func(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/1e6) }
	return fmt.Sprintf("| %s | %s | %s | %s | %s |", from, to, ms(sorted[0]), ms(median), ms(sorted[n-1]))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

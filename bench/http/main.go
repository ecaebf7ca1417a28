package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	wherry      string
	peers       string
	only        string
	duration    time.Duration
	rounds      int
	connections int
	idle        int
	save        bool
}

func main() {
	var o options
	flag.StringVar(&o.wherry, "wherry", "bin/wherry", "the `file` to measure")
	flag.StringVar(&o.peers, "peers", "nginx,haproxy,varnish,trafficserver", "the other `servers`, those that are installed")
	flag.StringVar(&o.only, "only", "", "measure only the cells whose names match this `expression`")
	flag.DurationVar(&o.duration, "time", 3*time.Second, "how long each cell is measured for each server in each round")
	flag.IntVar(&o.rounds, "rounds", 3, "how many rounds")
	flag.IntVar(&o.connections, "connections", 32, "how many connections ask at once over HTTP/1.1")
	flag.IntVar(&o.idle, "idle", 20_000, "how many connections the idle cell holds")
	flag.BoolVar(&o.save, "save", false, "write all figures to bench/http/results/DATE.json")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	chosen, err := choose(o)
	if err != nil {
		return err
	}
	for tool, in := range map[string]string{"wrk": "wrk", "h2load": "nghttp2-client"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s, which makes load, isn't installed: apt-get install %s", tool, in)
		}
	}
	if _, err := exec.LookPath(o.wherry); err != nil {
		return fmt.Errorf("%s isn't there: make build", o.wherry)
	}
	dir, err := os.MkdirTemp("", "wherry-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// The workers of nginx are another user when root runs this.
	if err := os.Chmod(dir, 0o711); err != nil {
		return err
	}
	origin, originAddr, stop, err := startOrigin()
	if err != nil {
		return err
	}
	defer stop()
	base := settings{Dir: dir, Origin: originAddr, PEM: filepath.Join(dir, "localhost.pem")}
	held, err := idleCount(o.idle)
	if err != nil {
		return err
	}
	l := &loader{dir: dir, connections: o.connections, idle: held, duration: o.duration, origin: origin}
	if err := makeCertificate(base.PEM); err != nil {
		return err
	}
	r := newReport(ctx, o)
	if held < o.idle && slices.ContainsFunc(chosen, func(c cell) bool { return c.Kind == idle }) {
		r.note("a process may have so few files here that the idle cell holds %d connections, not %d", held, o.idle)
	}
	servers, err := startServers(ctx, o, base, r)
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	if err != nil {
		return err
	}
	if err := measureAll(ctx, o.rounds, l, servers, chosen, r); err != nil {
		return err
	}
	return r.finish(os.Stdout, o.save)
}

// choose returns the cells to measure.
func choose(o *options) ([]cell, error) {
	match, err := regexp.Compile(o.only)
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	chosen := slices.DeleteFunc(cells(), func(c cell) bool { return !match.MatchString(c.Name) })
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-only %s: no cell has such a name", o.only)
	}
	if o.rounds < 1 || o.connections < 1 || o.idle < 1 || o.duration < time.Second || o.duration%time.Second != 0 {
		return nil, errors.New("-rounds, -connections and -idle must be at least 1, -time whole seconds")
	}
	return chosen, nil
}

// startServers starts wherry and the peers that are installed, and returns those that run even when one fails.
func startServers(ctx context.Context, o *options, base settings, r *report) ([]*server, error) {
	var servers []*server
	wanted := strings.Split(o.peers, ",")
	for _, c := range contenders(o.wherry) {
		if c.name != "wherry" && !slices.Contains(wanted, c.name) {
			continue
		}
		own := base
		own.Dir = filepath.Join(base.Dir, c.name)
		s, err := c.start(ctx, own)
		if errors.Is(err, errMissing) {
			r.note("%s is not installed; it is left out", c.name)
			continue
		}
		if err != nil {
			return servers, fmt.Errorf("%s: %w", c.name, err)
		}
		servers = append(servers, s)
		r.Versions[s.name] = s.version
	}
	return servers, nil
}

// measureAll alternates between the servers, so that what else happens on the machine meets all of them.
func measureAll(ctx context.Context, rounds int, l *loader, servers []*server, chosen []cell, r *report) error {
	for _, c := range chosen {
		for round := range rounds {
			for _, s := range servers {
				if c.base(s) == "" {
					continue
				}
				got, err := l.measure(ctx, s, c, strconv.Itoa(round))
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if errors.Is(err, errNotHeld) && s.name != "wherry" {
					r.note("left out: %s, %s: %v", c.Name, s.name, err)
					continue
				}
				if err != nil { // the others' figures are good all the same
					r.note("INVALID: %s, %s: %v", c.Name, s.name, err)
					continue
				}
				fmt.Fprintf(os.Stderr, "%-20s %-13s %9.0f req/s %7.1f CPU-µs %6.0f MB\n", c.Name, s.name, got.PerSecond, got.CPUMicros,
					got.Memory)
				r.add(c, s.name, got)
			}
		}
	}
	return nil
}

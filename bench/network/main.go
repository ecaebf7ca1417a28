// Command network measures a network of real processes on loopback (wherry lab): how long it takes until every edge serves what was applied, and until
// every edge has confirmed a purge by tag. Run it on a quiet machine:
//
//	make build && go run ./bench/network -edges 50 -objects 2000
//
// With -static it counts the requests that fail while all control nodes are dead for that long and the edges are restarted one after the other:
//
//	make build && go run ./bench/network -edges 4 -static 10m
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
)

func main() {
	program := flag.String("program", "bin/wherry", "the wherry to measure")
	edges := flag.Int("edges", 50, "how many edges")
	objects := flag.Int("objects", 2000, "tagged objects that each edge has stored before a purge")
	rounds := flag.Int("rounds", 30, "how many applies, and purges")
	dead := flag.Duration("static", 0, "kill all control nodes for this long instead, and count the requests that fail")
	rate := flag.Int("rate", 200, "requests a second, with -static")
	flag.Parse()
	err := error(nil)
	if *dead > 0 {
		err = static(*program, *edges, *dead, *rate)
	} else {
		err = run(*program, *edges, *objects, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "network:", err)
		os.Exit(1)
	}
}

func run(program string, edges, objects, rounds int) error {
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Cache-Tag", "all")
		fmt.Fprint(w, strings.Repeat("x", 200))
	}))
	defer origin.Close()
	l, err := start(program, dir, edges)
	if err != nil {
		return err
	}
	defer l.stop()
	client := &api.Client{Server: l.server, Token: l.token}
	if err := applies(client, l, origin.URL, rounds); err != nil {
		return err
	}
	return purges(client, l, objects, rounds)
}

// network is a lab that runs.
type network struct {
	cmd           *exec.Cmd
	dir           string
	server, token string
	edges         []string // addresses for HTTP
	dns           string   // of the name server
}

func start(program, dir string, edges int) (*network, error) {
	l := &network{dir: dir, cmd: exec.Command(program, "lab", "--dir", dir, "--control", "3", "--edges", fmt.Sprint(edges), "--dns", "1")}
	l.cmd.Stderr = os.Stderr
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		for _, f := range strings.Fields(lines.Text()) {
			name, value, _ := strings.Cut(f, "=")
			switch name {
			case "http":
				l.edges = append(l.edges, value)
			case "dns":
				l.dns = value
			case "WHERRY_SERVER":
				l.server = value
			case "WHERRY_TOKEN":
				l.token = value
			}
		}
		if lines.Text() == "ready" {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return l, nil
		}
	}
	return nil, errors.Join(errors.New("the lab didn't come up"), l.cmd.Wait())
}

func (l *network) stop() {
	_ = l.cmd.Process.Signal(syscall.SIGTERM)
	_ = l.cmd.Wait()
}

// get asks one edge.
func get(edge, path string) (int, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+edge+path, nil)
	if err != nil {
		return 0, err
	}
	req.Host = "shop.test"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// each does something with all edges at once, four at a time.
func (l *network) each(do func(edge string) error) error {
	errs := make([]error, len(l.edges))
	limit := make(chan struct{}, 4)
	var all sync.WaitGroup
	for i, edge := range l.edges {
		all.Go(func() {
			limit <- struct{}{}
			errs[i] = do(edge)
			<-limit
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// applies changes what a rule refuses, and looks at every edge whether it does.
func applies(c *api.Client, l *network, origin string, rounds int) error {
	var took []time.Duration
	for i := range rounds {
		status := []int{403, 404, 410}[i%3]
		yaml := fmt.Sprintf("name: shop\nhosts: [shop.test]\norigins: [{url: %q}]\nrules: [{name: probe, match: {paths: [/probe]}, refuse: %d}]\n", origin, status)
		began := time.Now()
		r, err := c.Apply(context.Background(), api.ApplyRequest{Documents: []api.Document{{Name: "shop", YAML: yaml}}, Emergency: true, Wait: true})
		if err != nil {
			return err
		}
		took = append(took, time.Since(began))
		if len(r.Serving) != len(l.edges) {
			return fmt.Errorf("apply %d: %d of %d edges have confirmed, away: %v", i, len(r.Serving), len(l.edges), r.Away)
		}
		if err := l.each(func(edge string) error {
			if got, err := get(edge, "/probe"); err != nil || got != status {
				return fmt.Errorf("apply %d: %s answers %d, %v; it has confirmed %d", i, edge, got, err, status)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	report("apply (emergency) until every edge has confirmed that it serves it", took)
	return nil
}

func purges(c *api.Client, l *network, objects, rounds int) error {
	fmt.Printf("storing %d tagged objects on each of %d edges\n", objects, len(l.edges))
	if err := l.each(func(edge string) error {
		for i := range objects {
			if status, err := get(edge, fmt.Sprintf("/%d", i)); err != nil || status != http.StatusOK {
				return fmt.Errorf("%s: %d, %v", edge, status, err)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	var took []time.Duration
	for i := range rounds {
		began := time.Now()
		r, err := c.Purge(context.Background(), api.PurgeRequest{Purge: feed.Purge{Kind: feed.PurgeTag, Value: "all"}})
		if err != nil {
			return err
		}
		took = append(took, time.Since(began))
		if len(r.Confirmed) != len(l.edges) {
			return fmt.Errorf("purge %d: %d of %d edges have confirmed", i, len(r.Confirmed), len(l.edges))
		}
	}
	report(fmt.Sprintf("purge by tag until every edge has confirmed it, %d objects each at the first", objects), took)
	return nil
}

func report(what string, took []time.Duration) {
	slices.Sort(took)
	at := func(q float64) time.Duration {
		return took[min(len(took)-1, int(q*float64(len(took))))].Round(time.Millisecond / 10)
	}
	fmt.Printf("%s: %d times, p50 %s, p99 %s, most %s\n", what, len(took), at(0.5), at(0.99), took[len(took)-1].Round(time.Millisecond/10))
}

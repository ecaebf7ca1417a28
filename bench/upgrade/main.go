// Command upgrade measures what clients notice of `wherry upgrade`: it starts a network of real processes on loopback (wherry lab), puts load on its
// edges over HTTP/1.1, HTTP/2 and HTTP/3, has all nodes change to another program, and counts the requests that failed. Run it on a quiet machine:
//
//	make build && go build -trimpath -ldflags "-X main.version=next" -o bin/wherry-next ./cmd/wherry
//	go run ./bench/upgrade -program bin/wherry -next bin/wherry-next
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
)

type options struct {
	program, next string
	edges         int
	clients       int
	slow          time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.program, "program", "bin/wherry", "the wherry to begin with")
	flag.StringVar(&o.next, "next", "bin/wherry-next", "the wherry to change to")
	flag.IntVar(&o.edges, "edges", 2, "how many edges")
	flag.IntVar(&o.clients, "clients", 4, "clients of each kind; half of them make a connection for each request")
	flag.DurationVar(&o.slow, "slow", 3*time.Second, "how long the slow downloads take that are always under way; 0: none")
	flag.Parse()
	if err := run(&o); err != nil {
		fmt.Fprintln(os.Stderr, "upgrade:", err)
		os.Exit(1)
	}
}

const objectBytes = 20_000

func run(o *options) error {
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			for range 20 {
				_, _ = io.WriteString(w, strings.Repeat("s", objectBytes/20))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(o.slow / 20)
			}
			return
		}
		w.Header().Set("Cache-Control", "max-age=3600")
		fmt.Fprint(w, strings.Repeat("x", objectBytes))
	}))
	defer origin.Close()
	l, err := start(o, dir)
	if err != nil {
		return err
	}
	defer l.stop()
	control := &api.Client{Server: l.server, Token: l.token}
	yaml := fmt.Sprintf("name: shop\nhosts: [shop.test]\norigins: [{url: %q}]\n", origin.URL)
	if _, err := control.Apply(context.Background(), api.ApplyRequest{Documents: []api.Document{{Name: "shop", YAML: yaml}}, Emergency: true, Wait: true}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	var all []*load
	for _, kind := range []string{"HTTP/1.1", "HTTP/2", "HTTP/3"} {
		for i := range o.clients {
			all = append(all, &load{what: kind, edge: l.edges[i%len(l.edges)], fresh: i%2 == 1, path: "/object"})
		}
		if o.slow > 0 {
			for _, edge := range l.edges {
				all = append(all, &load{what: kind + ", slow downloads", edge: edge, path: "/slow"})
			}
		}
	}
	for _, c := range all {
		group.Go(func() { c.run(ctx) })
	}
	time.Sleep(2 * time.Second)
	before := versions(control)
	began := time.Now()
	upgrade := exec.Command(o.program, "upgrade", "--program", o.next, "--server", l.server, "--emergency")
	upgrade.Env = append(os.Environ(), "WHERRY_TOKEN="+l.token)
	upgrade.Stdout, upgrade.Stderr = os.Stdout, os.Stderr
	err = upgrade.Run()
	for err == nil {
		if changed(before, versions(control)) {
			break
		}
		if time.Since(began) > time.Minute {
			err = fmt.Errorf("some nodes haven't changed within a minute: %v, before %v", versions(control), before)
		}
		time.Sleep(20 * time.Millisecond)
	}
	took := time.Since(began)
	time.Sleep(2 * time.Second)
	cancel()
	group.Wait()
	fmt.Printf("upgrade of %d edges and control: %s\n", o.edges, took.Round(time.Millisecond))
	report(all)
	return err
}

// versions are the programs that nodes run; none while control changes its own.
func versions(c *api.Client) map[config.NodeID]string {
	s, err := c.Status(context.Background())
	if err != nil {
		return nil
	}
	all := map[config.NodeID]string{}
	for _, n := range s.Nodes {
		if n.Live && n.Report != nil {
			all[n.Name] = n.Report.Version
		}
	}
	return all
}

// changed says whether all nodes run another program than before.
func changed(before, now map[config.NodeID]string) bool {
	for name, version := range before {
		if now[name] == "" || now[name] == version {
			return false
		}
	}
	return true
}

// report prints a line for each kind of client.
func report(all []*load) {
	for len(all) > 0 {
		what := all[0].what
		var sum load
		all = slices.DeleteFunc(all, func(c *load) bool {
			if c.what != what {
				return false
			}
			sum.requests += c.requests
			sum.failures = append(sum.failures, c.failures...)
			sum.slowest = max(sum.slowest, c.slowest)
			return true
		})
		fmt.Printf("%-26s %7d requests, %d failed, the slowest %s\n", what, sum.requests, len(sum.failures), sum.slowest.Round(time.Millisecond))
		for _, f := range sum.failures[:min(5, len(sum.failures))] {
			fmt.Println("   ", f)
		}
	}
}

// load is one client that asks again and again.
type load struct {
	what, edge, path string
	fresh            bool // a connection for each request

	requests int
	failures []string
	slowest  time.Duration
}

func (c *load) run(ctx context.Context) {
	var client *http.Client
	for ctx.Err() == nil {
		if client == nil || c.fresh {
			if client != nil {
				client.CloseIdleConnections()
				closeAll(client)
			}
			client = c.client()
		}
		began := time.Now()
		err := c.get(client)
		took := time.Since(began)
		c.requests++
		c.slowest = max(c.slowest, took)
		if err != nil {
			c.failures = append(c.failures, fmt.Sprintf("after %s: %v", took.Round(time.Millisecond), err))
		}
		if c.path != "/slow" {
			time.Sleep(2 * time.Millisecond)
		}
	}
	closeAll(client)
}

func closeAll(c *http.Client) {
	if t, ok := c.Transport.(io.Closer); ok {
		_ = t.Close()
	}
}

func (c *load) get(client *http.Client) error {
	resp, err := client.Get("https://shop.test" + c.path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || n != objectBytes) {
		err = fmt.Errorf("status %d, %d bytes", resp.StatusCode, n)
	}
	return err
}

// client returns one for which every host is the edge.
func (c *load) client() *http.Client {
	config := &tls.Config{InsecureSkipVerify: true} // each node of a lab has an authority of its own
	if strings.HasPrefix(c.what, "HTTP/3") {
		return &http.Client{Transport: &http3.Transport{
			TLSClientConfig: config, QUICConfig: &quic.Config{HandshakeIdleTimeout: 20 * time.Second, MaxIdleTimeout: 30 * time.Second},
			Dial: func(ctx context.Context, _ string, t *tls.Config, q *quic.Config) (*quic.Conn, error) {
				return quic.DialAddr(ctx, c.edge, t, q)
			},
		}}
	}
	t := &http.Transport{TLSClientConfig: config, Protocols: new(http.Protocols), DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", c.edge)
	}}
	if strings.HasPrefix(c.what, "HTTP/2") {
		t.Protocols.SetHTTP2(true)
	} else {
		t.Protocols.SetHTTP1(true)
	}
	return &http.Client{Transport: t}
}

// network is a lab that runs.
type network struct {
	cmd           *exec.Cmd
	server, token string
	edges         []string // addresses for HTTPS and HTTP/3
}

func start(o *options, dir string) (*network, error) {
	l := &network{cmd: exec.Command(o.program, "lab", "--dir", dir, "--control", "1", "--edges", fmt.Sprint(o.edges), "--dns", "0")}
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
			case "https":
				l.edges = append(l.edges, value)
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

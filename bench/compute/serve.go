package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/wherry/wherry/bench/proc"
)

const edgeConfig = `
listen: {http: %[1]q, https: "off", dns: "off", portal: "off"}
log: {access: "off"}
programs:
  sdk: {image: %[2]s, limits: {concurrency: 64}}
  listens: {image: %[3]s, isolation: connection, limits: {concurrency: 64}}
  remembers: {image: %[3]s, isolation: instance, limits: {concurrency: 64}}
sites:
  - name: shop
    hosts: ["*"]
    cache: {enabled: false}
    rules:
      - {name: sdk, match: {paths: [/sdk]}, program: sdk}
      - {name: listens, match: {paths: [/listens]}, program: listens}
      - {name: remembers, match: {paths: [/remembers]}, program: remembers}
`

const nginxConfig = `
worker_processes auto; daemon off; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log;
events { worker_connections 1024; }
http {
  access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  keepalive_requests 10000000;
  upstream greet { server %[3]s; keepalive 64; }
  server { listen %[2]s; location / { proxy_pass http://greet; proxy_http_version 1.1; proxy_set_header Connection ""; } }
}
`

// serve has wrk ask through an edge, and through nginx, in turn.
func (r *run) serve(ctx context.Context) error {
	for _, tool := range []string{"nginx", "wrk"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: apt-get install nginx-light wrk", err)
		}
	}
	wherry, err := r.build("wherry", "go", "build", "-o", "OUT", "./cmd/wherry")
	if err != nil {
		return err
	}
	greet, err := r.build("greet", "go", "build", "-o", "OUT", "./bench/compute/testdata/greet")
	if err != nil {
		return err
	}
	if _, _, err := r.images(); err != nil {
		return err
	}
	var at [3]string // of the edge, nginx and the process behind it
	for i := range at {
		if at[i], err = proc.FreeAddr("127.0.0.1"); err != nil {
			return err
		}
	}
	write := func(name, text string) string {
		file := filepath.Join(r.dir, name)
		err = os.WriteFile(file, []byte(text), 0o644)
		return file
	}
	edgeFile := write("wherry.yaml", fmt.Sprintf(edgeConfig, at[0], filepath.Join(r.dir, "hello-go"), greet))
	if err != nil {
		return err
	}
	nginxFile := write("nginx.conf", fmt.Sprintf(nginxConfig, r.dir, at[1], at[2]))
	if err != nil {
		return err
	}
	for i, argv := range [][]string{{wherry, "edge", "--config", edgeFile, "--dir", filepath.Join(r.dir, "state")}, {"nginx", "-c", nginxFile}, {greet, at[2]}} {
		p, err := proc.Start("", argv...)
		if err != nil {
			return err
		}
		defer p.Stop()
		if err := p.AwaitDial(ctx, at[i]); err != nil {
			return fmt.Errorf("%s: %w\n%s", argv[0], err, p.Output())
		}
	}
	return r.compare([]way{
		{"nginx before a net/http process", "http://" + at[1] + "/", 0},
		{"by the SDK, isolation by request", "http://" + at[0] + "/sdk", .7},
		{"listens, isolation by connection", "http://" + at[0] + "/listens", .4},
		{"listens, isolation by instance", "http://" + at[0] + "/remembers", 0},
	})
}

// way is one by which wrk asks.
type way struct {
	what, url string
	bar       float64 // of the first one's rate
}

// compare asks each way in turn.
func (r *run) compare(ways []way) error {
	rates := make([][]float64, len(ways))
	for range max(r.scaled(30)/10, 1) {
		for i, w := range ways {
			rate, err := wrk(w.url, max(r.scaled(50)/10, 1))
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], rate)
		}
	}
	middle := func(i int) float64 {
		slices.Sort(rates[i])
		return rates[i][len(rates[i])/2]
	}
	for i, w := range ways {
		r.tell("serve", w.what+": requests/s", middle(i), "", 0, 0)
		if i > 0 {
			r.tell("serve", w.what+" / nginx", middle(i)/middle(0), "", 0, w.bar)
		}
	}
	return nil
}

var (
	rateLine   = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	failedLine = regexp.MustCompile(`Non-2xx or 3xx responses: ([0-9]+)`)
)

// wrk is how many requests a second twelve connections get answered.
func wrk(url string, seconds int) (float64, error) {
	out, err := exec.Command("wrk", "-t1", "-c12", fmt.Sprintf("-d%ds", seconds), url).CombinedOutput()
	rate := rateLine.FindSubmatch(out)
	if err != nil || rate == nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	if failed := failedLine.FindSubmatch(out); failed != nil {
		fmt.Fprintf(os.Stderr, "%s: %s responses were errors\n", url, failed[1])
	}
	return strconv.ParseFloat(string(rate[1]), 64)
}

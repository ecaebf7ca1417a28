// Command http3 measures hits over HTTP/3 beside those over HTTP/2, of the same process, by clients of the same kind: Go's own, because the load
// generators of distributions don't speak HTTP/3. Requests a second tell more of the clients than of the server, so what counts is the server's CPU time
// a request. Run it on a quiet machine:
//
//	make build && go run ./bench/http3
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/quic-go/quic-go/http3"
)

func main() {
	program := flag.String("program", "bin/wherry", "the wherry to measure")
	rounds := flag.Int("rounds", 3, "alternating samples")
	length := flag.Duration("time", 3*time.Second, "of a sample")
	flag.Parse()
	if err := run(*program, *rounds, *length); err != nil {
		fmt.Fprintln(os.Stderr, "http3:", err)
		os.Exit(1)
	}
}

// What the clients open: as h2load does in bench/http.
const (
	connections = 8
	streams     = 16
)

func run(program string, rounds int, length time.Duration) error {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		size, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		_, _ = io.WriteString(w, strings.Repeat("x", size))
	}))
	defer origin.Close()
	server := exec.Command(program, "dev", "--origin", origin.URL, "--edges", "1", "--dns", "off", "--access-log", os.DevNull, "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--portal", "127.0.0.1:0")
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
	}()
	base := ""
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "ready"; {
		if m := regexp.MustCompile(`https://\S+`).FindString(lines.Text()); m != "" && base == "" {
			base = m
		}
	}
	if base == "" {
		return errors.New("it isn't ready")
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	for _, size := range []int{1 << 10, 100 << 10} {
		var samples [2][]sample
		for range rounds {
			for i, protocol := range []string{"HTTP/2", "HTTP/3"} {
				s, err := measure(server.Process.Pid, protocol, base+strconv.Itoa(size), size, length)
				if err != nil {
					return fmt.Errorf("%s: %w", protocol, err)
				}
				samples[i] = append(samples[i], s)
			}
		}
		for i, protocol := range []string{"HTTP/2", "HTTP/3"} {
			slices.SortFunc(samples[i], func(a, b sample) int { return int(a.cpu - b.cpu) })
			s := samples[i][rounds/2]
			fmt.Printf("%s hit %d KiB: %.0f req/s, p99 %s, %.1f CPU-µs a request\n", protocol, size>>10, s.rate, s.p99, float64(s.cpu)/1e3)
		}
	}
	return nil
}

type sample struct {
	rate float64
	p99  time.Duration
	cpu  time.Duration // of the server, a request
}

func measure(pid int, protocol, url string, size int, length time.Duration) (sample, error) {
	ctx, cancel := context.WithTimeout(context.Background(), length+time.Second)
	defer cancel()
	var mu sync.Mutex
	var all []time.Duration
	var firstErr error
	var group sync.WaitGroup
	var from, to time.Time
	counting := func() bool { now := time.Now(); return now.After(from) && now.Before(to) }
	from = time.Now().Add(time.Second) // until everything is warm
	to = from.Add(length)
	for range connections {
		transport := newTransport(protocol)
		client := &http.Client{Transport: transport}
		defer transport.(io.Closer).Close()
		for range streams {
			group.Go(func() {
				var own []time.Duration
				for ctx.Err() == nil {
					began := time.Now()
					err := get(client, url, size)
					if err != nil && ctx.Err() == nil {
						mu.Lock()
						firstErr = err
						mu.Unlock()
						return
					}
					if counting() {
						own = append(own, time.Since(began))
					}
				}
				mu.Lock()
				all = append(all, own...)
				mu.Unlock()
			})
		}
	}
	time.Sleep(time.Until(from))
	before, err := cpuTime(pid)
	if err != nil {
		return sample{}, err
	}
	time.Sleep(time.Until(to))
	after, err := cpuTime(pid)
	if err != nil {
		return sample{}, err
	}
	cancel()
	group.Wait()
	if firstErr != nil || len(all) == 0 {
		return sample{}, fmt.Errorf("no requests: %w", firstErr)
	}
	slices.Sort(all)
	return sample{float64(len(all)) / length.Seconds(), all[len(all)*99/100].Round(10 * time.Microsecond), (after - before) / time.Duration(len(all))}, nil
}

func get(c *http.Client, url string, size int) error {
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || n != int64(size)) {
		err = fmt.Errorf("status %d, %d bytes", resp.StatusCode, n)
	}
	return err
}

// closing is http.Transport with a Close.
type closing struct{ *http.Transport }

func (c closing) Close() error {
	c.CloseIdleConnections()
	return nil
}

func newTransport(protocol string) http.RoundTripper {
	config := &tls.Config{InsecureSkipVerify: true}
	if protocol == "HTTP/3" {
		return &http3.Transport{TLSClientConfig: config, DisableCompression: true}
	}
	t := &http.Transport{TLSClientConfig: config, DisableCompression: true, Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP2(true)
	return closing{t}
}

// cpuTime is the user and system time of a process.
func cpuTime(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("/proc/PID/stat is short")
	}
	var ticks time.Duration
	for _, f := range fields[11:13] { // utime, stime: proc(5)
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += time.Duration(n)
	}
	return ticks * (time.Second / 100), nil
}

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

//go:embed load.lua
var loadScript []byte

// cell is one line of the table for each server.
type cell struct {
	Name string
	Size int // of the body
	Hit  bool
	TLS  bool
}

func cells() []cell {
	return []cell{
		{"hit 1 KiB", 1 << 10, true, false},
		{"hit 10 KiB", 10 << 10, true, false},
		{"hit 100 KiB", 100 << 10, true, false},
		{"hit 1 MiB", 1 << 20, true, false},
		{"miss 200 B", missBytes, false, false},
		{"TLS 1.3 hit 1 KiB", 1 << 10, true, true},
		{"TLS 1.3 hit 100 KiB", 100 << 10, true, true},
	}
}

// sample is what one server did in one cell for one round.
type sample struct {
	Requests   int64   `json:"requests"`
	Seconds    float64 `json:"seconds"`
	PerSecond  float64 `json:"requests_per_second"`
	P50Micros  int64   `json:"p50_us"`
	P99Micros  int64   `json:"p99_us"`
	CPUMicros  float64 `json:"cpu_us_per_request"`
	Errors     int64   `json:"errors"`
	FromOrigin int64   `json:"origin_requests"`
}

// check says what makes the sample of c invalid. A cache that collapses or races at the start may ask for a hit once more.
func (s sample) check(c cell) error {
	switch {
	case s.Requests == 0 || s.Errors > 0:
		return fmt.Errorf("%d requests, %d of them failed", s.Requests, s.Errors)
	case c.Hit && s.FromOrigin > objects:
		return fmt.Errorf("%d of %d hits reached the origin", s.FromOrigin, s.Requests)
	case !c.Hit && s.FromOrigin < s.Requests:
		return fmt.Errorf("%d of %d misses didn't reach the origin", s.Requests-s.FromOrigin, s.Requests)
	}
	return nil
}

// loader runs wrk.
type loader struct {
	script      string // file with load.lua
	connections int
	duration    time.Duration
	origin      *site
}

// measure loads s with c; nonce makes the URLs of misses new.
func (l *loader) measure(ctx context.Context, s *server, c cell, nonce string) (sample, error) {
	base := s.http
	if c.TLS {
		base = s.https
	}
	args := []string{"-t1", "-c", strconv.Itoa(l.connections), "-d", l.duration.String(), "--timeout", "10s", "-s", l.script, base, "--"}
	if c.Hit {
		if err := fill(ctx, base, c); err != nil {
			return sample{}, err
		}
		args = append(args, "hit", strconv.Itoa(c.Size), strconv.Itoa(objects))
	} else {
		args = append(args, "miss", nonce)
	}
	askedBefore, cpuBefore, err := l.counters(s)
	if err != nil {
		return sample{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.duration+time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "wrk", args...).CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("wrk: %w: %s", err, bytes.TrimSpace(out))
	}
	asked, cpu, err := l.counters(s)
	if err != nil {
		return sample{}, err
	}
	got, err := parseLoad(out)
	got.FromOrigin = asked - askedBefore
	if got.Requests > 0 {
		got.CPUMicros = float64((cpu - cpuBefore).Microseconds()) / float64(got.Requests)
	}
	return got, err
}

func (l *loader) counters(s *server) (asked int64, cpu time.Duration, err error) {
	for _, p := range s.processes {
		used, err := p.CPU()
		if err != nil {
			return 0, 0, err
		}
		cpu += used
	}
	return l.origin.asked.Load(), cpu, nil
}

// parseLoad reads the line that load.lua prints last.
func parseLoad(out []byte) (sample, error) {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var raw struct {
		sample
		DurationMicros int64 `json:"duration_us"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &raw); err != nil {
		return sample{}, fmt.Errorf("wrk: no JSON at the end of: %s", out)
	}
	if raw.DurationMicros <= 0 {
		return sample{}, errors.New("wrk: it took no time")
	}
	s := raw.sample
	s.Seconds = float64(raw.DurationMicros) / 1e6
	s.PerSecond = float64(s.Requests) / s.Seconds
	return s, nil
}

// fill asks for all objects of a hit cell, so that they are stored, and checks what comes.
func fill(ctx context.Context, base string, c cell) error {
	// The certificate is one that we have just made for all servers.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}}
	defer transport.CloseIdleConnections()
	for i := 1; i <= objects; i++ {
		url := fmt.Sprintf("%s/hit/%d/%d", base, c.Size, i)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || n != int64(c.Size) {
			return fmt.Errorf("%s: %s with %d bytes, not %d: %w", url, resp.Status, n, c.Size, err)
		}
	}
	return nil
}

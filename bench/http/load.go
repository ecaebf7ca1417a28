package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"time"
)

// kind is what a cell asks for.
type kind int

const (
	hit  kind = iota // what the cache has
	miss             // a new URL each time
	idle             // nothing, after one hit a connection
)

// protocol is what a cell speaks.
type protocol int

const (
	plain protocol = iota // HTTP/1.1 in cleartext
	tls1                  // HTTP/1.1 in TLS 1.3
	tls2                  // HTTP/2 in TLS 1.3
)

// cell is one line of the table for each server.
type cell struct {
	Name     string
	Kind     kind
	Protocol protocol
	Size     int // of the body
	// Target is what wherry shall reach: its CPU time a request as a multiple of nginx's, or of an idle cell its MB.
	Target float64
}

func cells() []cell {
	return []cell{
		// First, while the caches are empty: what they hold would be counted.
		{"idle connections", idle, plain, 1 << 10, 400},
		{"hit 1 KiB", hit, plain, 1 << 10, 0.6},
		{"hit 10 KiB", hit, plain, 10 << 10, 0.7},
		{"hit 100 KiB", hit, plain, 100 << 10, 1},
		{"hit 1 MiB", hit, plain, 1 << 20, 0.7},
		{"TLS 1.3 hit 1 KiB", hit, tls1, 1 << 10, 0.75},
		{"TLS 1.3 hit 100 KiB", hit, tls1, 100 << 10, 0.9},
		{"HTTP/2 hit 1 KiB", hit, tls2, 1 << 10, 0.4},
		{"HTTP/2 hit 100 KiB", hit, tls2, 100 << 10, 0.85},
		{"miss 200 B", miss, plain, missBytes, 1.5},
	}
}

// base returns the URL at which s serves c, or nothing when it doesn't know the protocol.
func (c cell) base(s *server) string {
	switch c.Protocol {
	case tls1:
		return s.https
	case tls2:
		if s.http2 {
			return s.https
		}
		return ""
	default:
		return s.http
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
	Bytes      int64   `json:"bytes"`
	Errors     int64   `json:"errors"`
	FromOrigin int64   `json:"origin_requests"`

	// Of an idle cell.
	Connections  int     `json:"connections,omitempty"`
	MemoryBefore float64 `json:"memory_mb_before,omitempty"`
	Memory       float64 `json:"memory_mb,omitempty"`
}

// check says what makes the sample of c invalid. A cache that collapses or races at the start may ask for a hit once more.
func (s sample) check(c cell) error {
	switch {
	case s.Requests == 0 || s.Errors > 0:
		return fmt.Errorf("%d requests, %d of them failed", s.Requests, s.Errors)
	case s.Bytes < s.Requests*int64(c.Size):
		return fmt.Errorf("%d responses had %d bytes, less than %d each", s.Requests, s.Bytes, c.Size)
	case c.Kind == miss && s.FromOrigin < s.Requests:
		return fmt.Errorf("%d of %d misses didn't reach the origin", s.Requests-s.FromOrigin, s.Requests)
	case c.Kind != miss && s.FromOrigin > objects:
		return fmt.Errorf("%d of %d hits reached the origin", s.FromOrigin, s.Requests)
	}
	return nil
}

// loader makes the load.
type loader struct {
	dir         string // for its files
	connections int    // of wrk
	idle        int    // connections of an idle cell
	duration    time.Duration
	origin      *site
}

// measure loads s with c; nonce makes the URLs of misses new.
func (l *loader) measure(ctx context.Context, s *server, c cell, nonce string) (sample, error) {
	if c.Kind != miss {
		if err := fill(ctx, c.base(s), c); err != nil {
			return sample{}, err
		}
	}
	load := func(ctx context.Context) (sample, error) { return l.wrk(ctx, c, c.base(s), nonce) }
	switch {
	case c.Kind == idle:
		load = func(ctx context.Context) (sample, error) { return l.hold(ctx, s, c) }
	case c.Protocol == tls2:
		load = func(ctx context.Context) (sample, error) { return l.h2load(ctx, c, c.base(s)) }
	}
	askedBefore := l.origin.asked.Load()
	cpuBefore, err := s.cpu()
	if err != nil {
		return sample{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.duration+time.Minute)
	defer cancel()
	got, err := load(ctx)
	if err != nil {
		return sample{}, err
	}
	cpu, err := s.cpu()
	if err != nil {
		return sample{}, err
	}
	got.FromOrigin = l.origin.asked.Load() - askedBefore
	if got.Requests > 0 {
		got.CPUMicros = float64((cpu - cpuBefore).Microseconds()) / float64(got.Requests)
	}
	return got, nil
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

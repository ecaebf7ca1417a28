package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestParseWrk(t *testing.T) {
	out := "Running 2s test @ http://localhost:1\n  1 threads and 32 connections\n" +
		`{"requests":500,"duration_us":2000000,"bytes":7000,"p50_us":70,"p99_us":900,"errors":3}` + "\n"
	got, err := parseWrk([]byte(out))
	want := sample{Requests: 500, Seconds: 2, PerSecond: 250, P50Micros: 70, P99Micros: 900, Bytes: 7000, Errors: 3}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "unable to connect to localhost:1", `{"requests":5}`} {
		if _, err := parseWrk([]byte(bad)); err == nil {
			t.Errorf("%q was taken for figures", bad)
		}
	}
}

// h2loadOutput is what version 1.52.0 prints.
const h2loadOutput = `starting benchmark...
spawning thread #0: 8 total client(s). Timing-based test with 0s of warm-up time and 2s of main duration for measurements.
TLS Protocol: TLSv1.3
Cipher: TLS_AES_128_GCM_SHA256
Application protocol: h2
Main benchmark duration is over for thread #0. Stopping all clients.
Stopped all clients for thread #0

finished in 2.00s, 500.00 req/s, 1.10MB/s
requests: 1000 total, 1128 started, 1000 done, 997 succeeded, 2 failed, 1 errored, 0 timeout
status codes: 997 2xx, 0 3xx, 2 4xx, 0 5xx
traffic: 1.05MB (1100000) total, 24.41KB (25000) headers (space savings 90.00%), 1000.00KB (1024000) data
                     min         max         mean         sd        +/- sd
time for request:      101us      9.10ms      2.50ms       400us    71.00%
`

func TestParseH2load(t *testing.T) {
	got, err := parseH2load([]byte(h2loadOutput))
	want := sample{Requests: 1000, Seconds: 2, PerSecond: 500, Bytes: 1024000, Errors: 3}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, part := range []string{"protocol: h2", "requests: 1000", "(1024000) data", "finished in 2.00s"} {
		if _, err := parseH2load([]byte(strings.Replace(h2loadOutput, part, "", 1))); err == nil {
			t.Errorf("output without %q was taken for figures", part)
		}
	}
	for _, took := range []string{"0.00s", "99999999999h", "1.2.3s"} {
		if _, err := parseH2load([]byte(strings.Replace(h2loadOutput, "2.00s", took, 1))); err == nil {
			t.Errorf("%s was taken for a time", took)
		}
	}
	if _, err := parseH2load([]byte(strings.Replace(h2loadOutput, "protocol: h2", "protocol: http/1.1", 1))); err == nil {
		t.Error("HTTP/1.1 was taken for HTTP/2")
	}
}

func TestLatenciesOfH2load(t *testing.T) {
	var log strings.Builder
	for i := 200; i > 0; i-- {
		fmt.Fprintf(&log, "1700000000000000\t200\t%d\n", i*10)
	}
	log.WriteString("1700000000000000\t503\t1\n1700000000000000\t-1\t1\n")
	s := sample{Errors: 1}
	if err := s.addLatencies(strings.NewReader(log.String())); err != nil || s.P50Micros != 1000 || s.P99Micros != 1980 || s.Errors != 2 {
		t.Errorf("got %+v, %v; want 1000 and 1980 µs and 2 errors", s, err)
	}
	for _, bad := range []string{"", "1\t-1\t5\n", "1\t200\n", "1\t200\tx\n"} {
		if err := s.addLatencies(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was taken for latencies", bad)
		}
	}
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	for _, c := range []struct {
		n, p int
		want int64
	}{{1, 50, 1}, {1, 99, 1}, {2, 50, 1}, {3, 50, 2}, {100, 99, 99}, {101, 99, 100}} {
		sorted := make([]int64, c.n)
		for i := range sorted {
			sorted[i] = int64(i + 1)
		}
		if got := percentile(sorted, c.p); got != c.want {
			t.Errorf("%d of 1…%d: got %d, want %d", c.p, c.n, got, c.want)
		}
	}
}

func TestAskOnceChecksTheAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		good    bool
	}{
		"good":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "0123456789") }, true},
		"short":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "012") }, false},
		"status": {http.NotFound, false},
		"closes": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, "0123456789")
		}, false},
	} {
		s := httptest.NewServer(c.handler)
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		err = askOnce(conn, bufio.NewReader(nil), "localhost", cell{Size: 10}, 3)
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		conn.Close()
		s.Close()
	}
}

func TestEachDoesAllAndCountsFailures(t *testing.T) {
	done := make([]bool, 100)
	got := each(len(done), func(i int, _ *bufio.Reader) error {
		done[i] = true
		if i%10 == 0 {
			return io.ErrUnexpectedEOF
		}
		return nil
	})
	if got.n != 10 || got.first != io.ErrUnexpectedEOF {
		t.Errorf("got %+v, want 10 failures", got)
	}
	for i, d := range done {
		if !d {
			t.Errorf("%d wasn't done", i)
		}
	}
}

func TestServersWithoutAProtocolAreLeftOut(t *testing.T) {
	varnish := &server{http: "http://localhost:1"}
	onlyTLS := &server{http: "http://localhost:1", https: "https://localhost:2"}
	all := &server{http: "http://localhost:1", https: "https://localhost:2", http2: true}
	for _, c := range []struct {
		server   *server
		protocol protocol
		want     string
	}{
		{varnish, plain, "http://localhost:1"},
		{varnish, tls1, ""},
		{varnish, tls2, ""},
		{onlyTLS, tls1, "https://localhost:2"},
		{onlyTLS, tls2, ""},
		{all, tls2, "https://localhost:2"},
	} {
		if got := (cell{Protocol: c.protocol}).base(c.server); got != c.want {
			t.Errorf("protocol %d: got %q, want %q", c.protocol, got, c.want)
		}
	}
}

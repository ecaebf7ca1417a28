package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What h2load opens: as many requests at once as browsers with a page each have.
const (
	h2Connections = 8
	h2Streams     = 16 // on each connection
)

// h2load asks for c at base over HTTP/2.
func (l *loader) h2load(ctx context.Context, c cell, base string) (sample, error) {
	urls, log := filepath.Join(l.dir, "urls"), filepath.Join(l.dir, "h2load.log")
	var list strings.Builder
	for i := 1; i <= objects; i++ {
		fmt.Fprintf(&list, "%s/hit/%d/%d\n", base, c.Size, i)
	}
	if err := os.WriteFile(urls, []byte(list.String()), 0o600); err != nil {
		return sample{}, err
	}
	if err := os.RemoveAll(log); err != nil { // it appends
		return sample{}, err
	}
	out, err := exec.CommandContext(ctx, "h2load", "-c", strconv.Itoa(h2Connections), "-m", strconv.Itoa(h2Streams), "-t1",
		"-D", strconv.Itoa(int(l.duration.Seconds())), "--npn-list=h2", "--log-file", log, "-i", urls).CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("h2load: %w: %s", err, bytes.TrimSpace(out))
	}
	s, err := parseH2load(out)
	if err != nil {
		return sample{}, err
	}
	f, err := os.Open(log)
	if err != nil {
		return sample{}, err
	}
	defer f.Close()
	return s, s.addLatencies(f)
}

var (
	h2Protocol = regexp.MustCompile(`(?m)^Application protocol: (\S+)$`)
	h2Requests = regexp.MustCompile(
		`(?m)^requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$`)
	h2Traffic = regexp.MustCompile(`(?m)^traffic: .*, \S+ \((\d+)\) data$`)
	h2Time    = regexp.MustCompile(`(?m)^finished in ([0-9.]+)(us|ms|s), `)
)

// parseH2load reads what h2load prints when it is done.
func parseH2load(out []byte) (sample, error) {
	bad := func(what string) (sample, error) { return sample{}, fmt.Errorf("h2load: no %s in: %s", what, out) }
	protocol, requests := h2Protocol.FindSubmatch(out), h2Requests.FindSubmatch(out)
	traffic, took := h2Traffic.FindSubmatch(out), h2Time.FindSubmatch(out)
	switch {
	case protocol == nil || string(protocol[1]) != "h2":
		return bad("protocol h2")
	case requests == nil:
		return bad("requests")
	case traffic == nil:
		return bad("traffic")
	case took == nil:
		return bad("time")
	}
	var counts [5]int64
	for i := range counts {
		n, err := strconv.ParseInt(string(requests[i+1]), 10, 64)
		if err != nil {
			return bad("requests")
		}
		counts[i] = n
	}
	// What was failed, errored or timed out is among the done.
	s := sample{Requests: counts[0], Errors: counts[0] - counts[1]}
	var err error
	if s.Bytes, err = strconv.ParseInt(string(traffic[1]), 10, 64); err != nil {
		return bad("traffic")
	}
	if s.Seconds, err = strconv.ParseFloat(string(took[1]), 64); err != nil {
		return bad("time")
	}
	s.Seconds *= map[string]float64{"us": 1e-6, "ms": 1e-3, "s": 1}[string(took[2])]
	if s.Seconds <= 0 {
		return sample{}, errors.New("h2load: it took no time")
	}
	s.PerSecond = float64(s.Requests) / s.Seconds
	return s, nil
}

// addLatencies reads h2load's log: a line for each request with its start in µs, its status, and the µs that it took.
func (s *sample) addLatencies(log io.Reader) error {
	var (
		took   []int64
		failed int64
	)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) < 3 {
			return fmt.Errorf("h2load: %d columns in its log: %q", len(fields), lines.Text())
		}
		micros, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return fmt.Errorf("h2load: log: %w", err)
		}
		if fields[1] != "200" {
			failed++
			continue
		}
		took = append(took, micros)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("h2load: log: %w", err)
	}
	if len(took) == 0 {
		return errors.New("h2load: no response in its log")
	}
	// Mostly the same ones as in the summary, which takes a redirection for a success.
	s.Errors = max(s.Errors, failed)
	slices.Sort(took)
	s.P50Micros, s.P99Micros = percentile(took, 50), percentile(took, 99)
	return nil
}

// percentile returns the p-th percentile of sorted by nearest rank.
func percentile(sorted []int64, p int) int64 {
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

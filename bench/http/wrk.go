package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed wrk.lua
var wrkScript []byte

// wrk asks for c at base over HTTP/1.1; nonce makes the URLs of misses new.
func (l *loader) wrk(ctx context.Context, c cell, base, nonce string) (sample, error) {
	script := filepath.Join(l.dir, "wrk.lua")
	if err := os.WriteFile(script, wrkScript, 0o600); err != nil {
		return sample{}, err
	}
	args := []string{"-t1", "-c", strconv.Itoa(l.connections), "-d", l.duration.String(), "--timeout", "10s", "-s", script, base, "--"}
	if c.Kind == miss {
		args = append(args, "miss", nonce)
	} else {
		args = append(args, "hit", strconv.Itoa(c.Size), strconv.Itoa(objects))
	}
	out, err := exec.CommandContext(ctx, "wrk", args...).CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("wrk: %w: %s", err, bytes.TrimSpace(out))
	}
	return parseWrk(out)
}

// parseWrk reads the line that wrk.lua prints last.
func parseWrk(out []byte) (sample, error) {
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

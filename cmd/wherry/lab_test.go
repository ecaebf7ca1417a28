//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// labRun is a lab of real processes that a test steers by the commands of the real program.
type labRun struct {
	t       *testing.T
	program string
	dir     string
	env     []string
	http    map[string]string // by node
	portal  map[string]string
}

// slow skips what takes long, but in make soak.
func slow(t *testing.T) {
	t.Helper()
	if os.Getenv("WHERRY_SOAK") == "" {
		t.Skip("takes long: set WHERRY_SOAK=1, or run make soak")
	}
}

func startLab(t *testing.T, args ...string) *labRun {
	t.Helper()
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return startLabIn(t, dir, args...)
}

func startLabIn(t *testing.T, dir string, args ...string) *labRun {
	t.Helper()
	program := buildProgram(t)
	cmd := exec.Command(program, append([]string{"lab", "--dir", dir}, args...)...)
	cmd.Env = os.Environ()
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the lab ended with %v", err)
		}
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
			for _, file := range logs {
				text, _ := os.ReadFile(file)
				t.Logf("%s:\n%s", filepath.Base(file), text[max(0, len(text)-3000):])
			}
		}
	})
	l := &labRun{t: t, program: program, dir: dir, env: cmd.Env, http: map[string]string{}, portal: map[string]string{}}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch fields[0] {
		case "node":
			for _, f := range fields {
				if at, ok := strings.CutPrefix(f, "http="); ok {
					l.http[fields[1]] = at
				}
				if at, ok := strings.CutPrefix(f, "portal="); ok {
					l.portal[fields[1]] = at
				}
			}
		case "export":
			l.env = append(l.env, fields[1:]...)
		case "ready":
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return l
		}
	}
	t.Fatalf("the lab didn't come up: %v", lines.Err())
	return nil
}

// run gives a command, and returns what it printed.
func (l *labRun) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, l.program, args...)
	cmd.Env = l.env
	text, err := cmd.CombinedOutput()
	return string(text), err
}

func (l *labRun) must(args ...string) string {
	l.t.Helper()
	text, err := l.run(args...)
	if err != nil {
		l.t.Fatalf("wherry %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return text
}

// get asks an edge for a path of shop.test.
func (l *labRun) get(node, path string) (status int, body string) {
	l.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+l.http[node]+path, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	req.Host = "shop.test"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

func (l *labRun) write(name, text string) string {
	l.t.Helper()
	file := filepath.Join(l.t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return file
}

// A network of processes: what is applied is served by all edges, a bad revision stays on the canary, purges reach all and those that were away, and edges
// serve on, and start again, without control.
func TestLab(t *testing.T) {
	var count atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Cache-Tag", "all, "+strings.Trim(r.URL.Path, "/"))
		fmt.Fprint(w, count.Add(1))
	}))
	defer origin.Close()
	l := startLab(t, "--control", "1", "--edges", "2", "--dns", "0")
	site := "name: shop\nhosts: [shop.test]\norigins: [{url: \"" + origin.URL + "\"}]\n"
	l.must("apply", "--emergency", "-m", "first", "-f", l.write("shop.yaml", site))
	for _, edge := range []string{"edge-1", "edge-2"} {
		if status, body := l.get(edge, "/a"); status != http.StatusOK {
			t.Fatalf("%s: %d %s", edge, status, body)
		}
	}

	bad := strings.Replace(site, origin.URL, "http://127.0.0.1:1", 1)
	text, err := l.run("apply", "-m", "wrong origin", "-f", l.write("shop.yaml", bad))
	if err == nil || !strings.Contains(text, "reverted in phase canary") {
		t.Errorf("a wrong origin: %v\n%s", err, text)
	}
	if text := l.must("history", "shop"); !strings.Contains(text, "reverted") {
		t.Error(text)
	}
	if _, err := l.run("apply", "--base", "7", "-f", l.write("shop.yaml", site+"body_size: 1KiB\n")); err == nil {
		t.Error("a stale base was taken")
	}

	_, before := l.get("edge-2", "/a")
	l.must("lab", "kill", "edge-2")
	time.Sleep(100 * time.Millisecond)
	var purged struct{ Confirmed, Away []any }
	if err := json.Unmarshal([]byte(l.must("purge", "--tag", "a", "--json")), &purged); err != nil || len(purged.Confirmed) != 1 || len(purged.Away) != 1 {
		t.Errorf("purge: %+v, %v", purged, err)
	}
	l.must("lab", "restart", "edge-2")
	l.untilServes("edge-2")
	if _, after := l.get("edge-2", "/a"); after == before {
		t.Error("an edge that was away serves what was purged")
	}

	l.must("lab", "kill", "control-1")
	l.must("lab", "restart", "edge-1")
	l.untilServes("edge-1")
	for range 20 {
		for _, edge := range []string{"edge-1", "edge-2"} {
			if status, body := l.get(edge, "/b"); status != http.StatusOK {
				t.Errorf("%s without control: %d %s", edge, status, body)
			}
		}
	}
	if text, err := l.run("status"); err == nil {
		t.Errorf("status without control: %s", text)
	}
	l.must("lab", "restart", "control-1")
	l.untilServes("edge-1")
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		text, err := l.run("purge", "--all")
		if err == nil && strings.Contains(text, "2 edges") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the edges don't come back to control: %v %s", err, text)
		}
	}
}

// untilServes waits until an edge that was started answers.
func (l *labRun) untilServes(edge string) {
	l.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		status, body := l.get(edge, "/c")
		if status == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s doesn't serve: %d %s", edge, status, body)
		}
	}
}

// buildProgram makes the real program: a lab starts itself again, by its path, as its nodes.
func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "wherry")
	if text, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return program
}

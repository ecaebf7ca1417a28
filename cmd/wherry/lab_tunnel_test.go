//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// heard is what a process writes, for a test that waits for some of it.
type heard struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all.String()
}

// begin starts a command that stays, and waits until it has written something so many times. end tells it to end, and returns its error.
func (l *labRun) begin(times int, until string, args ...string) (out *heard, end func() error) {
	l.t.Helper()
	out = &heard{}
	cmd := exec.Command(l.program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = l.env, out, out
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	end = sync.OnceValue(func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return cmd.Wait()
	})
	l.t.Cleanup(func() { _ = end() })
	for deadline := time.Now().Add(20 * time.Second); strings.Count(out.String(), until) < times; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("wherry %s doesn't say %q:\n%s", strings.Join(args, " "), until, out)
		}
	}
	return out, end
}

// answers asks an edge until it answers so.
func (l *labRun) answers(within time.Duration, edge, path string, status int, text string) {
	l.t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		got, body := l.get(edge, path)
		if got == status && strings.Contains(body, text) {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s%s: %d %s, want %d and %q", edge, path, got, body, status, text)
		}
	}
}

// A service that only the agent's machine reaches is served by all edges, also when an edge that the agent keeps dies; TCP goes from here to a node's
// loopback; and who may not do that is told why.
func TestLabTunnel(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s from %s", r.Method, r.Host, body, r.Header.Get("X-Forwarded-For"))
	}))
	defer origin.Close()
	to := strings.TrimPrefix(origin.URL, "http://")
	l := startLab(t, "--control", "1", "--edges", "3", "--dns", "0")
	edges := []string{"edge-1", "edge-2", "edge-3"}
	l.must("apply", "--emergency", "-m", "first", "-f", l.write("shop.yaml", "name: shop\nhosts: [shop.test]\norigins: [{url: \"tunnel://shop\"}]\n"))
	for _, edge := range edges {
		l.answers(5*time.Second, edge, "/", http.StatusBadGateway, "")
	}

	out, end := l.begin(2, "tunnel is up", "tunnel", "--site", "shop", "--to", to)
	for _, edge := range edges {
		l.answers(5*time.Second, edge, "/a", http.StatusOK, "GET shop.test  from 127.0.0.1")
	}
	resp, err := http.DefaultClient.Do(request(t, http.MethodPost, "http://"+l.http["edge-2"]+"/form", "hello"))
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), "POST shop.test hello") {
		t.Errorf("POST: %s", body)
	}

	kept := ""
	for _, edge := range edges {
		if strings.Contains(out.String(), "tunnel is up\" node="+edge) {
			kept = edge
		}
	}
	l.must("lab", "kill", kept)
	began := time.Now()
	for _, edge := range edges {
		if edge != kept {
			l.answers(5*time.Second, edge, "/b", http.StatusOK, "GET shop.test")
		}
	}
	t.Logf("after %s has died, the others answered within %v", kept, time.Since(began).Round(time.Millisecond))
	for deadline := time.Now().Add(20 * time.Second); strings.Count(out.String(), "tunnel is up") < 3; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the agent doesn't take another edge:\n%s", out)
		}
	}
	if err := end(); err != nil {
		t.Errorf("the agent ended with %v:\n%s", err, out)
	}
	for _, edge := range edges {
		if edge != kept {
			l.answers(5*time.Second, edge, "/c", http.StatusBadGateway, "")
			const want = "no tunnel offers site shop: run wherry tunnel --site shop --to HOST:PORT"
			if text, err := os.ReadFile(filepath.Join(l.dir, edge+".log")); err != nil || !strings.Contains(string(text), want) {
				t.Errorf("the log of %s doesn't say %q: %v", edge, want, err)
			}
		}
	}

	l.forward(edges, kept)
	token := lastLine(l.must("token", "create", "other", "--can", "deploy", "--site", "other"))
	l.env = append(l.env, "WHERRY_TOKEN="+token)
	for _, args := range [][]string{{"tunnel", "--site", "shop", "--to", to}, {"overlay", "forward", "0", "edge-1:1"}} {
		if text, err := l.run(args...); err == nil || !strings.Contains(text, "the token other") {
			t.Errorf("wherry %v with the token of another site: %v\n%s", args, err, text)
		}
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func request(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "shop.test"
	return r
}

// forward has TCP carried to a port of a node's loopback.
func (l *labRun) forward(edges []string, dead string) {
	l.t.Helper()
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	node := edges[0]
	if node == dead {
		node = edges[1]
	}
	_, port, _ := net.SplitHostPort(echo.Addr().String())
	out, end := l.begin(1, "msg=forwarding", "overlay", "forward", "0", "→", node+":"+port)
	_, at, _ := strings.Cut(out.String(), "listen=")
	at, _, _ = strings.Cut(at, " ")
	c, err := net.Dial("tcp", at)
	if err != nil {
		l.t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "there and back")
	_ = c.(*net.TCPConn).CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if text, err := io.ReadAll(c); string(text) != "there and back" {
		l.t.Errorf("forwarded: %q, %v", text, err)
	}
	if err := end(); err != nil {
		l.t.Errorf("the forward ended with %v:\n%s", err, out)
	}
	if text, err := l.run("overlay", "forward", "0", node+":1"); err == nil || !strings.Contains(text, "nothing answers at 127.0.0.1:1") {
		l.t.Errorf("a port that nobody has: %v\n%s", err, text)
	}
}

//go:build linux

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// answering is a program that answers each request with TEXT, or does what else is said.
const answering = `package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
)

var _ = sha256.Sum256

func main() {
	%s
	in := bufio.NewReader(os.Stdin)
	for {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		text := os.Getenv("GREETING") + %q
		fmt.Printf("HTTP/1.1 200 OK\r\nContent-Length: %%d\r\nCache-Control: no-store\r\n\r\n%%s", len(text), text)
	}
}
`

// buildAnswering builds one that says text, after it has done first.
func buildAnswering(t *testing.T, first, text string) string {
	t.Helper()
	dir := t.TempDir()
	source, file := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(source, fmt.Appendf(nil, answering, first, text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-ldflags=-s", "-o", file, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// A program is sent once, and all edges have it answer; one that can't be used changes nothing; the former one comes back.
func TestProgramsAreDeployed(t *testing.T) {
	t.Parallel()
	first := buildAnswering(t, "", "first")
	second := buildAnswering(t, "", "second")
	crashes := buildAnswering(t, `panic("no configuration")`, "third")
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }))
	defer origin.Close()
	l := startLab(t, "--control", "1", "--edges", "2", "--dns", "0")
	l.must("apply", "--emergency", "-f", l.write("shop.yaml", "name: shop\nhosts: [shop.test]\norigins: [{url: \""+origin.URL+"\"}]\n"))
	l.must("apply", "--emergency", "-f", l.write("network.yaml", l.must("site", "show", "network")+"\nrollout: {bake: 1s}\n"))

	text := l.must("program", "deploy", "hello", first, "--site", "shop", "--path", "/hello", "--env", "GREETING=hi ")
	l.bothAnswer("hi first", text)
	text = l.must("program", "deploy", "hello", second, "-m", "the second one")
	l.bothAnswer("hi second", text)

	text, err := l.run("program", "deploy", "hello", crashes)
	if err == nil || !strings.Contains(text, "no configuration") || !strings.Contains(text, "nothing was changed") {
		t.Errorf("one that crashes: %v %s", err, text)
	}
	text, err = l.run("program", "deploy", "hello", crashes, "--no-check") // so that an edge finds out
	if err == nil || !strings.Contains(text, "no configuration") {
		t.Errorf("one that crashes on edges: %v %s", err, text)
	}
	l.bothAnswer("hi second", text)

	text = l.must("program", "rollback", "hello")
	l.bothAnswer("hi first", text)
	l.must("lab", "restart", "edge-1")
	l.untilServes("edge-1")
	l.bothAnswer("hi first", "a restart")
	text = l.must("program", "deploy", "hello", second, "--emergency")
	l.bothAnswer("hi second", text)
	if text := l.must("history", "network"); !strings.Contains(text, "the second one") {
		t.Error(text)
	}
}

func (l *labRun) bothAnswer(want, why string) {
	l.t.Helper()
	for _, edge := range []string{"edge-1", "edge-2"} {
		if status, body := l.get(edge, "/hello"); status != http.StatusOK || body != want {
			l.t.Errorf("%s: %d %q, want %q after %s", edge, status, body, want, why)
		}
	}
}

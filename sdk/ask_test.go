package sdk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/backend"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/phys"
)

// askers are how testdata's asker is built, as builds.
var askers = map[string][][]string{
	"go":    {{"go", "build", "-trimpath", "-o", "OUT", "./testdata/asker"}},
	"glibc": {{"gcc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-I", "c", "-o", "OUT", "testdata/asker.c"}},
	"musl":  {{"musl-gcc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-I", "c", "-o", "OUT", "testdata/asker.c"}},
	"rust": {
		{"rustc", "-O", "--edition", "2021", "-D", "warnings", "--crate-type", "rlib", "--crate-name", "wherry", "-o", "DIR/libwherry.rlib", "rust/src/lib.rs"},
		{"rustc", "-O", "--edition", "2021", "-C", "target-feature=+crt-static", "--extern", "wherry=DIR/libwherry.rlib", "-o", "OUT", "testdata/asker.rs"},
	},
}

// TestAsk has a program in each language ask twice while it answers: small and large responses, a body, responses without one, and one that breaks off.
func TestAsk(t *testing.T) {
	host := edge(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/who":
			w.WriteHeader(http.StatusEarlyHints) // RFC 8297
			fmt.Fprintf(w, "%s from %s", r.URL.Host, r.Header.Get("X-From"))
		case "/big":
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
		case "/length":
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n)
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/cut":
			_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
			panic(http.ErrAbortHandler)
		case "/silent":
			panic(http.ErrAbortHandler)
		case "/huge":
			_, _ = io.WriteString(w, strings.Repeat("x", 16<<20))
		}
	}))
	for language, commands := range askers {
		t.Run(language, func(t *testing.T) {
			deploy(t, host, language, compile(t, "asker-"+language, commands))
			from := map[string]string{"go": "go", "rust": "rust"}[language]
			if from == "" {
				from = "c"
			}
			errors := map[string][3]string{
				"go":   {"unexpected EOF", `asking the edge for http://edge/silent: connection reset by peer`, "asking the edge for http://edge/huge: message too long"},
				"rust": {"the edge's answer broke off", "Connection reset by peer (os error 104)", "Message too long (os error 90)"},
			}
			said, ok := errors[language]
			if !ok {
				said = [3]string{"the edge's answer broke off", "Connection reset by peer", "Message too large"}
			}
			if language == "glibc" {
				said[2] = "Message too long"
			}
			for range 2 { // the machine is taken back between
				for path, want := range map[string]string{
					"/who": "200 edge from " + from, "/big": "200 1048576 bytes", "/none": "204 ", "/cut": said[0], "/silent": said[1], "/huge": said[2],
				} {
					answered(t, host, language, httptest.NewRequest(http.MethodGet, "http://shop.example"+path, nil), strings.Repeat(want+"\n", 2))
				}
				body := strings.NewReader(strings.Repeat("x", 1_000_000)) // more than a socket's buffer
				answered(t, host, language, httptest.NewRequest(http.MethodPost, "http://shop.example/length", body), strings.Repeat("200 1000000\n", 2))
			}
		})
	}
}

// TestAskBySockets has a C program find the edge's name and ask by a socket.
func TestAskBySockets(t *testing.T) {
	host := edge(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) }))
	deploy(t, host, "c", compile(t, "asker-musl", askers["musl"]))
	response, err := host.RoundTripper("c").RoundTrip(httptest.NewRequest(http.MethodGet, "http://shop.example/plain", nil))
	if err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(response.Body); err != nil || !bytes.HasSuffix(content, []byte("\r\n\r\nedge")) {
		t.Errorf("%q, %v", content, err)
	}
}

// TestAskNobody has the same files say why they can't ask: on an edge that has nobody who answers, and on this Linux.
func TestAskNobody(t *testing.T) {
	host := edge(t, nil)
	for language, commands := range askers {
		t.Run(language, func(t *testing.T) {
			file := compile(t, "asker-"+language, commands)
			deploy(t, host, language, file)
			refused := map[string]string{"go": "asking the edge for http://edge/who: connection refused", "rust": "Connection refused (os error 111)"}[language]
			if refused == "" {
				refused = "nobody answers: the program isn't answering a request on an edge, or may not ask"
			}
			answered(t, host, language, httptest.NewRequest(http.MethodGet, "http://shop.example/who", nil), strings.Repeat(refused+"\n", 2))
			c := exec.Command(file)
			c.Stdin = strings.NewReader("GET /who HTTP/1.1\r\nHost: a\r\n\r\n")
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s by the proxy", r.URL.Host) }))
			defer server.Close()
			c.Env = append(os.Environ(), "HTTP_PROXY="+server.URL, "NO_PROXY=")
			want := "this kernel has no system call wherry_ask: the program asks on Wherry alone"
			if language == "go" {
				want = "200 edge by the proxy"
			}
			if out, err := c.Output(); err != nil || strings.Count(string(out), want) != 2 {
				t.Errorf("on another kernel: %q, %v; want %q", out, err, want)
			}
		})
	}
}

// TestAskIsOneExit counts the system calls that ask.
func TestAskIsOneExit(t *testing.T) {
	for language, commands := range askers {
		t.Run(language, func(t *testing.T) {
			file := compile(t, "asker-"+language, commands)
			i, _ := start(t, file, func(m *phys.Memory) (vmm.Machine, error) { return backend.New(backend.Emulator, m) }, linux.Limits{})
			files := i.Process().Files
			files.Gate(true)
			i.Process().WriteStdin([]byte("GET /who HTTP/1.1\r\nHost: a\r\n\r\n"))
			answers := 0
			for stop := (linux.Stop{}); stop.Kind != linux.WantsInput; {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond) // Go's runtime always has a timer
				var err error
				if stop, err = i.Process().Run(ctx); err != nil || stop.Kind == linux.Exited {
					t.Fatalf("%s, %v", stop, err)
				}
				cancel()
				if c := files.Called(); c != nil {
					c.Write([]byte("HTTP/1.1 200 OK\r\n\r\nhere"))
					c.Close()
					answers++
				}
			}
			if answers != 2 {
				t.Errorf("it asked %d times", answers)
			}
			all := i.Process().Metrics().Calls
			if n := all["wherry_ask"]; n != 2 && language != "go" { // in Go one to see whether it is there, and those that its runtime's signals have made again
				t.Errorf("%d system calls for two questions", n)
			}
			if n := all["socket"] + all["connect"]; n != 0 {
				t.Errorf("%d system calls for sockets", n)
			}
		})
	}
}

package portal_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// browse loads url in Chromium, lets its clock run for virtual and returns the document as it is then.
func browse(t *testing.T, url string, virtual time.Duration) string {
	t.Helper()
	const chromium = "/usr/bin/chromium"
	if _, err := os.Stat(chromium); err != nil {
		t.Skipf("the page's script needs a browser: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(),
		"--virtual-time-budget="+strconv.FormatInt(virtual.Milliseconds(), 10), "--dump-dom", url)
	cmd.WaitDelay = time.Second // its helpers may outlive it and hold the pipe
	dom, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return string(dom)
}

func TestPageRefreshesInABrowser(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail bool // whether the API answers only the first refresh
		want []string
		not  []string
	}{
		{
			"live", false,
			[]string{`id="live">Live</p>`, `role="alert" hidden=""`, "<title>All 2 edges answer – Wherry</title>"},
			[]string{">1,001<"},
		},
		{
			"API gone", true,
			[]string{
				"No news from the network: it answered 503.", " s old</p>", `class="is-stale"`, "<title>No news – Wherry</title>", ">1,002<",
			},
			[]string{`role="alert" hidden`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			shown := &network{}
			p := newPortal(shown)
			var refreshes atomic.Int64
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/api/status" && refreshes.Add(1) > 1 && tt.fail {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				p.ServeHTTP(w, r)
			})}
			served := make(chan struct{})
			go func() { defer close(served); s.Serve(l) }()
			defer func() { s.Close(); <-served }()

			dom := browse(t, "http://"+l.Addr().String()+"/", 7*time.Second)
			if refreshes.Load() < 2 {
				t.Errorf("the page refreshed %d times in 7 s", refreshes.Load())
			}
			for _, want := range tt.want {
				if !strings.Contains(dom, want) {
					t.Errorf("lacks %q", want)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(dom, not) {
					t.Errorf("has %q", not)
				}
			}
			if t.Failed() {
				t.Log(dom)
			}
		})
	}
}

package sdk

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/vmm/backend"
)

// edge is a host that works until the test ends.
func edge(t *testing.T, gate http.Handler) *compute.Host {
	t.Helper()
	host, err := compute.New(compute.Options{Machine: backend.Emulator, Log: slog.New(slog.DiscardHandler), Gate: gate})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := host.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		done.Wait()
		if err := host.Close(); err != nil {
			t.Error(err)
		}
	})
	return host
}

// deploy has a program's file answer under a name.
func deploy(t *testing.T, host *compute.Host, name, file string) {
	t.Helper()
	image, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := compute.Program{Name: name, Image: image, Limits: compute.Limits{CPU: 5 * time.Second, Wall: time.Minute, Output: 64 << 20, Input: 8 << 20}}
	if _, err := host.Deploy(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

// answered checks that a program answers so.
func answered(t *testing.T, host *compute.Host, name string, r *http.Request, want string) {
	t.Helper()
	response, err := host.RoundTripper(name).RoundTrip(r)
	if err != nil {
		t.Fatalf("%s: %v", r.URL, err)
	}
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || string(content) != want {
		t.Errorf("%s: %.200q, %v; want %q", response.Status, content, err, want)
	}
}

// TestOnAnEdge has the same files answer where programs of many sites are.
func TestOnAnEdge(t *testing.T) {
	host := edge(t, nil)
	for language := range builds {
		t.Run(language, func(t *testing.T) {
			deploy(t, host, language, build(t, language))
			answered(t, host, language, httptest.NewRequest(http.MethodGet, "http://shop.example/?name=Ada", nil), "hello, Ada\n")
			answered(t, host, language, httptest.NewRequest(http.MethodPost, "http://shop.example/", strings.NewReader(strings.Repeat("x", 200_000))), "200000 bytes\n")
		})
	}
}

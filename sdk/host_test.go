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

// TestOnAnEdge has the same files answer where programs of many sites are.
func TestOnAnEdge(t *testing.T) {
	host, err := compute.New(compute.Options{Machine: backend.Emulator, Log: slog.New(slog.DiscardHandler)})
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
	for language := range builds {
		t.Run(language, func(t *testing.T) {
			image, err := os.ReadFile(build(t, language))
			if err != nil {
				t.Fatal(err)
			}
			p := compute.Program{Name: language, Image: image, Limits: compute.Limits{CPU: 5 * time.Second, Wall: time.Minute}}
			if _, err := host.Deploy(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			for _, test := range []struct {
				request *http.Request
				want    string
			}{
				{httptest.NewRequest(http.MethodGet, "http://shop.example/?name=Ada", nil), "hello, Ada\n"},
				{httptest.NewRequest(http.MethodPost, "http://shop.example/", strings.NewReader(strings.Repeat("x", 200_000))), "200000 bytes\n"},
			} {
				response, err := host.RoundTripper(language).RoundTrip(test.request)
				if err != nil {
					t.Fatal(err)
				}
				content, err := io.ReadAll(response.Body)
				if err != nil || response.StatusCode != http.StatusOK || string(content) != test.want {
					t.Errorf("%s: %q, %v; want %q", response.Status, content, err, test.want)
				}
			}
		})
	}
}

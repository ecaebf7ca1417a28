//go:build linux

package apart

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/wherry/wherry/compute"
)

var askerImage = sync.OnceValues(func() ([]byte, error) { return build("../testdata/asker") })

type clientKey struct{}

// TestAsk has a program in the monitor ask the edge: whose call it is and its context are the edge's own knowledge; bodies are of any size; what ends, ends.
func TestAsk(t *testing.T) {
	reached, left := make(chan struct{}), make(chan struct{})
	gate := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := compute.AskerOf(r.Context())
		if !ok || a.Program != "asker" || a.Tenant != "shop" || a.Call.Value(clientKey{}) != "its client" {
			t.Errorf("asked by %+v", a)
		}
		switch r.URL.Path {
		case "/large":
			for range 256 {
				_, _ = io.WriteString(w, strings.Repeat("x", 4096))
			}
		case "/echo":
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.Copy(w, r.Body)
		case "/breaks":
			_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
			panic(http.ErrAbortHandler)
		case "/waits":
			close(reached)
			<-r.Context().Done()
			close(left)
		default:
			w.Header().Set("X-Host", r.Host)
			fmt.Fprintf(w, "%s of %s", r.URL.Path, r.Host)
		}
	})
	p := program(t, "asker", askerImage)
	p.Tenant = "shop"
	for _, stdin := range []string{"", "STDIN=1"} {
		t.Run(stdin, func(t *testing.T) {
			p := p
			if stdin != "" {
				p.Env = append([]string{stdin}, p.Env...)
			}
			h := running(t, Options{Compute: compute.Options{Gate: gate}})
			deploy(t, h, p)
			get := func(ctx context.Context, query string) (string, error) {
				r := httptest.NewRequestWithContext(context.WithValue(ctx, clientKey{}, "its client"), http.MethodGet, "http://shop.example/ask?"+query, nil)
				response, err := h.RoundTripper("asker").RoundTrip(r)
				if err != nil {
					return "", err
				}
				defer response.Body.Close()
				b, err := io.ReadAll(response.Body)
				return string(b), err
			}
			got, err := get(t.Context(), "url=http://edge/a&url=http://kv/b&url=http://edge/large")
			if lines := strings.Split(got, "\n"); err != nil || len(lines) < 3 || !strings.Contains(lines[0], "/a of edge") || !strings.Contains(lines[1], "/b of kv") ||
				!strings.Contains(lines[2], fmt.Sprint(1<<20)) {
				t.Errorf("%q, %v", got, err)
			}
			if got, err := get(t.Context(), "url=http://edge/breaks"); err != nil || !strings.Contains(got, "EOF") {
				t.Errorf("what breaks off: %q, %v", got, err)
			}
			if stdin == "" {
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					<-reached
					cancel()
				}()
				if _, err := get(ctx, "url=http://edge/waits"); err == nil {
					t.Error("a client that has left gets an answer")
				}
				<-left
			}
		})
	}
}

package compute

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wherry/wherry/vmm/backend"
)

// TestKeptConnections has requests go over the connection that a program had before its snapshot, and over one that the request before has left.
func TestKeptConnections(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind, Instances: 1})
		deploy(t, h, server(t, PerRequest))
		for range 3 {
			mustGet(t, h, "server", "/connections", "1")
		}
		deploy(t, h, server(t, PerInstance))
		for range 3 {
			mustGet(t, h, "server", "/connections", "1")
		}
		mustGet(t, h, "server", "/close", "")
		mustGet(t, h, "server", "/connections", "2")
		// Nobody knows what of a body is still to come.
		r := httptest.NewRequest(http.MethodPost, "http://shop.example/connections", strings.NewReader(strings.Repeat("x", 200_000)))
		if got, err := send(h, "server", r); err != nil || got != "2" {
			t.Errorf("%q, %v", got, err)
		}
		mustGet(t, h, "server", "/count", "1")
	})
}

// TestConnectionsThatTheProgramCloses has a server close kept connections without having read the request that has come meanwhile: each is answered, once.
func TestConnectionsThatTheProgramCloses(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind, Instances: 1})
		p := server(t, PerInstance)
		p.Env = append(p.Env, "RUDE=1")
		deploy(t, h, p)
		for i := range 20 {
			r := httptest.NewRequest(http.MethodPost, "http://shop.example/", strings.NewReader("content"))
			if got, err := send(h, "server", r); err != nil || got != fmt.Sprint(i+1) {
				t.Fatalf("request %d is answered as %q, %v", i+1, got, err)
			}
		}
	})
}

package compute

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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

// TestConnectionsThatTheProgramCloses has a server close kept connections all the time: each request is answered, once.
func TestConnectionsThatTheProgramCloses(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind, Instances: 1})
		p := server(t, PerInstance)
		p.Env = append(p.Env, "IDLE=2ms")
		deploy(t, h, p)
		for i := range 100 {
			r := httptest.NewRequest(http.MethodPost, "http://shop.example/count", nil)
			if got, err := send(h, "server", r); err != nil || got != fmt.Sprint(i+1) {
				t.Fatalf("request %d is counted as %q, %v", i+1, got, err)
			}
			time.Sleep(time.Duration(rand.Int64N(int64(4 * time.Millisecond)))) // which the server's timer runs out in, or not
		}
		if got, err := get(h, "server", "/connections"); err != nil || got == "1" {
			t.Errorf("%q connections, %v: the server closed none", got, err)
		}
	})
}

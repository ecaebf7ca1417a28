package network

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// TestDiskOutlivesTheProcess: what was asked for twice is a hit after a restart, and what was purged isn't.
func TestDiskOutlivesTheProcess(t *testing.T) {
	var asked atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, contentOf(r.URL.Path))
	}))
	defer origin.Close()
	snapshot := parse(t, fmt.Sprintf(`
disk: {volumes: [{dir: %q, size: 64MiB}]}
sites: [{name: shop, hosts: [shop.test], origins: [{url: %q}]}]
`, t.TempDir(), origin.URL))

	get, purge, stop := serveOnce(t, snapshot)
	for range 2 {
		get("/kept")
		get("/large")
		get("/purged")
	}
	if n := purge("http://shop.test/purged"); n != 1 {
		t.Errorf("%d purged", n)
	}
	stop()
	if n := asked.Swap(0); n != 3 {
		t.Errorf("the origin was asked %d times", n)
	}

	get, _, stop = serveOnce(t, snapshot)
	defer stop()
	for range 3 {
		for _, path := range []string{"/kept", "/large"} {
			if status := get(path); !strings.Contains(status, "; hit;") {
				t.Errorf("%s after a restart: %s", path, status)
			}
		}
	}
	if status := get("/purged"); !strings.Contains(status, "fwd=uri-miss") {
		t.Errorf("purged before the restart: %s", status)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the origin was asked %d times after the restart", n)
	}
}

// contentOf is what the origin has at path.
func contentOf(path string) string {
	if path == "/large" { // it is sent from the file
		return strings.Repeat("large ", 200_000)
	}
	return "this is " + path
}

// serveOnce runs a network with one edge. get returns Cache-Status, purge how many responses were dropped.
func serveOnce(t *testing.T, snapshot *config.Snapshot) (get func(path string) string, purge func(url string) int, stop func()) {
	t.Helper()
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(Options{
		Snapshot: snapshot, Edges: []EdgeDoors{{Node: snapshot.Clusters[0].Nodes[0].Name, HTTP: door}}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- n.Run(ctx, func() { close(ready) }) }()
	<-ready
	client := &http.Client{Transport: &http.Transport{}}
	get = func(path string) string {
		t.Helper()
		r, _ := http.NewRequest(http.MethodGet, "http://"+door.Addr().String()+path, nil)
		r.Host = "shop.test"
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); string(body) != contentOf(path) || err != nil {
			t.Errorf("%s: %d bytes, %v", path, len(body), err)
		}
		return resp.Header.Get("Cache-Status")
	}
	purge = func(url string) int {
		n, err := n.edges[0].edge.Purge(feed.Purge{Kind: feed.PurgeURL, Value: url}, 0)
		if err != nil {
			t.Error(err)
		}
		return n
	}
	return get, purge, func() {
		client.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wherry/wherry/control/api"
)

// Edges of one cluster ask those of another before the origin, over the overlay: each object is fetched from the origin once; a purge reaches both; and
// when parents are killed, others and then the origin are asked.
func TestParents(t *testing.T) {
	var fetched atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Cache-Tag", "all")
		fmt.Fprintf(w, "%d by %s for %s", fetched.Add(1), r.Header.Get("Via"), r.Header.Get("X-Forwarded-For"))
	}))
	defer origin.Close()
	l := startLab(t, "--control", "1", "--edges", "4", "--dns", "0") // edge-1, -2 in cluster-1; edge-3, -4 in cluster-2
	l.must("apply", "--emergency", "-f", l.write("shop.yaml", "name: shop\nhosts: [shop.test]\nparent: cluster-2\norigins: [{url: \""+origin.URL+"\"}]\n"))

	_, body := l.get("edge-1", "/a")
	if !strings.Contains(body, "edge-1") || !strings.Contains(body, "edge-3") && !strings.Contains(body, "edge-4") || !strings.HasSuffix(body, "for 127.0.0.1") {
		t.Errorf("not by a parent, or not for the client: %s", body)
	}
	for _, edge := range []string{"edge-2", "edge-1"} {
		if _, again := l.get(edge, "/a"); again != body {
			t.Errorf("%s has another copy: %s, and the first is %s", edge, again, body)
		}
	}
	if n := fetched.Load(); n != 1 {
		t.Errorf("the origin was asked %d times for one object", n)
	}
	l.must("purge", "--tag", "all", "--site", "shop")
	if _, after := l.get("edge-1", "/a"); after == body {
		t.Error("what was purged is served")
	}

	var p api.NodePaths
	if err := json.Unmarshal([]byte(l.must("path", "edge-1", "--json")), &p); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(p.Peers, func(p api.PeerPaths) bool {
		return (p.Node == "edge-3" || p.Node == "edge-4") && len(p.Paths) > 0 && p.Paths[0].Chosen && p.Paths[0].RTT > 0
	}) {
		t.Errorf("wherry path tells of no connection to a parent: %+v", p)
	}
	if text := l.must("path", "shop"); !strings.Contains(text, "cluster-2") {
		t.Error(text)
	}
	var b api.PathBench
	if err := json.Unmarshal([]byte(l.must("bench", "path", "edge-1", "edge-3", "--bytes", "1000000", "--json")), &b); err != nil {
		t.Fatal(err)
	}
	if len(b.Runs) < 2 || slices.ContainsFunc(b.Runs, func(r api.PathRun) bool { return r.Error != "" || r.Mbit == 0 }) {
		t.Errorf("%+v", b)
	}

	for _, gone := range []string{"edge-4", "edge-3"} {
		l.must("lab", "kill", gone)
		for i := range 10 {
			began := time.Now()
			if status, body := l.get("edge-1", fmt.Sprintf("/%s/%d", gone, i)); status != http.StatusOK || time.Since(began) > 10*time.Second {
				t.Errorf("without %s: %d %s after %v", gone, status, body, time.Since(began))
			}
		}
	}
}

// When two nodes can't reach each other any more, their connection goes on through a third one, and wherry path says so; when nobody else reaches the
// parent, another one is asked.
func TestCutOverlay(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprint(w, r.Header.Get("Via"))
	}))
	defer origin.Close()
	l := startLab(t, "--control", "1", "--edges", "4", "--dns", "0")
	l.must("apply", "--emergency", "-f", l.write("shop.yaml", "name: shop\nhosts: [shop.test]\nparent: cluster-2\norigins: [{url: \""+origin.URL+"\"}]\n"))
	_, body := l.get("edge-1", "/a")
	parent := "edge-3"
	if strings.Contains(body, "edge-4") {
		parent = "edge-4"
	}
	if !strings.Contains(body, parent) {
		t.Fatalf("not by a parent: %s", body)
	}
	way := func() (w api.Path) {
		var p api.NodePaths
		if err := json.Unmarshal([]byte(l.must("path", "edge-1", "--json")), &p); err != nil {
			t.Fatal(err)
		}
		for _, peer := range p.Peers {
			if string(peer.Node) == parent && len(peer.Paths) > 1 { // the chosen one stands first
				return peer.Paths[0]
			}
		}
		return w
	}
	for deadline := time.Now().Add(30 * time.Second); !way().Alive; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no second path is opened:\n%s", l.must("path", "edge-1"))
		}
		l.get("edge-1", "/a")
	}
	l.must("lab", "cut", "edge-1", parent)
	began := time.Now()
	for deadline := time.Now().Add(20 * time.Second); way().Via == ""; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the connection doesn't go through another node:\n%s", l.must("path", "edge-1"))
		}
	}
	t.Logf("through %s after %v", way().Via, time.Since(began).Round(time.Millisecond))
	if status, body := l.get("edge-1", "/a"); status != http.StatusOK || !strings.Contains(body, parent) {
		t.Errorf("through another node: %d %s", status, body)
	}
	l.must("lab", "cut", parent)
	if status, body := l.get("edge-1", "/a"); status != http.StatusOK || strings.Contains(body, parent) {
		t.Errorf("without the parent: %d %s", status, body)
	}
	l.must("lab", "resume", parent)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if _, body := l.get("edge-1", "/a"); strings.Contains(body, parent) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the parent isn't asked again")
		}
	}
}

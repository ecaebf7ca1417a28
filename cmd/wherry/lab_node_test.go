//go:build linux

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// hasRoles says whether a node is there and runs these roles, by its own report.
func hasRoles(name string, roles ...string) func(map[string]nodeState) bool {
	return func(nodes map[string]nodeState) bool {
		n := nodes[name]
		return n.Live && slices.Equal(n.Report.Roles, roles) && slices.Equal(n.Roles, roles) && len(n.Lags) == 0
	}
}

// A node's place and roles are changed from afar, to a relay that does nothing else and back, and it serves all the while it is an edge.
func TestANodeIsChanged(t *testing.T) {
	t.Parallel()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }))
	defer origin.Close()
	l := startLab(t, "--control", "1", "--edges", "2", "--dns", "0")
	l.must("apply", "--emergency", "-f", l.write("shop.yaml", "name: shop\nhosts: [shop.test]\norigins: [{url: \""+origin.URL+"\"}]\n"))
	stop, failed := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				failed <- n
				return
			case <-time.After(5 * time.Millisecond):
				if status, _ := l.get("edge-1", "/a"); status != http.StatusOK {
					n++
				}
			}
		}
	}()
	l.must("node", "set", "edge-1", "--cluster", "porto", "--roles", "edge,collect", "-m", "moved")
	l.until("edge-1 collects, too", hasRoles("edge-1", "edge", "collect"))
	close(stop)
	if n := <-failed; n > 0 {
		t.Errorf("%d requests failed while the node took another role", n)
	}
	if n := l.nodes()["edge-1"]; n.Cluster != "porto" {
		t.Errorf("edge-1 is in %s", n.Cluster)
	}

	l.untilShows("edge-1", `wherry_network_node_info{cluster="porto",node="edge-1",roles="collect,edge"`, `wherry_network_node_live{node="edge-2"} 1`)

	l.must("node", "set", "edge-2", "--roles", "relay")
	l.until("edge-2 is a relay alone", hasRoles("edge-2", "relay"))
	if status, body := l.get("edge-2", "/a"); status != 0 {
		t.Errorf("a relay serves clients: %d %s", status, body)
	}
	l.must("lab", "restart", "edge-2")
	l.until("it comes back as one", hasRoles("edge-2", "relay"))
	l.must("node", "set", "edge-2", "--roles", "edge")
	l.until("edge-2 is an edge again", hasRoles("edge-2", "edge"))
	l.untilServes("edge-2")

	for _, d := range []struct {
		args []string
		says string
	}{
		{[]string{"edge-1", "--roles", "control,edge"}, "let it join again"},
		{[]string{"edge-9", "--cluster", "porto"}, "no node edge-9"},
		{[]string{"edge-1", "--roles", "edge,baker"}, "no role"},
		{[]string{"edge-1", "--cluster", "Not a label"}, "DNS label"},
		{[]string{"edge-1", "--mesh-at", "nowhere"}, "HOST:PORT"},
	} {
		if text, err := l.run(append([]string{"node", "set"}, d.args...)...); err == nil || !strings.Contains(text, d.says) {
			t.Errorf("node set %v: %v %s", d.args, err, text)
		}
	}

	l.untilShows("edge-1", `wherry_network_node_requests_total{node="edge-2"}`)
	l.must("lab", "kill", "control-1")
	l.untilShows("edge-1", `wherry_network_node_live{node="edge-2"} 0`, `wherry_network_node_requests_total{node="edge-2"}`)
}

// untilShows waits until a node's metrics have these.
func (l *labRun) untilShows(node string, parts ...string) {
	l.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		text, missing := "", parts[0]
		if resp, err := http.Get("http://" + l.portal[node] + "/metrics"); err == nil {
			data, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			text, missing = string(data), ""
			for _, part := range parts {
				if !strings.Contains(text, part) {
					missing = part
				}
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s doesn't show %s", node, missing)
		}
	}
}

// Five control nodes stand the loss of two, whichever they are, and all come back.
func TestFiveControlNodes(t *testing.T) {
	slow(t)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }))
	defer origin.Close()
	l := startLab(t, "--control", "5", "--edges", "1", "--dns", "0")
	site := "name: shop\nhosts: [shop.test]\norigins: [{url: \"" + origin.URL + "\"}]\n"
	l.must("apply", "--emergency", "-f", l.write("shop.yaml", site))
	text := l.must("control", "status")
	for k := range 5 {
		if !strings.Contains(text, fmt.Sprint("control-", k+1)) {
			t.Errorf("no control-%d among the members: %s", k+1, text)
		}
	}
	for i, dead := range [][]string{{"control-1", "control-3"}, {"control-2", "control-5"}} {
		for _, name := range dead {
			l.must("lab", "kill", name)
		}
		changed := fmt.Sprintf("%sbody_size: %dMiB\n", site, i+1)
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			text, err := l.run("apply", "--emergency", "-f", l.write("shop.yaml", changed))
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("without %v: %v %s", dead, err, text)
			}
		}
		for _, name := range dead {
			l.must("lab", "restart", name)
		}
	}
	l.until("all come back", func(nodes map[string]nodeState) bool {
		for k := range 5 {
			if n := nodes[fmt.Sprint("control-", k+1)]; !n.Live || len(n.Lags) > 0 {
				return false
			}
		}
		return true
	})
	l.untilServes("edge-1")
}

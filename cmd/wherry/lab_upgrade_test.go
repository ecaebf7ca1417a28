//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nodeState is what wherry status says of a node.
type nodeState struct {
	Name    string
	Cluster string
	Roles   []string
	Live    bool
	Lags    []string
	Report  struct {
		Program string
		Own     bool
		Roles   []string
	}
}

func (l *labRun) nodes() map[string]nodeState {
	l.t.Helper()
	text, err := l.run("status", "--json")
	var s struct{ Nodes []nodeState }
	if err == nil {
		err = json.Unmarshal([]byte(text), &s)
	}
	if err != nil {
		return nil // control is being upgraded itself
	}
	all := map[string]nodeState{}
	for _, n := range s.Nodes {
		all[n.Name] = n
	}
	return all
}

// until waits for what the status is to say.
func (l *labRun) until(what string, done func(map[string]nodeState) bool) {
	l.t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !done(l.nodes()); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: not within 90 s: %+v", what, l.nodes())
		}
	}
}

// allOwn says whether these nodes run the program that they were installed with, or, if own is false, another one.
func allOwn(own bool, names ...string) func(map[string]nodeState) bool {
	return func(nodes map[string]nodeState) bool {
		for _, name := range names {
			if n := nodes[name]; !n.Live || n.Report.Own != own {
				return false
			}
		}
		return true
	}
}

// The first upgrade of a network can be taken back, while it is rolled out and after it, though nothing names the program that the nodes were installed with.
func TestTheFirstUpgradeIsTakenBack(t *testing.T) {
	t.Parallel()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }))
	defer origin.Close()
	l := startLab(t, "--control", "1", "--edges", "2", "--dns", "0")
	l.must("apply", "--emergency", "-f", l.write("shop.yaml", "name: shop\nhosts: [shop.test]\norigins: [{url: \""+origin.URL+"\"}]\n"))
	if text, err := l.run("upgrade", "--back"); err == nil || !strings.Contains(text, "installed with") {
		t.Errorf("back before the first upgrade: %v %s", err, text)
	}
	program, err := os.ReadFile(l.program)
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(t.TempDir(), "wherry-next")
	if err := os.WriteFile(next, append(program, "another program"...), 0o755); err != nil { // what is behind an ELF file changes nothing but its hash
		t.Fatal(err)
	}

	l.must("upgrade", "--program", next, "--no-wait")
	l.until("a canary has the next program", func(nodes map[string]nodeState) bool {
		return allOwn(false, "edge-1")(nodes) || allOwn(false, "edge-2")(nodes)
	})
	l.must("rollout", "abort")
	l.until("the canary goes back", allOwn(true, "edge-1", "edge-2", "control-1"))

	l.must("upgrade", "--program", next, "--emergency", "--no-wait")
	l.until("all have the next program", allOwn(false, "edge-1", "edge-2", "control-1"))
	l.must("upgrade", "--back", "--emergency", "--no-wait")
	l.until("all go back", allOwn(true, "edge-1", "edge-2", "control-1"))
	l.must("lab", "restart", "edge-1")
	l.until("a restart changes nothing", allOwn(true, "edge-1"))
	l.untilServes("edge-1")
}

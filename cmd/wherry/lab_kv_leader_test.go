//go:build linux

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// askKV asks a node's portal about a key, as wherry kv does.
func (l *labRun) askKV(method, node, key, query, body string) (status int, answer string) {
	l.t.Helper()
	token, err := os.ReadFile(filepath.Join(l.dir, node, "operator.token"))
	if err != nil {
		l.t.Error(err)
		return 0, err.Error()
	}
	at := "http://" + l.portal[node] + "/api/kv/shop?key=" + url.QueryEscape(key) + query
	req, err := http.NewRequest(method, at, strings.NewReader(body))
	if err != nil {
		l.t.Error(err)
		return 0, err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := (&http.Client{Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// leader is the control node that leads, asked from all that answer.
func (l *labRun) leader(not string) string {
	l.t.Helper()
	text := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		var err error
		text, err = l.run("control", "status")
		_, rest, found := strings.Cut(text, "leader ")
		if name, _, _ := strings.Cut(rest, ","); err == nil && found && strings.HasPrefix(name, "control-") && name != not {
			return name
		}
	}
	l.t.Fatalf("nobody leads: %s", text)
	return ""
}

// Programs write through three edges while control's leader dies: all that was acknowledged is on every edge afterwards, and each add counts once.
func TestValuesOutliveControlsLeader(t *testing.T) {
	t.Parallel()
	const before, after = 30, 60 // acknowledged writes of each edge before the leader's death, on average, and after it
	l := startLab(t, "--control", "3", "--edges", "3", "--dns", "0")
	edges := []string{"edge-1", "edge-2", "edge-3"}
	for _, node := range append(edges, "control-1", "control-2", "control-3") {
		l.untilAnswersKV(node)
	}
	leader := l.leader("")
	var adds, written atomic.Int64
	var all sync.WaitGroup
	killed := make(chan struct{})
	last := make([]int, len(edges))
	for i, edge := range edges {
		all.Go(func() {
			rest, stop := after, time.Now().Add(90*time.Second)
			for ; rest > 0 && time.Now().Before(stop); last[i]++ {
				select {
				case <-killed:
					rest--
				default:
				}
				n := last[i]
				for _, w := range []struct{ method, key, query, body string }{
					{http.MethodPut, fmt.Sprintf("%s/%d", edge, n), "", fmt.Sprint(n)},
					{http.MethodPut, edge + "/last", "", fmt.Sprint(n)},
					{http.MethodPost, "count", fmt.Sprintf("&add=%d", n+1), ""},
				} {
					status, text := l.askKV(w.method, edge, w.key, w.query, w.body)
					for ; status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests; status, text = l.askKV(w.method, edge, w.key, w.query, w.body) {
						time.Sleep(50 * time.Millisecond) // it asks for that
					}
					if status/100 != 2 {
						t.Errorf("%s %s at %s: %d %s", w.method, w.key, edge, status, text)
						return
					}
				}
				adds.Add(int64(n) + 1)
				written.Add(1)
			}
			if rest > 0 {
				t.Errorf("%s took %d writes too few after the leader's death", edge, rest)
			}
		})
	}
	for written.Load() < int64(before*len(edges)) && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
	l.must("lab", "kill", leader)
	close(killed)
	all.Wait()
	if t.Failed() {
		return
	}
	next := l.leader(leader)
	t.Logf("%s led, then %s; %v writes of each kind were acknowledged", leader, next, last)
	l.must("lab", "restart", leader)
	for _, node := range append(edges, "control-1", "control-2", "control-3") {
		l.untilKV(node, "count", fmt.Sprint(adds.Load()))
		for i, edge := range edges {
			l.untilKV(node, edge+"/last", fmt.Sprint(last[i]-1))
			for k := range last[i] {
				if _, text := l.askKV(http.MethodGet, node, fmt.Sprintf("%s/%d", edge, k), "", ""); text != fmt.Sprint(k) {
					t.Errorf("%s has %q under %s/%d, which was acknowledged", node, text, edge, k)
				}
			}
		}
	}
	for _, node := range []string{"control-1", "control-2", "control-3"} {
		if n := l.metric(node, "wherry_kv_dropped_total", ""); n != 0 {
			t.Errorf("%s dropped %v acknowledged writes", node, n)
		}
	}
}

// Quotas are settings of the network: edges refuse with 507 by what others have written.
func TestQuotasOfValues(t *testing.T) {
	t.Parallel()
	l := startLab(t, "--control", "1", "--edges", "2", "--dns", "0")
	for _, node := range []string{"edge-1", "edge-2", "control-1"} {
		l.untilAnswersKV(node)
	}
	settings := l.must("site", "show", "network")
	l.must("apply", "--emergency", "-f", l.write("network.yaml", settings+"\nlimits: {values: {bytes: 1KiB, tenants: {shop: {bytes: 4KiB}}}}\n"))
	half := strings.Repeat("x", 2000)
	until := func(what, edge, key string, want int) {
		t.Helper()
		var status int
		var text string
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if status, text = l.askKV(http.MethodPut, edge, key, "", half); status == want {
				return
			}
		}
		t.Fatalf("%s: %d %s, want %d", what, status, text, want)
	}
	until("one half", "edge-1", "one", http.StatusNoContent) // the second time it is there
	until("the other half", "edge-1", "two", http.StatusNoContent)
	l.untilKV("edge-2", "one", half)
	l.untilKV("edge-2", "two", half)
	until("what is above the quota of both", "edge-2", "three", http.StatusInsufficientStorage)
	l.mustKV("edge-2", "delete", "shop", "one")
	until("after a delete", "edge-2", "three", http.StatusNoContent)
	l.untilKV("edge-1", "three", half)
	if text, err := l.run("apply", "-f", l.write("network.yaml", settings+"\nlimits: {values: {bytes: 1}}\n")); err == nil || !strings.Contains(text, "1KiB to 1GiB") {
		t.Errorf("a quota that can't be: %v %s", err, text)
	}
}

package edge

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/trace"
)

// A page's objects are fetched ahead as far as the site's rules let the cache keep them, once, and of nobody's cookies; the trace of the page says which, and
// that of an object that it was. None is fetched for a page without the setting, or one that comes from the cache.
func TestPrefetch(t *testing.T) {
	var mu sync.Mutex
	ahead, cookies := map[string]int{}, 0
	upstream := func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Sec-Purpose") == "prefetch" {
			ahead[r.URL.RequestURI()]++
			if r.Header["Cookie"] != nil || r.Header["Authorization"] != nil {
				cookies++
			}
		}
		switch {
		case r.URL.Path == "/page/1", r.URL.Path == "/page/2", r.URL.Path == "/plain":
			resp := respond(http.StatusOK, `<link rel=stylesheet href="a.css?v=1"><script src=//shop.test/s.js></script><img src=/own/me.png><img src=/gone>`+
				`<img src=/uncacheable><img src=http://other.test/no.png><img src=https://shop.test/no.png><img src=a.css?v=1#x><img src="javascript:alert(1)">`)
			resp.Header.Set("Content-Type", "text/html")
			resp.Header.Set("Cache-Control", "no-store")
			resp.Header.Set("Link", "</preload.js>; rel=preload; as=script")
			return resp, nil
		}
		resp := respond(http.StatusOK, "object")
		resp.Header.Set("Cache-Control", map[bool]string{true: "no-store", false: "max-age=60"}[r.URL.Path == "/uncacheable"])
		return resp, nil
	}
	const yaml = `sites: [{name: shop, hosts: [shop.test], origins: [{url: "http://127.0.0.1:9000"}], rules: [
  {name: own, match: {paths: ["/own/*"]}, cache: {enabled: false}}, {name: gone, match: {paths: [/gone]}, refuse: 410},
  {name: plain, match: {paths: [/plain]}}, {name: pages, match: {paths: ["/page/*"]}, cache: {prefetch: true}}]}, {name: other, hosts: [other.test], origins: [{url: "http://127.0.0.1:9001"}]}]`
	memory, err := store.NewMemory(1<<20, 1<<18)
	if err != nil {
		t.Fatal(err)
	}
	c := cache.New(cache.Options{Name: "lisbon-1", Store: memory, Metrics: cache.NewMetrics(prometheus.NewRegistry())})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	n := start(t, nodeOptions{yaml: yaml, cacher: c, upstream: upstream})
	ask := func(path, id string) {
		t.Helper()
		head := "GET " + path + " HTTP/1.1\r\nHost: shop.test\r\nCookie: me=1\r\nConnection: close\r\n"
		if id != "" {
			head += trace.Field + ": " + trace.Credential(testToken, id, time.Now()) + "\r\n"
		}
		if resp, body := n.ask(head + "\r\n"); resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	ask("/plain", "")
	if len(ahead) > 0 {
		t.Errorf("without the setting %v was fetched", ahead)
	}
	ask("/page/1", "page")
	report := n.traced("page")
	if want := "4 objects are fetched ahead: /preload.js /page/a.css?v=1 /s.js /uncacheable"; !strings.Contains(report, want) {
		t.Errorf("the trace doesn't say %q:\n%s", want, report)
	}
	want := "map[/page/a.css?v=1:1 /preload.js:1 /s.js:1 /uncacheable:1]"
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		mu.Lock()
		got := fmt.Sprint(ahead)
		mu.Unlock()
		if got == want && n.prefetched(t, "wherry_edge_prefetch_objects_total", "stored") == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("fetched ahead: %s, want %s", got, want)
		}
	}
	ask("/page/a.css?v=1", "object")
	if report := n.traced("object"); !strings.Contains(report, "fetched ahead") || !strings.Contains(report, "hit") {
		t.Errorf("the object's trace doesn't say that it was fetched ahead:\n%s", report)
	}
	ask("/s.js", "") // by the lane
	ask("/page/2", "again")
	if report := n.traced("again"); !strings.Contains(report, "0 objects are fetched ahead") {
		t.Errorf("what is there, or can't be stored, is asked for again:\n%s", report)
	}
	if used := n.prefetched(t, "wherry_edge_prefetch_outcome_total", "used"); used != 2 {
		t.Errorf("%v were used", used)
	}
	if cookies > 0 {
		t.Error("somebody's cookies were sent with what is fetched ahead")
	}
	if lines := n.records(); len(lines) != 5 {
		t.Errorf("%d records for 5 requests of clients: %v", len(lines), lines)
	}
}

// traced is a trace as text.
func (n *node) traced(id string) string {
	n.t.Helper()
	report, ok := n.Trace(id)
	if !ok {
		n.t.Fatalf("no trace %s", id)
	}
	var text bytes.Buffer
	for _, s := range report.Steps {
		fmt.Fprintf(&text, "%s %s: %s\n", s.Room, s.Step, s.Decision)
	}
	return text.String()
}

// prefetched is a counter of what is fetched ahead.
func (n *node) prefetched(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no %s of %s", name, label)
	return 0
}

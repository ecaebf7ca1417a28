package cache

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
)

// lookUp returns what LookupHit has for a request, as a response.
func (w *world) lookUp(r *http.Request) (resp *http.Response, body, detail string, ok bool) {
	w.t.Helper()
	key := store.NewKey(w.policy.Keys, "http", "shop.test", r.URL.EscapedPath(), r.URL.RawQuery)
	a, ok := w.cache.LookupHit(key, field.Header(r.Header), &w.policy, time.Now())
	if !ok {
		return nil, "", "", false
	}
	head := append(a.AppendHeader(nil), "Cache-Status: "...)
	head = append(a.AppendCacheStatus(head), "\r\n\r\n"...)
	for _, piece := range a.AppendBody(nil) {
		head = append(head, piece...)
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), r)
	if err != nil {
		w.t.Fatalf("%q: %v", head, err)
	}
	content, err := io.ReadAll(resp.Body)
	if err != nil || int64(len(content)) != a.Size {
		w.t.Errorf("%q: %d bytes of content, %v; want %d", head, len(content), err, a.Size)
	}
	return resp, string(content), a.Detail(), true
}

// TestLookupHitIsWhatServeSends compares the two ways to the same stored response.
func TestLookupHitIsWhatServeSends(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		setFields(h, []string{"Cache-Control", "max-age=60", "Content-Type", "text/plain", "Age", "5", "Set-Cookie", "a=1", "Set-Cookie", "b=2"})
		status := 200
		switch r.URL.Path {
		case "/etag":
			setFields(h, []string{"Etag", `"1"`, "Content-Language", "en", "Cache-Status", "parent; hit", "Via", "1.1 parent"})
		case "/vary":
			h.Set("Vary", "Accept-Language")
		case "/404":
			status = 404
		case "/split":
			h.Set("X-Odd", "a\r\nb: c")
		case "/204":
			status = 204
		case "/notype":
			delete(h, "Content-Type")
		case "/trailer":
			h.Set("Trailer", "X-Sum")
		case "/nocache":
			h.Set("Cache-Control", "no-cache")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "content")
	}
	for _, c := range []struct {
		path   string
		fields []string
		wait   time.Duration
		ok     bool
	}{
		{path: "/", ok: true},
		{path: "/", wait: 54 * time.Second, ok: true},
		{path: "/", wait: 55 * time.Second},
		{path: "/404", ok: true},
		{path: "/split", ok: true},
		{path: "/etag", ok: true},
		{path: "/etag", fields: []string{"If-None-Match", `W/"1"`}, ok: true},
		{path: "/etag", fields: []string{"If-None-Match", `"2"`}, ok: true},
		{path: "/vary", fields: []string{"Accept-Language", "EN , de"}, ok: true},
		{path: "/vary", fields: []string{"Accept-Language", "fr"}},
		{path: "/204"},
		{path: "/notype"},
		{path: "/trailer"},
		{path: "/nocache"},
		{path: "/unknown?a"},
	} {
		bubble(t, handler, func(w *world) {
			if c.path != "/unknown?a" {
				w.get(c.path, "Accept-Language", "de,en")
				synctest.Wait()
			}
			time.Sleep(c.wait)
			r := request(http.MethodGet, c.path, c.fields...)
			resp, body, detail, ok := w.lookUp(r)
			if ok != c.ok {
				t.Fatalf("%s %q after %v: %t, want %t", c.path, c.fields, c.wait, ok, c.ok)
			}
			if !ok {
				return
			}
			served := w.get(c.path, c.fields...)
			for name, lines := range served.sent { // as net/http writes them
				for i := range lines {
					served.sent[name][i] = string(bytes.ReplaceAll([]byte(lines[i]), []byte("\r\n"), []byte("  ")))
				}
			}
			if resp.StatusCode != served.status || body != served.got() || detail != served.outcome.Detail || !reflect.DeepEqual(resp.Header, served.sent) {
				t.Errorf("%s %q: status %d, %q, %q, %v;\nServe has %d, %q, %q, %v",
					c.path, c.fields, resp.StatusCode, body, detail, resp.Header, served.status, served.got(), served.outcome.Detail, served.sent)
			}
		})
	}
}

func TestLookupHitCountsWhenTold(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) {
		setFields(w.Header(), []string{"Cache-Control", "max-age=60", "Content-Type", "text/plain"})
	}
	bubble(t, handler, func(w *world) {
		w.get("/")
		synctest.Wait()
		key := store.NewKey(w.policy.Keys, "http", "shop.test", "/", "")
		a, ok := w.cache.LookupHit(key, field.Header{}, &w.policy, time.Now())
		if before := testutil.ToFloat64(w.cache.metrics.verdicts[Hit]); !ok || before != 0 {
			t.Errorf("%t, %v hits before", ok, before)
		}
		a.Count()
		if after := testutil.ToFloat64(w.cache.metrics.verdicts[Hit]); after != 1 {
			t.Errorf("%v hits", after)
		}
	})
}

// A response that a 304 has brought up to date goes out with its new fields.
func TestLookupHitAfterValidation(t *testing.T) {
	n := 0
	handler := func(w http.ResponseWriter, r *http.Request) {
		n++
		setFields(w.Header(), []string{"Cache-Control", "max-age=60", "Etag", `"1"`, "X-Turn", string(rune('0' + n))})
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
	}
	bubble(t, handler, func(w *world) {
		w.get("/")
		time.Sleep(61 * time.Second)
		w.get("/")
		synctest.Wait()
		if resp, _, _, ok := w.lookUp(request(http.MethodGet, "/")); !ok || resp.Header.Get("X-Turn") != "2" || resp.Header.Get("Age") != "0" {
			t.Errorf("%t, %v", ok, resp)
		}
	})
}

// What is prepared for LookupHit counts as memory, and is given back.
func TestLookupHitAllocatesNothing(t *testing.T) {
	b := newBench(t, 1<<10)
	key := store.NewKey(b.p.Keys, "http", "shop.test", "/0", "")
	var fields field.Fields = field.Header(b.r.Header)
	head, body := make([]byte, 0, 4096), make([][]byte, 0, 4)
	if n := testing.AllocsPerRun(100, func() {
		a, ok := b.c.LookupHit(key, fields, b.p, time.Now())
		if !ok {
			t.Fatal("no hit")
		}
		head = a.AppendCacheStatus(a.AppendHeader(head[:0]))
		body = a.AppendBody(body[:0])
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLookupHit(b *testing.B) {
	s := newBench(b, 1<<10)
	key := store.NewKey(s.p.Keys, "http", "shop.test", "/0", "")
	var fields field.Fields = field.Header(s.r.Header)
	head := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		a, ok := s.c.LookupHit(key, fields, s.p, time.Now())
		if !ok {
			b.Fatal("no hit")
		}
		head = a.AppendCacheStatus(a.AppendHeader(head[:0]))
	}
}

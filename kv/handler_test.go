package kv

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// door is a store behind its handler, for one program.
func door(t *testing.T) (*Store, http.Handler) {
	t.Helper()
	now := time.Unix(1_000_000, 0)
	s, err := Open(Options{Node: "a", Now: func() time.Time { return now }, Limits: Limits{Burst: 10_000, Bytes: 100_000}})
	if err != nil {
		t.Fatal(err)
	}
	return s, s.Handler(func(context.Context) (string, bool) { return "shop", true })
}

func ask(h http.Handler, method, target, body string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	_, h := door(t)
	tag := `"` + tagOf([]byte("1")) + `"`
	large := strings.Repeat("x", ValueMax)
	for _, c := range []struct {
		request, body string
		fields        []string
		status        int
		answer        string // is in the body
	}{
		{"GET /a", "", nil, 404, "nothing under this key"},
		{"PUT /a", "1", []string{"If-Match", "*"}, 412, "If-Match doesn't hold"},
		{"PUT /a", "1", []string{"If-None-Match", "*"}, 201, ""},
		{"PUT /a", "2", []string{"If-None-Match", "*"}, 412, "If-None-Match doesn't hold on this node: what is there has the ETag"},
		{"GET /a", "", nil, 200, "1"},
		{"HEAD /a", "", nil, 200, ""},
		{"GET /a", "", []string{"If-None-Match", `"other", ` + tag}, 304, ""},
		{"GET /a", "", []string{"If-None-Match", `"other"`}, 200, "1"},
		{"PUT /a", "2", []string{"If-Match", `"other"`}, 412, "ETag"},
		{"PUT /a", "2", []string{"If-Match", tag}, 204, ""},
		{"GET /a", "", nil, 200, "2"},
		{"PUT /a", "2", []string{"If-None-Match", tag}, 400, "If-None-Match: *"},
		{"PUT /a", "2", []string{"If-Match", "W/" + tag}, 400, "in quotes"},
		{"PUT /a", "2", []string{"If-Match", tag, "If-None-Match", "*"}, 400, "Leave one"},
		{"POST /a?add=5", "", nil, 200, "7"},
		{"POST /a?add=-10", "", nil, 200, "-3"},
		{"POST /a", "", nil, 400, "?add=N"},
		{"POST /a?add=1.5", "", nil, 400, "?add=N"},
		{"POST /a?add=1", "", []string{"If-Match", "*"}, 400, "condition"},
		{"PUT /a", "text", nil, 204, ""},
		{"POST /a?add=5", "", nil, 409, "isn't a decimal number"},
		{"PUT /a", "9223372036854775807", nil, 204, ""},
		{"POST /a?add=1", "", nil, 409, "doesn't fit"},
		{"PUT /ttl", "x", []string{TTLField, "90"}, 201, ""},
		{"PUT /ttl", "x", []string{TTLField, "-1s"}, 400, "Write seconds"},
		{"PUT /ttl", "x", []string{TTLField, "soon"}, 400, "Write seconds"},
		{"PUT /large", large, nil, 201, ""},
		{"PUT /large", large + "x", nil, 413, "Split it"},
		{"PUT /larger", large, nil, 507, "Delete keys"},
		{"DELETE /large", "", nil, 204, ""},
		{"DELETE /large", "", nil, 204, ""},
		{"PUT /a/b%2Fc//d/../%ff", "x", nil, 201, ""},
		{"GET /a/b/c//d/../%ff", "", nil, 200, "x"},
		{"PUT /%00", "x", nil, 400, "percent-encoded"},
		{"PUT /", "x", nil, 405, "GET, HEAD"},
		{"PATCH /a", "x", nil, 405, "PUT"},
		{"GET /?limit=0", "", nil, 400, "1 to 1000"},
		{"DELETE /a", "", []string{"If-Match", `"other"`}, 412, ""},
		{"DELETE /a", "", nil, 204, ""},
	} {
		method, target, _ := strings.Cut(c.request, " ")
		w := ask(h, method, target, c.body, c.fields...)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.answer) {
			t.Errorf("%s %v: %d %.200s, want %d with %q", c.request, c.fields, w.Code, w.Body, c.status, c.answer)
		}
		if w.Code >= 400 && method != http.MethodHead {
			var p struct{ Title, Detail, Action string }
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Detail == "" || p.Action == "" {
				t.Errorf("%s: %d without saying what to do: %s", c.request, w.Code, w.Body)
			}
		}
	}
	if w := ask(h, "GET", "/ttl", ""); w.Header().Get(TTLField) != "1m30s" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("fields of the answer: %v", w.Header())
	}
}

func TestHandlerLists(t *testing.T) {
	_, h := door(t)
	for i := range 25 {
		ask(h, "PUT", fmt.Sprintf("/k/%02d", i), "v")
	}
	ask(h, "PUT", "/%fe", "v", TTLField, "10s")
	query, all := "prefix=k/&limit=10", []string{}
	for pages := 0; query != "" && pages < 10; pages++ {
		var l Listing
		if err := json.Unmarshal(ask(h, "GET", "/?"+query, "").Body.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		for _, k := range l.Keys {
			all = append(all, k.Key)
		}
		query = l.Next
	}
	if len(all) != 25 || all[0] != "k/00" || all[24] != "k/24" {
		t.Errorf("the pages have %v", all)
	}
	var l Listing
	w := ask(h, "GET", "/?after=z", "")
	if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil || len(l.Keys) != 1 || l.Keys[0].Key != "" || l.Keys[0].Path != "%FE" || l.Keys[0].Expires == nil {
		t.Errorf("a key that isn't text: %s, %v", w.Body, err)
	}
}

// Nobody gets at a namespace that isn't his.
func TestNamespaces(t *testing.T) {
	s, shop := door(t)
	nobody := s.Handler(func(context.Context) (string, bool) { return "", false })
	other := s.Handler(func(context.Context) (string, bool) { return "other", true })
	ask(shop, "PUT", "/a", "1")
	if w := ask(nobody, "GET", "/a", ""); w.Code != http.StatusForbidden {
		t.Errorf("who has no namespace gets %d %s", w.Code, w.Body)
	}
	if w := ask(other, "GET", "/a", ""); w.Code != http.StatusNotFound {
		t.Errorf("another namespace has %d %s", w.Code, w.Body)
	}
	operator := s.Operator()
	if w := ask(operator, "GET", "/", ""); w.Body.String() != `[{"namespace":"shop","keys":1,"bytes":2}]`+"\n" {
		t.Errorf("namespaces: %s", w.Body)
	}
	if w := ask(operator, "GET", "/shop?key=a", ""); w.Body.String() != "1" {
		t.Errorf("the operator sees %d %s", w.Code, w.Body)
	}
	if w := ask(operator, "DELETE", "/", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("namespaces can be deleted: %d", w.Code)
	}
}

// Whatever is asked, the answer is one that is meant, and the store counts right.
func FuzzHandler(f *testing.F) {
	f.Add("PUT", "/a?add=1", "value", "*", "", "60")
	f.Add("POST", "/a?add=-1", "", "", `"x"`, "1h")
	f.Add("GET", "/?prefix=a&after=b&limit=3", "", "", "", "")
	f.Add("DELETE", "/%00%ff", "", `W/"a", "b"`, "", "")
	f.Fuzz(func(t *testing.T, method, target, body, match, none, ttl string) {
		s, h := door(t)
		mustPut(t, s, "a", "1")
		r, err := http.NewRequest(method, "http://kv/"+strings.TrimPrefix(target, "/"), strings.NewReader(body))
		if err != nil {
			return
		}
		for name, value := range map[string]string{"If-Match": match, "If-None-Match": none, TTLField: ttl} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError || w.Code < 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		checkUsage(t, s.m)
	})
}

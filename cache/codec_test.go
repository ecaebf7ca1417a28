package cache

import (
	"bytes"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/field"
)

// stored is a response that has something of everything.
func stored() *Response {
	h := fields("Cache-Control", `max-age=60, no-cache="X-Secret", stale-if-error=10`, "Date", at(-time.Second), "Etag", `"1"`,
		"Content-Type", "text/plain", "Cache-Groups", `"a", "b"`, "Link", "</a>", "Link", "</b>", "Vary", "Accept-Language, X-None", "Age", "7", "Empty", "")
	req := fields("Accept-Language", "de , en")
	r := newResponse("shop http://shop.test/", req, 200, h, received.Add(-2*time.Second), received).forStore()
	r.Trailer = fields("X-Sum", "1", "X-Sum", "2")
	return r
}

func TestHeadSurvives(t *testing.T) {
	for name, r := range map[string]*Response{
		"everything": stored(),
		"nothing":    newResponse("k", nil, 404, http.Header{}, received, received),
		"CDN": newResponse("k", nil, 200, fields("Cdn-Cache-Control", "max-age=600, must-revalidate", "Cache-Control", "no-store"),
			received, received),
		"heuristic": newResponse("k", nil, 200, fields("Last-Modified", at(-100*time.Hour)), received, received),
		"by the site": func() *Response {
			r := newResponse("k", nil, 404, fields("Date", at(0), "Age", "60"), received, received)
			(&Defaults{Negative: []Negative{{Statuses: []int{404}, TTL: time.Minute}}}).assign(&r.fresh, r.Status)
			return r
		}(),
		"in parts": func() *Response {
			r := newResponse("k", nil, 200, fields("Date", at(0), "Etag", `"1"`), received, received)
			r.parts = &parts{id: 1 << 63, size: 20 << 30, grain: grainMax, joinable: true}
			return r
		}(),
		"Vary: *": newResponse("k", nil, 200, fields("Vary", "*"), received, received),
	} {
		head := r.Append([]byte("before"))
		p, ok := bytes.CutPrefix(head, []byte("before"))
		if !ok {
			t.Fatal("what was there is gone")
		}
		got, err := ParseResponse(r.Key, p, received.Add(time.Minute))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !got.fresh.at.Equal(r.fresh.at) {
			t.Errorf("%s: received %s, want %s", name, got.fresh.at, r.fresh.at)
		}
		if !got.asked.Equal(r.asked) {
			t.Errorf("%s: asked for at %s, want %s", name, got.asked, r.asked)
		}
		got.fresh.at, got.asked = r.fresh.at, r.asked
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, r)
		}
	}
}

// TestHeadIsPrepared: a response that comes back is sent by the lane like one that never went.
func TestHeadIsPrepared(t *testing.T) {
	m, err := NewMemory(1<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	h := fields("Cache-Control", "max-age=60", "Date", at(0), "Content-Type", "text/plain")
	r := newResponse("k", nil, 200, h, received, received)
	r.Body = m.NewBody(3)
	_, _ = r.Body.Append([]byte("abc"))
	r = r.prepared()
	got, err := ParseResponse("k", r.Append(nil), received)
	if err != nil {
		t.Fatal(err)
	}
	if got = got.With(r.Body); !reflect.DeepEqual(got.block, r.block) || got.block.fields == nil {
		t.Errorf("%q, want %q", got.block.fields, r.block.fields)
	}
}

// TestHeadAndTheClock: what a process before this one received is as old as the wall clock says, and stale if that can't be.
func TestHeadAndTheClock(t *testing.T) {
	h := fields("Cache-Control", "max-age=3600, stale-while-revalidate=3600", "Date", at(0), "Etag", `"1"`)
	head := newResponse("k", nil, 200, h, received, received).Append(nil)
	for _, c := range []struct {
		passed, age time.Duration
		reuse       reuse
	}{
		{0, 0, reuseFresh},
		{90 * time.Second, 90 * time.Second, reuseFresh},
		{90 * time.Minute, 90 * time.Minute, reuseRefresh},
		{-30 * time.Second, 0, reuseFresh}, // clocks are set by some seconds
		{-2 * time.Minute, field.MaxDelta, reuseValidate},
		{-24 * time.Hour, field.MaxDelta, reuseValidate},
	} {
		now := received.Add(c.passed)
		r, err := ParseResponse("k", head, now)
		if err != nil {
			t.Fatal(err)
		}
		if r.asked.After(now) {
			t.Errorf("after %s: asked for at %s, when nothing can have been invalidated yet", c.passed, r.asked)
		}
		nothing := field.NoDirectives()
		if age, d := r.fresh.age(now), decide(r, true, "", &nothing, &Policy{}, now); age != c.age || d.reuse != c.reuse {
			t.Errorf("after %s: age %s, %s (%s)", c.passed, age, d.reuse, d.why)
		}
	}
}

func TestVariant(t *testing.T) {
	variant := func(vary string, req ...string) string {
		return newResponse("k", fields(req...), 200, fields("Vary", vary), received, received).Variant()
	}
	long := strings.Repeat("x", 1000)
	seen := map[string][]string{}
	for _, c := range [][]string{
		{""},
		{"A"},
		{"A", "A", ""},
		{"A", "A", "1"},
		{"A, B", "A", "1"},
		{"A, B", "B", "1"},
		{"B", "B", "1"},
		{"A", "A", long},
		{"A", "A", long + "x"},
		{"A, B", "A", long},
	} {
		v := variant(c[0], c[1:]...)
		if other := seen[v]; other != nil {
			t.Errorf("%.20q and %.20q are taken for the same", other, c)
		}
		if seen[v] = c; len(v) > variantBytesMax {
			t.Errorf("%d bytes", len(v))
		}
	}
	if variant("Accept-Language", "Accept-Language", "de,en") != variant("accept-language", "Accept-Language", "EN , de") {
		t.Error("two ways to say the same are told apart")
	}
}

func TestWorthKeeping(t *testing.T) {
	for _, c := range []struct {
		h    http.Header
		want bool
	}{
		{fields("Cache-Control", "max-age=60"), true},
		{fields("Cache-Control", "max-age=5"), false},
		{fields("Cache-Control", "max-age=5", "Etag", `"1"`), true},
		{fields("Cache-Control", "no-cache", "Last-Modified", at(-time.Hour)), true},
		{fields("Cache-Control", `max-age=60, private="x-user"`), true},
		{nil, true}, // a fragment
		{fields("Cache-Control", `max-age=60, must-revalidate, no-cache="cache-control"`), false},
	} {
		r := &Response{Key: "k", Status: 206, fresh: freshness{lifetime: time.Hour, at: received}}
		if c.h != nil {
			r = newResponse("k", nil, 200, c.h, received, received).forStore()
		}
		if got := r.WorthKeeping(received.Add(10 * time.Second)); got != c.want {
			t.Errorf("%v: %t", c.h, got)
		}
	}
}

func FuzzParseResponse(f *testing.F) {
	f.Add(stored().Append(nil))
	f.Add(newResponse("k", nil, 404, http.Header{}, received, received).Append(nil))
	f.Add([]byte{headVersion, 0, 200, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{headVersion, headParts, 200, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0x80, 0x80, 1, 0, 0, 0})
	f.Add([]byte{headVersion, 0, 200, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 'A', 1, 1, '\n', 0})
	f.Add(append([]byte{headVersion, 3, 200, 1, 1, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte{0xff}, 20)...))
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := ParseResponse("k", p, received)
		if err != nil {
			return
		}
		for name, lines := range r.Header {
			if strings.ContainsAny(name+strings.Join(lines, ""), "\r\n\x00") {
				t.Errorf("%q: %q", name, lines)
			}
		}
		if r.fresh.age(received) < 0 || r.fresh.left(received) > field.MaxDelta {
			t.Errorf("age %s, %s left", r.fresh.age(received), r.fresh.left(received))
		}
		head := r.Append(nil)
		again, err := ParseResponse("k", head, received)
		if err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		if !again.fresh.at.Equal(r.fresh.at) {
			t.Errorf("received %s, then %s", r.fresh.at, again.fresh.at)
		}
		if !again.asked.Equal(r.asked) && !r.asked.IsZero() {
			t.Errorf("asked for at %s, then %s", r.asked, again.asked)
		}
		again.fresh.at, again.asked = r.fresh.at, r.asked
		if !reflect.DeepEqual(again, r) {
			t.Errorf("\n got %+v\nwant %+v", again, r)
		}
		_ = r.WorthKeeping(received)
		_ = r.Variant()
	})
}

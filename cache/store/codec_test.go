package store

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
		"Content-Type", "text/plain", "Cache-Groups", `"a", "b"`, "Cache-Tag", "t, u", "Link", "</a>", "Link", "</b>", "Vary", "Accept-Language, X-None", "Age", "7", "Empty", "")
	req := fields("Accept-Language", "de , en")
	r := NewResponse("shop http://shop.test/", req, 200, h, received.Add(-2*time.Second), received).ForStore()
	r.Trailer = fields("X-Sum", "1", "X-Sum", "2")
	r.Born = Generation{Seq: 1 << 63, Boot: 1<<64 - 1, Tick: 7}
	return r
}

func TestHeadSurvives(t *testing.T) {
	for name, r := range map[string]*Response{
		"everything": stored(),
		"nothing":    NewResponse("k", nil, 404, http.Header{}, received, received),
		"CDN": NewResponse("k", nil, 200, fields("Cdn-Cache-Control", "max-age=600, must-revalidate", "Cache-Control", "no-store"),
			received, received),
		"heuristic": NewResponse("k", nil, 200, fields("Last-Modified", at(-100*time.Hour)), received, received),
		"by the site": func() *Response {
			r := NewResponse("k", nil, 404, fields("Date", at(0), "Age", "60"), received, received)
			(&Defaults{Negative: []Negative{{Statuses: []int{404}, TTL: time.Minute}}}).assign(&r.Fresh, r.Status)
			return r
		}(),
		"in parts": func() *Response {
			r := NewResponse("k", nil, 200, fields("Date", at(0), "Etag", `"1"`), received, received)
			r.Parts = &Parts{ID: 1 << 63, Size: 20 << 30, Grain: grainMax, Joinable: true}
			return r
		}(),
		"Vary: *": NewResponse("k", nil, 200, fields("Vary", "*"), received, received),
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
		if !got.Fresh.at.Equal(r.Fresh.at) {
			t.Errorf("%s: received %s, want %s", name, got.Fresh.at, r.Fresh.at)
		}
		got.Fresh.at = r.Fresh.at
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
	r := NewResponse("k", nil, 200, h, received, received)
	r.Body = m.NewBody(3)
	_, _ = r.Body.Append([]byte("abc"))
	r = r.Prepared()
	got, err := ParseResponse("k", r.Append(nil), received)
	if err != nil {
		t.Fatal(err)
	}
	if got = got.With(r.Body); !reflect.DeepEqual(got.Block, r.Block) || got.Block.Fields == nil {
		t.Errorf("%q, want %q", got.Block.Fields, r.Block.Fields)
	}
}

func TestVariant(t *testing.T) {
	variant := func(vary string, req ...string) string {
		return NewResponse("k", fields(req...), 200, fields("Vary", vary), received, received).Variant()
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
		r := &Response{Key: "k", Status: 206, Fresh: Freshness{lifetime: time.Hour, at: received}}
		if c.h != nil {
			r = NewResponse("k", nil, 200, c.h, received, received).ForStore()
		}
		if got := r.WorthKeeping(received.Add(10 * time.Second)); got != c.want {
			t.Errorf("%v: %t", c.h, got)
		}
	}
}

func FuzzParseResponse(f *testing.F) {
	f.Add(stored().Append(nil))
	f.Add(NewResponse("k", nil, 404, http.Header{}, received, received).Append(nil))
	f.Add([]byte{headVersion, 0, 200, 1, 1, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{headVersion, headParts, 200, 1, 1, 2, 3, 1, 0, 0, 0, 0, 1, 1, 0x80, 0x80, 1, 0, 0, 0})
	f.Add([]byte{headVersion, 0, 200, 1, 1, 2, 3, 1, 0, 0, 0, 0, 0, 1, 1, 'A', 1, 1, '\n', 0})
	f.Add(append([]byte{headVersion, 3, 200, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte{0xff}, 20)...))
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
		if r.Fresh.Age(received) < 0 || r.Fresh.Left(received) > field.MaxDelta {
			t.Errorf("age %s, %s left", r.Fresh.Age(received), r.Fresh.Left(received))
		}
		head := r.Append(nil)
		again, err := ParseResponse("k", head, received)
		if err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		if !again.Fresh.at.Equal(r.Fresh.at) {
			t.Errorf("received %s, then %s", r.Fresh.at, again.Fresh.at)
		}
		again.Fresh.at = r.Fresh.at
		if !reflect.DeepEqual(again, r) {
			t.Errorf("\n got %+v\nwant %+v", again, r)
		}
		_ = r.WorthKeeping(received)
		_ = r.Variant()
	})
}

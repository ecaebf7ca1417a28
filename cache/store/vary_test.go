package store

import (
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/field"
)

func TestVaryMatches(t *testing.T) {
	for _, c := range []struct {
		name      string
		vary      []string
		then, now http.Header
		want      bool
	}{
		{"no Vary", nil, fields("Accept", "a"), fields("Accept", "b"), true},
		{"RFC 9111 §4.1: the same", []string{"Accept"}, fields("Accept", "a"), fields("Accept", "a"), true},
		{"RFC 9111 §4.1: another", []string{"Accept"}, fields("Accept", "a"), fields("Accept", "b"), false},
		{"RFC 9111 §4.1: absent then and now", []string{"Accept"}, fields(), fields(), true},
		{"RFC 9111 §4.1: absent now", []string{"Accept"}, fields("Accept", "a"), fields(), false},
		{"RFC 9111 §4.1: absent then", []string{"Accept"}, fields(), fields("Accept", "a"), false},
		{"RFC 9111 §4.1: empty isn't absent", []string{"Accept"}, fields(), fields("Accept", ""), false},
		{
			"RFC 9111 §4.1: names in any case",
			[]string{"aCCEPT-encoding"},
			fields("Accept-Encoding", "a"), fields("Accept-Encoding", "b"), false,
		},
		{
			"RFC 9111 §4.1: all of several",
			[]string{"Accept, Cookie", "User-Agent"},
			fields("Accept", "a", "User-Agent", "x"), fields("Accept", "a", "User-Agent", "y"), false,
		},
		{"RFC 9111 §4.1: *", []string{"*"}, fields(), fields(), false},
		{"RFC 9111 §4.1: * among others", []string{"Accept, *"}, fields(), fields(), false},
		{"RFC 9111 §4.1: white space", []string{"Accept"}, fields("Accept", "a, b"), fields("Accept", " a ,b "), true},
		{"RFC 9111 §4.1: lines combined", []string{"Accept"}, fields("Accept", "a, b"), fields("Accept", "a", "Accept", "b"), true},
		{"RFC 9111 §4.1: the order counts", []string{"X-Route"}, fields("X-Route", "a, b"), fields("X-Route", "b, a"), false},
		{"the case counts", []string{"X-Route"}, fields("X-Route", "a"), fields("X-Route", "A"), false},
		{
			"RFC 9110 §12.5.3: but not here",
			[]string{"Accept-Encoding"},
			fields("Accept-Encoding", "gzip, br"), fields("Accept-Encoding", "BR,gzip"), true,
		},
		{
			"RFC 9110 §12.5.4: nor here",
			[]string{"Accept-Language"},
			fields("Accept-Language", "en, de;q=0.5"), fields("Accept-Language", "de; q=0.5,EN"), true,
		},
		{
			"RFC 9110 §12.4.2: the weight counts",
			[]string{"Accept-Language"},
			fields("Accept-Language", "en, de;q=0.5"), fields("Accept-Language", "en, de;q=0.6"), false,
		},
		{
			"RFC 9110 §12.4.2: a weight of 1 is none",
			[]string{"Accept-Encoding"},
			fields("Accept-Encoding", "gzip;q=1.0, br; Q=1"), fields("Accept-Encoding", "br,gzip"), true,
		},
		{
			"RFC 9110 §12.4.2: zeros at the end",
			[]string{"Accept-Language"},
			fields("Accept-Language", "en;q=0.50, de;q=0.0"), fields("Accept-Language", "de;q=0,en;q=0.5"), true,
		},
		{
			"once is enough",
			[]string{"Accept-Encoding"},
			fields("Accept-Encoding", "gzip, GZIP, br"), fields("Accept-Encoding", "br, gzip"), true,
		},
		{
			"a weight elsewhere is a parameter",
			[]string{"Accept"},
			fields("Accept", "text/html;q=1.0"), fields("Accept", "text/html"), false,
		},
		{
			"what isn't a weight stays",
			[]string{"Accept-Language"},
			fields("Accept-Language", "en;q=1.5"), fields("Accept-Language", "en"), false,
		},
		{
			"what isn't a weight stays, four digits",
			[]string{"Accept-Language"},
			fields("Accept-Language", "en;q=0.5000"), fields("Accept-Language", "en;q=0.5"), false,
		},
		{
			"an origin may tell a refusal from silence",
			[]string{"Accept-Encoding"},
			fields("Accept-Encoding", "gzip, br;q=0"), fields("Accept-Encoding", "gzip"), false,
		},
		{
			"an origin may tell identity from silence",
			[]string{"Accept-Encoding"},
			fields("Accept-Encoding", "gzip, identity"), fields("Accept-Encoding", "gzip"), false,
		},
		{
			"an origin may not know x-gzip",
			[]string{"Accept-Encoding"},
			fields("Accept-Encoding", "x-gzip"), fields("Accept-Encoding", "gzip"), false,
		},
		{
			"nobody says that white space inside of a tag means nothing",
			[]string{"Accept-Language"},
			fields("Accept-Language", "e n"), fields("Accept-Language", "en"), false,
		},
		{"a comma in a quoted string", []string{"X"}, fields("X", `"a, b"`), fields("X", `"a,b"`), false},
		{"a value that looks like an absent one", []string{"X"}, fields(), fields("X", "\x00"), true}, // net/http lets no NUL in
		{"empty members", []string{"X"}, fields("X", "a,,b"), fields("X", "a, b,"), true},
		{"Vary with empty members", []string{", Accept ,,"}, fields("Accept", "a"), fields("Accept", "b"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVaries(c.vary, c.then)
			if got := v.matches(field.Header(c.now)); got != c.want {
				t.Errorf("Vary %q, then %v, now %v: %t", c.vary, c.then, c.now, got)
			}
			if v.Star {
				return
			}
			if same := v.Secondary(c.then) == v.Secondary(c.now); same != c.want {
				t.Errorf("Vary %q, then %v, now %v: same secondary key %t, but matches %t", c.vary, c.then, c.now, same, c.want)
			}
		})
	}
}

func TestVaryNames(t *testing.T) {
	v := newVaries([]string{"b, a", "B"}, fields("A", "1"))
	if !slices.Equal(v.names, []string{"A", "B"}) || !slices.Equal(v.values, []string{"1", missing}) {
		t.Errorf("%q with %q", v.names, v.values)
	}
}

// manyVariants are as many responses under one key as a store keeps, told apart by two fields, and what a request for the last one has.
func manyVariants() ([]*Response, *KeyPolicy, field.Fields) {
	keys := &KeyPolicy{Site: "shop", Headers: []string{"X-Country"}, Cookies: []string{"lang"}}
	var stored []*Response
	var req http.Header
	for i := range variantsMax {
		req = fields("X-Country", strconv.Itoa(i), "Cookie", "session=x; lang=en", "Accept-Encoding", "gzip, br")
		r := NewResponse("k", req, 200, fields("Date", httpDate(0)), time.Now(), time.Now())
		r.Varies = keys.varies([]string{"Accept-Encoding"}, req)
		stored = append(stored, r)
	}
	return stored, keys, field.Header(req)
}

func TestSelectAmongMany(t *testing.T) {
	stored, keys, req := manyVariants()
	if got := Select(stored, keys, req); got != stored[len(stored)-1] {
		t.Error("another one is selected")
	}
	if got := Select(stored, &KeyPolicy{Site: "shop"}, req); got != nil {
		t.Error("one that was stored under another policy is selected")
	}
	if n := testing.AllocsPerRun(50, func() { Select(stored, keys, req) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSelectAmongMany(b *testing.B) {
	stored, keys, req := manyVariants()
	b.ReportAllocs()
	for b.Loop() {
		Select(stored, keys, req)
	}
}

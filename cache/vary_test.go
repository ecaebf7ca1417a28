package cache

import (
	"net/http"
	"slices"
	"testing"
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
		{"a comma in a quoted string", []string{"X"}, fields("X", `"a, b"`), fields("X", `"a,b"`), false},
		{"a value that looks like an absent one", []string{"X"}, fields(), fields("X", "\x00"), true}, // net/http lets no NUL in
		{"empty members", []string{"X"}, fields("X", "a,,b"), fields("X", "a, b,"), true},
		{"Vary with empty members", []string{", Accept ,,"}, fields("Accept", "a"), fields("Accept", "b"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVaries(c.vary, c.then)
			if got := v.matches(headerFields(c.now)); got != c.want {
				t.Errorf("Vary %q, then %v, now %v: %t", c.vary, c.then, c.now, got)
			}
			if v.star {
				return
			}
			if same := v.secondary(c.then) == v.secondary(c.now); same != c.want {
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

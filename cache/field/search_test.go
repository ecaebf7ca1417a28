package field

import (
	"strings"
	"testing"
)

func TestNoVarySearch(t *testing.T) {
	long := `params=("` + strings.Repeat("x", searchMax) + `")`
	for _, c := range []struct {
		name  string
		lines []string
		want  string // String; empty for the default
	}{
		{"no field", nil, ""},
		{"an empty field", []string{""}, ""},
		{"§3: key-order", []string{"key-order"}, "key-order,params="},
		{"§3: params, all", []string{"params"}, "params=only="},
		{"§3: params, some", []string{`params=("b" "a" "b")`}, "params=a&b&"},
		{"§3: params but for some", []string{`params, except=("x")`}, "params=only=x&"},
		{"§3: all three, in another order", []string{`params, key-order, except=("x")`}, "key-order,params=only=x&"},
		{"§3: on two lines", []string{"key-order", `params=("a")`}, "key-order,params=a&"},
		{"§4.3: names are decoded", []string{`params=("%C3%A9+%E6%B0%97")`}, "params=%C3%A9+%E6%B0%97&"},
		{"§4.2: in full", []string{"key-order=?1, params=?1"}, "key-order,params=only="},
		{"§4.2: as good as the default", []string{"key-order=?0, params=?0"}, ""},
		{"§4.2: an empty list", []string{"params=()"}, ""},
		{"§4.2: params and except nothing", []string{"params, except=()"}, "params=only="},
		{"§3: unknown members are ignored", []string{`x=1, key-order, y=("a")`}, "key-order,params="},
		{"§3: only unknown members", []string{"unknown-key"}, ""},
		{"RFC 9651 §4.2: parameters are ignored", []string{`key-order;x=1, params=("a";y);z`}, "key-order,params=a&"},
		{"RFC 9651 §4.2.2: of two members the last", []string{`params, params=("a")`}, "params=a&"},
		{"§4.1: key-order isn't a Boolean", []string{`key-order="x"`}, ""},
		{"§4.1: key-order is a list", []string{`key-order=(), params`}, ""},
		{"§4.1: params is a String", []string{`params="x"`}, ""},
		{"§4.1: params has a token", []string{`params=(a)`}, ""},
		{"§4.1: except without params", []string{`except=("x")`}, ""},
		{"§4.1: except beside a list", []string{`params=("a"), except=("x")`}, ""},
		{"§4.1: except beside an empty list", []string{`params=(), except=()`}, ""},
		{"§4.1: except beside false", []string{`params=?0, except=("x")`}, ""},
		{"§4.1: except has a token", []string{`params, except=(a)`}, ""},
		{"§4.1: except is a Boolean", []string{`params, except=?1`}, ""},
		{"§4.1: not a Dictionary", []string{`params, =`}, ""},
		{"a name that isn't UTF-8", []string{`params=("%f6")`}, ""},
		{"more than we keep", []string{long}, ""},
	} {
		s := NoVarySearch(c.lines)
		if s.String() != c.want || s.IsDefault() != (c.want == "") {
			t.Errorf("%s: %q of %q, want %q", c.name, s.String(), c.lines, c.want)
		}
	}
}

func TestCanonicalSearch(t *testing.T) {
	for _, c := range []struct {
		name, line, query, want string
	}{
		{"§5: key-order", "key-order", "b=1&a=2&b=0", "a=2&b=1&b=0"},
		{"§5: the order counts", `params=("x")`, "b=1&x=1&a=2", "b=1&a=2"},
		{"§5: params, all", "params", "a=1&b", ""},
		{"§5: but for some", `params, except=("b" "c")`, "a=1&c=2&b=1&d", "c=2&b=1"},
		{"§5: all three", `key-order, params, except=("b" "c")`, "a=1&c=2&b=1&d", "b=1&c=2"},
		{"§5.1: no query", "key-order", "", ""},
		{"§5.1: empty pairs", "key-order", "&a=x&&&", "a=x"},
		{"§5.1: no value is an empty one", "key-order", "a", "a="},
		{"§5.1: an octet may be written out", "key-order", "%61=%78", "a=x"},
		{"§5.1: UTF-8", "key-order", "a=\xc3\xa9", "a=%C3%A9"},
		{"§5.1: blanks", "key-order", "a=+%20", "a=++"},
		{"§5.1: a plus sign", "key-order", "a=%2b", "a=%2B"},
		{"§5.1: no octet", "key-order", "a=%&b=%4&c=%zz", "a=%25&b=%254&c=%25zz"},
		{"§5.1: = in a value", "key-order", "a=b=c", "a=b%3Dc"},
		{"§5.1: an empty name", "key-order", "=b", "=b"},
		{"§4.3: a name that is written otherwise", `params=("a b")`, "a%20b=1&a+b=2&c=3", "c=3"},
	} {
		s := NoVarySearch([]string{c.line})
		if got, ok := s.Canonical(c.query); !ok || got != c.want {
			t.Errorf("%s: %q of %q under %s, want %q", c.name, got, c.query, c.line, c.want)
		}
	}
	s := NoVarySearch([]string{"key-order"})
	if _, ok := s.Canonical("a=%f6"); ok {
		t.Error("what isn't UTF-8 has a canonical form")
	}
}

func FuzzNoVarySearch(f *testing.F) {
	for _, line := range []string{
		"", "key-order", "params", `params=("a" "b+c" "%C3%A9")`, `params, except=("x")`, `key-order, params, except=()`, `params=("%f6")`,
		`params="x"`, "key-order=?0",
	} {
		f.Add(line, "a=1&b=2&a=3", "b=2&a=1&x")
		f.Add(line, "%61=%78&&+=%", "a=x&%20=%25")
	}
	f.Fuzz(func(t *testing.T, line, a, b string) {
		s := NoVarySearch([]string{line})
		if s.IsDefault() {
			return
		}
		if len(s.String()) > searchMax || strings.ContainsAny(s.String(), " ?#\"") {
			t.Errorf("%q is %q", line, s.String())
		}
		ca, ok := s.Canonical(a)
		if !ok {
			return
		}
		if again, ok := s.Canonical(ca); !ok || again != ca {
			t.Errorf("%q: %q is %q, and that is %q, %t", line, a, ca, again, ok)
		}
		if strings.ContainsAny(ca, " ?#") {
			t.Errorf("%q in a query", ca)
		}
		// One parameter more or less that makes no difference makes none; one that does makes one.
		if cb, ok := s.Canonical(b); ok {
			if both, ok := s.Canonical(a + "&" + b); !ok || (both == ca) != (cb == "") {
				t.Errorf("%q: %q and %q: %q, alone %q and %q", line, a, b, both, ca, cb)
			}
		}
	})
}

func FuzzStrings(f *testing.F) {
	for _, line := range []string{"", `"a"`, `"a", "b;c";d=1`, `"a\"\\"`, "a", `("a")`, `"a",`, `"`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		members := Strings([]string{line})
		var again []string
		for _, m := range members {
			again = append(again, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(m)+`"`)
		}
		if got := Strings([]string{strings.Join(again, ", ")}); len(got) != len(members) || strings.Join(got, "\n") != strings.Join(members, "\n") {
			t.Errorf("%q is %q, which is read as %q", line, members, got)
		}
	})
}

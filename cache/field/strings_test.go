package field

import (
	"slices"
	"strings"
	"testing"
)

func TestStrings(t *testing.T) {
	many, names := make([]string, 200), make([]string, 200)
	for i := range many {
		names[i] = strings.Repeat("x", 100) + string(rune('a'+i%26))
		many[i] = `"` + names[i] + `"`
	}
	for _, c := range []struct {
		name  string
		lines []string
		want  []string
	}{
		{"no field", nil, nil},
		{"an empty field", []string{""}, nil},
		{"RFC 9875 §2: one", []string{`"a"`}, []string{"a"}},
		{"RFC 9875 §2: several", []string{`"scripts", "b c"`}, []string{"scripts", "b c"}},
		{"RFC 9875 §2: case and blanks count", []string{`"A", " a "`}, []string{"A", " a "}},
		{"RFC 9651 §4.2: on several lines", []string{`"a"`, `"b"`}, []string{"a", "b"}},
		{"RFC 9651 §3.3.3: escapes", []string{`"a\"b\\"`}, []string{`a"b\`}},
		{"RFC 9875 §2: parameters are ignored", []string{`"a";x=1;y, "b"`}, []string{"a", "b"}},
		{"the empty String is one", []string{`""`}, []string{""}},
		{"RFC 9875 §2: more and longer than 32", []string{strings.Join(many, ", ")}, names},
		{"RFC 9651 §4.2: a token", []string{`"a", b`}, nil},
		{"RFC 9651 §4.2: a number", []string{`1`}, nil},
		{"RFC 9651 §4.2: an inner list", []string{`("a" "b")`}, nil},
		{"RFC 9651 §4.2: a byte sequence", []string{`:YQ==:`}, nil},
		{"RFC 9651 §4.2: a comma at the end", []string{`"a",`}, nil},
		{"RFC 9651 §4.2: a quote without end", []string{`"a", "b`}, nil},
		{"RFC 9651 §4.2: not ASCII", []string{`"ä"`}, nil},
	} {
		if got := Strings(c.lines); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q of %q, want %q", c.name, got, c.lines, c.want)
		}
	}
}

package field

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestTags(t *testing.T) {
	for _, c := range []struct {
		name    string
		h       http.Header
		want    []string
		tooMuch bool
	}{
		{"none", http.Header{}, nil, false},
		{"Cache-Tag", http.Header{"Cache-Tag": {"a,b , c d,,\te", "f"}}, []string{"a", "b", "c d", "e", "f"}, false},
		{"Surrogate-Key", http.Header{"Surrogate-Key": {"a b  c,d", "e\tf "}}, []string{"a", "b", "c,d", "e", "f"}, false},
		{"all", http.Header{"Surrogate-Key": {"s"}, "Cache-Tag": {"c"}, "Edge-Cache-Tag": {"e"}}, []string{"c", "e", "s"}, false},
		{"as many as may be", http.Header{"Cache-Tag": {strings.Repeat("x,", TagsMax)}}, slices.Repeat([]string{"x"}, TagsMax), false},
		{"one more", http.Header{"Cache-Tag": {strings.Repeat("x,", TagsMax) + "y"}}, nil, true},
		{"one more of another field", http.Header{"Cache-Tag": {strings.Repeat("x,", TagsMax)}, "Surrogate-Key": {"y"}}, nil, true},
		{"as long as may be", http.Header{"Surrogate-Key": {strings.Repeat("x", TagBytesMax)}}, []string{strings.Repeat("x", TagBytesMax)}, false},
		{"longer", http.Header{"Surrogate-Key": {strings.Repeat("x", TagBytesMax+1)}}, nil, true},
	} {
		if got, ok := Tags(c.h); !slices.Equal(got, c.want) || ok == c.tooMuch {
			t.Errorf("%s: %.40q, %t", c.name, got, ok)
		}
	}
	if groups, ok := Groups(http.Header{"Cache-Groups": {`"a", "b c"`}}); !slices.Equal(groups, []string{"a", "b c"}) || !ok {
		t.Errorf("groups %q, %t", groups, ok)
	}
	long := `"` + strings.Repeat("x", TagBytesMax+1) + `"`
	for _, line := range []string{long, strings.Repeat(`"x", `, TagsMax) + `"x"`} {
		if groups, ok := Groups(http.Header{"Cache-Groups": {line}}); ok {
			t.Errorf("%d groups of %d bytes are taken", len(groups), len(line))
		}
	}
}

func FuzzTags(f *testing.F) {
	for _, line := range []string{"", "a", "a,b", " a , ,b\t", "a b  c", "\x00,\xff", ",,,", "a\tb"} {
		f.Add(line, line)
	}
	f.Fuzz(func(t *testing.T, commas, spaces string) {
		tags, ok := Tags(http.Header{"Cache-Tag": {commas}, "Surrogate-Key": {spaces}})
		if !ok {
			if tags != nil || len(commas)+len(spaces) < TagBytesMax {
				t.Errorf("%q, %q: too much, and %q", commas, spaces, tags)
			}
			return
		}
		for _, tag := range tags {
			if tag == "" || len(tag) > TagBytesMax || strings.Trim(tag, " \t") != tag || !strings.Contains(commas, tag) && !strings.Contains(spaces, tag) {
				t.Errorf("%q, %q: a tag %q", commas, spaces, tag)
			}
		}
		n := 0
		for part := range strings.SplitSeq(commas, ",") {
			if strings.Trim(part, " \t") != "" {
				n++
			}
		}
		if n += len(strings.FieldsFunc(spaces, func(r rune) bool { return r == ' ' || r == '\t' })); n != len(tags) {
			t.Errorf("%q, %q: %d tags, want %d", commas, spaces, len(tags), n)
		}
	})
}

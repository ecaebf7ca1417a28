package logs

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// What a client sends ends up in a line that other programs read: the line must be JSON, one line, and mean what was sent.
func FuzzAppendQuoted(f *testing.F) {
	for _, s := range []string{
		"", "plain", `"\`, "a\nb\r\tc", "\x00\x1f\x7f", "é€😀", "\xff\xfe", "a\xc3", "\xed\xa0\x80", "\u0085\u009f\u00a0", "\u2028",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := appendQuoted(nil, s)
		if !utf8.Valid(got) {
			t.Fatalf("%q gives invalid UTF-8 %q", s, got)
		}
		for i, c := range got {
			if c < ' ' || c == 0x7f {
				t.Fatalf("%q gives control byte %#x at %d", s, c, i)
			}
		}
		reference, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var mine, theirs string
		if err := json.Unmarshal(got, &mine); err != nil {
			t.Fatalf("%q gives %s: %v", s, got, err)
		}
		if err := json.Unmarshal(reference, &theirs); err != nil {
			t.Fatal(err)
		}
		if mine != theirs {
			t.Fatalf("%q comes back as %q, by encoding/json as %q", s, mine, theirs)
		}
	})
}

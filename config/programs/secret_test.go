package programs

import (
	"bytes"
	"strings"
	"testing"
)

// The value is the content without the end of its line; what can't be one is refused without being shown.
func TestSecretValue(t *testing.T) {
	for _, tt := range []struct{ content, value, wrong string }{
		{"key", "key", ""},
		{"key\n", "key", ""},
		{"key\r\n", "key", ""},
		{"two\nlines\n\n", "two\nlines\n", ""},
		{"\xff\xfe", "\xff\xfe", ""},
		{"", "", "is empty"},
		{"\r\n", "", "is empty"},
		{"a\x00b", "", "has a NUL, which no variable can have"},
		{strings.Repeat("x", SecretMax), strings.Repeat("x", SecretMax), ""},
		{strings.Repeat("x", SecretMax+1), "", "has more than 64 KiB"},
	} {
		if value, wrong := SecretValue([]byte(tt.content)); value != tt.value || wrong != tt.wrong {
			t.Errorf("%.20q is %.20q, %q; want %.20q, %q", tt.content, value, wrong, tt.value, tt.wrong)
		}
	}
}

// A value is the beginning of its content, can be a variable's, and what is wrong never shows it.
func FuzzSecretValue(f *testing.F) {
	f.Add([]byte("key\n"))
	f.Add([]byte("a\x00b"))
	f.Fuzz(func(t *testing.T, content []byte) {
		value, wrong := SecretValue(content)
		if (value == "") != (wrong != "") || !bytes.HasPrefix(content, []byte(value)) || len(content)-len(value) > 2 && wrong == "" || strings.Contains(value, "\x00") {
			t.Errorf("%q is %q, %q", content, value, wrong)
		}
	})
}

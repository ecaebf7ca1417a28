package field

import (
	"testing"

	"github.com/dunglas/httpsfv"
)

// TestTokenOrString tries every byte at the first and at a later place.
func TestTokenOrString(t *testing.T) {
	for b := range 256 {
		for _, s := range []string{string([]byte{byte(b)}), string([]byte{'a', byte(b)})} {
			item, err := httpsfv.UnmarshalItem([]string{TokenOrString(s)})
			if err != nil {
				t.Errorf("%q renders as %q: %v", s, TokenOrString(s), err)
				continue
			}
			var back string
			switch v := item.Value.(type) {
			case httpsfv.Token:
				back = string(v)
			case string:
				back = v
			}
			if b >= 0x20 && b < 0x7f && back != s {
				t.Errorf("%q renders as %q and is read as %q", s, TokenOrString(s), back)
			}
		}
	}
}

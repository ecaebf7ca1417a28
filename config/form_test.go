package config

import (
	"strings"
	"testing"

	"github.com/wherry/wherry/config/typo"
)

// TestWhatToWriteIsRight follows what a mistake says to write, which has to be right in the same place.
func TestWhatToWriteIsRight(t *testing.T) {
	tests := []struct {
		form        Form
		text, write string
	}{
		{domainForm(), "Wherry.TEST.", "wherry.test"},
		{domainForm(), "Wherry.TEST", "wherry.test"},
		{hostPatternForm(), "*.Shop.TEST.", "*.shop.test"},
		{hostPatternForm(), "192.0.2.1.", "192.0.2.1"},
		{hostPatternForm(), "2001:DB8::1", "2001:db8::1"},
		{mailboxForm(), "a@Shop.TEST", "a@shop.test"},
		{pathPatternForm(), "internal*", "/internal/*"},
		{pathPatternForm(), "internal/*", "/internal/*"},
		{pathPatternForm(), "./a b**", "/a%20b/*"},
		{pathPatternForm(), "/a/**", "/a/*"},
		{pathPatternForm(), "/a%20ä/*", "/a%20%C3%A4/*"},
		{pathPatternForm(), ".well-known/x", "/.well-known/x"},
		{pathPatternForm(), "../a", "/a"},
		{pathPatternForm(), "", "/"},
		{pathPatternForm(), "*.ä", "*.%C3%A4"},
		{pathForm(), "bücher", "/b%C3%BCcher"},
		{urlForm(), "https://SHOP.internal.:8443/A", "https://shop.internal:8443/A"},
		{urlForm(), "http://[2001:DB8::1]/", "http://[2001:db8::1]/"},
		{addressForm(), "443", ":443"},
		{addressForm(), "::1", "[::1]:8080"},
		{addressForm(), "::1:443", "[::1]:443"},
		{addressForm(), "fe80::1%eth0:443", "[fe80::1%eth0]:443"},
		{addressForm(), "*:443", ":443"},
		{prefixForm(), "::ffff:192.0.2.1", "192.0.2.1/32"},
		{fileForm("/etc/wherry/shop.pem"), "", "/etc/wherry/shop.pem"},
	}
	for _, test := range tests {
		_, m := test.form.parse(test.text)
		if m == nil {
			t.Errorf("%s %q is right", test.form.Name, test.text)
			continue
		}
		write := strings.TrimPrefix(strings.TrimPrefix(m.instead, "write "), "one such as ")
		write, _, _ = strings.Cut(write, " ")
		if write = strings.Trim(write, `",`); write != test.write {
			t.Errorf("%s %q: %s, want %s", test.form.Name, test.text, m.instead, test.write)
		}
		if _, m := test.form.parse(write); m != nil {
			t.Errorf("%s %q: what it says to write, %q, %s", test.form.Name, test.text, write, m.what)
		}
	}
}

func TestClosest(t *testing.T) {
	keys := []string{"zone", "dns", "listen", "limits", "memory", "log", "clusters", "sites"}
	for word, want := range map[string]string{
		"zoen": "zone", "dsn": "dns", "lgo": "log", "Listen": "listen", "lsiten": "listen", "cluster": "clusters", "stie": "",
		"foo": "", "bar": "", "time": "", "xyz": "", "": "",
	} {
		if got := typo.Closest(word, keys); got != want {
			t.Errorf("%q is taken for %q, want %q", word, got, want)
		}
	}
}

package origin

import (
	"strings"
	"testing"
)

// FuzzTarget looks for request targets that reach the origin other than as they were sent.
func FuzzTarget(f *testing.F) {
	for _, target := range []string{
		"/", "/a%2fb", "//x", "/?", "/a?b?c", "/|", "//|", "/%7e", "/a;b=c",
		"/\xc3\xa9", "/%", "*", "/%2f%2F//?%00", "///|", "/:@!$&'()*+,",
	} {
		f.Add(target, "")
		f.Add(target, "/base")
	}
	f.Fuzz(func(t *testing.T, target, prefix string) {
		if strings.Trim(prefix, "/abc%2F") != "" || strings.HasSuffix(prefix, "/") || prefix != "" && prefix[0] != '/' {
			t.Skip()
		}
		u, err := asClientSent(target)
		if err != nil || !strings.HasPrefix(target, "/") || strings.ContainsAny(target, "#") {
			t.Skip()
		}
		s := &server{scheme: "http", host: "o.test", prefix: prefix}
		got := outURL(u, s, "shop.test").RequestURI()
		if got != prefix+target && got != "http://shop.test"+prefix+target {
			t.Errorf("%q behind %q is sent as %q", target, prefix, got)
		}
	})
}

package field

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestDropConnectionFields(t *testing.T) {
	for _, c := range []struct {
		name     string
		in, want http.Header
	}{
		{
			"RFC 9110 §7.6.1: what Connection nominates",
			fields("Connection", "x-a, Keep-Alive", "Connection", " X-B ", "X-A", "1", "X-B", "2", "X-C", "3"), fields("X-C", "3"),
		},
		{"RFC 9110 §7.6.1: and what ends here anyway", fields("Keep-Alive", "1", "Proxy-Connection", "2", "TE", "trailers",
			"Transfer-Encoding", "chunked",
			"Upgrade", "h2c", "Proxy-Authenticate", "x", "Proxy-Authorization", "y", "Proxy-Authentication-Info", "z",
			"Etag", "a"), fields("Etag", "a")},
		{
			"RFC 9110 §7.6.1: not what would change the meaning", fields("Connection",
				"Cache-Control, vary, etag, CONTENT-LENGTH, Authorization, cdn-cache-control",
				"Cache-Control", "no-store", "Vary", "a", "Etag", "b", "Content-Length", "1", "Authorization", "x",
				"CDN-Cache-Control", "no-store"),
			fields("Cache-Control", "no-store", "Vary", "a", "Etag", "b", "Content-Length", "1", "Authorization", "x",
				"CDN-Cache-Control", "no-store"),
		},
		{"nonsense", fields("Connection", ", ,\x00,", "A", "b"), fields("A", "b")},
		{"nothing", fields("A", "b"), fields("A", "b")},
	} {
		EndHop(c.in)
		if !reflect.DeepEqual(c.in, c.want) {
			t.Errorf("%s: %v left", c.name, c.in)
		}
	}
}

func TestVia(t *testing.T) {
	for _, c := range []struct {
		major, minor int
		before       []string
		want         string
	}{
		{1, 1, nil, "1.1 n"},
		{1, 0, nil, "1.0 n"},
		{2, 0, nil, "2.0 n"},
		{3, 0, nil, "3.0 n"},
		{1, 1, []string{"1.0 a, 1.1 b", "2.0 c"}, "1.0 a, 1.1 b, 2.0 c, 1.1 n"}, // RFC 9110 §7.6.3: ours is last
	} {
		h := http.Header{}
		if c.before != nil {
			h["Via"] = c.before
		}
		AddVia(h, c.major, c.minor, "n")
		if got := h["Via"]; len(got) != 1 || got[0] != c.want {
			t.Errorf("HTTP/%d.%d behind %q: %q, want %q", c.major, c.minor, c.before, got, c.want)
		}
	}
}

func FuzzConnection(f *testing.F) {
	for _, value := range []string{
		"", "close", "Keep-Alive, X-A", "cache-control, VARY", " , ,", "x-a;q=1", "\x00",
		"connection", "Wherry-Cache-Control",
	} {
		f.Add(value, "X-A")
	}
	f.Fuzz(func(t *testing.T, value, name string) {
		name = http.CanonicalHeaderKey(name)
		h := http.Header{
			"Cache-Control": {"no-store"}, "Vary": {"*"}, "Content-Length": {"1"}, "Authorization": {"x"},
			name: {"1"}, "Connection": {value},
		}
		kept := http.Header{
			"Cache-Control": h["Cache-Control"], "Vary": h["Vary"], "Content-Length": h["Content-Length"],
			"Authorization": h["Authorization"],
		}
		EndHop(h)
		for k := range kept {
			if h[k] == nil {
				t.Errorf("Connection: %q takes %s away", value, k)
			}
		}
		for _, k := range connectionSpecific {
			if h[k] != nil {
				t.Errorf("%s is left", k)
			}
		}
		nominated := false
		for member := range strings.SplitSeq(value, ",") {
			nominated = nominated || http.CanonicalHeaderKey(strings.Trim(member, " \t")) == name
		}
		if nominated && !endToEnd(name) && h[name] != nil {
			t.Errorf("Connection: %q leaves %q", value, name)
		}
		before := h.Clone()
		if EndHop(h); !reflect.DeepEqual(h, before) {
			t.Errorf("a second time takes more away: %v, %v", h, before)
		}
	})
}

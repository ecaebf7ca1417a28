package edge

import (
	"bufio"
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge/hop"
	"github.com/wherry/wherry/edge/policy"
)

// Whatever a client sends in Connection, no field that it names and none of the forged ones gets through.
func FuzzForwardedFields(f *testing.F) {
	f.Add("close, X-Foo", "websocket", "evil")
	f.Add("x-forwarded-for,,\t upgrade", "h2c, websocket", "lisbon-1;a")
	f.Add(",", "HTTP/2.0", ",")
	f.Fuzz(func(t *testing.T, connection, upgrade, loop string) {
		r := &http.Request{ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{
			"Connection": {connection}, "Upgrade": {upgrade}, "Cdn-Loop": {loop}, "X-Forwarded-For": {"6.6.6.6"}, "X-Foo": {"1"},
		}}
		if protocols := strings.ToLower(hop.UpgradeOf(r)); strings.Contains(protocols, "h2c") && !strings.Contains(protocols, "h2c-") {
			for p := range strings.SplitSeq(protocols, ",") {
				if name, _, _ := strings.Cut(strings.TrimSpace(p), "/"); name == "h2c" {
					t.Errorf("%q lets h2c through: %q", upgrade, protocols)
				}
			}
		}
		field.EndHop(r.Header)
		hop.RemoveForgeries(r.Header, http.MethodGet)
		if r.Header["X-Forwarded-For"] != nil || r.Header["Connection"] != nil || r.Header["Upgrade"] != nil {
			t.Errorf("left over: %v", r.Header)
		}
		if hop.HasToken([]string{connection}, "x-foo") && r.Header["X-Foo"] != nil {
			t.Errorf("%q leaves X-Foo", connection)
		}
		if r.Header["Cdn-Loop"] == nil {
			t.Errorf("%q removes CDN-Loop", connection)
		}
		(&Edge{node: "lisbon-1", cdnLoop: "lisbon-1"}).looped(r.Header)
	})
}

// What the lane's parser takes, net/http has to take too, and to read in the same way.
func FuzzHead(f *testing.F) {
	for _, test := range laneTests() {
		f.Add([]byte(test.raw))
	}
	for _, raw := range smuggled() {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var h head
		if !h.Parse(p) {
			return
		}
		source := bytes.NewReader(p)
		buffered := bufio.NewReaderSize(source, len(p)+16)
		r, err := http.ReadRequest(buffered)
		if err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		if size := len(p) - source.Len() - buffered.Buffered(); size != h.Size || r.ContentLength != 0 || r.Close {
			t.Errorf("%q: %d bytes, content of %d, close %t; the lane takes %d bytes", p, size, r.ContentLength, r.Close, h.Size)
		}
		if r.Method != h.Method || policy.PathOf(r.URL) != h.Path || r.URL.RawQuery != h.Query || r.Host != h.Host || r.Proto != "HTTP/1.1" {
			t.Errorf("%q: %s %q %q %q; the lane reads %s %q %q %q", p, r.Method, policy.PathOf(r.URL), r.URL.RawQuery, r.Host, h.Method, h.Path, h.Query, h.Host)
		}
		if mayBe := policy.MayBeHealth(h.Path); r.URL.Path == config.HealthPath && !mayBe {
			t.Errorf("%q is the health endpoint", h.Path)
		}
		if agent, referer := r.UserAgent(), r.Referer(); agent != h.UserAgent || referer != h.Referer {
			t.Errorf("%q: user agent %q, referer %q; the lane reads %q, %q", p, agent, referer, h.UserAgent, h.Referer)
		}
		count := 1 // Host
		for name, values := range r.Header {
			count += len(values)
			if lines := h.Lines(name); !altered(name) && !slices.Equal(lines, values) {
				t.Errorf("%q: %s is %q, the lane reads %q", p, name, values, lines)
			}
		}
		if count != h.Count {
			t.Errorf("%q: %d fields, the lane reads %d", p, count, h.Count)
		}
		if n, _ := headerSize(r); n > h.Size+h.Count {
			t.Errorf("%q: %d bytes for the limit, the lane counts %d", p, n, h.Size+h.Count)
		}
	})
}

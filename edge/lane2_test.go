package edge

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/wherry/wherry/h2"
)

// ask2 is a request by HTTP/2: "METHOD target", with the host before the target's slash, and lines of fields.
type ask2 struct {
	request string
	fields  []string
	content string
}

// play2 sends requests on one HTTP/2 connection, one after the other, and returns what came back.
func (n *bubbleNode) play2(t testing.TB, key *tls.Certificate, asks ...ask2) string {
	t.Helper()
	tr := &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return n.door.dial(), nil },
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true, ServerName: "shop.test"},
		Protocols:          new(http.Protocols),
		DisableCompression: true,
	}
	tr.Protocols.SetHTTP2(key != nil)
	tr.Protocols.SetUnencryptedHTTP2(key == nil)
	defer tr.CloseIdleConnections()
	scheme := "http"
	if key != nil {
		scheme = "https"
	}
	var out strings.Builder
	for _, ask := range asks {
		method, target, _ := strings.Cut(ask.request, " ")
		at := strings.IndexByte(target, '/')
		r := &http.Request{Method: method, Host: "shop.test", Header: http.Header{"User-Agent": {"a test"}}}
		if at > 0 {
			r.Host = target[:at]
		}
		r.URL = &url.URL{Scheme: scheme, Host: "shop.test", Opaque: "//" + r.Host + target[max(at, 0):]}
		if ask.content != "" {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(ask.content)), int64(len(ask.content))
		}
		for _, f := range ask.fields {
			name, value, _ := strings.Cut(f, ": ")
			r.Header[http.CanonicalHeaderKey(name)] = append(r.Header[http.CanonicalHeaderKey(name)], value)
		}
		resp, err := tr.RoundTrip(r)
		if err != nil {
			fmt.Fprintln(&out, ask.request, "no response")
		} else {
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if len(resp.Trailer) > 0 {
				delete(resp.Header, "Content-Length") // there only if the cache happens to have all before it flushes
			}
			for _, values := range resp.Header {
				for i := range values {
					values[i] = strings.TrimSpace(values[i]) // net/http sends white space around values, against RFC 9113 §8.2.1
				}
			}
			fmt.Fprintf(&out, "%s: %s %d %v %v %q %t\n", ask.request, resp.Proto, resp.StatusCode, resp.Header, resp.Trailer, body, err != nil)
		}
		time.Sleep(time.Second) // so that ages differ
		synctest.Wait()
	}
	return out.String()
}

// compare2 plays asks to an edge whose HTTP/2 is net/http's and to one whose is ours, and compares all that can be seen. It returns how
// many answers the lane gave to all but the first, which is asked twice to warm the cache.
func compare2(t *testing.T, key *tls.Certificate, asks ...ask2) (answers int64) {
	t.Helper()
	var saw [2]string
	for i, laneless := range [...]bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			n := startBubble(t, laneless, key)
			warm := ask2{request: asks[0].request}
			warm.request = strings.Replace(warm.request, "HEAD ", "GET ", 1)
			if slices.ContainsFunc(asks[0].fields, func(f string) bool { return strings.HasPrefix(f, "Accept-Encoding") }) {
				warm.fields = asks[0].fields
			}
			output := n.play2(t, key, warm)
			before := n.cache.answers.Load()
			output += n.play2(t, key, asks...)
			answers = n.cache.answers.Load() - before
			saw[i] = n.seen(t, output, true)
		})
	}
	if saw[0] != saw[1] {
		t.Errorf("%.600q\nby net/http:\n%s\nby ours:\n%s", asks, difference(saw[0], saw[1]), difference(saw[1], saw[0]))
	}
	return answers
}

func lane2Tests() []struct {
	ask  ask2
	lane bool
} {
	type test = struct {
		ask  ask2
		lane bool
	}
	var all []test
	add := func(lane bool, request string, fields ...string) {
		all = append(all, test{ask2{request: request, fields: fields}, lane})
	}
	for _, path := range []string{
		"/", "/etag", "/big", "/vary", "/404", "/301", "/empty", "/private", "/via", "/static/a.css?x=1", "/sorted?a=1&b=2", "/only?q=1&r=2",
		"/a%20b", "/a?", "/a??x=%zz", "/varies/X-Colour",
	} {
		add(true, "GET "+path)
		add(true, "HEAD "+path)
	}
	for _, path := range []string{
		"/nostore", "/nocache", "/notype", "/204", "/299", "/trailer", "/secret", "/live", "/varies/*", "/varies/X-Forwarded-For", "/<>", "/.well-known/wherry/health", "/%2ewell-known/wherry/health",
	} {
		add(false, "GET "+path)
	}
	add(true, "GET WWW.shop.test./etag")
	add(true, "GET shop.test:8080/etag")
	for _, host := range []string{"unknown.test", "a..b"} {
		add(false, "GET "+host+"/etag")
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "ODD"} {
		add(false, method+" /etag")
	}
	for _, f := range []string{
		`If-None-Match: "1"`, `If-None-Match: W/"1", "2"`, `If-None-Match: "2"`, "If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT",
		"Accept-Encoding: gzip, br", "Cookie: a=b; c=d; e=f", "Te: trailers", "Referer: https://shop.test/", "Priority: u=1, i",
		"X-Forwarded-For: 6.6.6.6", "Accept: text/html", "Upgrade-Insecure-Requests: 1", "X-Empty: ",
	} {
		add(true, "GET /etag", f)
		add(true, "HEAD /etag", f)
	}
	for _, f := range []string{
		"Range: bytes=0-1", "If-Range: \"1\"", "Cache-Control: no-cache", "Cache-Control: max-age=0", "Pragma: no-cache", "Authorization: a",
		"Cdn-Loop: a", "Via: 1.1 lisbon-1", "Expect: 100-continue", "If-Match: \"1\"", "If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT",
		"Content-Type: a", "Wherry-Trace: a", "Proxy-Authorization: a", "X-Odd: \xe9", "Trailer: X-Sum",
		"X-Large: " + strings.Repeat("a", 3000),
	} {
		add(false, "GET /etag", f)
	}
	// For these the cache has an answer that the lane doesn't give.
	for _, name := range []string{"Host", "Te", "Connection"} {
		add(true, "GET /varies/"+name)
	}
	add(true, "GET /varies/Te", "Te: trailers")
	add(true, "GET /varies/Cookie", "Cookie: a=b; c=d")
	add(true, "GET /behind")
	all = append(all, test{ask2{request: "GET /etag", content: "hello"}, false}, test{ask2{request: "POST /etag", content: "hello"}, false})
	return all
}

func TestLaneAnswersAsNetHTTPByHTTP2(t *testing.T) {
	certificate := certificate(t)
	for _, key := range [...]*tls.Certificate{nil, &certificate} {
		for i, test := range lane2Tests() {
			if key != nil && i%8 != 0 {
				continue // what goes through TLS is the same; a sample shows that it does
			}
			if answers := compare2(t, key, test.ask); answers != 0 != test.lane {
				t.Errorf("%.200q (TLS: %t): %d answers by the lane, want some: %t", test.ask, key != nil, answers, test.lane)
			}
		}
		compare2(t, key, ask2{request: "GET /short"}, ask2{request: "GET /etag"}, ask2{request: "GET /etag"}, ask2{request: "GET /nostore"},
			ask2{request: "GET /short"}, ask2{request: "GET /short"}, ask2{request: "GET /short"}, ask2{request: "GET /short"})
	}
}

// Both ways give one response to one request.
func FuzzLane2(f *testing.F) {
	for _, test := range lane2Tests() {
		field := ""
		if len(test.ask.fields) > 0 {
			field = test.ask.fields[0]
		}
		f.Add(test.ask.request, field, "Accept: */*")
	}
	f.Fuzz(func(t *testing.T, request, one, other string) {
		if len(request)+len(one)+len(other) > 3<<10 || !strings.Contains(request, " ") {
			return // beyond twice limits.header_size net/http answers by itself, or not at all
		}
		_, target, _ := strings.Cut(request, " ")
		host, path, slash := strings.Cut(target, "/")
		_, err := url.ParseRequestURI("/" + path)
		if err != nil || !slash || strings.TrimSpace(host) != host || strings.TrimRight(path, " \t") != path {
			return // reset, which makes net/http's client try again for ever
		}
		ask := ask2{request: request}
		for _, f := range [...]string{one, other} {
			switch name, _, ok := strings.Cut(f, ": "); strings.ToLower(name) {
			case "host", "connection", "content-length", "transfer-encoding", "user-agent": // the client's own
			default:
				if ok {
					ask.fields = append(ask.fields, strings.TrimSpace(f)) // white space around values: RFC 9113 §8.2.1, which net/http lets pass
				}
			}
		}
		compare2(t, nil, ask, ask)
	})
}

// The name that TLS was asked for binds hits, too.
func TestLaneMindsTheNameInTLSByHTTP2(t *testing.T) {
	key := certificate(t)
	compare2(t, &key, ask2{request: "GET bank.test/etag"}, ask2{request: "GET /etag"}, ask2{request: "GET bank.test/etag"})
}

func TestPanicInTheLaneByHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startBubble(t, false, nil)
		defer n.stop()
		n.cache.panics = true
		if got := n.play2(t, nil, ask2{request: "GET /"}); !strings.Contains(got, " 200 ") {
			t.Errorf("got %s", got) // ServeHTTP answers
		}
	})
}

// A hit that is under way when the node stops is finished; one that takes too long is cut off.
func TestLaneDrainsByHTTP2(t *testing.T) {
	for _, reads := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			n := startBubble(t, false, nil)
			n.play2(t, nil, ask2{request: "GET /big"})
			c := n.door.dial()
			defer c.Close()
			framer := http2.NewFramer(c, c)
			_, _ = io.WriteString(c, http2.ClientPreface)
			var block []byte
			for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "shop.test"}, {":path", "/big"}} {
				block = h2.AppendField(block, f[0], f[1])
			}
			go func() {
				_ = framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
				_ = framer.WriteWindowUpdate(0, 1<<20)
				_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true, EndStream: true})
			}()
			for { // until the response has begun
				f, err := framer.ReadFrame()
				if err != nil {
					t.Fatal(err)
				}
				if f.Header().Type == http2.FrameData {
					break
				}
			}
			stopped := make(chan time.Duration)
			go func() {
				began := time.Now()
				n.stop()
				stopped <- time.Since(began)
			}()
			time.Sleep(5 * time.Second)
			ended := false
			for reads {
				f, err := framer.ReadFrame()
				if err != nil {
					break
				}
				ended = ended || f.Header().Type == http2.FrameData && f.Header().Flags.Has(http2.FlagDataEndStream)
			}
			took := <-stopped
			if ended != reads || reads && took > 10*time.Second || !reads && took < 20*time.Second {
				t.Errorf("the client reads: %t; it got all: %t, stopping took %v", reads, ended, took)
			}
		})
	}
}

package edge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is an HTTP/2 client that sends what it likes.
type frames struct {
	*wire
	*http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
	stream  uint32 // the last one opened
}

// dialFrames opens a connection and lets nothing of the client's side be checked. It speaks over TLS, or by prior knowledge.
func (n *node) dialFrames(secure bool) *frames {
	n.t.Helper()
	f := &frames{wire: n.dial(), stream: 1<<32 - 1}
	if secure {
		f.wire = newWire(n.t, n.https)
		f.Conn = tls.Client(f.Conn, &tls.Config{InsecureSkipVerify: true, ServerName: "shop.test", NextProtos: []string{"h2"}})
		f.r.Reset(f.Conn)
	}
	f.send(http2.ClientPreface)
	f.Framer = http2.NewFramer(f.Conn, f.r)
	f.AllowIllegalWrites = true
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.encoder = hpack.NewEncoder(&f.block)
	if err := f.WriteSettings(); err != nil {
		n.t.Fatal(err)
	}
	return f
}

// headerField is one of a header section; in the order in which they stand there.
type headerField = hpack.HeaderField

func fields(namesAndValues ...string) []headerField {
	var all []headerField
	for i := 0; i < len(namesAndValues); i += 2 {
		all = append(all, headerField{Name: namesAndValues[i], Value: namesAndValues[i+1]})
	}
	return all
}

// pseudo returns the fields that begin each request.
func pseudo(method, scheme, path string, more ...string) []headerField {
	return append(fields(":method", method, ":scheme", scheme, ":authority", "shop.test", ":path", path), fields(more...)...)
}

// open sends the header section of a new stream. An error means that the other side has closed.
func (f *frames) open(section []headerField, end bool) error {
	f.stream += 2
	f.block.Reset()
	for _, h := range section {
		if err := f.encoder.WriteField(h); err != nil {
			f.t.Fatal(err)
		}
	}
	block, first := f.block.Bytes(), true
	for first || len(block) > 0 {
		piece := block[:min(16<<10, len(block))]
		block = block[len(piece):]
		var err error
		if first {
			err = f.WriteHeaders(http2.HeadersFrameParam{
				StreamID: f.stream, BlockFragment: piece, EndStream: end, EndHeaders: len(block) == 0,
			})
		} else {
			err = f.WriteContinuation(f.stream, len(block) == 0, piece)
		}
		if err != nil {
			return err
		}
		first = false
	}
	return nil
}

// outcome is what became of a stream.
type outcome struct {
	status string // of a response; empty: there was none
	reset  bool   // RST_STREAM, GOAWAY or the end of the connection
	ours   bool   // the response is one of the steps
	body   string
}

// outcome reads until the last stream has ended in some way. It answers nothing, not even pings.
func (f *frames) outcome() (o outcome) {
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			var stream http2.StreamError
			if !errors.As(err, &stream) {
				o.reset = true
				return o
			}
			continue
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			if frame.StreamID != f.stream {
				continue
			}
			o.status = frame.PseudoValue("status")
			for _, h := range frame.RegularFields() {
				o.ours = o.ours || h.Name == "cache-status"
			}
			if frame.StreamEnded() {
				return o
			}
		case *http2.DataFrame:
			if frame.StreamID != f.stream {
				continue
			}
			o.body += string(frame.Data())
			if frame.StreamEnded() {
				return o
			}
		case *http2.RSTStreamFrame:
			if frame.StreamID == f.stream {
				o.reset = true
				return o
			}
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeNo {
				o.reset = true
				return o
			}
		}
	}
}

// http2Test is a header section, with content or not, and what becomes of it: a response of the steps, or RST_STREAM for what is
// malformed (RFC 9113 §8.1.1).
type http2Test struct {
	name    string
	section []headerField
	content string
	status  string // empty: RST_STREAM, and malformed is why
	why     reason
}

func http2Tests(scheme string) []http2Test {
	get := func(more ...string) []headerField { return pseudo("GET", scheme, "/bad", more...) }
	post := func(more ...string) []headerField { return pseudo("POST", scheme, "/bad", more...) }
	to := func(authority string) []headerField {
		return fields(":method", "GET", ":scheme", scheme, ":authority", authority, ":path", "/bad")
	}
	return []http2Test{
		{name: "name in capitals", section: get("X-Foo", "a")},
		{name: "connection", section: get("connection", "close")},
		{name: "keep-alive", section: get("keep-alive", "timeout=5")},
		{name: "proxy-connection", section: get("proxy-connection", "close")},
		{name: "transfer-encoding", section: post("transfer-encoding", "chunked"), content: "0\r\n\r\n"},
		{name: "upgrade", section: get("upgrade", "websocket")},
		{name: "te", section: get("te", "gzip")},
		{name: "name with a space", section: get("x foo", "a")},
		{name: "name with a colon", section: get("x:foo", "a")},
		{name: "name with CRLF", section: get("x\r\nfoo", "a")},
		{name: "empty name", section: get("", "a")},
		{name: "NUL in a value", section: get("x-foo", "a\x00b")},
		{name: "CRLF in a value", section: get("x-foo", "a\r\nTransfer-Encoding: chunked")},
		{name: "CRLF in the path", section: pseudo("GET", scheme, "/bad HTTP/1.1\r\nX: y")},
		{name: "space in the path", section: pseudo("GET", scheme, "/bad HTTP/1.1"), status: "400", why: refusedTarget},
		{name: "CRLF in the method", section: pseudo("GET /bad HTTP/1.1\r\nX:", scheme, "/bad")},
		{name: "CRLF in the authority", section: to("shop.test\r\nX: y")},
		{name: "user in the authority", section: to("a@shop.test"), status: "400", why: refusedHost},
		{name: "another host", section: get("host", "bank.test")},
		{name: "no host", section: fields(":method", "GET", ":scheme", scheme, ":path", "/bad"), status: "400", why: refusedHost},
		{name: "no method", section: fields(":scheme", scheme, ":authority", "shop.test", ":path", "/bad")},
		{name: "no scheme", section: fields(":method", "GET", ":authority", "shop.test", ":path", "/bad")},
		{name: "no path", section: fields(":method", "GET", ":scheme", scheme, ":authority", "shop.test")},
		{name: "empty path", section: pseudo("GET", scheme, "")},
		{name: "absolute path", section: pseudo("GET", scheme, scheme+"://bank.test/bad")},
		{name: "path without a slash", section: pseudo("GET", scheme, "bad")},
		{name: "fragment", section: pseudo("GET", scheme, "/bad#x"), status: "400", why: refusedTarget},
		{name: "two methods", section: append(fields(":method", "GET"), get()...)},
		{name: "two paths", section: append(fields(":path", "/other"), get()...)},
		{name: "unknown pseudo-header", section: append(fields(":foo", "a"), get()...)},
		{name: "status in a request", section: append(fields(":status", "200"), get()...)},
		{name: "pseudo-header behind a field", section: append(fields("x-foo", "a"), get()...)},
		{name: "CONNECT", section: fields(":method", "CONNECT", ":authority", "shop.test:443"), status: "405", why: refusedMethod},
		{name: "TRACE", section: pseudo("TRACE", scheme, "/bad"), status: "405", why: refusedMethod},
		{name: "other scheme", section: pseudo("GET", "ftp", "/bad")},
		{name: "too little content", section: post("content-length", "9"), content: "abc"},
		{name: "too much content", section: post("content-length", "1"), content: "GET /bad"},
		{name: "two lengths", section: post("content-length", "3", "content-length", "4"), content: "abc"},
		{name: "signed length", section: post("content-length", "+3"), content: "abc"},
		{name: "large header section", section: get("x-foo", strings.Repeat("x", 40<<10)), status: "431", why: refusedHeaderSize},
		{name: "many fields", section: get(slices.Repeat([]string{"x-foo", ""}, 300)...), status: "431", why: refusedHeaderSize},
	}
}

// None of these reaches the origin whole, each is counted once, and others are served all the while.
func TestMalformedHTTP2(t *testing.T) {
	var reached sync.Map
	var name atomic.Value
	name.Store("")
	n := start(t, nodeOptions{upstream: func(r *http.Request) (*http.Response, error) {
		content := ""
		if r.Body != nil {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			content = string(b)
		}
		if r.URL.Path != "/good" {
			reached.Store(name.Load(), r.Method+" "+r.URL.String()+" "+content)
		}
		return respond(200, "good"), nil
	}})
	for _, secure := range []bool{false, true} {
		scheme := "http"
		if secure {
			scheme = "https"
		}
		for _, test := range http2Tests(scheme) {
			name.Store(test.name)
			before := n.refusedInAll()
			f := n.dialFrames(secure)
			err := f.open(test.section, test.content == "")
			if err == nil && test.content != "" {
				_ = f.WriteData(f.stream, true, []byte(test.content)) // it may be closed by now
			}
			got := f.outcome()
			if got.status != test.status || got.reset != (test.status == "") || got.ours == got.reset {
				t.Errorf("%s (TLS: %t): %+v; want %q", test.name, secure, got, test.status)
			}
			if test.why == "" {
				test.why = refusedMalformed
			}
			if n.refusedInAll().sum() != before.sum()+1 || n.refusals(test.why) != before[test.why]+1 {
				t.Errorf("%s (TLS: %t): counted %v, before %v; want one %s", test.name, secure, n.refusedInAll(), before, test.why)
			}
			f.Close()
		}
		f := n.dialFrames(secure)
		if err := f.open(pseudo("GET", scheme, "/good", "host", "SHOP.test", "te", "trailers", "cookie", "a=b"), true); err != nil {
			t.Fatal(err)
		}
		if got := f.outcome(); got.status != "200" || got.body != "good" {
			t.Errorf("a good request got %+v", got)
		}
		f.Close()
	}
	reached.Range(func(name, request any) bool {
		t.Errorf("%s reached the origin: %s", name, request)
		return true
	})
}

// floods are what a client may send without end, each with little work of its own.
func floods(scheme string) map[string]func(*frames, int) error {
	get := pseudo("GET", scheme, "/")
	return map[string]func(*frames, int) error{
		"pings":          func(f *frames, _ int) error { return f.WritePing(false, [8]byte{}) },
		"settings":       func(f *frames, _ int) error { return f.WriteSettings() },
		"window updates": func(f *frames, _ int) error { return f.WriteWindowUpdate(0, 1) },
		"priorities": func(f *frames, i int) error {
			return f.WritePriority(uint32(2*i+1), http2.PriorityParam{StreamDep: 0, Weight: 1})
		},
		"resets": func(f *frames, i int) error { // each of a request of its own: one that is answered at once is no flood
			if err := f.open(pseudo("GET", scheme, fmt.Sprintf("/%d", i)), true); err != nil {
				return err
			}
			return f.WriteRSTStream(f.stream, http2.ErrCodeCancel)
		},
		"continuations": func(f *frames, i int) error {
			if i == 0 {
				f.block.Reset()
				for _, h := range get {
					_ = f.encoder.WriteField(h) // into memory
				}
				f.stream += 2
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream, BlockFragment: f.block.Bytes()})
			}
			f.block.Reset()
			_ = f.encoder.WriteField(hpack.HeaderField{Name: "x-foo", Value: strings.Repeat("y", 1000), Sensitive: true})
			return f.WriteContinuation(f.stream, false, f.block.Bytes())
		},
		"empty continuations": func(f *frames, i int) error {
			if i == 0 {
				f.stream += 2
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream})
			}
			return f.WriteContinuation(f.stream, false, nil)
		},
		"unknown frames": func(f *frames, _ int) error { return f.WriteRawFrame(0xee, 0, 0, []byte("x")) },
	}
}

// Whatever a client floods a connection with, others are served meanwhile and afterwards, and it has no more requests under way than
// one connection may have. The connection is cut off, which is counted once.
func TestHTTP2Floods(t *testing.T) {
	const many = 5000
	for name, flood := range floods("http") {
		t.Run(name, func(t *testing.T) {
			var now, most atomic.Int64
			n := start(t, nodeOptions{upstream: func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/good" {
					return respond(200, "good"), nil
				}
				defer now.Add(-1)
				for count := now.Add(1); ; {
					if old := most.Load(); count <= old || most.CompareAndSwap(old, count) {
						break
					}
				}
				<-r.Context().Done()
				return nil, r.Context().Err()
			}})
			f := n.dialFrames(false)
			read := make(chan struct{})
			go func() { // what comes back is read, but for the one who reads nothing
				defer close(read)
				_, _ = io.Copy(io.Discard, f.r)
			}()
			for i := range many {
				if err := flood(f, i); err != nil {
					break // cut off
				}
			}
			resp, body := n.ask("GET /good HTTP/1.1\r\nHost: shop.test\r\n\r\n")
			if resp.StatusCode != 200 || body != "good" {
				t.Errorf("another client got %d %q", resp.StatusCode, body)
			}
			_ = f.SetReadDeadline(time.Now().Add(20 * time.Second))
			<-read
			f.Close()
			why := refusedFlood
			if name == "continuations" {
				why = refusedHeaderSize
			}
			if counted := n.refusedInAll(); counted.sum() != 1 || counted[why] != 1 {
				t.Errorf("counted %v, want one %s", counted, why)
			}
			if got := most.Load(); got > streamsMax {
				t.Errorf("%d requests of one connection under way, more than %d", got, streamsMax)
			}
			n.conns.wait()
		})
	}
}

package h2

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// RFC 9113 §8.1.1: a malformed request gets RST_STREAM with PROTOCOL_ERROR, and neither the handler nor a hit.
func TestMalformedRequests(t *testing.T) {
	for name, lines := range map[string][]string{
		"upper case (§8.2.1)":            request("GET", "/", "X-A: b"),
		"space in a name (§8.2.1)":       request("GET", "/", "x a: b"),
		"empty name":                     request("GET", "/", ":: b"),
		"space before a value (§8.2.1)":  request("GET", "/", "x-a:  b"),
		"space after a value (§8.2.1)":   request("GET", "/", "x-a: b "),
		"line feed in a value (§8.2.1)":  request("GET", "/", "x-a: b\nc"),
		"carriage return in a value":     request("GET", "/", "x-a: b\rc"),
		"NUL in a value":                 request("GET", "/", "x-a: b\x00c"),
		"unknown pseudo-header (§8.3)":   request("GET", "/", ":x: b"),
		"one of responses (§8.3)":        request("GET", "/", ":status: 200"),
		"extended CONNECT, not offered":  request("CONNECT", "/", ":protocol: websocket"),
		"pseudo-header after others":     {":method: GET", ":scheme: http", "x-a: b", ":path: /"},
		"two methods (§8.3)":             request("GET", "/", ":method: GET"),
		"two paths":                      request("GET", "/", ":path: /"),
		"two authorities":                request("GET", "/", ":authority: shop.test"),
		"no method (§8.3.1)":             {":scheme: http", ":authority: shop.test", ":path: /"},
		"no scheme":                      {":method: GET", ":authority: shop.test", ":path: /"},
		"no path":                        {":method: GET", ":scheme: http", ":authority: shop.test"},
		"another scheme":                 {":method: GET", ":scheme: ftp", ":authority: shop.test", ":path: /"},
		"empty path":                     request("GET", ""),
		"path without slash":             request("GET", "a"),
		"asterisk to GET":                request("GET", "*"),
		"method that is no token":        request("GE T", "/"),
		"CONNECT with a path (§8.5)":     request("CONNECT", "/"),
		"host isn't authority (§8.3.1)":  request("GET", "/", "host: bank.test"),
		"two hosts":                      request("GET", "/", "host: shop.test", "host: shop.test"),
		"connection (§8.2.2)":            request("GET", "/", "connection: close"),
		"keep-alive":                     request("GET", "/", "keep-alive: 1"),
		"proxy-connection":               request("GET", "/", "proxy-connection: close"),
		"transfer-encoding":              request("GET", "/", "transfer-encoding: chunked"),
		"upgrade":                        request("GET", "/", "upgrade: h2c"),
		"te (§8.2.2)":                    request("GET", "/", "te: trailers, gzip"),
		"content-length without content": request("GET", "/", "content-length: 1"),
		"two lengths":                    request("GET", "/", "content-length: 0", "content-length: 1"),
		"length that is no number":       request("GET", "/", "content-length: +0"),
		"target that is no URI":          request("GET", "/%zz"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reached := false
				w := dial(t, wireOptions{
					handler: func(http.ResponseWriter, *http.Request) { reached = true },
					hit:     func(r *Request) Hit { reached = reached || r.Path != "/%zz"; return nil },
				})
				w.headers(1, true, lines...)
				streams, ends := answers(w.got())
				if a := streams[1]; ends != "" || a == nil || a.reset != "PROTOCOL_ERROR" || a.status != "" || reached {
					t.Errorf("%+v, connection: %q, reached: %t", a, ends, reached)
				}
				w.refused(RefusedMalformed)
				w.get(3, "/next") // the connection goes on
				if streams, _ := answers(w.got()); streams[3] == nil || streams[3].status != "200" {
					t.Errorf("the next request: %+v", streams[3])
				}
			})
		})
	}
}

// RFC 9113 §8.1.1: content and Content-Length have to agree.
func TestContentLengthIsChecked(t *testing.T) {
	for _, test := range []struct {
		length string
		pieces []string
		want   string
	}{
		{"5", []string{"he", "llo"}, ""},
		{"5", []string{"hell"}, "PROTOCOL_ERROR"},
		{"5", []string{"hello", "!"}, "PROTOCOL_ERROR"},
		{"0", []string{""}, ""},
		{"0", []string{"a"}, "PROTOCOL_ERROR"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := dial(t, wireOptions{})
			w.headers(1, false, request("POST", "/", "content-length: "+test.length)...)
			for i, p := range test.pieces {
				w.must(w.framer.WriteData(1, i == len(test.pieces)-1, []byte(p)))
			}
			streams, _ := answers(w.got())
			if a := streams[1]; a.reset != test.want || test.want == "" && a.body != strings.Join(test.pieces, "") {
				t.Errorf("%+v: %+v", test, a)
			}
			if test.want != "" {
				w.refused(RefusedMalformed)
			}
		})
	}
}

func headersFrameBytes(flags byte, stream uint32, block string) string {
	return frameBytes(len(block), frameHeaders, flags, stream, block)
}

// get is a header block in Huffman's absence: GET http / without authority.
const getBlock = "\x82\x86\x84"

// RFC 9113 §5.4.1: what breaks the connection, and with which code.
func TestConnectionErrors(t *testing.T) {
	const whole = flagEndHeaders | flagEndStream
	for _, test := range []struct{ name, frames, want string }{
		{"a frame that is too large (§4.2)", frameBytes(16385, frameData, 0, 1, ""), "FRAME_SIZE_ERROR"},
		{"DATA on stream 0 (§6.1)", frameBytes(1, frameData, 0, 0, "a"), "PROTOCOL_ERROR"},
		{"DATA on an idle stream (§5.1)", frameBytes(1, frameData, 0, 1, "a"), "PROTOCOL_ERROR"},
		{"HEADERS on an even stream (§5.1.1)", headersFrameBytes(whole, 2, getBlock), "PROTOCOL_ERROR"},
		{"HEADERS on stream 0 (§6.2)", headersFrameBytes(whole, 0, getBlock), "PROTOCOL_ERROR"},
		{"streams that go back (§5.1.1)", headersFrameBytes(whole, 5, getBlock) + headersFrameBytes(whole, 3, getBlock), "STREAM_CLOSED"},
		{"more padding than payload (§6.2)", frameBytes(2, frameHeaders, whole|flagPadded, 1, "\x05\x82"), "PROTOCOL_ERROR"},
		{"HEADERS without its priority", frameBytes(2, frameHeaders, whole|flagPriority, 1, "\x00\x00"), "FRAME_SIZE_ERROR"},
		{"CONTINUATION of nothing (§6.10)", frameBytes(0, frameContinuation, flagEndHeaders, 1, ""), "PROTOCOL_ERROR"},
		{"a block that is interrupted (§6.2)", headersFrameBytes(flagEndStream, 1, getBlock) + frameBytes(8, framePing, 0, 0, "12345678"), "PROTOCOL_ERROR"},
		{"a block of another stream", headersFrameBytes(flagEndStream, 1, getBlock) + frameBytes(0, frameContinuation, flagEndHeaders, 3, ""), "PROTOCOL_ERROR"},
		{"a block that can't be decoded (§4.3)", headersFrameBytes(whole, 1, "\xff\xff\xff\xff\xff"), "COMPRESSION_ERROR"},
		{"a block that ends in a field (§4.3)", headersFrameBytes(whole, 1, getBlock+"\x40"), "COMPRESSION_ERROR"},
		{"RST_STREAM of an idle stream (§6.4)", frameBytes(4, frameReset, 0, 1, "\x00\x00\x00\x08"), "PROTOCOL_ERROR"},
		{"RST_STREAM of a wrong size", headersFrameBytes(whole, 1, getBlock) + frameBytes(3, frameReset, 0, 1, "abc"), "FRAME_SIZE_ERROR"},
		{"SETTINGS on a stream (§6.5)", frameBytes(0, frameSettings, 0, 1, ""), "PROTOCOL_ERROR"},
		{"SETTINGS of a wrong size (§6.5)", frameBytes(5, frameSettings, 0, 0, "12345"), "FRAME_SIZE_ERROR"},
		{"an acknowledgement with settings (§6.5)", frameBytes(6, frameSettings, flagAck, 0, "123456"), "FRAME_SIZE_ERROR"},
		{"ENABLE_PUSH 2 (§6.5.2)", frameBytes(6, frameSettings, 0, 0, "\x00\x02\x00\x00\x00\x02"), "PROTOCOL_ERROR"},
		{"INITIAL_WINDOW_SIZE 2^31 (§6.5.2)", frameBytes(6, frameSettings, 0, 0, "\x00\x04\x80\x00\x00\x00"), "FLOW_CONTROL_ERROR"},
		{"MAX_FRAME_SIZE 16383 (§6.5.2)", frameBytes(6, frameSettings, 0, 0, "\x00\x05\x00\x00\x3f\xff"), "PROTOCOL_ERROR"},
		{"PUSH_PROMISE (§8.4)", frameBytes(4, framePush, flagEndHeaders, 1, "\x00\x00\x00\x02"), "PROTOCOL_ERROR"},
		{"PING on a stream (§6.7)", frameBytes(8, framePing, 0, 1, "12345678"), "PROTOCOL_ERROR"},
		{"PING of a wrong size (§6.7)", frameBytes(7, framePing, 0, 0, "1234567"), "FRAME_SIZE_ERROR"},
		{"GOAWAY on a stream (§6.8)", frameBytes(8, frameGoAway, 0, 1, "12345678"), "PROTOCOL_ERROR"},
		{"WINDOW_UPDATE by 0 (§6.9)", frameBytes(4, frameWindowUpdate, 0, 0, "\x00\x00\x00\x00"), "PROTOCOL_ERROR"},
		{"WINDOW_UPDATE of a wrong size (§6.9)", frameBytes(3, frameWindowUpdate, 0, 0, "abc"), "FRAME_SIZE_ERROR"},
		{"a window beyond 2^31-1 (§6.9.1)", frameBytes(4, frameWindowUpdate, 0, 0, "\x7f\xff\xff\xff"), "FLOW_CONTROL_ERROR"},
		{"DATA on a closed stream (§5.1)", headersFrameBytes(whole, 1, getBlock) + frameBytes(1, frameData, 0, 1, "a"), "STREAM_CLOSED"},
		{"PRIORITY of stream 0 (§6.3)", frameBytes(5, framePriority, 0, 0, "12345"), "PROTOCOL_ERROR"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := dial(t, wireOptions{hit: func(*Request) Hit { return newPage("") }})
				w.got()
				w.raw(test.frames)
				_, ends := answers(w.got())
				time.Sleep(time.Second)
				if ends != test.want || !w.isClosed() {
					t.Errorf("GOAWAY %q, closed: %t", ends, w.isClosed())
				}
				w.refused(RefusedMalformed)
			})
		})
	}
}

func TestPreface(t *testing.T) {
	for _, test := range []struct{ name, raw, want string }{
		{"not HTTP/2 (§3.4)", "GET / HTTP/1.1\r\n\r\n", "PROTOCOL_ERROR"},
		{"no SETTINGS (§3.4)", http2.ClientPreface + frameBytes(8, framePing, 0, 0, "12345678"), "PROTOCOL_ERROR"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := dial(t, wireOptions{raw: true})
			w.raw(test.raw)
			if _, ends := answers(w.got()); ends != test.want {
				t.Errorf("%s: GOAWAY %q", test.name, ends)
			}
		})
	}
}

// Streams take turns, within both windows, and a small one doesn't wait for large ones.
func TestHitsShareTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := map[string]int64{}
		w := dial(t, wireOptions{hit: func(r *Request) Hit {
			path := r.Path
			p := newPage(strings.Repeat(path[1:], 100_000))
			p.done = func(sent int64, err error) { done[fmt.Sprint(path, err)] = sent }
			if path == "/s" {
				p.content = p.content[:10]
			}
			return p
		}})
		w.got()
		w.must(w.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 40_000}))
		w.get(1, "/a")
		w.get(3, "/s")
		w.get(5, "/b")
		streams, _ := answers(w.got())
		if a, b := len(streams[1].body), len(streams[5].body); a+b != defaultWindow-10 || a < 20_000 || b < 20_000 {
			t.Errorf("%d and %d bytes within the connection's window", a, b)
		}
		if s := streams[3]; s.body != "ssssssssss" || !s.ended {
			t.Errorf("the small one: %+v", s)
		}
		w.must(w.framer.WriteWindowUpdate(0, 1<<20))
		more, _ := answers(w.got())
		if a, b := len(streams[1].text()+more[1].text()), len(streams[5].text()+more[5].text()); a != 40_000 || b != 40_000 {
			t.Errorf("%d and %d bytes within the streams' windows", a, b)
		}
		w.must(w.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100_000})) // §6.9.2
		last, _ := answers(w.got())
		if a := streams[1].text() + more[1].text() + last[1].text(); a != strings.Repeat("a", 100_000) || !last[1].ended || !last[5].ended {
			t.Errorf("%d bytes, ended: %t", len(a), last[1].ended)
		}
		if len(done) != 3 || done["/a<nil>"] != 100_000 || done["/s<nil>"] != 10 {
			t.Errorf("done: %v", done)
		}
	})
}

// Two windows of which one shrinks below nothing (RFC 9113 §6.9.2).
func TestWindowsBelowZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := dial(t, wireOptions{hit: func(*Request) Hit { return newPage(strings.Repeat("a", 50_000)) }})
		w.must(w.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 30_000}))
		w.get(1, "/")
		w.got()
		w.must(w.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10_000}))
		w.must(w.framer.WriteWindowUpdate(1, 20_000))
		if streams, _ := answers(w.got()); streams[1] != nil {
			t.Errorf("%d bytes beyond the window", len(streams[1].body))
		}
		w.must(w.framer.WriteWindowUpdate(1, 1))
		if streams, _ := answers(w.got()); streams[1] == nil || streams[1].body != "a" {
			t.Errorf("got %+v for a window of 1", streams[1])
		}
	})
}

func TestHitThatFails(t *testing.T) {
	for _, size := range []int{10, 100_000} {
		synctest.Test(t, func(t *testing.T) {
			var failed error
			w := dial(t, wireOptions{hit: func(*Request) Hit {
				p := newPage(strings.Repeat("a", size))
				p.fail = errors.New("disk")
				p.done = func(_ int64, err error) { failed = err }
				return p
			}})
			w.get(1, "/")
			if streams, _ := answers(w.got()); streams[1].reset != "INTERNAL_ERROR" || failed == nil {
				t.Errorf("%+v, done with %v", streams[1], failed)
			}
		})
	}
}

// RFC 9113 §5.1.2.
func TestStreamsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := testLimits()
		limits.Streams = 2
		goOn := make(chan struct{})
		w := dial(t, wireOptions{limits: &limits, handler: func(http.ResponseWriter, *http.Request) { <-goOn }})
		for id := uint32(1); id <= 5; id += 2 {
			w.get(id, "/")
		}
		if streams, _ := answers(w.got()); streams[5].reset != "REFUSED_STREAM" || streams[1] != nil {
			t.Errorf("%+v", streams[5])
		}
		close(goOn)
		w.got()
		w.get(7, "/")
		if streams, _ := answers(w.got()); streams[7].status != "200" {
			t.Errorf("%+v", streams[7])
		}
	})
}

// A header list beyond the limit is for who answers those, or gets 431; the connection goes on, and so does the decoder's table.
func TestHeaderListIsLimited(t *testing.T) {
	const kept = "x-kept: in the table"
	large, huge := "x-a: "+strings.Repeat("a", 5000), "x-a: "+strings.Repeat("a", 10_000)
	for _, test := range []struct {
		name   string
		lines  []string
		status string // with Options.Oversized
		counts []Refusal
	}{
		{"many fields", request("GET", "/", kept, large, large), "499", nil},
		{"one field", request("GET", "/", kept, huge), "499", nil},
		{"content that has yet to come", request("POST", "/", kept, huge, "content-length: 5"), "499", nil},
		{"a path", request("GET", "/"+huge, kept), "431", []Refusal{RefusedHeader}},
		{"malformed, too", request("GET", "/", "connection: close", huge), "", []Refusal{RefusedMalformed}},
	} {
		for _, own := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s %t", test.name, own), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := wireOptions{hit: func(r *Request) Hit { return newPage(r.Fields[len(r.Fields)-1].Value) }}
					if own {
						o.oversized = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							if got := r.Header.Get("X-Kept"); got != "in the table" || r.Host != "shop.test" || len(r.Header.Get("X-A")) > 5000 {
								t.Errorf("it sees %v", r)
							}
							w.WriteHeader(499)
						})
					} else if test.status == "499" {
						test.status, test.counts = "431", []Refusal{RefusedHeader}
					}
					w := dial(t, o)
					w.headers(1, test.lines[0] == ":method: GET", test.lines...)
					w.headers(3, true, request("GET", "/", kept)...)
					streams, ends := answers(w.got())
					if streams[1].status != test.status || streams[1].ended != (test.status != "") {
						t.Errorf("%+v", streams[1])
					}
					if streams[3].body != "in the table" || ends != "" {
						t.Errorf("the next one: %+v, connection: %q", streams[3], ends)
					}
					w.refused(test.counts...)
				})
			})
		}
	}
	t.Run("a field without end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := dial(t, wireOptions{})
			w.must(w.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("\x00\x01a\x7f\xff\xff\x7f"), EndStream: true}))
			if _, ends := answers(w.got()); ends != "ENHANCE_YOUR_CALM" {
				t.Errorf("connection: %q", ends)
			}
			w.refused(RefusedHeader)
		})
	})
}

// A response's header block and what is written beside it may need several frames (RFC 9113 §6.10).
func TestLargeHeaderBlocksAreTakenApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := dial(t, wireOptions{handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Large", strings.Repeat("~", 100_000))
			_, _ = io.WriteString(w, "hello")
		}})
		w.get(1, "/")
		frames := w.got()
		large := ""
		for _, f := range frames {
			if h, ok := f.(*headersFrame); ok {
				large = h.get("x-large")
			}
		}
		if streams, _ := answers(frames); len(large) != 100_000 || streams[1].body != "hello" {
			t.Errorf("%d bytes of a field, %+v", len(large), streams[1])
		}
	})
}

// A client that has a smaller table than the default is told that we use none (RFC 7541 §4.2).
func TestTableSizeIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := dial(t, wireOptions{hit: func(*Request) Hit { return newPage("") }})
		w.must(w.framer.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0}))
		w.get(1, "/")
		w.get(3, "/")
		var lengths []uint32
		for _, f := range w.got() {
			if h, ok := f.(*headersFrame); ok {
				lengths = append(lengths, h.Length)
			}
		}
		if len(lengths) != 2 || lengths[0] != lengths[1]+1 {
			t.Errorf("blocks of %v bytes", lengths)
		}
	})
}

func TestShutdownIsGraceful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		w := dial(t, wireOptions{handler: func(http.ResponseWriter, *http.Request) { <-goOn }})
		w.get(1, "/")
		w.got()
		down := make(chan error, 1)
		go func() { down <- w.server.Shutdown(context.Background()) }()
		var last []uint32
		note := func() (ping [8]byte) {
			for _, f := range w.got() {
				switch f := f.(type) {
				case *http2.GoAwayFrame:
					last = append(last, f.LastStreamID)
				case *http2.PingFrame:
					ping = f.Data
				}
			}
			return ping
		}
		ping := note()
		w.get(3, "/") // on its way when the GOAWAY was
		w.must(w.framer.WritePing(true, ping))
		note()
		w.get(5, "/") // after the client knew
		if len(last) != 2 || last[0] != lastStreamMax || last[1] != 3 {
			t.Errorf("GOAWAY said %v", last) // §6.8
		}
		close(goOn)
		streams, _ := answers(w.got())
		if streams[1] == nil || streams[1].status != "200" || streams[3] == nil || streams[3].status != "200" || streams[5] != nil {
			t.Errorf("answers: %v", streams)
		}
		if err := <-down; err != nil || !w.isClosed() {
			t.Errorf("shutdown: %v, closed: %t", err, w.isClosed())
		}
	})
}

func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := dial(t, wireOptions{})
		w.get(1, "/")
		w.got()
		w.nc.Close()
		<-w.served
		want := fmt.Sprint([]http.ConnState{http.StateActive, http.StateIdle, http.StateActive, http.StateIdle, http.StateClosed})
		if got := fmt.Sprint(w.states); got != want {
			t.Errorf("states %s, want %s", got, want)
		}
	})
}

// settingsFrame returns SETTINGS with n settings that nobody knows.
func settingsFrame(n int) string {
	var b []byte
	for i := range n {
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, 0x7000), uint32(i))
	}
	return frameBytes(len(b), frameSettings, 0, 0, string(b))
}

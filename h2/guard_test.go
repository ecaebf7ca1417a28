package h2

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// What does nothing but cost us ends the connection.
func TestFloods(t *testing.T) {
	reset := func(id uint32) string {
		return headersFrameBytes(flagEndHeaders, id, getBlock) + frameBytes(4, frameReset, 0, id, "\x00\x00\x00\x08")
	}
	for _, test := range []struct {
		name  string
		frame func(i int) string
	}{
		{"requests taken back (CVE-2023-44487)", func(i int) string { return reset(uint32(2*i + 1)) }},
		{"PING", func(int) string { return frameBytes(8, framePing, 0, 0, "12345678") }},
		{"SETTINGS", func(int) string { return settingsFrame(0) }},
		{"settings in one frame", func(int) string { return settingsFrame(1000) }},
		{"PRIORITY", func(int) string { return frameBytes(5, framePriority, 0, 1, "\x00\x00\x00\x00\x00") }},
		{"unknown frames", func(int) string { return frameBytes(0, 0x77, 0, 0, "") }},
		{"WINDOW_UPDATE", func(int) string { return frameBytes(4, frameWindowUpdate, 0, 0, "\x00\x00\x00\x01") }},
		{"empty DATA", func(i int) string {
			if i == 0 {
				return headersFrameBytes(flagEndHeaders, 1, getBlock)
			}
			return frameBytes(0, frameData, 0, 1, "")
		}},
		{"CONTINUATION (CVE-2023-45288)", func(i int) string {
			if i == 0 {
				return headersFrameBytes(0, 1, getBlock)
			}
			return frameBytes(100, frameContinuation, 0, 1, strings.Repeat("\x82", 100))
		}},
		{"empty CONTINUATION", func(i int) string {
			if i == 0 {
				return headersFrameBytes(0, 1, getBlock)
			}
			return frameBytes(0, frameContinuation, 0, 1, "")
		}},
		{"malformed requests", func(i int) string { return headersFrameBytes(flagEndHeaders|flagEndStream, uint32(2*i+1), "\x82") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := dial(t, wireOptions{handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
				w.got()
				ends := ""
				for i := 0; i < 3000 && !w.isClosed(); i++ {
					if _, err := io.WriteString(w.nc, test.frame(i)); err != nil {
						break
					}
				}
				time.Sleep(time.Second)
				if _, ends = answers(w.got()); ends != "ENHANCE_YOUR_CALM" || !w.isClosed() {
					t.Errorf("GOAWAY %q, closed: %t", ends, w.isClosed())
				}
				why := RefusedFlood
				if strings.HasPrefix(test.name, "CONTINUATION") {
					why = RefusedHeader
				}
				if test.name == "malformed requests" {
					w.counts[RefusedMalformed] = 0 // as many as there were
				}
				if w.counts[why] != 1 || w.counts[RefusedMalformed] != 0 {
					t.Errorf("refusals: %v", w.counts)
				}
			})
		})
	}
}

// Who uses what it asks for may do so as long as it likes.
func TestUseIsNoFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := dial(t, wireOptions{hit: func(*Request) Hit { return newPage("hello") }})
		for i := range uint32(5000) {
			w.get(2*i+1, "/")
			w.must(w.framer.WriteWindowUpdate(0, 5))
			if i%100 == 0 {
				if streams, ends := answers(w.got()); ends != "" || streams[2*i+1].body != "hello" {
					t.Fatalf("request %d: %+v, connection: %q", i, streams[2*i+1], ends)
				}
			}
		}
	})
}

// A client that takes nothing is given up, whether it reads no bytes or opens no window, and however little it opens.
func TestStalls(t *testing.T) {
	big := func(done chan error) func(*Request) Hit {
		return func(*Request) Hit {
			p := newPage(strings.Repeat("a", 1<<20))
			p.done = func(_ int64, err error) { done <- err }
			return p
		}
	}
	t.Run("no bytes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			done := make(chan error, 1)
			w := dial(t, wireOptions{hit: big(done), deaf: true, raw: true})
			w.nc.SetWriteDeadline(time.Now().Add(time.Second)) // it isn't read either, as it doesn't read
			go func() {
				_, _ = io.WriteString(w.nc, http2.ClientPreface+frameBytes(0, frameSettings, 0, 0, "")+headersFrameBytes(flagEndHeaders|flagEndStream, 1, getBlock))
			}()
			began := time.Now()
			<-w.served
			if took := time.Since(began); took < 20*time.Second || took > 25*time.Second {
				t.Errorf("given up after %v", took)
			}
		})
	})
	t.Run("no window", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			done := make(chan error, 1)
			w := dial(t, wireOptions{hit: big(done)})
			began := time.Now()
			w.get(1, "/")
			if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("done with %v", err)
			}
			if took := time.Since(began); took < 20*time.Second || took > 25*time.Second {
				t.Errorf("given up after %v", took)
			}
			streams, ends := answers(w.got())
			if a := streams[1]; a.reset != "CANCEL" || len(a.body) != defaultWindow || ends != "" {
				t.Errorf("RST_STREAM %q after %d bytes, connection: %q", a.reset, len(a.body), ends)
			}
		})
	})
	t.Run("after the handler", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := dial(t, wireOptions{handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }})
			w.must(w.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
			w.get(1, "/")
			time.Sleep(25 * time.Second)
			if streams, _ := answers(w.got()); streams[1].reset != "CANCEL" {
				t.Errorf("%+v", streams[1])
			}
		})
	})
}

// Silence in every phase is bounded.
func TestSilence(t *testing.T) {
	const settings = http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for _, test := range []struct {
		name, raw string
		after     time.Duration
	}{
		{"nothing", "", 10 * time.Second},
		{"half a preface", http2.ClientPreface[:10], 10 * time.Second},
		{"no settings", http2.ClientPreface, 10 * time.Second},
		{"half a frame", settings + "\x00\x00\x08\x06", 10 * time.Second},
		{"half a header section", settings + headersFrameBytes(0, 1, getBlock), 10 * time.Second},
		{"no request", settings, time.Minute},
		{"a request, and no answer to PING", settings + headersFrameBytes(flagEndHeaders|flagEndStream, 1, getBlock), 45 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := dial(t, wireOptions{raw: true, handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
				began := time.Now()
				w.raw(test.raw)
				<-w.served
				if took := time.Since(began); took < test.after || took > test.after+4*time.Second {
					t.Errorf("closed after %v, want %v", took, test.after)
				}
			})
		})
	}
}

// A client that answers PING may wait for its response as long as it likes, and content may come as slowly as the handler likes.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := dial(t, wireOptions{handler: func(w http.ResponseWriter, r *http.Request) { time.Sleep(5 * time.Minute) }})
		w.get(1, "/")
		for range 320 {
			time.Sleep(time.Second)
			frames := w.got()
			for _, f := range frames {
				if p, ok := f.(*http2.PingFrame); ok {
					w.must(w.framer.WritePing(true, p.Data))
				}
			}
			if streams, _ := answers(frames); streams[1] != nil && streams[1].status == "200" {
				return
			}
		}
		t.Error("no response")
	})
}

// What a client sends and nobody reads is bounded by the windows.
func TestUnreadContentIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := dial(t, wireOptions{handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
		w.headers(1, false, request("POST", "/")...)
		for range streamWindow / 16384 {
			w.must(w.framer.WriteData(1, false, make([]byte, 16384)))
		}
		if streams, _ := answers(w.got()); streams[1] != nil {
			t.Errorf("within the window: %+v", streams[1])
		}
		w.must(w.framer.WriteData(1, false, []byte("a")))
		if streams, ends := answers(w.got()); streams[1].reset != "FLOW_CONTROL_ERROR" || ends != "" {
			t.Errorf("%+v, connection: %q", streams[1], ends)
		}
	})
}

func TestContextEndsWithItsStream(t *testing.T) {
	for name, end := range map[string]func(*wire){
		"reset":  func(w *wire) { w.must(w.framer.WriteRSTStream(1, http2.ErrCodeCancel)) },
		"closed": func(w *wire) { w.nc.Close() },
		"server": func(w *wire) { w.server.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cause, read error
				ended := make(chan struct{})
				w := dial(t, wireOptions{handler: func(_ http.ResponseWriter, r *http.Request) {
					defer close(ended)
					<-r.Context().Done()
					cause = context.Cause(r.Context())
					_, read = r.Body.Read(make([]byte, 1))
				}})
				w.headers(1, false, request("POST", "/")...)
				w.got()
				end(w)
				<-ended
				if !errors.Is(cause, context.Canceled) || !errors.Is(read, io.ErrUnexpectedEOF) {
					t.Errorf("context: %v, content: %v", cause, read)
				}
			})
		})
	}
}

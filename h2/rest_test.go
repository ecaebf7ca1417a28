package h2

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// stubborn is a client that behaves as curl 7.88 does: it sends a request while it has a window, reads nothing any more when it has
// the response, and sends all of the request before it is content.
type stubborn struct {
	*wire
	conn, stream int64 // windows
}

func (c *stubborn) post(id uint32, size int, known bool) answer {
	c.t.Helper()
	var length []string
	if known {
		length = []string{"content-length: " + strconv.Itoa(size)}
	}
	c.stream = streamWindow
	c.headers(id, false, request("POST", "/", length...)...)
	a, ended := c.read(id)
	for size > 0 {
		n := min(int64(size), c.conn, c.stream, frameSizeMax)
		if n == 0 && ended {
			c.t.Fatalf("%d bytes are left, and no window", size)
		}
		if n > 0 {
			size -= int(n)
			c.conn -= n
			c.stream -= n
			c.must(c.framer.WriteData(id, size == 0, make([]byte, n)))
		}
		if !ended {
			a, ended = c.read(id)
		}
		if a.reset != "" {
			return a
		}
	}
	return a
}

// read reads as far as the end of a response, and leaves the rest.
func (c *stubborn) read(id uint32) (a answer, ended bool) {
	for _, f := range c.got() {
		if ended && f.Header().StreamID == id {
			c.t.Errorf("%v after the end of the response", f)
		}
		switch f := f.(type) {
		case *http2.WindowUpdateFrame:
			if ended {
				continue // lies there until the next request
			}
			if f.StreamID == 0 {
				c.conn += int64(f.Increment)
			} else {
				c.stream += int64(f.Increment)
			}
		case *dataFrame:
			a.body += string(f.data)
			ended = f.Flags.Has(http2.FlagDataEndStream)
		case *headersFrame:
			a.status = f.get(":status")
			ended = f.Flags.Has(http2.FlagHeadersEndStream)
		case *http2.RSTStreamFrame:
			a.reset = f.ErrCode.String()
		}
	}
	return a, ended
}

func dialStubborn(t *testing.T, handler http.HandlerFunc) *stubborn {
	c := &stubborn{wire: dial(t, wireOptions{handler: handler}), conn: defaultWindow}
	c.read(0)
	return c
}

// A response may be complete before its request is (RFC 9113 §8.1). Then the client gets room for the rest before the response ends, and
// nothing that could make it lose the response. What a request leaves of the room is there for the next ones.
func TestResponseBeforeTheRequest(t *testing.T) {
	for _, content := range []string{"", "no, thanks", strings.Repeat("x", 60_000)} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d bytes, length %t", len(content), known), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := dialStubborn(t, func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Content-Length", strconv.Itoa(len(content)))
						_, _ = io.WriteString(w, content)
					})
					c.must(c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}))
					c.must(c.framer.WriteWindowUpdate(0, 10<<20))
					for i := range uint32(12) {
						size := 3_000_000
						if i < 8 {
							size = 5 // leaves most of the room, if the length is unknown
						}
						a := c.post(2*i+1, size, known)
						if a.status != "200" || a.body != content || a.reset != "" {
							t.Fatalf("request %d: %s, %d bytes, reset: %q", i, a.status, len(a.body), a.reset)
						}
						if c.conn > connWindow+restBytesMax {
							t.Errorf("a window of %d", c.conn)
						}
						woken := false
						for _, f := range c.got() {
							switch f := f.(type) {
							case *http2.PingFrame:
								woken = true
							case *http2.WindowUpdateFrame:
								if f.StreamID != 0 {
									t.Errorf("more room after the end: %v", f)
									continue
								}
								c.conn += int64(f.Increment)
							}
						}
						if !woken {
							t.Error("nothing told the client, which waits for something to read, to look again")
						}
					}
				})
			})
		}
	}
}

// The rest of a request is waited for within bounds: those of its size, of time, and of the life of the connection.
func TestRestOfARequestIsBounded(t *testing.T) {
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "no, thanks") }
	t.Run("size", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := dial(t, wireOptions{handler: answer})
			w.headers(1, false, request("POST", "/", "content-length: 1000000000")...)
			if streams, _ := answers(w.got()); streams[1].body != "no, thanks" || streams[1].reset != "NO_ERROR" {
				t.Errorf("%+v", streams[1])
			}
			w.must(w.framer.WriteData(1, false, []byte("late"))) // before the client knew
			if _, ends := answers(w.got()); ends != "" {
				t.Errorf("connection: %q", ends)
			}
			for range 2 * guardMax { // one that doesn't heed it
				if w.framer.WriteData(1, false, make([]byte, frameSizeMax)) != nil {
					break
				}
			}
			if _, ends := answers(w.got()); ends != "ENHANCE_YOUR_CALM" {
				t.Errorf("connection: %q", ends)
			}
		})
	})
	t.Run("time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var ctx context.Context
			w := dial(t, wireOptions{handler: func(w http.ResponseWriter, r *http.Request) { ctx = r.Context(); answer(w, r) }})
			w.headers(1, false, request("POST", "/")...)
			if streams, _ := answers(w.got()); !streams[1].ended || streams[1].reset != "" || ctx.Err() == nil {
				t.Errorf("%+v, context: %v", streams[1], ctx.Err())
			}
			time.Sleep(restWithin + tickMax)
			if streams, _ := answers(w.got()); streams[1] == nil || streams[1].reset != "NO_ERROR" {
				t.Errorf("later: %+v", streams[1])
			}
		})
	})
	t.Run("shutdown", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := dial(t, wireOptions{handler: answer})
			w.headers(1, false, request("POST", "/")...)
			w.got()
			if err := w.server.Shutdown(t.Context()); err != nil || !w.isClosed() {
				t.Errorf("%v, closed: %t", err, w.isClosed())
			}
		})
	})
}

// Room for the rest of one request isn't memory for the content of others.
func TestRestIsNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		w := dial(t, wireOptions{handler: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				<-goOn
			}
		}})
		defer close(goOn)
		w.headers(1, false, request("POST", "/")...)
		w.got()
		const each = streamWindow / frameSizeMax
		for i := range uint32(connWindow/streamWindow + 1) {
			w.headers(2*i+3, false, request("POST", "/slow")...)
			for range each {
				w.must(w.framer.WriteData(2*i+3, false, make([]byte, frameSizeMax)))
			}
		}
		streams, ends := answers(w.got())
		if a := streams[2*connWindow/streamWindow+3]; ends != "" || a == nil || a.reset != "ENHANCE_YOUR_CALM" {
			t.Errorf("%+v, connection: %q", a, ends)
		}
	})
}

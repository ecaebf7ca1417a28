package edge

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A header section has limits.header_timeout (10s in lanesYAML) from its first byte, however steadily it trickles, on a new connection
// and on one that had requests before.
func TestTricklingHeader(t *testing.T) {
	certificate := certificate(t)
	for _, key := range [...]*tls.Certificate{nil, &certificate} {
		for _, before := range []string{"", get("/"), get("/missing"), "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nab"} {
			t.Run(fmt.Sprintf("TLS %t after %.6q", key != nil, before), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := startBubble(t, false, key)
					pieces := strings.Split(strings.TrimSuffix(get("/trickle"), "\r\n"), "") // one a second
					if before != "" {
						pieces = append([]string{before}, pieces...)
					}
					began := time.Now()
					output, closed := n.play(t, key, pieces...)
					took := time.Since(began)
					n.stop()
					_, answer, _ := strings.Cut(output, "HTTP/1.1 408 Request Timeout\r\n")
					if !closed || !strings.Contains(answer, "Connection: close\r\n") || !strings.Contains(answer, "Cache-Status:") {
						t.Errorf("closed %t after %q", closed, output)
					}
					if took > 15*time.Second {
						t.Errorf("it took %v", took)
					}
					if got := testutil.ToFloat64(n.metrics.refused[refusedHeaderTimeout]); got != 1 {
						t.Errorf("%v counted", got)
					}
					if !strings.Contains(n.log.String(), `"refused":"header_timeout"`) {
						t.Errorf("no record of it: %s", n.log.String())
					}
				})
			})
		}
	}
}

// A connection on which nothing comes is no request, and neither is one that ends.
func TestSilentConnections(t *testing.T) {
	for name, pieces := range map[string][]string{
		"new":              {""},
		"idle":             {get("/")},
		"after empty line": {get("/missing"), "\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := startBubble(t, false, nil)
				c := n.door.dial()
				for _, piece := range pieces {
					go func() { _, _ = c.Write([]byte(piece)) }() // the end of the connection ends it
					synctest.Wait()
				}
				began := time.Now()
				for buf := make([]byte, 4096); ; {
					if _, err := c.Read(buf); err != nil {
						break
					}
				}
				if took := time.Since(began); took > 80*time.Second {
					t.Errorf("open for %v", took)
				}
				c.Close()
				n.stop()
				for _, why := range reasons() {
					if got := testutil.ToFloat64(n.metrics.refused[why]); got != 0 {
						t.Errorf("%v counted as %s", got, why)
					}
				}
			})
		})
	}
}

// What a client sends behind a request that is refused doesn't keep the connection, and a flood of it is not read for ever.
func TestFloodBehindARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startBubble(t, false, nil)
		c := n.door.dial()
		began, sent := time.Now(), 0
		go func() {
			for buf := make([]byte, 4096); ; {
				if _, err := c.Read(buf); err != nil {
					return
				}
			}
		}()
		for flood := "GET / HTTP/1.1\r\nHost: shop.test\r\nX : y\r\n\r\n"; ; flood = strings.Repeat("X: y\r\n", 1000) {
			m, err := c.Write([]byte(flood))
			if sent += m; err != nil {
				break
			}
		}
		if took := time.Since(began); took > time.Second || sent > 1<<20 {
			t.Errorf("%d bytes taken in %v", sent, took)
		}
		c.Close()
		n.stop()
		if got := testutil.ToFloat64(n.metrics.refused[refusedMalformed]); got != 1 {
			t.Errorf("%v counted", got)
		}
	})
}

// An HTTP/2 connection whose header section doesn't end, or whose frame doesn't, is closed: by limits.idle_timeout (60s in lanesYAML) or
// when pings go unanswered.
func TestHTTP2HeaderThatDoesNotEnd(t *testing.T) {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range pseudo("GET", "http", "/slow") {
		if err := encoder.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	for name, send := range map[string]func(*http2.Framer, io.Writer) error{
		"preface": func(_ *http2.Framer, w io.Writer) error {
			_, err := io.WriteString(w, "PRI * HTTP/2.0\r\n\r\n")
			return err
		},
		"settings": func(_ *http2.Framer, w io.Writer) error {
			_, err := io.WriteString(w, http2.ClientPreface+"\x00\x00\x06\x04\x00\x00")
			return err
		},
		"header section": func(f *http2.Framer, w io.Writer) error {
			if _, err := io.WriteString(w, http2.ClientPreface); err != nil {
				return err
			}
			if err := f.WriteSettings(); err != nil {
				return err
			}
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := startBubble(t, false, nil)
				c := n.door.dial()
				began := time.Now()
				var reading sync.WaitGroup
				reading.Go(func() { _, _ = io.Copy(io.Discard, c) }) // until it is closed
				f := http2.NewFramer(c, nil)
				f.AllowIllegalWrites = true
				if err := send(f, c); err != nil {
					t.Fatal(err)
				}
				for name == "header section" && time.Since(began) < 10*time.Minute {
					if f.WriteContinuation(1, false, nil) != nil {
						break
					}
					time.Sleep(5 * time.Second)
				}
				reading.Wait()
				if took := time.Since(began); took > 2*time.Minute {
					t.Errorf("open for %v", took)
				}
				c.Close()
				n.stop()
			})
		})
	}
}

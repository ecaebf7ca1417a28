package edge

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
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

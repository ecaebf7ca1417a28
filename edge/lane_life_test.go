package edge

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// laneWire is a client on a connection in memory, on which what it doesn't read isn't taken.
type laneWire struct {
	*wire
	n *bubbleNode
}

// warmed runs test in a bubble with an edge that has / and /big, and a connection on which the lane has answered once.
func warmed(t *testing.T, test func(t *testing.T, w *laneWire)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := startBubble(t, false, nil)
		defer n.stop()
		n.play(t, nil, get("/"), get("/big"))
		c := n.door.dial()
		defer c.Close()
		w := &laneWire{newWireOn(t, c), n}
		w.hit()
		test(t, w)
	})
}

// hit asks for what the lane answers.
func (w *laneWire) hit() {
	w.t.Helper()
	before := w.n.cache.answers.Load()
	w.send(get("/"))
	if resp, body := w.response(http.MethodGet); resp.StatusCode != 200 || body != "content of /" || w.n.cache.answers.Load() != before+1 {
		w.t.Errorf("status %d, %q, %d answers by the lane", resp.StatusCode, body, w.n.cache.answers.Load()-before)
	}
}

// closes waits for the edge to close the connection and returns how long that took.
func (w *laneWire) closes() time.Duration {
	w.t.Helper()
	began := time.Now()
	_, _ = io.Copy(io.Discard, w.r)
	return time.Since(began)
}

// lastRecord stops the edge and returns the last line of its log.
func (w *laneWire) lastRecord() (record map[string]any) {
	w.t.Helper()
	w.n.stop()
	lines := bytes.Split(bytes.TrimSpace(w.n.log.Bytes()), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &record); err != nil {
		w.t.Fatal(err)
	}
	return record
}

func TestLaneTimeouts(t *testing.T) {
	for _, test := range []struct {
		name, send string
		answered   int // requests before
		from, to   time.Duration
	}{
		{name: "idle on a new connection", from: 60 * time.Second, to: 68 * time.Second},
		{name: "idle after many", answered: 40, from: 60 * time.Second, to: 68 * time.Second},
		{name: "idle after net/http", send: get("/missing"), from: 60 * time.Second, to: 60 * time.Second},
		{name: "header on a new connection", send: "GET / HTTP", from: 10 * time.Second, to: 10 * time.Second},
		{name: "header after net/http", send: get("/missing") + "GET / HTTP", from: 10 * time.Second, to: 10 * time.Second},
	} {
		warmed(t, func(t *testing.T, w *laneWire) {
			for range test.answered {
				time.Sleep(3 * time.Second)
				w.hit()
			}
			if test.send != "" {
				w.send(test.send)
			}
			if took := w.closes(); took < test.from || took > test.to {
				t.Errorf("%s: closed after %v, want %v to %v", test.name, took, test.from, test.to)
			}
		})
	}
}

// What net/http writes after the lane has a deadline of its own, or none, and not what the lane has left.
func TestLaneLeavesNoDeadline(t *testing.T) {
	warmed(t, func(t *testing.T, w *laneWire) {
		time.Sleep(50 * time.Second)
		w.send("nonsense\r\n\r\n")
		if resp, _ := w.response(http.MethodGet); resp.StatusCode != 400 {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
}

func TestLaneCutsOffAClientThatStalls(t *testing.T) {
	warmed(t, func(t *testing.T, w *laneWire) {
		w.send(get("/big"))
		if _, err := io.ReadFull(w, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second) // the limit is 20 s
		if rest, _ := io.ReadAll(w); len(rest) > 0 {
			t.Errorf("%d bytes came after the limit", len(rest))
		}
		r := w.lastRecord()
		if r["aborted"] != true || r["fault"] != "client" || r["status"] != 200.0 || r["cache"] != "hit" || r["response_body_bytes"].(float64) > 1000 {
			t.Errorf("record %v", r)
		}
	})
}

func TestLaneBearsAClientThatIsSlow(t *testing.T) {
	warmed(t, func(t *testing.T, w *laneWire) {
		w.send(get("/big"))

		slow := &pausing{w.Conn, 80 << 10, 0}
		w.r.Reset(slow)
		if _, body := w.response(http.MethodGet); len(body) != 320<<10 {
			t.Errorf("%d bytes", len(body))
		}
		w.r.Reset(w.Conn)
		w.hit()
	})
}

// pausing reads a number of bytes each 19 seconds.
type pausing struct {
	io.Reader
	each, left int
}

func (p *pausing) Read(b []byte) (int, error) {
	if p.left == 0 {
		time.Sleep(19 * time.Second)
		p.left = p.each
	}
	n, err := p.Reader.Read(b[:min(len(b), p.left)])
	p.left -= n
	return n, err
}

func TestLaneDrains(t *testing.T) {
	warmed(t, func(t *testing.T, w *laneWire) {
		began := time.Now()
		go w.n.stop()
		w.closes()
		w.n.stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v with one idle connection", took)
		}
	})
}

func TestLaneFinishesItsResponseWhenDraining(t *testing.T) {
	warmed(t, func(t *testing.T, w *laneWire) {
		w.send(get("/big") + get("/"))
		synctest.Wait()
		go w.n.stop()
		time.Sleep(5 * time.Second)
		if resp, body := w.response(http.MethodGet); resp.StatusCode != 200 || len(body) != 320<<10 {
			t.Errorf("status %d, %d bytes", resp.StatusCode, len(body))
		}
		w.closes()
	})
}

func TestLaneIsCutOffWhenDrainingTakesTooLong(t *testing.T) {
	warmed(t, func(t *testing.T, w *laneWire) {
		w.n.SetSnapshot(parse(t, strings.Replace(lanesYAML, "drain_timeout: 30s", "drain_timeout: 5s", 1)))
		w.send(get("/big"))
		synctest.Wait()
		began := time.Now()
		w.n.stop()
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("it took %v, want drain_timeout", took)
		}
	})
}

func TestLaneSeesANewSnapshot(t *testing.T) {
	warmed(t, func(t *testing.T, w *laneWire) {
		w.n.SetSnapshot(parse(t, strings.Replace(lanesYAML, `["/secret"]`, `["/"]`, 1)))
		w.send(get("/"))
		if resp, _ := w.response(http.MethodGet); resp.StatusCode != 404 {
			t.Errorf("status %d under a rule that refuses", resp.StatusCode)
		}
	})
}

// A panic ends its connection and no other.
func TestLaneSurvivesAPanic(t *testing.T) {
	warmed(t, func(t *testing.T, w *laneWire) {
		w.n.cache.panics = true
		w.send(get("/"))
		if took := w.closes(); took > 0 {
			t.Errorf("closed after %v", took)
		}
		w.n.cache.panics = false
		if output, _ := w.n.play(t, nil, get("/")); !strings.HasPrefix(output, "HTTP/1.1 200") {
			t.Errorf("another connection gets %q", output)
		}
	})
}

// A connection for one site is none for another, in the lane too.
func TestLaneMindsTheNameInTLS(t *testing.T) {
	key := certificate(t)
	synctest.Test(t, func(t *testing.T) {
		n := startBubble(t, false, &key)
		defer n.stop()
		bank := strings.Replace(get("/"), "shop", "bank", 1)
		for _, test := range []struct {
			sni, request, want string
			answers            int64
		}{
			{"bank.test", bank + bank, "HTTP/1.1 200", 1},
			{"www.shop.test", get("/") + get("/"), "HTTP/1.1 200", 1},
			{"shop.test", bank, "HTTP/1.1 421", 0},
			{"SHOP.test.", get("/"), "HTTP/1.1 200", 1},
		} {
			n.sni = test.sni
			before := n.cache.answers.Load()
			output, _ := n.play(t, &key, strings.SplitAfter(test.request, "\r\n\r\n")...)
			if answers := n.cache.answers.Load() - before; !strings.HasPrefix(output, test.want) || answers != test.answers {
				t.Errorf("%s: %d answers by the lane, %.300q", test.sni, answers, output)
			}
		}
	})
}

func TestHandshake(t *testing.T) {
	key := certificate(t)
	synctest.Test(t, func(t *testing.T) {
		n := startBubble(t, false, &key)
		defer n.stop()
		dial := func() *laneWire { return &laneWire{newWireOn(t, n.door.dial()), n} }
		w := dial()
		if took := w.closes(); took != 10*time.Second {
			t.Errorf("a client that never began was let go after %v", took)
		}
		w = dial()
		w.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"[:11])
		if resp, _ := w.response(http.MethodGet); resp.StatusCode != 400 {
			t.Errorf("HTTP on the port for HTTPS: status %d", resp.StatusCode)
		}
		w = dial()
		go n.stop()
		if took := w.closes(); took > time.Second {
			t.Errorf("draining waited %v for a handshake", took)
		}
	})
}

// HTTP/2 reaches its server with or without TLS, and however its preface is cut.
func TestLaneHandsHTTP2Over(t *testing.T) {
	key := certificate(t)
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for _, secure := range [...]bool{false, true} {
		for cut := 1; cut < len(preface)+4; cut += 3 {
			synctest.Test(t, func(t *testing.T) {
				var given *tls.Certificate
				if secure {
					given = &key
				}
				n := startBubble(t, false, given)
				defer n.stop()
				c := n.door.dial()
				if secure {
					c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "shop.test", NextProtos: []string{"h2"}})
				}
				defer c.Close()
				go func() {
					const rest = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings
					_, _ = io.WriteString(c, rest[:cut])
					_, _ = io.WriteString(c, rest[cut:])
				}()
				frame := make([]byte, 9)
				if _, err := io.ReadFull(c, frame); err != nil || frame[3] != 4 {
					t.Errorf("TLS %t, cut at %d: the first frame is % x, %v", secure, cut, frame, err)
				}
				go func() { _, _ = io.Copy(io.Discard, c) }()
			})
		}
	}
}

// newWireOn is newWire for a connection that is there.
func newWireOn(t testing.TB, c net.Conn) *wire { return &wire{c, t, bufio.NewReader(c)} }

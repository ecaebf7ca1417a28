package h2

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// below is a socket that crypto/tls writes to through a Seal.
type below struct {
	net.Conn
	seal *Seal
}

func (b *below) Write(p []byte) (int, error) { return b.seal.Write(p) }

// tlsServer serves one connection over TLS on a socket, with hits, and returns the client's side after the handshake.
func tlsServer(tb testing.TB, hit func(*Request) Hit) net.Conn {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	keys := httptest.NewTLSServer(nil)
	config := &tls.Config{Certificates: keys.TLS.Certificates, NextProtos: []string{"h2"}}
	keys.Close()
	s := New(Options{Limits: testLimits(), Handler: http.NotFoundHandler()})
	var serving sync.WaitGroup
	serving.Go(func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		b := &below{nc, s.Seal(nc)}
		t := tls.Server(b, config)
		if err := t.Handshake(); err != nil {
			tb.Error(err)
		}
		s.ServeConn(Peer{Conn: b.seal.Over(t), Context: context.Background(), Hit: hit})
	})
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	c := tls.Client(nc, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err := c.Handshake(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		c.Close()
		l.Close()
		serving.Wait()
	})
	return c
}

// A client that reads late, and much at once, gets all of it in order, over TLS.
func TestWhatTheSystemDoesNotTakeAtOnce(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 1<<16)
	c := tlsServer(t, func(*Request) Hit { return newPage(content) })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	framer := http2.NewFramer(c, c)
	_, _ = io.WriteString(c, http2.ClientPreface)
	_ = framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
	_ = framer.WriteWindowUpdate(0, 1<<30)
	const streams = 20 // 20 MiB, more than sockets hold
	for i := range uint32(streams) {
		_, _ = io.WriteString(c, headersFrameBytes(flagEndHeaders|flagEndStream, 2*i+1, getBlock))
	}
	got, ended := map[uint32]*strings.Builder{}, 0
	for ended < streams {
		f, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := f.(type) {
		case *http2.HeadersFrame:
			got[f.StreamID] = &strings.Builder{}
		case *http2.DataFrame:
			got[f.StreamID].Write(f.Data())
			if f.StreamEnded() {
				ended++
			}
		case *http2.SettingsFrame, *http2.WindowUpdateFrame:
		default:
			t.Fatalf("got %v", f)
		}
	}
	for id, b := range got {
		if b.String() != content {
			t.Errorf("stream %d: %d bytes", id, b.Len())
		}
	}
}

// askAgain sends a request and reads its response, without allocating.
func askAgain(tb testing.TB, c net.Conn, stream *uint32, request, buf []byte) {
	*stream += 2
	request[5], request[6], request[7], request[8] = byte(*stream>>24), byte(*stream>>16), byte(*stream>>8), byte(*stream)
	if _, err := c.Write(request); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.ReadFull(c, buf); err != nil {
		tb.Fatal(err)
	}
}

// stored is a Hit that is used again.
type stored struct {
	page
	whole []byte
}

func (s *stored) again() Hit {
	s.content = s.whole
	return s
}

// hitBench returns a connection, a request, and a buffer of the size of the response.
func hitBench(tb testing.TB, size int) (c net.Conn, request, buf []byte) {
	s := &stored{page: *newPage(""), whole: make([]byte, size)}
	c = tlsServer(tb, func(*Request) Hit { return s.again() })
	framer := http2.NewFramer(c, c)
	_, _ = io.WriteString(c, http2.ClientPreface)
	_ = framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	_ = framer.WriteWindowUpdate(0, 1<<31-1-defaultWindow)
	for range 3 { // SETTINGS, WINDOW_UPDATE, the acknowledgement
		if _, err := framer.ReadFrame(); err != nil {
			tb.Fatal(err)
		}
	}
	frames := (size + dataBytes - 1) / dataBytes
	buf = make([]byte, frameHeaderBytes*(1+frames)+len(s.block)+size)
	return c, []byte(headersFrameBytes(flagEndHeaders|flagEndStream, 1, getBlock)), buf
}

func BenchmarkHit(b *testing.B) {
	for name, size := range map[string]int{"1KiB": 1 << 10, "100KiB": 100 << 10} {
		b.Run(name, func(b *testing.B) {
			c, request, buf := hitBench(b, size)
			stream, left := uint32(1), windowMax
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if left -= size; left < 1<<20 {
					b.Fatal("the connection's window is used up: run it for a shorter time")
				}
				askAgain(b, c, &stream, request, buf)
			}
		})
	}
}

// A hit that needs no new string in the decoder's table allocates nothing; crypto/tls allocates once a read, on either side.
func TestHitAllocations(t *testing.T) {
	c, request, buf := hitBench(t, 1<<10)
	stream := uint32(1)
	best := 1e9 // of many: the race detector makes pools forget, and what else runs may allocate
	for range 100 {
		best = min(best, testing.AllocsPerRun(1, func() { askAgain(t, c, &stream, request, buf) }))
	}
	if best > 2 {
		t.Errorf("a hit allocates %v times", best)
	}
}

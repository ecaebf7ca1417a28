package h2

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testLimits() Limits {
	return Limits{
		Streams: 100, HeaderBytes: 8 << 10, Header: 10 * time.Second, Idle: time.Minute, Stall: 20 * time.Second, Ping: 30 * time.Second,
	}
}

// page is a Hit.
type page struct {
	content []byte
	block   []byte
	fail    error
	done    func(sent int64, err error)
}

func newPage(content string) *page {
	return &page{content: []byte(content), block: AppendField(AppendStatus(nil, 200), "content-type", "text/plain")}
}

func (p *page) AppendHeader(dst []byte) []byte { return append(dst, p.block...) }
func (p *page) Size() int64                    { return int64(len(p.content)) }

func (p *page) AppendContent(dst []byte, n int) ([]byte, error) {
	if p.fail != nil {
		return nil, p.fail
	}
	dst = append(dst, p.content[:n]...)
	p.content = p.content[n:]
	return dst, nil
}

func (p *page) Done(sent int64, _ time.Time, err error) {
	if p.done != nil {
		p.done(sent, err)
	}
}

// wire is a client that speaks in frames, of an implementation that isn't ours, to a server in the same bubble.
type wire struct {
	t      *testing.T
	server *Server
	nc     net.Conn
	framer *http2.Framer
	frames chan []http2.Frame // unbounded, by having one element
	block  bytes.Buffer
	enc    *hpack.Encoder
	dec    *hpack.Decoder
	served chan struct{}
	closed chan struct{}
	log    bytes.Buffer
	states []http.ConnState
	counts map[Refusal]int // what was refused

	pause chan struct{} // while it blocks the client reads nothing
}

type wireOptions struct {
	limits    *Limits
	handler   http.HandlerFunc
	oversized http.Handler
	hit       func(*Request) Hit
	raw       bool // no preface, no settings
	deaf      bool // reads nothing until hears
}

// dial starts a server and a connection to it. It is called in a bubble.
func dial(t *testing.T, o wireOptions) *wire {
	t.Helper()
	if o.limits == nil {
		l := testLimits()
		o.limits = &l
	}
	if o.handler == nil {
		o.handler = func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }
	}
	ours, theirs := net.Pipe()
	w := &wire{
		t: t, nc: ours, frames: make(chan []http2.Frame, 1), served: make(chan struct{}), closed: make(chan struct{}), pause: make(chan struct{}),
		counts: map[Refusal]int{},
	}
	w.frames <- nil
	w.enc, w.dec = hpack.NewEncoder(&w.block), hpack.NewDecoder(4096, nil)
	w.server = New(Options{Handler: o.handler, Oversized: o.oversized, Limits: *o.limits, ErrorLog: log.New(&w.log, "", 0)})
	go func() {
		defer close(w.served)
		w.server.ServeConn(Peer{
			Conn: theirs, Context: context.Background(), Hit: o.hit, State: func(s http.ConnState) { w.states = append(w.states, s) },
			Refused: func(why Refusal) { w.counts[why]++ },
		})
	}()
	w.framer = http2.NewFramer(ours, ours)
	w.framer.AllowIllegalWrites = true
	if !o.deaf {
		w.hears()
	}
	t.Cleanup(func() {
		ours.Close()
		select {
		case <-w.pause:
		default:
			w.hears()
		}
		<-w.closed
		<-w.served
	})
	go w.read()
	if !o.raw {
		w.raw(http2.ClientPreface)
		w.must(w.framer.WriteSettings())
		w.must(w.framer.WriteSettingsAck())
		synctest.Wait()
	}
	return w
}

func (w *wire) hears() { close(w.pause) }

func (w *wire) read() {
	defer close(w.closed)
	<-w.pause
	for {
		f, err := w.framer.ReadFrame()
		if err != nil {
			return
		}
		// What a frame holds is good until the next one is read.
		switch f := f.(type) {
		case *http2.DataFrame:
			kept := *f
			data := bytes.Clone(f.Data())
			w.keep(&dataFrame{kept.FrameHeader, data})
		case *http2.HeadersFrame:
			block, kept := bytes.Clone(f.HeaderBlockFragment()), f.FrameHeader
			for ended := f.HeadersEnded(); !ended; {
				more, err := w.framer.ReadFrame()
				if err != nil {
					return
				}
				c := more.(*http2.ContinuationFrame)
				block, ended = append(block, c.HeaderBlockFragment()...), c.HeadersEnded()
			}
			fields, err := w.dec.DecodeFull(block)
			if err != nil {
				w.t.Errorf("header block: %v", err)
			}
			w.keep(&headersFrame{kept, fields})
		case *http2.PingFrame:
			w.keep(&http2.PingFrame{FrameHeader: f.FrameHeader, Data: f.Data})
		case *http2.GoAwayFrame:
			w.keep(&http2.GoAwayFrame{FrameHeader: f.FrameHeader, LastStreamID: f.LastStreamID, ErrCode: f.ErrCode})
		case *http2.WindowUpdateFrame:
			w.keep(&http2.WindowUpdateFrame{FrameHeader: f.FrameHeader, Increment: f.Increment})
		case *http2.RSTStreamFrame:
			w.keep(&http2.RSTStreamFrame{FrameHeader: f.FrameHeader, ErrCode: f.ErrCode})
		}
	}
}

type dataFrame struct {
	http2.FrameHeader
	data []byte
}

type headersFrame struct {
	http2.FrameHeader
	fields []hpack.HeaderField
}

func (h *headersFrame) get(name string) string {
	for _, f := range h.fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func (w *wire) keep(f http2.Frame) { w.frames <- append(<-w.frames, f) }

// got waits until nothing more happens and returns the frames since the last time.
func (w *wire) got() []http2.Frame {
	synctest.Wait()
	frames := <-w.frames
	w.frames <- nil
	return frames
}

func (w *wire) must(err error) {
	w.t.Helper()
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		w.t.Fatal(err)
	}
}

func (w *wire) raw(s string) {
	w.t.Helper()
	_, err := io.WriteString(w.nc, s)
	w.must(err)
}

// encode returns a header block of lines "name: value".
func (w *wire) encode(lines ...string) []byte {
	w.block.Reset()
	for _, line := range lines {
		name, value, _ := strings.Cut(line[1:], ": ")
		w.must(w.enc.WriteField(hpack.HeaderField{Name: line[:1] + name, Value: value}))
	}
	return bytes.Clone(w.block.Bytes())
}

// request are the lines of a plain request.
func request(method, path string, more ...string) []string {
	return append([]string{":method: " + method, ":scheme: http", ":authority: shop.test", ":path: " + path}, more...)
}

func (w *wire) headers(stream uint32, end bool, lines ...string) {
	w.t.Helper()
	w.must(w.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: w.encode(lines...), EndStream: end, EndHeaders: true,
	}))
}

func (w *wire) get(stream uint32, path string) {
	w.t.Helper()
	w.headers(stream, true, request("GET", path)...)
}

// answer is what came for a stream.
type answer struct {
	status   string
	body     string
	ended    bool
	reset    string // the error code; empty: there was no RST_STREAM
	interim  []string
	trailers []hpack.HeaderField
}

// text is the content, also of nothing.
func (a *answer) text() string {
	if a == nil {
		return ""
	}
	return a.body
}

// answers sorts frames by their streams; ends is the error code of a GOAWAY that isn't NO_ERROR.
func answers(frames []http2.Frame) (streams map[uint32]*answer, ends string) {
	streams = map[uint32]*answer{}
	for _, f := range frames {
		id := f.Header().StreamID
		a := streams[id]
		if a == nil {
			a = &answer{}
			streams[id] = a
		}
		switch f := f.(type) {
		case *headersFrame:
			status := f.get(":status")
			switch {
			case strings.HasPrefix(status, "1"):
				a.interim = append(a.interim, status)
			case status == "":
				a.trailers = f.fields
			default:
				a.status = status
			}
			a.ended = f.Flags.Has(http2.FlagHeadersEndStream)
		case *dataFrame:
			a.body += string(f.data)
			a.ended = f.Flags.Has(http2.FlagDataEndStream)
		case *http2.RSTStreamFrame:
			a.reset = f.ErrCode.String()
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				ends = f.ErrCode.String()
			}
		}
	}
	return streams, ends
}

// isClosed says whether the server has closed the connection.
func (w *wire) isClosed() bool {
	synctest.Wait()
	select {
	case <-w.closed:
		return true
	default:
		return false
	}
}

// refused checks what the server has said that it refused.
func (w *wire) refused(whys ...Refusal) {
	w.t.Helper()
	synctest.Wait()
	want := map[Refusal]int{}
	for _, why := range whys {
		want[why]++
	}
	if !maps.Equal(w.counts, want) {
		w.t.Errorf("refusals: %v, want %v", w.counts, want)
	}
}

// frameBytes returns a frame with any header.
func frameBytes(length int, kind, flags byte, stream uint32, payload string) string {
	b := []byte{byte(length >> 16), byte(length >> 8), byte(length), kind, flags}
	return string(binary.BigEndian.AppendUint32(b, stream)) + payload
}

// onLoopback serves handler by ours or by net/http on a socket, until the test ends, and returns a client for it.
func onLoopback(t *testing.T, ours bool, handler http.Handler) (*http.Client, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	quiet := log.New(io.Discard, "", 0)
	var serving sync.WaitGroup
	stop := func() {}
	if ours {
		s := New(Options{Handler: handler, Limits: testLimits(), ErrorLog: quiet})
		serving.Go(func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				serving.Go(func() { s.ServeConn(Peer{Conn: Eagerly(nc, nc), Context: context.Background()}) })
			}
		})
		stop = func() { l.Close(); s.Close() }
	} else {
		s := &http.Server{Handler: handler, Protocols: &protocols, ErrorLog: quiet}
		serving.Go(func() { _ = s.Serve(l) })
		stop = func() { s.Close() }
	}
	transport := &http.Transport{Protocols: &protocols, DisableCompression: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		serving.Wait()
	})
	return &http.Client{Transport: transport}, "http://" + l.Addr().String()
}

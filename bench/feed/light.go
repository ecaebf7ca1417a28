package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/feed/tree"
)

const (
	logStream, reportStream = 1, 3
	// windowBytes is more than a subscriber gets in a run, so that it never has to open its window.
	windowBytes = 1 << 30
	// coalesceTime is how long an urgent report waits for more, as in feed/tree.
	coalesceTime = 5 * time.Millisecond
	// A node that has just reported doesn't answer a beat, as in feed/tree.
	againTime = 500 * time.Millisecond
	dialTime  = 30 * time.Second
	// silenceTime is after how long without a beat a subscriber gives its relay up. Here it is longer than a node's 3 s: all nodes of the
	// network share the machine's processors.
	silenceTime = 10 * time.Second
)

// link is a subscriber's connection: HTTP/2 with two streams, in one goroutine that reads.
type link struct {
	conn   *tls.Conn
	framer *http2.Framer
	data   []byte // of the log, from the last frame

	mu     sync.Mutex // protects what is written, and what follows
	report feed.Report
	sent   time.Time
	timer  *time.Timer // runs for an urgent report
}

// dial connects to a relay and asks for what comes after a position.
func dial(ctx context.Context, identity *tls.Config, address string, after feed.Position) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	plain, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	l := &link{conn: tls.Client(plain, identity)}
	if err := l.conn.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, err
	}
	l.framer = http2.NewFramer(l.conn, l.conn)
	l.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := l.ask(address, after); err != nil {
		plain.Close()
		return nil, err
	}
	return l, nil
}

func (l *link) ask(address string, after feed.Position) error {
	if _, err := l.conn.Write([]byte(http2.ClientPreface)); err != nil {
		return err
	}
	return errors.Join(
		l.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: windowBytes}),
		l.framer.WriteWindowUpdate(0, windowBytes),
		l.request(logStream, "GET", address, "/feed/v1/log?after="+after.String()),
	)
}

func (l *link) request(stream uint32, method, authority, path string) error {
	var block writer
	e := hpack.NewEncoder(&block)
	for _, f := range [...][2]string{{":method", method}, {":scheme", "https"}, {":authority", authority}, {":path", path}} {
		e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return l.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: true, EndStream: method == "GET"})
}

type writer []byte

func (w *writer) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

// Read returns the log's bytes as they come, and does what HTTP/2 asks for meanwhile.
func (l *link) Read(p []byte) (int, error) {
	for len(l.data) == 0 {
		l.conn.SetReadDeadline(time.Now().Add(silenceTime))
		f, err := l.framer.ReadFrame()
		if err != nil {
			return 0, err
		}
		if err := l.take(f); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.data)
	l.data = l.data[n:]
	return n, nil
}

func (l *link) take(f http2.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch f := f.(type) {
	case *http2.DataFrame:
		if f.StreamID == logStream {
			l.data = f.Data()
		}
	case *http2.MetaHeadersFrame:
		if s := f.PseudoValue("status"); s != "200" || f.StreamID != logStream {
			return fmt.Errorf("stream %d was answered %s", f.StreamID, s)
		}
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return l.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return l.framer.WritePing(true, f.Data)
		}
	case *http2.RSTStreamFrame:
		return fmt.Errorf("stream %d was reset: %s", f.StreamID, f.ErrCode)
	case *http2.GoAwayFrame:
		return fmt.Errorf("the relay went away: %s", f.ErrCode)
	}
	return nil
}

// has lets what the subscriber has be reported soon.
func (l *link) has(p feed.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.Position = p
	if l.timer == nil {
		l.timer = time.AfterFunc(coalesceTime, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.timer = nil
			l.send()
		})
	}
}

// beat answers a beat.
func (l *link) beat() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.sent) >= againTime {
		l.send()
	}
}

// send sends the report. It is smaller than any window, and the relay reads at once, so windows aren't counted. A connection that is
// broken is found by who reads. l.mu is held.
func (l *link) send() {
	l.sent = time.Now()
	l.report.Count, l.report.At = l.report.Count+1, l.sent
	text, err := json.Marshal(&l.report)
	if err != nil {
		return
	}
	frame, err := tree.AppendReports(nil, text)
	if err == nil {
		l.framer.WriteData(reportStream, false, frame)
	}
}

// begin begins the stream of reports; the log's must be there.
func (l *link) begin(address, name, parent string, count uint64, p feed.Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report = feed.Report{
		Node: config.NodeID(name), Boot: "1", Count: count, Started: time.Now(), Version: "bench", Roles: []feed.Role{feed.RoleEdge}, Config: "1",
		Parent: config.NodeID(parent), Position: p, Doors: map[string]string{"http": "127.0.0.1:80", "https": "127.0.0.1:443"},
	}
	if err := l.request(reportStream, "POST", address, "/feed/v1/reports"); err != nil {
		return err
	}
	l.send()
	return nil
}

// close ends the connection, and returns how many reports were sent.
func (l *link) close() uint64 {
	l.conn.NetConn().Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	return l.report.Count
}

package tree

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// The paths of the handler.
const (
	pathLog        = "/feed/v1/log"
	pathHello      = "/feed/v1/hello"
	pathObjects    = "/feed/v1/objects/"
	pathCheckpoint = "/feed/v1/checkpoint"
	pathReports    = "/feed/v1/reports"
)

const (
	// silenceMax is how long a parent may say nothing; it says something every second.
	silenceMax = 3 * time.Second
	// frameTimeMax is how long one frame may take, whatever trickles in.
	frameTimeMax = 2 * time.Minute
	refusalMax   = 64 << 10
)

var (
	errSilent = errors.New("it has said nothing for too long")
	errForged = errors.New("not what control has signed")
)

// Redirect is a child of a node that has no place left.
type Redirect struct {
	Node    config.NodeID `json:"node"`
	Address string        `json:"address"` // HOST:PORT
}

// refusal is what a node answers that doesn't take a child, or its reports.
type refusal struct {
	Status   int           `json:"-"`
	Node     config.NodeID `json:"node"`
	Why      string        `json:"why"`
	Children []Redirect    `json:"children,omitempty"` // who may have a place instead
}

func (r *refusal) Error() string { return fmt.Sprintf("%s answers %d: %s", r.Node, r.Status, r.Why) }

// Decoder reads a log: a Hello, then frames.
type Decoder struct{ in *bufio.Reader }

// NewDecoder returns a Decoder that reads ahead from r, a little.
func NewDecoder(r io.Reader) *Decoder { return &Decoder{bufio.NewReaderSize(r, 4<<10)} }

// Hello reads what a log begins with.
func (d *Decoder) Hello() (h Hello, err error) {
	kind, payload, err := readFrame(d.in)
	if err != nil {
		return h, err
	}
	if kind != KindHello {
		return h, fmt.Errorf("%w: it begins with kind %d", errFrame, kind)
	}
	return h, parseHello(payload, &h)
}

// Next waits for the next frame.
func (d *Decoder) Next() (Frame, error) {
	kind, payload, err := readFrame(d.in)
	if err != nil {
		return Frame{}, err
	}
	return parseFrame(kind, payload)
}

// more says whether a part of the next frame is here already.
func (d *Decoder) more() bool { return d.in.Buffered() > 0 }

// Stream is the log of a parent as it comes.
type Stream struct {
	*Decoder
	Hello Hello

	ctx      context.Context // its cause says why the stream was ended, if it was
	response *http.Response
	body     io.ReadCloser
	watch    *watchdog
	cancel   context.CancelCauseFunc
}

// watchdog cancels what is silent.
type watchdog struct {
	body  io.Reader
	timer *time.Timer
}

func (w *watchdog) Read(p []byte) (int, error) {
	n, err := w.body.Read(p)
	if n > 0 {
		w.timer.Reset(silenceMax)
	}
	return n, err
}

// OpenLog asks the node at address (HOST:PORT) for what comes after a position. It fails if there is no Hello within 3 s. The stream
// must be closed.
func OpenLog(ctx context.Context, transport http.RoundTripper, address string, after feed.Position) (*Stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &Stream{ctx: ctx, watch: &watchdog{timer: time.AfterFunc(silenceMax, func() { cancel(errSilent) })}, cancel: cancel}
	err := s.open(ctx, transport, address, after)
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
			err = cause
		}
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stream) open(ctx context.Context, transport http.RoundTripper, address string, after feed.Position) error {
	response, err := get(ctx, transport, address, pathLog, url.Values{"after": {after.String()}})
	if err != nil {
		return err
	}
	s.response, s.body, s.watch.body = response, response.Body, response.Body
	s.Decoder = NewDecoder(s.watch)
	s.Hello, err = s.Decoder.Hello()
	return err
}

func parseHello(text []byte, to *Hello) error {
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	if err := checkPath(to.Path); err != nil {
		return err
	}
	if to.Path[0] != to.Node {
		return fmt.Errorf("%w: the path of %s begins with %s", errFrame, to.Node, to.Path[0])
	}
	return nil
}

// Next waits for the next frame. An error ends the stream.
func (s *Stream) Next() (Frame, error) {
	limit := time.AfterFunc(frameTimeMax+silenceMax, func() { s.cancel(errSilent) })
	defer limit.Stop()
	return s.Decoder.Next()
}

// Close ends the stream.
func (s *Stream) Close() {
	s.watch.timer.Stop()
	s.cancel(context.Canceled)
	if s.body != nil {
		s.body.Close()
	}
}

// get asks a node. An answer other than 200 is a *refusal.
func get(ctx context.Context, transport http.RoundTripper, address, path string, query url.Values) (*http.Response, error) {
	target := url.URL{Scheme: "https", Host: address, Path: path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	return nil, readRefusal(response)
}

func readRefusal(response *http.Response) error {
	r := &refusal{Status: response.StatusCode}
	text, err := io.ReadAll(io.LimitReader(response.Body, refusalMax))
	if err != nil {
		return err
	}
	if json.Unmarshal(text, r) != nil || len(r.Node) > nameMax || len(r.Why) > 1024 {
		r = &refusal{Status: response.StatusCode, Why: "no reason given"}
	}
	r.Children = r.Children[:min(len(r.Children), redirectsMax)]
	return r
}

// ReportStream carries reports to a parent.
type ReportStream struct {
	pipe   *io.PipeWriter
	ended  chan struct{}
	err    error // valid when ended is closed
	cancel context.CancelFunc
}

func (s *ReportStream) serve(ctx context.Context, transport http.RoundTripper, address string, body io.ReadCloser) {
	defer close(s.ended)
	s.err = postReports(ctx, transport, address, body)
	body.Close() // a Send that waits returns
}

// OpenReports begins a stream of reports to the node at address. run must be run in a goroutine of the caller's; it returns when the
// stream has ended, because of Close, of ctx, or of the node.
func OpenReports(ctx context.Context, transport http.RoundTripper, address string) (s *ReportStream, run func()) {
	ctx, cancel := context.WithCancel(ctx)
	body, pipe := io.Pipe()
	s = &ReportStream{pipe: pipe, ended: make(chan struct{}), cancel: cancel}
	return s, func() { s.serve(ctx, transport, address, body) }
}

func postReports(ctx context.Context, transport http.RoundTripper, address string, body io.ReadCloser) error {
	target := url.URL{Scheme: "https", Host: address, Path: pathReports}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), body)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return readRefusal(response)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, refusalMax))
	return err
}

// Send sends reports, each a feed.Report in JSON. It waits while the connection takes nothing; Close ends that.
func (s *ReportStream) Send(reports ...[]byte) error {
	frames, err := AppendReports(nil, reports...)
	if err == nil {
		_, err = s.pipe.Write(frames)
	}
	return err
}

// AppendReports appends reports as they are sent, each a feed.Report in JSON.
func AppendReports(to []byte, reports ...[]byte) ([]byte, error) {
	for _, r := range reports {
		if len(r) > reportMax {
			return to, fmt.Errorf("a report of %d bytes: at most %d", len(r), reportMax)
		}
		to = appendFrame(to, KindReport, r)
	}
	return to, nil
}

// Ended is closed when the stream has ended.
func (s *ReportStream) Ended() <-chan struct{} { return s.ended }

// Err says why it ended; only after Ended.
func (s *ReportStream) Err() error { return s.err }

// Close ends the stream.
func (s *ReportStream) Close() {
	s.pipe.Close()
	s.cancel()
}

package edge

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/edge/stall"
	"github.com/wherry/wherry/fault"
)

// requestBody is a client's request body with its limits. It isn't pooled: a transport may go on reading it for a moment after
// the response (http.RoundTripper).
type requestBody struct {
	io.ReadCloser
	limitBytes int64 // 0: none
	stall      time.Duration
	watch      *stall.Watch // on HTTP/2
	read       atomic.Int64
	failure    atomic.Pointer[bodyFailure] // the first
	whole      atomic.Bool                 // over HTTP/1: it was read to its end

	mu       sync.Mutex // protects what follows
	control  *http.ResponseController
	renewed  time.Time
	finished bool // the request is over: the connection's deadlines are the next one's
}

type bodyFailure struct {
	fault.Error
	why reason
}

// receiveBody puts a requestBody in place of the request's body.
func (x *exchange) receiveBody() {
	limits := &x.routes.snapshot.Limits
	b := &requestBody{ReadCloser: x.r.Body, stall: limits.BodyTimeout, control: http.NewResponseController(x.w.rw)}
	if multiplexed(x.r) {
		b.watch = &stall.Watch{Limit: b.stall, Expire: func() { b.setDeadline(stall.LongAgo()) }}
	} else {
		b.renew() // now, because net/http reads the rest of a body that nobody wanted before it can answer
	}
	x.body = b
	// A copy: net/http looks at the body in its own request to know whether the connection can be used again.
	x.r = x.r.WithContext(x.r.Context())
	x.r.Body = b
}

// Read reads, and waits for bytes no longer than the limit. Its errors are faults of the client.
func (b *requestBody) Read(p []byte) (int, error) {
	if f := b.failure.Load(); f != nil {
		return 0, &f.Error
	}
	n, err := b.readInTime(p)
	total := b.read.Add(int64(n))
	switch {
	case b.limitBytes > 0 && total > b.limitBytes:
		return 0, b.fail(refusedBodySize, http.StatusRequestEntityTooLarge, errors.New("body larger than the site accepts"))
	case err == nil || err == io.EOF || err == http.ErrBodyReadAfterClose:
		return n, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, b.fail(refusedBodyTimeout, http.StatusRequestTimeout, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, b.fail("", fault.StatusClientClosedRequest, err)
	case b.watch == nil && !errors.As(err, new(*net.OpError)): // HTTP/1: the gate, or net/http, can't make out the chunks
		return n, b.fail(refusedMalformed, http.StatusBadRequest, err)
	}
	return n, b.fail("", http.StatusBadRequest, err)
}

func (b *requestBody) readInTime(p []byte) (int, error) {
	if b.watch != nil {
		b.watch.Enter()
		defer b.watch.Leave()
		return b.ReadCloser.Read(p)
	}
	if !b.renew() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.whole.Store(true)
		// net/http watches the connection from here on to see the client leave; our deadline would look like that.
		b.setDeadline(time.Time{})
	}
	return n, err
}

func (b *requestBody) fail(why reason, status int, err error) error {
	f := &bodyFailure{why: why}
	f.Error = fault.Error{Party: fault.Client, Op: "read body", Status: status, Proxy: "http_request_error", Err: err}
	b.failure.CompareAndSwap(nil, f)
	return &b.failure.Load().Error
}

// renew puts the read deadline off, unless it was put off a moment ago. It returns false when the request is over.
func (b *requestBody) renew() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finished {
		return false
	}
	now := time.Now()
	if b.renewed.IsZero() || now.Sub(b.renewed) >= stall.Renewal(b.stall) {
		b.renewed = now
		_ = b.control.SetReadDeadline(now.Add(b.stall + stall.Renewal(b.stall))) // a connection without deadlines is one of a test
	}
	return true
}

func (b *requestBody) setDeadline(at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.finished {
		_ = b.control.SetReadDeadline(at)
	}
}

// finish leaves the connection's deadlines to the next request. One that is set stays, so that net/http's reading of what is
// left of the body ends.
func (b *requestBody) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finished = true
}

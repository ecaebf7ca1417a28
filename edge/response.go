package edge

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/wherry/wherry/edge/ahead"
	"github.com/wherry/wherry/edge/stall"
)

// writeChunkBytes is how much is written under one deadline: a client has to take this much within limits.write_timeout, so the
// limit is one of stalling and not of slowness.
const writeChunkBytes = 64 << 10

// response is the client's ResponseWriter with what the edge wants to know of it. It bounds how long a client may leave it
// unread: see stall.go.
type response struct {
	rw        http.ResponseWriter
	control   http.ResponseController
	requestID []string // the value of RequestIDField
	altSvc    []string // that of Alt-Svc; nil: none

	status    int // of the final response; 0 if none was written
	bodyBytes int64
	firstByte time.Time // when status was written

	stall   time.Duration
	renewed time.Time    // when the deadline was set last
	interim bool         // the client knows 1xx responses: RFC 9110 §15.2, not HTTP/1.0
	endless bool         // the connection knows no deadlines
	streams bool         // HTTP/2 or HTTP/3
	secure  bool         // over TLS
	watch   *stall.Watch // of an HTTP/2 stream that net/http doesn't merely buffer
	reads   *requestBody // which somebody may still read while the response is written, over HTTP/1; nil: nobody does

	opens func() *ahead.Scan // is asked once there is a status; nil: nobody looks at the page
	page  *ahead.Scan        // takes what is written; nil: it isn't looked at
}

// bufferedBytes is how much of a response net/http keeps before it writes: up to there a Write can't wait for the client.
const bufferedBytes = 4 << 10

var (
	_ http.ResponseWriter = (*response)(nil)
	_ http.Flusher        = (*response)(nil)
	_ io.ReaderFrom       = (*response)(nil)
)

func (w *response) begin(rw http.ResponseWriter, r *http.Request, stall time.Duration) {
	w.rw, w.stall, w.streams, w.secure, w.interim = rw, stall, multiplexed(r), r.TLS != nil, r.ProtoAtLeast(1, 1)
	w.control = *http.NewResponseController(rw)
}

// overlap lets an upstream read the request's body while its response is written: over HTTP/1 net/http would take the rest of the body for itself before the response's head.
func (w *response) overlap(b *requestBody) {
	if b != nil && !w.streams && w.control.EnableFullDuplex() == nil {
		w.reads = b
	}
}

// Unwrap lets http.ResponseController find deadlines and hijacking.
func (w *response) Unwrap() http.ResponseWriter { return w.rw }

// Header returns the response's header section.
func (w *response) Header() http.Header { return w.rw.Header() }

// WriteHeader sends a header section. An interim one (1xx, RFC 9110 §15.2) can be followed by others.
func (w *response) WriteHeader(status int) {
	w.renew()
	if status < 200 && status != http.StatusSwitchingProtocols {
		if w.interim {
			w.rw.WriteHeader(status)
		}
		return
	}
	if w.status == 0 {
		w.status, w.firstByte = status, time.Now()
		// Last, so that an id that came with a stored response of another Wherry can't take its place.
		h := w.rw.Header()
		h[RequestIDField] = w.requestID
		if delete(h, "Alt-Svc"); w.altSvc != nil { // an origin's leads past this node
			h["Alt-Svc"] = w.altSvc
		}
		if w.reads != nil && !w.reads.whole.Load() { // net/http doesn't look any more whether the rest is well-formed: no other request comes behind it
			h["Connection"] = []string{"close"}
		}
		if w.opens != nil {
			w.page = w.opens()
		}
	}
	w.rw.WriteHeader(status)
}

// Write sends a part of the body.
func (w *response) Write(p []byte) (n int, err error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	for {
		chunk := p[n:min(n+writeChunkBytes, len(p))]
		if w.page != nil {
			w.page.Write(chunk)
		}
		m, err := w.writeInTime(chunk)
		n += m
		w.bodyBytes += int64(m)
		if err != nil || n >= len(p) {
			return n, err
		}
	}
}

func (w *response) writeInTime(chunk []byte) (int, error) {
	if !w.streams {
		w.renew()
	} else if w.watch != nil || w.bodyBytes+int64(len(chunk)) > bufferedBytes {
		w.enter()
		defer w.watch.Leave()
	}
	return w.rw.Write(chunk)
}

// enter begins to watch a call that may wait for the client to open the stream's window (RFC 9113 §5.2). The watch is not pooled
// with the response: its timer may come late.
func (w *response) enter() {
	if w.watch == nil {
		control := w.control
		w.watch = &stall.Watch{Limit: w.stall, Expire: func() { _ = control.SetWriteDeadline(stall.LongAgo()) }}
	}
	w.watch.Enter()
}

// finish bounds what net/http still has to write when the steps are over.
func (w *response) finish() {
	switch {
	case !w.streams:
		w.renew()
	case w.status != 0:
		_ = w.control.SetWriteDeadline(time.Now().Add(w.stall))
	}
}

// ReadFrom copies src into the body. The source may be slow itself, so that the deadline has to be renewed between reading and
// writing.
func (w *response) ReadFrom(src io.Reader) (n int64, err error) { return io.Copy(writerOnly{w}, src) }

// SendFile sends n bytes of f from off on, the way that the system has for it. ok is false where it has none: nothing was sent.
func (w *response) SendFile(f *os.File, off, n int64) (sent int64, ok bool, err error) {
	from, ok := w.rw.(io.ReaderFrom)
	if !ok || w.streams || w.secure || w.page != nil {
		return 0, false, nil
	}
	own, err := reopen(f)
	if err != nil {
		return 0, false, nil // where the system doesn't know how, it is copied
	}
	defer own.Close()
	if _, err := own.Seek(off, io.SeekStart); err != nil {
		return 0, false, nil
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	for sent < n {
		w.renew()
		want := min(writeChunkBytes, n-sent)
		m, err := from.ReadFrom(&io.LimitedReader{R: own, N: want})
		sent += m
		w.bodyBytes += m
		if err == nil && m < want {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return sent, true, err
		}
	}
	return sent, true, nil
}

// reopen opens the file of f once more: the offset of f is others' too, and net/http can only send from where that stands.
func reopen(f *os.File) (*os.File, error) {
	return os.Open("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
}

// writerOnly hides ReadFrom from io.Copy.
type writerOnly struct{ io.Writer }

// Flush sends what net/http has buffered.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is Flush with the error, as http.ResponseController wants it.
func (w *response) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.streams {
		w.enter()
		defer w.watch.Leave()
	} else {
		w.renew()
	}
	return w.control.Flush()
}

// renew puts the write deadline of an HTTP/1 connection off, unless it was put off a moment ago.
func (w *response) renew() {
	if w.endless || w.streams {
		return
	}
	now := time.Now()
	if !w.renewed.IsZero() && now.Sub(w.renewed) < stall.Renewal(w.stall) {
		return
	}
	w.renewed = now
	w.endless = w.control.SetWriteDeadline(now.Add(w.stall+stall.Renewal(w.stall))) != nil
}

package edge

import (
	"io"
	"net/http"
	"os"
	"time"
)

// writeChunkBytes is how much is written under one deadline: a client has to take this much within limits.write_timeout, so the
// limit is one of stalling and not of slowness.
const writeChunkBytes = 64 << 10

// response is the client's ResponseWriter with what the edge wants to know of it. It bounds how long a client may leave it
// unread by renewing the write deadline with the writes.
type response struct {
	rw        http.ResponseWriter
	control   http.ResponseController
	requestID []string // the value of RequestIDField

	status    int // of the final response; 0 if none was written
	bodyBytes int64
	firstByte time.Time // when status was written

	stall   time.Duration
	renewed time.Time // when the deadline was set last
	endless bool      // the connection knows no deadlines
}

var (
	_ http.ResponseWriter = (*response)(nil)
	_ http.Flusher        = (*response)(nil)
	_ io.ReaderFrom       = (*response)(nil)
)

func (w *response) begin(rw http.ResponseWriter, stall time.Duration) {
	w.rw, w.stall = rw, stall
	w.control = *http.NewResponseController(rw)
}

// Unwrap lets http.ResponseController find deadlines and hijacking.
func (w *response) Unwrap() http.ResponseWriter { return w.rw }

// Header returns the response's header section.
func (w *response) Header() http.Header { return w.rw.Header() }

// WriteHeader sends a header section. An interim one (1xx, RFC 9110 §15.2) can be followed by others.
func (w *response) WriteHeader(status int) {
	w.renew()
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.rw.WriteHeader(status)
		return
	}
	if w.status == 0 {
		w.status, w.firstByte = status, w.renewed
		// Last, so that an id that came with a stored response of another Wherry can't take its place.
		w.rw.Header()[RequestIDField] = w.requestID
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
		w.renew()
		m, err := w.rw.Write(chunk)
		n += m
		w.bodyBytes += int64(m)
		if err != nil || n >= len(p) {
			return n, err
		}
	}
}

// ReadFrom copies src into the body. A file goes the way that the system has for it; any other source may be slow itself, so
// that the deadline has to be renewed between reading and writing.
func (w *response) ReadFrom(src io.Reader) (n int64, err error) {
	from, ok := w.rw.(io.ReaderFrom)
	if _, isFile := src.(*os.File); !ok || !isFile {
		return io.Copy(writerOnly{w}, src)
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	for {
		w.renew()
		m, err := from.ReadFrom(&io.LimitedReader{R: src, N: writeChunkBytes})
		n += m
		w.bodyBytes += m
		if err != nil || m < writeChunkBytes {
			return n, err
		}
	}
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
	w.renew()
	return w.control.Flush()
}

// renew puts the write deadline off, unless it was put off a moment ago: on HTTP/2 that costs a turn of the connection's loop.
// The eighth is added to the deadline, so that no silence shorter than the limit is cut.
func (w *response) renew() {
	now := time.Now()
	if w.endless || !w.renewed.IsZero() && now.Sub(w.renewed) < w.stall/8 {
		return
	}
	w.renewed = now
	if w.stall > 0 && w.control.SetWriteDeadline(now.Add(w.stall+w.stall/8)) != nil {
		w.endless = true
	}
}

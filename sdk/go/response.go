package wherry

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// response is an http.ResponseWriter and http.Flusher.
type response struct {
	stream  *stream
	request *http.Request
	header  http.Header
	status  int    // 0: not said yet
	body    []byte // not sent yet
	sent    bool   // the head
	chunked bool
	err     error // of sending
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Only the first final status counts; informational ones aren't sent.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
}

// bodyless is for responses that have no content (RFC 9110 §6.4.1).
func (w *response) bodyless() bool {
	return w.status == http.StatusNoContent || w.status == http.StatusNotModified
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.bodyless() {
		return 0, http.ErrBodyNotAllowed
	}
	w.body = append(w.body, p...)
	if len(w.body) > pieceMax {
		w.Flush()
	}
	return len(p), w.err
}

// Flush implements http.Flusher: it sends what there is of a response that goes on.
func (w *response) Flush() {
	w.WriteHeader(http.StatusOK)
	if w.request.Method == http.MethodHead || w.bodyless() {
		return
	}
	if !w.sent {
		if w.chunked = w.header.Get("Content-Length") == ""; w.chunked {
			w.header.Set("Transfer-Encoding", "chunked") // RFC 9112 §7.1
		}
		w.head()
	}
	w.piece()
	w.err = errors.Join(w.err, w.stream.flush())
}

func (w *response) piece() {
	switch {
	case len(w.body) == 0: // as a chunk it would be the last
	case w.chunked:
		fmt.Fprintf(&w.stream.out, "%x\r\n%s\r\n", len(w.body), w.body)
	default:
		w.stream.out.Write(w.body)
	}
	w.body = w.body[:0]
}

// finish says the rest, which goes with the next Read, or now if it is much: of requests that came together.
func (w *response) finish() error {
	w.WriteHeader(http.StatusOK)
	if !w.sent {
		w.measure()
		w.head()
	}
	if w.request.Method != http.MethodHead {
		w.piece()
	}
	if w.chunked {
		w.stream.out.WriteString("0\r\n\r\n")
	}
	if w.stream.out.Len() > pieceMax {
		w.err = errors.Join(w.err, w.stream.flush())
	}
	return w.err
}

// measure sets what is known when the response is whole.
func (w *response) measure() {
	w.header.Del("Transfer-Encoding")
	switch {
	case w.bodyless():
		w.header.Del("Content-Length") // RFC 9110 §8.6
	case w.request.Method != http.MethodHead || w.header.Get("Content-Length") == "":
		w.header.Set("Content-Length", strconv.Itoa(len(w.body)))
	}
}

func (w *response) head() {
	w.sent = true
	if _, ok := w.header["Content-Type"]; !ok && len(w.body) > 0 && w.header.Get("Content-Encoding") == "" {
		w.header.Set("Content-Type", http.DetectContentType(w.body))
	}
	fmt.Fprintf(&w.stream.out, "HTTP/1.1 %03d %s\r\n", w.status, http.StatusText(w.status))
	_ = w.header.Write(&w.stream.out) // takes all
	w.stream.out.WriteString("\r\n")
}

package h2

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bufferBytes is how much of a response is kept until it is known whether more follows, as net/http does.
const bufferBytes = 4 << 10

// responseWriter is what a handler writes its response to. It belongs to the handler's goroutine; deadlines may be set by others.
type responseWriter struct {
	s      *stream
	c      *conn
	head   bool // the request's method is HEAD
	header http.Header

	status  int    // of the final response; 0 until WriteHeader
	block   []byte // its header block, as far as WriteHeader knew
	dated   bool   // block has Date
	typed   bool   // block has Content-Type, or the content has a coding that hides it
	length  int64  // Content-Length; -1 if there is none
	trailer []string
	begun   bool    // the header section has been sent
	written int64   // bytes of content by the handler
	buf     *[]byte // content that is kept; nil as long as there is none
	ended   bool    // finish was called
}

var (
	_ http.ResponseWriter = (*responseWriter)(nil)
	_ http.Flusher        = (*responseWriter)(nil)
	_ io.StringWriter     = (*responseWriter)(nil)
)

func (w *responseWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Interim responses (1xx, RFC 9110 §15.2) are sent at once.
func (w *responseWriter) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("invalid WriteHeader code " + strconv.Itoa(status)) // as net/http does
	}
	if w.status != 0 || w.ended {
		w.c.server.log.Printf("http2: superfluous response.WriteHeader call")
		return
	}
	if status < 200 {
		if status != http.StatusSwitchingProtocols { // RFC 9113 §8.6
			_ = w.send(w.appendFields(AppendStatus(nil, status), false), nil, false) // a client that left is seen later
		}
		return
	}
	if strings.EqualFold(w.header.Get("Connection"), "close") {
		w.c.drain() // there is no such field in HTTP/2; this is what comes nearest
	}
	w.status = status
	w.block = w.appendFields(AppendStatus(make([]byte, 0, 256), status), true)
	_, w.dated = w.header["Date"]
	_, typed := w.header["Content-Type"]
	w.typed = typed || w.header.Get("Content-Encoding") != ""
	for _, v := range w.header["Trailer"] {
		for name := range announcing(nil, v) {
			w.trailer = append(w.trailer, name)
		}
	}
}

// appendFields appends the header section's fields. Content-Length is for the final response.
func (w *responseWriter) appendFields(dst []byte, final bool) []byte {
	for name, values := range w.header {
		if name == "Content-Length" {
			if final && len(values) == 1 {
				if w.length = parseLength(values[0]); w.length >= 0 {
					dst = AppendField(dst, "content-length", values[0])
				}
			}
			continue
		}
		if !strings.HasPrefix(name, http.TrailerPrefix) {
			dst = AppendLines(dst, name, values)
		}
	}
	return dst
}

// bodyless says whether a response with this status has no content (RFC 9110 §6.4.1).
func bodyless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified
}

// Write implements io.Writer.
func (w *responseWriter) Write(p []byte) (int, error) {
	if w.ended {
		return 0, errReturned
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if bodyless(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p))
	if w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	if w.buf == nil {
		w.buf = w.c.server.bufs.Get().(*[]byte)
	}
	if room := cap(*w.buf) - len(*w.buf); len(p) <= room {
		*w.buf = append(*w.buf, p...)
		return len(p), nil
	}
	if w.head { // what doesn't fit says nothing about its length
		return len(p), w.flush()
	}
	n := 0
	if len(*w.buf) > 0 {
		n = cap(*w.buf) - len(*w.buf)
		*w.buf = append(*w.buf, p[:n]...)
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	rest := p[n:]
	end := len(rest)
	if w.written == w.length || end <= cap(*w.buf) {
		end = max(0, end-cap(*w.buf)) // what ends the content goes with the end of the stream
	}
	if end > 0 {
		if err := w.send(w.open(rest, false), rest[:end], false); err != nil {
			return n, err
		}
	}
	*w.buf = append(*w.buf, rest[end:]...)
	return len(p), nil
}

// WriteString implements io.StringWriter.
func (w *responseWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// Flush sends what is kept.
func (w *responseWriter) Flush() { _ = w.FlushError() }

// FlushError is Flush with the error, as http.ResponseController wants it.
func (w *responseWriter) FlushError() error {
	if w.ended {
		return errReturned
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.flush()
}

func (w *responseWriter) flush() error {
	var kept []byte
	if w.buf != nil {
		kept = *w.buf
		defer func() { *w.buf = (*w.buf)[:0] }()
	}
	return w.send(w.open(kept, false), w.content(kept), false)
}

// content returns what of the content is sent.
func (w *responseWriter) content(p []byte) []byte {
	if w.head {
		return nil
	}
	return p
}

// open returns the header block if it hasn't been sent, with what the content first sent tells. all says that there is no more.
func (w *responseWriter) open(content []byte, all bool) []byte {
	if w.begun {
		return nil
	}
	w.begun = true
	if all && w.length < 0 && !bodyless(w.status) && (len(content) > 0 || !w.head) {
		w.length = int64(len(content))
		w.block = AppendField(w.block, "content-length", strconv.Itoa(len(content)))
	}
	if !w.typed && len(content) > 0 {
		w.block = AppendField(w.block, "content-type", http.DetectContentType(content))
	}
	if !w.dated {
		w.block = AppendField(w.block, "date", time.Now().UTC().Format(http.TimeFormat)) // RFC 9110 §6.6.1
	}
	return w.block
}

// send sends a header block, if there is one, and content. It waits until the content has been copied; the last content, of a buffer
// that the stream owns from then on, isn't waited for.
func (w *responseWriter) send(block, content []byte, last bool) error {
	s, c := w.s, w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.next.out) >= batchBytes && c.writing && s.err == nil {
		c.wrote.Wait()
	}
	if s.err != nil {
		return s.err
	}
	s.progress, s.begun = c.server.now(), w.begun
	empty := last && len(content) == 0
	if block != nil {
		begin, flags := c.openHeaders(), byte(0)
		if empty && s.last == nil {
			flags = flagEndStream
		}
		c.next.out = closeHeaders(append(c.next.out, block...), begin, s.id, flags)
	} else if empty && s.last == nil {
		c.next.out = appendFrameHeader(c.room(), 0, frameData, flagEndStream, s.id)
	}
	s.queued, s.ending = content, last
	if last {
		return nil // run ends the stream
	}
	c.enqueue(s)
	c.flush()
	for len(s.queued) > 0 && s.err == nil {
		s.cond.Wait()
	}
	if len(s.queued) > 0 {
		s.queued = nil
		return s.err
	}
	return nil
}

// finish sends the rest when the handler has returned.
func (w *responseWriter) finish() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.ended = true
	var kept []byte
	if w.buf != nil {
		kept = *w.buf
	}
	trailers := w.trailers()
	w.c.mu.Lock()
	w.s.last = trailers
	w.c.takeRest(w.s)
	w.c.mu.Unlock()
	block := w.open(kept, true)
	if w.length > w.written && !w.head && !bodyless(w.status) {
		w.cutShort()
		return
	}
	err := w.send(block, w.content(kept), true)
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if w.buf != nil {
		if w.s.buf = w.buf; err != nil || w.s.err != nil {
			w.s.release()
		}
	}
	w.c.enqueue(w.s)
}

// cutShort resets a stream with less content than it was said to have.
func (w *responseWriter) cutShort() {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if w.s.err == nil {
		w.c.reset(w.s.id, codeInternal, errors.New("less content than Content-Length says"))
	}
}

// trailers returns the block of the trailers: those announced, and those with http.TrailerPrefix.
func (w *responseWriter) trailers() []byte {
	var block []byte
	for _, name := range w.trailer {
		values, ok := w.header[http.TrailerPrefix+name]
		if !ok {
			values = w.header[name]
		}
		block = AppendLines(block, name, values)
	}
	for name, values := range w.header {
		if rest, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && !slices.Contains(w.trailer, rest) {
			block = AppendLines(block, rest, values)
		}
	}
	return block
}

// SetReadDeadline is for http.ResponseController: reading the request's content fails from then on.
func (w *responseWriter) SetReadDeadline(at time.Time) error {
	s, c := w.s, w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err == nil {
		s.reading.set(&c.mu, at, s.cond.Broadcast)
	}
	return nil
}

// SetWriteDeadline is for http.ResponseController: a response that isn't sent by then is reset.
func (w *responseWriter) SetWriteDeadline(at time.Time) error {
	s, c := w.s, w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err == nil && !s.answered {
		s.writing.set(&c.mu, at, s.expire)
	}
	return nil
}

// EnableFullDuplex is for http.ResponseController: HTTP/2 is full duplex.
func (w *responseWriter) EnableFullDuplex() error { return nil }

package exchange

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// bufferBytes is how much of a response is kept until it is known whether more follows, as net/http does for HTTP/1.1.
const bufferBytes = 2 << 10

// scratch is what a response needs as long as it is written.
type scratch struct {
	content []byte // that is kept
	out     []byte // what is written next
	fields  []field
}

var scratches = sync.Pool{New: func() any { return &scratch{content: make([]byte, 0, bufferBytes)} }}

// response is what a handler writes its response to. It belongs to the handler's goroutine; deadlines may be set by others, and
// askOn may come from who reads the content.
type response struct {
	answer *answer
	r      *http.Request
	head   bool // the request's method is HEAD
	header http.Header
	*scratch

	status  int   // of the final response; 0 until WriteHeader
	length  int64 // Content-Length; -1 if there is none
	dated   bool  // the header section has Date
	typed   bool  // it has Content-Type, or the content has a coding that hides it
	trailer []string
	kind    kind  // of the header section, once it was sent
	written int64 // bytes of content by the handler
	ended   bool

	sending sync.Mutex // protects begun
	begun   bool       // the header section has been sent
}

var (
	_ http.ResponseWriter = (*response)(nil)
	_ http.Flusher        = (*response)(nil)
	_ http.Hijacker       = (*response)(nil)
	_ io.StringWriter     = (*response)(nil)
)

var errReturned = errors.New("the handler has returned")

func newResponse(x *answer, r *http.Request) *response {
	return &response{
		answer: x, r: r, head: r.Method == http.MethodHead, header: http.Header{}, length: -1, scratch: scratches.Get().(*scratch),
	}
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Interim responses (1xx, RFC 9110 §15.2) are sent at once.
func (w *response) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("invalid WriteHeader code " + strconv.Itoa(status)) // as net/http does
	}
	switch {
	case w.status != 0 || w.ended || w.answer.conn != nil:
		w.answer.service.log().Warn("superfluous WriteHeader", "status", status)
	case status >= 200 || status == http.StatusSwitchingProtocols && w.asksFor() != "":
		w.setStatus(status)
	case status != http.StatusSwitchingProtocols:
		_ = w.interim(status, w.header) // a peer that left is seen later
	}
}

// asksFor returns the protocol that the request asks for; "" if it is HTTP.
func (w *response) asksFor() string { return w.r.Header.Get("Upgrade") }

// interim sends an interim response.
func (w *response) interim(status int, h http.Header) error {
	section := plainSection(func(e *encoder) {
		e.add(":status", strconv.Itoa(status))
		for name, values := range h {
			if name != "Content-Length" && checkFields(http.Header{name: values}) == nil {
				e.addValues(name, values)
			}
		}
	})
	w.sending.Lock()
	defer w.sending.Unlock()
	if w.begun {
		return nil
	}
	_, err := w.answer.stream.Write(appendFrame(nil, kindInterim, section))
	return err
}

// askOn tells a peer that waits for it to send the content.
func (w *response) askOn() { _ = w.interim(http.StatusContinue, nil) }

// setStatus takes the header section as it is now.
func (w *response) setStatus(status int) {
	w.status = status
	w.fields = w.fields[:0]
	for name, values := range w.header {
		name = canonical(name)
		switch {
		case name == "Content-Length":
			if len(values) == 1 {
				w.length = parseLength(values[0])
			}
			continue
		case ofHop(name) || strings.HasPrefix(name, http.TrailerPrefix) || !isMade(name, inToken):
			continue // what can't be sent is left out
		case name == "Date":
			w.dated = true
		case name == "Content-Type" || name == "Content-Encoding":
			w.typed = true
		case name == "Trailer":
			for _, v := range values {
				for name := range announce(nil, v) {
					w.trailer = append(w.trailer, name)
				}
			}
		}
		for _, v := range values {
			if v = trim(v); validValue(v) {
				w.fields = append(w.fields, field{name, v})
			}
		}
	}
	if u, ok := urgency(w.header["Priority"]); ok {
		w.answer.stream.SetPriority(u) // RFC 9218 §8
	}
}

// Write implements io.Writer.
func (w *response) Write(p []byte) (int, error) {
	switch {
	case w.ended:
		return 0, errReturned
	case w.answer.conn != nil:
		return 0, http.ErrHijacked
	case w.status == 0:
		w.WriteHeader(http.StatusOK)
	}
	if bodylessStatus(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if w.written += int64(len(p)); w.length >= 0 && w.written > w.length && !w.opened() {
		return 0, http.ErrContentLength
	}
	if len(w.content)+len(p) <= bufferBytes {
		w.content = append(w.content, p...)
		return len(p), nil
	}
	if w.head { // what doesn't fit says nothing about its length
		return len(p), w.send(p)
	}
	if len(w.content) > 0 {
		if err := w.flush(); err != nil {
			return 0, err
		}
		if len(p) <= bufferBytes {
			w.content = append(w.content, p...)
			return len(p), nil
		}
	}
	if err := w.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteString implements io.StringWriter.
func (w *response) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// canOpen says whether the request asks for something else on its stream.
func (w *response) canOpen() bool { return w.r.Method == http.MethodConnect || w.asksFor() != "" }

// opened says whether the stream carries something else behind the header section.
func (w *response) opened() bool {
	if w.asksFor() != "" {
		return w.status == http.StatusSwitchingProtocols
	}
	return w.r.Method == http.MethodConnect && w.status/100 == 2
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is Flush with the error, as http.ResponseController wants it.
func (w *response) FlushError() error {
	switch {
	case w.ended:
		return errReturned
	case w.answer.conn != nil:
		return http.ErrHijacked
	case w.status == 0:
		w.WriteHeader(http.StatusOK)
	}
	return w.flush()
}

func (w *response) flush() error {
	err := w.send(w.content)
	w.content = w.content[:0]
	return err
}

// send sends the header section, if that hasn't been sent, and content, of which there may be more.
func (w *response) send(content []byte) error {
	w.out = w.open(w.out[:0], content, false)
	if w.head || bodylessStatus(w.status) {
		content = nil
	}
	if len(content) > 0 && w.kind == kindFramed {
		w.out = appendInt(append(w.out, byte(kindContent)), uint64(len(content)))
	}
	if len(content) <= bufferBytes {
		w.out, content = append(w.out, content...), nil
	}
	return w.write(content)
}

// write writes out, and content behind it.
func (w *response) write(content []byte) error {
	if len(w.out) > 0 {
		if _, err := w.answer.stream.Write(w.out); err != nil {
			return err
		}
	}
	if len(content) == 0 {
		return nil
	}
	_, err := w.answer.stream.Write(content)
	return err
}

// open appends the header section, if it hasn't been sent, with what the content first sent tells. all says that there is no more.
func (w *response) open(out, content []byte, all bool) []byte {
	w.sending.Lock()
	begun := w.begun
	w.begun = true
	w.sending.Unlock()
	if begun {
		return out
	}
	bodyless := bodylessStatus(w.status)
	if all && w.length < 0 && !bodyless && !w.opened() && (len(content) > 0 || !w.head) {
		w.length = int64(len(content))
	}
	switch {
	case w.head || bodyless || all && len(content) == 0 && len(w.trailer) == 0 && !w.opened():
		w.kind = kindEmpty
	case w.opened() || w.length >= 0 && len(w.trailer) == 0:
		w.kind = kindRaw
	default:
		w.kind = kindFramed
	}
	return w.answer.service.link.response(out, w.kind, func(e *encoder) { w.encode(e, content) })
}

func (w *response) encode(e *encoder, content []byte) {
	e.add(":status", strconv.Itoa(w.status))
	if w.status == http.StatusSwitchingProtocols {
		protocol := w.header.Get("Upgrade")
		if protocol == "" {
			protocol = w.asksFor()
		}
		e.add(":protocol", protocol)
	}
	for _, f := range w.fields {
		e.add(f.name, f.value)
	}
	if w.length >= 0 && !w.opened() {
		e.add("Content-Length", strconv.FormatInt(w.length, 10))
	}
	if !w.typed && len(content) > 0 && !w.opened() {
		e.add("Content-Type", http.DetectContentType(content))
	}
	if !w.dated {
		e.addDate("Date", time.Now()) // RFC 9110 §6.6.1
	}
}

// finish sends the rest when the handler has returned.
func (w *response) finish() {
	defer w.recycle()
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.ended = true
	trailers := w.trailers()
	w.out = w.open(w.out[:0], w.content, len(trailers) == 0)
	if w.length >= 0 && w.length != w.written && w.kind != kindEmpty && !w.opened() {
		w.answer.stream.Reset(uint64(CodeInternal)) // the content isn't what Content-Length says
		return
	}
	content := w.content
	if w.kind == kindEmpty {
		content = nil
	}
	if len(content) > 0 && w.kind == kindFramed {
		w.out = appendInt(append(w.out, byte(kindContent)), uint64(len(content)))
	}
	w.out = append(w.out, content...)
	if len(trailers) > 0 && w.kind == kindFramed {
		w.out = appendFrame(w.out, kindTrailers, plainSection(func(e *encoder) {
			for _, f := range trailers {
				e.add(f.name, f.value)
			}
		}))
	}
	if w.write(nil) != nil {
		w.answer.stream.Reset(uint64(CodeInternal))
		return
	}
	_ = w.answer.stream.Close() // who gets no end finds that out alone
}

func (w *response) recycle() {
	clear(w.fields)
	w.content, w.out, w.fields = w.content[:0], w.out[:0], w.fields[:0]
	scratches.Put(w.scratch)
	w.scratch = nil
}

// trailers returns those that were announced, and those with http.TrailerPrefix.
func (w *response) trailers() (fields []field) {
	add := func(name string, values []string) {
		for _, v := range values {
			if v = trim(v); validValue(v) && isMade(name, inToken) && !ofHop(name) {
				fields = append(fields, field{name, v})
			}
		}
	}
	for _, name := range w.trailer {
		values, ok := w.header[http.TrailerPrefix+name]
		if !ok {
			values = w.header[name]
		}
		add(name, values)
	}
	for name, values := range w.header {
		if rest, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && !slices.Contains(w.trailer, rest) {
			add(canonical(rest), values)
		}
	}
	return fields
}

// SetReadDeadline is for http.ResponseController.
func (w *response) SetReadDeadline(at time.Time) error { return w.answer.stream.SetReadDeadline(at) }

// SetWriteDeadline is for http.ResponseController.
func (w *response) SetWriteDeadline(at time.Time) error { return w.answer.stream.SetWriteDeadline(at) }

// EnableFullDuplex is for http.ResponseController: it always is.
func (w *response) EnableFullDuplex() error { return nil }

// Hijack implements http.Hijacker for requests that ask for another protocol, and for CONNECT.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, err := w.take()
	if err != nil {
		return nil, nil, err
	}
	h := &hijacked{Conn: conn, w: w}
	return h, bufio.NewReadWriter(bufio.NewReader(h), bufio.NewWriter(h)), nil
}

// take makes a connection of the stream.
func (w *response) take() (*Conn, error) {
	x := w.answer
	switch {
	case !w.canOpen():
		return nil, http.ErrNotSupported // the stream is of this exchange only
	case x.conn != nil || w.status != 0 || w.ended:
		return nil, http.ErrHijacked
	}
	x.parted = make(chan struct{})
	x.conn = newConn(x.stream, x.frames.r, w.r.Host, x.service.session.Peer(), func() { close(x.parted) })
	return x.conn, nil
}

// switchTo sends the header section of a connection that was taken.
func (w *response) switchTo(status int, h http.Header) error {
	if len(h["Transfer-Encoding"]) > 0 || status < 200 && status != http.StatusSwitchingProtocols {
		return fmt.Errorf("a response with status %d and Transfer-Encoding %q can't be sent; write it without hijacking", status, h["Transfer-Encoding"])
	}
	w.header = h
	w.setStatus(status)
	w.dated = true // nothing is added to what a handler writes itself
	w.sending.Lock()
	w.begun = true
	w.sending.Unlock()
	w.out = w.answer.service.link.response(w.out[:0], kindRaw, func(e *encoder) { w.encode(e, nil) })
	return w.write(nil)
}

// TakeOver answers a request that asks for another protocol with 101, or CONNECT with a status of success, and the fields of
// w.Header(), and returns the connection. w is what a handler of Server got, or wraps it with a method Unwrap.
func TakeOver(w http.ResponseWriter, status int) (*Conn, error) {
	for {
		if w, ok := w.(*response); ok {
			conn, err := w.take()
			if err != nil {
				return nil, err
			}
			return conn, w.switchTo(status, w.header)
		}
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil, fmt.Errorf("take over a response of type %T: %w", w, http.ErrNotSupported)
		}
		w = wrapper.Unwrap()
	}
}

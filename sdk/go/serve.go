package wherry

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
)

// Serve has h answer requests, one after another, until the input ends. http.DefaultServeMux answers if h is nil. An error is of the input or output, or says
// that a request can't be read; then the program had better end.
func Serve(h http.Handler) error {
	_ = Warm(http.NotFoundHandler(), "POST / HTTP/1.1\r\nHost: wherry\r\nContent-Length: 1\r\n\r\n.") // what ReadRequest builds once
	return serve(standard, h)
}

// Warm has h answer a request whose answer goes nowhere. Before Serve, it makes what is made once (tables, caches of types) part of the snapshot that
// each call begins with, instead of part of each call: Warm(nil, "POST /cart HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\n{}").
func Warm(h http.Handler, request string) error {
	return serve(&stream{stdin: strings.NewReader(request), stdout: io.Discard, logs: io.Discard}, h)
}

func serve(s *stream, h http.Handler) error {
	if h == nil {
		h = http.DefaultServeMux
	}
	requests := bufio.NewReaderSize(s, inputSize)
	for {
		r, err := http.ReadRequest(requests)
		if errors.Is(err, io.EOF) {
			return s.flush()
		}
		if err != nil {
			s.out.WriteString("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return errors.Join(fmt.Errorf("reading a request: %w", err), s.flush())
		}
		w := &response{stream: s, request: r, header: http.Header{}}
		err = w.ask(h)
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body) // the next request stands behind it
		}
		if err == nil {
			err = w.finish()
		}
		if err != nil {
			return errors.Join(fmt.Errorf("answering %s %s: %w", r.Method, r.RequestURI, err), s.flush())
		}
	}
}

// ask calls h. A panic is 500, if nothing was sent, as it concerns this request alone; with http.ErrAbortHandler, or when a part was sent, the response
// can't be made whole any more.
func (w *response) ask(h http.Handler) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		fmt.Fprintf(Log, "panic answering %s %s: %v\n%s", w.request.Method, w.request.RequestURI, v, debug.Stack())
		if w.sent || v == http.ErrAbortHandler { //nolint:errorlint // it is compared as net/http does
			err = errors.New("the handler panicked")
			return
		}
		w.header, w.body, w.status = http.Header{}, nil, 0
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}()
	h.ServeHTTP(w, w.request)
	return nil
}

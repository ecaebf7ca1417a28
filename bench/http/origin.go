package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	objects   = 16  // different URLs of a hit cell
	missBytes = 200 // body of a miss
	sizeMax   = 1 << 20
)

// site is the origin of all servers: /hit/SIZE/NAME and /miss/NAME, both cacheable for an hour.
type site struct {
	body  []byte
	asked atomic.Int64
}

// answer sends a body of so many bytes.
func (s *site) answer(w http.ResponseWriter, size int) {
	s.asked.Add(1)
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(size))
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("ETag", fmt.Sprintf(`"%d"`, size))
	h.Set("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
	_, _ = w.Write(s.body[:size]) // who has gone needs no answer
}

// startOrigin serves the site on a free port until stop is called.
func startOrigin() (s *site, addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", nil, err
	}
	s = &site{body: bytes.Repeat([]byte("0123456789abcdef"), sizeMax/16)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /miss/{name}", func(w http.ResponseWriter, _ *http.Request) { s.answer(w, missBytes) })
	mux.HandleFunc("GET /hit/{size}/{name}", func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.Atoi(r.PathValue("size"))
		if err != nil || size < 0 || size > sizeMax {
			http.NotFound(w, r)
			return
		}
		s.answer(w, size)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends with ErrServerClosed
	}()
	return s, l.Addr().String(), func() { server.Close(); <-done }, nil
}

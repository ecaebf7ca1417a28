package ahead

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ObjectBytesMax is the largest object that is fetched ahead.
const ObjectBytesMax = 4 << 20

// pageOf takes of a request what is needed later.
func pageOf(r *http.Request, wanted func(*url.URL) (string, bool)) (p Page, err error) {
	p.header, p.remote, p.wanted = http.Header{}, strings.Clone(r.RemoteAddr), wanted
	for _, name := range []string{"User-Agent", "Accept-Encoding", "Accept-Language"} {
		for _, value := range r.Header[name] {
			p.header[name] = append(p.header[name], strings.Clone(value))
		}
	}
	p.url, err = url.Parse(strings.Clone(r.URL.String()))
	return p, err
}

// Request asks for an object of a page, as the page's client would who is not known: with what responses vary by, and nothing of the person's.
func (p *Page) Request(ctx context.Context, o *url.URL) *http.Request {
	r := &http.Request{
		Method: http.MethodGet, Host: o.Host, URL: &url.URL{Path: o.Path, RawPath: o.RawPath, RawQuery: o.RawQuery},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, RequestURI: o.RequestURI(), RemoteAddr: p.remote,
		// Origins may answer that they don't want to (Fetch, "Sec-Purpose").
		Header: http.Header{"Accept": {"*/*"}, "Sec-Purpose": {"prefetch"}, "Referer": {p.url.String()}},
	}
	for name, values := range p.header {
		r.Header[name] = slices.Clone(values) // the steps change what they are given
	}
	if o.Scheme == "https" {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: o.Hostname()}
	}
	return r.WithContext(ctx)
}

// Sink is a client that takes a response and keeps its status.
type Sink struct {
	header http.Header
	status int
	max    int64
	bytes  int64
}

var _ http.ResponseWriter = (*Sink)(nil)

// NewSink returns a Sink that takes so many bytes; 0: all.
func NewSink(max int64) *Sink { return &Sink{header: http.Header{}, max: max} }

// Status is that of the response; 0: there is none.
func (s *Sink) Status() int { return s.status }

// Bytes is how much it took.
func (s *Sink) Bytes() int64 { return s.bytes }

// Header implements http.ResponseWriter.
func (s *Sink) Header() http.Header { return s.header }

// WriteHeader implements http.ResponseWriter.
func (s *Sink) WriteHeader(status int) {
	if s.status < 200 {
		s.status = status
	}
}

var errLarge = errors.New("larger than what is fetched ahead")

// Write implements io.Writer.
func (s *Sink) Write(p []byte) (int, error) {
	if s.status < 200 {
		s.status = http.StatusOK
	}
	if s.bytes += int64(len(p)); s.max > 0 && s.bytes > s.max {
		return 0, errLarge
	}
	return len(p), nil
}

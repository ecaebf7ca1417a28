package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/net/http/httpguts"
)

// Request is a request's head.
type Request struct {
	Program    string
	Method     string
	Target     string // as in a request line
	Host       string
	Length     int64  // of the content: 0 none, -1 unknown
	Upgrade    bool   // what is sent behind the head is of another protocol, once the program has switched
	Connection uint64 // the client's; 0: none that matters
	Header     http.Header
}

// Response is a response's head.
type Response struct {
	Status int
	Length int64 // as http.Response.ContentLength
	Header http.Header
}

// fieldsMax bounds the lines of a header section.
const fieldsMax = 16 << 10

// Append appends r to b.
func (r *Request) Append(b []byte) []byte {
	for _, s := range []string{r.Program, r.Method, r.Target, r.Host} {
		b = appendString(b, s)
	}
	upgrade := uint64(0)
	if r.Upgrade {
		upgrade = 1
	}
	b = binary.AppendVarint(b, r.Length)
	b = binary.AppendUvarint(b, upgrade)
	b = binary.AppendUvarint(b, r.Connection)
	return appendHeader(b, r.Header)
}

// ParseRequest reads what Append has written.
func ParseRequest(b []byte) (*Request, error) {
	p := parser{text: string(b)}
	r := &Request{Program: p.string(), Method: p.string(), Target: p.string(), Host: p.string(), Length: p.signed()}
	upgrade := p.number(1)
	r.Upgrade, r.Connection = upgrade == 1, p.number(1<<63)
	r.Header = p.header()
	return r, p.end("request")
}

// Append appends r to b.
func (r *Response) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(r.Status))
	b = binary.AppendVarint(b, r.Length)
	return appendHeader(b, r.Header)
}

// ParseResponse reads what Append has written.
func ParseResponse(b []byte) (*Response, error) {
	p := parser{text: string(b)}
	r := &Response{Status: int(p.number(999)), Length: p.signed(), Header: p.header()}
	if r.Status < 100 || r.Length < -1 || !sound(r.Header) {
		p.bad = true
	}
	return r, p.end("response")
}

// sound reports whether fields can be written to a client as they are (RFC 9110 §5.1, §5.5).
func sound(h http.Header) bool {
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) || http.CanonicalHeaderKey(name) != name {
			return false
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return false
			}
		}
	}
	return true
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendHeader(b []byte, h http.Header) []byte {
	n := 0
	for _, values := range h {
		n += len(values)
	}
	b = binary.AppendUvarint(b, uint64(n))
	for name, values := range h {
		for _, value := range values {
			b = appendString(appendString(b, name), value)
		}
	}
	return b
}

// parser reads values off text. Once something isn't there, it stays bad.
type parser struct {
	text string
	bad  bool
}

func (p *parser) number(most uint64) uint64 {
	var n uint64
	for i := 0; i < len(p.text) && i < binary.MaxVarintLen64; i++ {
		c := p.text[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			p.text = p.text[i+1:]
			if n > most {
				p.bad = true
				return 0
			}
			return n
		}
	}
	p.bad, p.text = true, ""
	return 0
}

// signed is encoding/binary's zig-zag.
func (p *parser) signed() int64 {
	n := p.number(1<<64 - 1)
	return int64(n>>1) ^ -int64(n&1)
}

func (p *parser) string() string {
	n := p.number(HeadMax)
	if n > uint64(len(p.text)) {
		p.bad, p.text = true, ""
		return ""
	}
	s := p.text[:n]
	p.text = p.text[n:]
	return s
}

func (p *parser) header() http.Header {
	n := p.number(fieldsMax)
	h := make(http.Header, min(n, 64))
	values := make([]string, min(n, 64)) // one allocation for what is usual
	for i := uint64(0); i < n && !p.bad; i++ {
		name, value := p.string(), p.string()
		if had := h[name]; had == nil && len(values) > 0 {
			values[0] = value
			h[name], values = values[:1:1], values[1:]
		} else {
			h[name] = append(had, value)
		}
	}
	return h
}

var errBehind = errors.New("something stands behind it")

func (p *parser) end(what string) error {
	switch {
	case p.bad:
		return fmt.Errorf("the head of a %s isn't whole", what)
	case p.text != "":
		return fmt.Errorf("the head of a %s: %w", what, errBehind)
	}
	return nil
}

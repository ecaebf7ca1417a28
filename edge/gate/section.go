package gate

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// FieldsMax is how many fields a request may have: each costs far more memory than the bytes that the client spends on it.
const FieldsMax = 256

const badRequestLine = "The request line is not one of HTTP/1.1."

func malformed(notice string) *Refusal {
	return &Refusal{Malformed, http.StatusBadRequest, notice}
}

func tooLarge() *Refusal {
	return &Refusal{
		HeaderSize, http.StatusRequestHeaderFieldsTooLarge, "The header section of the request is larger than this node accepts.",
	}
}

// section is the header section of an HTTP/1 request, as far as the gate has to know it.
type section struct {
	method, target string
	minor          byte // of the version: 0 for HTTP/1.0
	framing        framing

	hosts, lengths, codings int
	unable                  *Refusal // what is well-formed, but beyond this node
}

// parse reads a whole header section. It is stricter than a recipient has to be: lines end in CRLF, none goes on in the next one,
// no name is followed by a space, nothing says twice how long the content is (RFC 9112 §2.2, §5.1, §5.2, §6.3).
func (s *section) parse(p []byte) *Refusal {
	for bytes.HasPrefix(p, []byte("\r\n")) { // §2.2: net/http has got a part of it already
		p = p[2:]
	}
	line, p, ok := cutLine(p)
	if !ok {
		return badLine()
	}
	if why := s.parseRequestLine(line); why != nil {
		return why
	}
	for fields := 0; ; fields++ {
		if line, p, ok = cutLine(p); !ok {
			return badLine()
		}
		switch {
		case len(line) == 0:
			return s.check()
		case fields == FieldsMax:
			return tooLarge()
		}
		if why := s.parseField(line); why != nil {
			return why
		}
	}
}

func badLine() *Refusal {
	return malformed("A line of the request's header section does not end as HTTP/1.1 requires.")
}

// cutLine cuts off a line that ends in CRLF and has no other control character than tabs in it.
func cutLine(p []byte) (line, rest []byte, ok bool) {
	for i, b := range p {
		if b == '\r' {
			if len(p) > i+1 && p[i+1] == '\n' {
				return p[:i], p[i+2:], true
			}
			return nil, nil, false
		}
		if b < ' ' && b != '\t' || b == 0x7f {
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// parseRequestLine reads method SP request-target SP HTTP-version (RFC 9112 §3).
func (s *section) parseRequestLine(line []byte) *Refusal {
	method, rest, _ := bytes.Cut(line, []byte(" "))
	target, version, ok := bytes.Cut(rest, []byte(" "))
	if !ok || len(method) == 0 || len(target) == 0 || !isToken(method) || bytes.ContainsAny(target, " \t") {
		return malformed(badRequestLine)
	}
	for _, b := range target {
		if b <= ' ' || b == 0x7f {
			return malformed(badRequestLine)
		}
	}
	const name = "HTTP/1." // §2.3
	switch {
	case len(version) != len(name)+1 || string(version[:5]) != "HTTP/" || version[6] != '.' || !isDigit(version[5]) || !isDigit(version[7]):
		return malformed(badRequestLine)
	case version[5] != '1':
		return &Refusal{Malformed, http.StatusHTTPVersionNotSupported, "This connection speaks HTTP/1.1."}
	}
	s.method, s.target, s.minor = string(method), string(target), version[7]-'0'
	if s.method == http.MethodConnect {
		return nil // admit refuses it
	}
	if plainPath(s.target) {
		return nil
	}
	if _, err := url.ParseRequestURI(s.target); err != nil {
		return &Refusal{Target, http.StatusBadRequest, "The target of the request is not one that this node can serve."}
	}
	return nil
}

// plainPath says whether target is a path with a query in which net/url has nothing to find fault with: no escapes, and no other form.
func plainPath(target string) bool { return target[0] == '/' && strings.IndexByte(target, '%') < 0 }

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func isToken(p []byte) bool {
	for _, b := range p {
		if class[b]&inName == 0 {
			return false
		}
	}
	return len(p) > 0
}

// parseField reads field-name ":" OWS field-value OWS (RFC 9112 §5).
func (s *section) parseField(line []byte) *Refusal {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !isToken(name) { // also §5.1: no space before the colon; §5.2: no line that goes on
		return malformed("A line of the request's header section is not a field.")
	}
	value = bytes.Trim(value, " \t")
	switch n := string(name); {
	case strings.EqualFold(n, "host"):
		s.hosts++
		if !validHost(value) {
			return &Refusal{Host, http.StatusBadRequest, "The request names no valid host."}
		}
	case strings.EqualFold(n, "content-length"):
		s.lengths++
		length, err := parseLength(value)
		if err != nil {
			return malformed("The length of the request's content is not a number.")
		}
		s.framing.remain = length
	case strings.EqualFold(n, "transfer-encoding"):
		s.codings++
		if !strings.EqualFold(string(value), "chunked") { // RFC 9112 §6.1
			s.unable = &Refusal{Malformed, http.StatusNotImplemented, "This node knows only one transfer coding, chunked."}
		}
		s.framing.chunked = true
	case strings.EqualFold(n, "expect"):
		if !strings.EqualFold(string(value), "100-continue") { // RFC 9110 §10.1.1
			s.unable = &Refusal{Malformed, http.StatusExpectationFailed, "This node can't do what the request expects of it."}
		}
	}
	return nil
}

// check judges the fields together.
func (s *section) check() *Refusal {
	switch {
	case s.hosts > 1 || s.hosts == 0 && s.minor > 0 && s.method != http.MethodConnect: // RFC 9112 §3.2
		return &Refusal{Host, http.StatusBadRequest, "The request names no host, or several."}
	case s.lengths > 1 || s.codings > 1 || s.lengths > 0 && s.codings > 0: // §6.3, and §6.1: a server may refuse both together
		return malformed("The request says in two ways how long its content is.")
	case s.codings > 0 && s.minor == 0: // §6.1: HTTP/1.0 has no transfer codings
		return malformed("The request has a transfer coding, which HTTP/1.0 doesn't know.")
	}
	return s.unable
}

// parseLength reads a Content-Length (RFC 9110 §8.6): digits only.
func parseLength(value []byte) (int64, error) {
	for _, b := range value {
		if !isDigit(b) {
			return 0, strconv.ErrSyntax
		}
	}
	return strconv.ParseInt(string(value), 10, 64)
}

// validHost says whether value may be a host with a port, whichever site that may be (RFC 3986 §3.2.2).
func validHost(value []byte) bool {
	for _, b := range value {
		if class[b]&inHost == 0 {
			return false
		}
	}
	return true
}

// What a byte may be part of.
const (
	inName = 1 << iota // token (RFC 9110 §5.6.2)
	inHost             // uri-host [ ":" port ] (§7.2), of any kind
	isHex
)

// class tells for each byte.
var class = classes()

func classes() (t [256]uint8) {
	for c := range t {
		b := byte(c)
		letter, digit := 'a' <= b|0x20 && b|0x20 <= 'z', '0' <= b && b <= '9'
		if letter || digit || b != 0 && strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0 {
			t[c] |= inName
		}
		if letter || digit || b != 0 && strings.IndexByte("-._~%!$&'()*+,;=:[]", b) >= 0 {
			t[c] |= inHost
		}
		if digit || 'a' <= b|0x20 && b|0x20 <= 'f' {
			t[c] |= isHex
		}
	}
	return t
}

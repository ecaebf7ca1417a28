package h2

import (
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
)

// Field is a field of a request; its name is in lower case.
type Field struct{ Name, Value string }

// Request is a request's header section, checked (RFC 9113 §8.2, §8.3).
type Request struct {
	Method, Scheme, Authority, Path string
	Fields                          []Field
	// At is when it came.
	At time.Time
	// Size is that of the header list (RFC 9113 §6.5.2).
	Size int
	// ASCII says that the values of all Fields are visible ASCII, spaces and tabs.
	ASCII bool
}

// fieldOverhead is what a field counts for beside its text (RFC 9113 §6.5.2).
const fieldOverhead = 32

// section is the header or trailer section that is being received. It is the reader's.
type section struct {
	Request
	stream    uint32 // 0: none is being received
	endStream bool
	trailers  bool // of a stream that is open
	ignored   bool // only decoded, because the decoder's state depends on it (RFC 9113 §4.3)
	selfish   bool // depends on itself (RFC 7540 §5.3.1, which RFC 9113 §5.3.2 leaves valid on the wire)

	limit     int       // of Size
	received  int       // bytes of the block so far
	begun     time.Time // when there was more to come
	malformed bool
	tooLarge  bool
	headless  bool // too large, and without what a request needs
	regular   bool // a regular field was there
	seen      uint8
	length    int64 // Content-Length, -1 if there is none
	host      string
	hosts     int
}

// pseudo-header fields in section.seen
const (
	seenMethod = 1 << iota
	seenScheme
	seenAuthority
	seenPath
)

func (s *section) begin(stream uint32, limit int) {
	clear(s.Fields)
	*s = section{Request: Request{Fields: s.Fields[:0], ASCII: true}, stream: stream, limit: limit, length: -1}
}

// take is what the decoder emits fields to.
func (s *section) take(f hpack.HeaderField) {
	s.Size += len(f.Name) + len(f.Value) + fieldOverhead
	if s.Size > s.limit {
		s.tooLarge = true
	}
	if s.tooLarge || s.malformed || s.ignored {
		return
	}
	if strings.HasPrefix(f.Name, ":") {
		s.malformed = s.regular || s.trailers || !s.pseudo(f.Name, f.Value) // §8.3: before the others; §8.1: none in trailers
		return
	}
	s.regular = true
	s.malformed = !s.field(f.Name, f.Value)
}

func (s *section) pseudo(name, value string) bool {
	var bit uint8
	switch name {
	case ":method":
		bit, s.Method = seenMethod, value
	case ":scheme":
		bit, s.Scheme = seenScheme, value
	case ":authority":
		bit, s.Authority = seenAuthority, value
	case ":path":
		bit, s.Path = seenPath, value
	default:
		return false // §8.3: unknown, or of responses
	}
	again := s.seen&bit != 0
	s.seen |= bit
	visible, _ := checkValue(value)
	return !again && visible && (bit != seenMethod || validName(value, inToken))
}

func (s *section) field(name, value string) bool {
	if !validName(name, inName) {
		return false // §8.2.1: upper case, too
	}
	ok, ascii := checkValue(value)
	if !ok {
		return false
	}
	s.ASCII = s.ASCII && ascii
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return false // §8.2.2
	case "te":
		if !strings.EqualFold(value, "trailers") {
			return false // §8.2.2
		}
	case "host":
		if s.hosts++; s.hosts > 1 {
			return false
		}
		s.host = value
	case "content-length":
		n := parseLength(value)
		if n < 0 || s.length >= 0 && s.length != n {
			return false
		}
		s.length = n
	}
	s.Fields = append(s.Fields, Field{name, value})
	return true
}

// finish checks the section as a whole. It returns false if it is malformed.
func (s *section) finish() bool {
	switch {
	case s.ignored:
		return true
	case s.malformed || s.trailers:
		return !s.malformed
	case s.tooLarge:
		s.headless = !s.whole() // it may be among what wasn't kept
		return true
	}
	return s.whole()
}

// whole says whether the fields make a request.
func (s *section) whole() bool {
	if s.Method == "CONNECT" { // §8.5
		if s.seen != seenMethod|seenAuthority || s.Authority == "" {
			return false
		}
	} else if s.seen&^seenAuthority != seenMethod|seenScheme|seenPath || !validPath(s.Method, s.Path) {
		return false // §8.3.1
	} else if s.Scheme != "http" && s.Scheme != "https" {
		return false // no gateway to other schemes: as net/http does
	}
	switch {
	case s.seen&seenAuthority == 0:
		s.Authority = s.host
	case s.hosts > 0 && !strings.EqualFold(s.host, s.Authority):
		return false // §8.3.1
	}
	return !s.endStream || s.length <= 0 // §8.1.1
}

// validPath checks :path (RFC 9113 §8.3.1): that of OPTIONS may be an asterisk.
func validPath(method, path string) bool {
	return strings.HasPrefix(path, "/") || path == "*" && method == "OPTIONS"
}

// parseLength reads Content-Length (RFC 9110 §8.6); -1 if it isn't one.
func parseLength(s string) int64 {
	if s == "" || len(s) > 18 {
		return -1
	}
	n := int64(0)
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// What a byte may be part of.
const (
	inToken = 1 << iota // RFC 9110 §5.6.2
	inName              // the same without upper-case letters: RFC 9113 §8.2.1
	inValue             // RFC 9110 §5.5
	obsText             // obs-text
)

var class = classes()

func classes() (t [256]uint8) {
	for c := range t {
		b := byte(c)
		if 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9' || b != 0 && strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0 {
			t[c] |= inToken
			if b < 'A' || b > 'Z' {
				t[c] |= inName
			}
		}
		if b == '\t' || b >= ' ' && b != 0x7f {
			t[c] |= inValue
		}
		if b >= 0x80 {
			t[c] |= obsText
		}
	}
	return t
}

func validName(s string, kind uint8) bool {
	for i := range len(s) {
		if class[s[i]]&kind == 0 {
			return false
		}
	}
	return s != ""
}

// checkValue says whether s may be a field's value, which neither begins nor ends with white space (RFC 9113 §8.2.1).
func checkValue(s string) (ok, ascii bool) {
	if s == "" {
		return true, true
	}
	all, some := uint8(inValue), uint8(0)
	for i := range len(s) {
		c := class[s[i]]
		all &= c
		some |= c
	}
	return all&inValue != 0 && !blank(s[0]) && !blank(s[len(s)-1]), some&obsText == 0
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

package plain

import (
	"bytes"
	"net/http"
	"strings"
	"unsafe"

	"github.com/wherry/wherry/h2"
)

// headFieldsMax is how many fields a request may have in the lane; browsers send about twenty.
const headFieldsMax = 48

// Head is the header section of a request that is plain enough for the lane. Its strings are views of the connection's buffer:
// they are good until the request is answered, and nothing may keep them.
type Head struct {
	Method      string // GET or HEAD
	Path, Query string // as in the request line
	Host        string // as sent
	UserAgent   string // of several lines the first, as in the log of the general path
	Referer     string // likewise
	Count       int    // fields
	Size        int    // bytes in all
	Crumbs      bool   // Cookie comes in several lines, which are one (RFC 9113 §8.2.3)

	seen   struct{ userAgent, referer bool }
	fields [headFieldsMax]headField
	lines  [headFieldsMax]string
}

type headField struct{ name, value string }

// Forget drops all views.
func (h *Head) Forget() {
	clear(h.fields[:h.Count])
	clear(h.lines[:h.Count])
	h.Method, h.Path, h.Query, h.Host, h.UserAgent, h.Referer = "", "", "", "", "", ""
	h.Count, h.Size, h.Crumbs, h.seen.userAgent, h.seen.referer = 0, 0, false, false, false
}

// Parse reads the request at the beginning of p. It returns false for all that isn't a whole header section of the plainest kind:
// net/http has to find out what the rest is.
//
// What it takes it must understand as net/http does: a request line with single spaces, an origin-form target (RFC 9112 §3.2.1)
// that url.URL would give back as it came, one Host, lines that end in CRLF and don't go on in the next one, and no field that
// says anything about content, connection, conditions other than on a plain GET, ranges, caching or proxies.
func (h *Head) Parse(p []byte) bool {
	switch {
	case bytes.HasPrefix(p, []byte("GET /")):
		h.Method = "GET"
	case bytes.HasPrefix(p, []byte("HEAD /")):
		h.Method = "HEAD"
	default:
		return false
	}
	at, ok := h.parseTarget(p, len(h.Method)+1)
	if !ok {
		return false
	}
	const version = "HTTP/1.1\r\n"
	if len(p)-at < len(version) || string(p[at:at+len(version)]) != version {
		return false
	}
	hosts := 0
	for at += len(version); ; {
		if len(p)-at < 2 {
			return false
		}
		if p[at] == '\r' {
			h.Size = at + 2
			return p[at+1] == '\n' && hosts == 1 // RFC 9112 §3.2: exactly one
		}
		f, next, ok := parseField(p, at)
		if !ok || h.Count == headFieldsMax || !h.plain(f, &hosts) {
			return false
		}
		h.fields[h.Count] = f
		h.Count++
		at = next
	}
}

// parseTarget reads the target at p[at:] and returns where what follows its space begins.
func (h *Head) parseTarget(p []byte, at int) (next int, ok bool) {
	end := at
	for end < len(p) && class[p[end]]&inPath != 0 {
		if p[end] == '%' && (len(p)-end < 3 || class[p[end+1]]&class[p[end+2]]&isHex == 0) {
			return 0, false
		}
		end++
	}
	h.Path = View(p[at:end])
	if end < len(p) && p[end] == '?' {
		at = end + 1
		for end = at; end < len(p) && class[p[end]]&inQuery != 0; end++ {
		}
		h.Query = View(p[at:end])
	}
	return end + 1, end < len(p) && p[end] == ' '
}

// parseField reads the field line at p[at:] (RFC 9112 §5).
func parseField(p []byte, at int) (f headField, next int, ok bool) {
	end := at
	for end < len(p) && class[p[end]]&inName != 0 {
		end++
	}
	if end == at || end >= len(p) || p[end] != ':' { // §5.1: no space before the colon; §5.2: no line that goes on
		return f, 0, false
	}
	f.name = View(p[at:end])
	for at = end + 1; at < len(p) && (p[at] == ' ' || p[at] == '\t'); at++ {
	}
	for end = at; end < len(p) && class[p[end]]&inValue != 0; end++ {
	}
	if len(p)-end < 2 || p[end] != '\r' || p[end+1] != '\n' {
		return f, 0, false
	}
	next = end + 2
	for end > at && (p[end-1] == ' ' || p[end-1] == '\t') {
		end--
	}
	f.value = View(p[at:end])
	return f, next, true
}

// plain takes note of a field, or says that a request with it isn't for the lane.
func (h *Head) plain(f headField, hosts *int) bool {
	switch f.name[0] | 0x20 {
	case 'a':
		return !folds(f.name, "authorization")
	case 'c':
		if folds(f.name, "connection") {
			return folds(f.value, "keep-alive")
		}
		return !folds(f.name, "cache-control") && !folds(f.name, "cdn-loop") && !foldsPrefix(f.name, "content-")
	case 'e':
		return !folds(f.name, "expect")
	case 'h':
		if folds(f.name, "host") {
			h.Host = f.value
			*hosts++
		}
		return !folds(f.name, "http2-settings")
	case 'i':
		return !foldsPrefix(f.name, "if-") || folds(f.name, "if-none-match") || folds(f.name, "if-modified-since")
	case 'k':
		return !folds(f.name, "keep-alive")
	case 'p':
		return !folds(f.name, "pragma") && !foldsPrefix(f.name, "proxy-")
	case 'r':
		if !h.seen.referer && folds(f.name, "referer") {
			h.Referer, h.seen.referer = f.value, true
		}
		return !folds(f.name, "range")
	case 't':
		return !folds(f.name, "te") && !folds(f.name, "trailer") && !folds(f.name, "transfer-encoding")
	case 'u':
		if !h.seen.userAgent && folds(f.name, "user-agent") {
			h.UserAgent, h.seen.userAgent = f.value, true
		}
		return !folds(f.name, "upgrade")
	case 'v':
		return !folds(f.name, "via")
	case 'w':
		return !foldsPrefix(f.name, "wherry-")
	}
	return true
}

// Fill makes h the header section of a request by HTTP/2. It returns false where Parse would, for what comes to the same.
func (h *Head) Fill(r *h2.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || !r.ASCII || len(r.Fields) > headFieldsMax {
		return false
	}
	var ok bool
	if h.Path, h.Query, ok = splitTarget(r.Path); !ok {
		return false
	}
	h.Method, h.Host = r.Method, r.Authority
	// As headerBytes counts.
	h.Size = len(r.Method) + len(r.Path) + len(r.Authority) + len("  HTTP/2.0\r\nHost: \r\n\r\n")
	hosts, cookies := 0, 0
	for _, f := range r.Fields {
		switch f.Name {
		case "host", "te": // the one is h.host, the other says "trailers", and what is stored has none
			continue
		case "cookie":
			cookies++
		default:
			if !h.plain(headField{f.Name, f.Value}, &hosts) {
				return false
			}
		}
		h.fields[h.Count] = headField{f.Name, f.Value}
		h.Count++
		h.Size += len(f.Name) + len(f.Value) + len(": \r\n")
	}
	h.Crumbs = cookies > 1
	return true
}

// splitTarget is parseTarget for :path.
func splitTarget(s string) (path, query string, ok bool) {
	end := 0
	for end < len(s) && class[s[end]]&inPath != 0 {
		if s[end] == '%' && (len(s)-end < 3 || class[s[end+1]]&class[s[end+2]]&isHex == 0) {
			return "", "", false
		}
		end++
	}
	if path = s[:end]; end == len(s) {
		return path, "", strings.HasPrefix(path, "/")
	}
	query = s[end+1:]
	for i := range len(query) {
		if class[query[i]]&inQuery == 0 {
			return "", "", false
		}
	}
	return path, query, s[end] == '?' && strings.HasPrefix(path, "/")
}

// Lines implements field.Fields, but for Cookie where Crumbs is set.
func (h *Head) Lines(name string) []string {
	lines := h.lines[:0]
	for i := range h.fields[:h.Count] {
		if f := &h.fields[i]; len(f.name) == len(name) && strings.EqualFold(f.name, name) {
			lines = append(lines, f.value)
		}
	}
	return lines
}

// View returns b as a string without copying it: the caller answers for it that b doesn't change while the string is in use.
func View(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// folds says whether s is word, which has only lower-case letters and hyphens, in any case.
func folds(s, word string) bool { return len(s) == len(word) && foldsPrefix(s, word) }

func foldsPrefix(s, word string) bool {
	if len(s) < len(word) {
		return false
	}
	for i := range len(word) {
		if c := s[i]; c != word[i] && (c < 'A' || c > 'Z' || c|0x20 != word[i]) {
			return false
		}
	}
	return true
}

// What a byte may be part of in the lane.
const (
	inName  = 1 << iota // token (RFC 9110 §5.6.2)
	inValue             // field-value but for obs-text (§5.5)
	inPath              // pchar, "/" (RFC 3986 §3.3)
	inQuery             // whatever is visible but for "#"
	isHex
)

// class tells for each byte. It is a table because every byte of a request goes through it.
var class = classes()

func classes() (t [256]uint8) {
	for c := range t {
		b := byte(c)
		letter, digit := 'a' <= b|0x20 && b|0x20 <= 'z', '0' <= b && b <= '9'
		if letter || digit || b != 0 && strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0 {
			t[c] |= inName
		}
		if b == '\t' || ' ' <= b && b <= '~' {
			t[c] |= inValue
		}
		if letter || digit || b != 0 && strings.IndexByte("-._~!$&'()*+,;=:@/%", b) >= 0 {
			t[c] |= inPath
		}
		if '!' <= b && b <= '~' && b != '#' {
			t[c] |= inQuery
		}
		if digit || 'a' <= b|0x20 && b|0x20 <= 'f' {
			t[c] |= isHex
		}
	}
	return t
}

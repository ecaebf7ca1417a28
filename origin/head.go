package origin

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
)

// readResponse reads the header section of the final response to req from w, and forwards interim ones (RFC 9110 §15.2). body is what
// reads the content if resp doesn't say by ContentLength where it ends, and nil otherwise.
func (w *wire) readResponse(req *http.Request, resp *http.Response) (_ *http.Response, body io.ReadCloser, err error) {
	if plain, size := w.plainHead(); size > 0 && req.Method == http.MethodGet && plain.parse(resp) {
		_, _ = w.r.Discard(size) // it is in the buffer
		resp.Request = req
		return resp, nil, nil
	}
	trace := httptrace.ContextClientTrace(req.Context())
	for {
		resp, err := http.ReadResponse(w.r, req)
		switch {
		case err != nil && w.headLeft <= 0:
			return nil, nil, errHeaderSize
		case err != nil && w.expired != nil: // whatever net/http makes of the half
			return nil, nil, w.expired
		case err != nil:
			return nil, nil, err
		case resp.StatusCode < 100 || resp.StatusCode > 199 || resp.StatusCode == http.StatusSwitchingProtocols:
			if resp.Body == http.NoBody {
				return resp, nil, nil
			}
			return resp, resp.Body, nil
		}
		if trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(resp.StatusCode, textproto.MIMEHeader(resp.Header)); err != nil {
				return nil, nil, err
			}
			w.headLeft = responseHeaderSizeMax // who takes them says when it is enough
		}
	}
}

// plainHead returns a header section that is in the buffer as a whole, and its size with the empty line; else 0.
func (w *wire) plainHead() (head plainHead, size int) {
	for {
		seen, _ := w.r.Peek(w.r.Buffered())
		if i := bytes.Index(seen, []byte("\r\n\r\n")); i >= 0 {
			return plainHead(seen[:i+len("\r\n")]), i + len("\r\n\r\n")
		}
		if len(seen) == w.r.Size() {
			return nil, 0
		}
		if _, err := w.r.Peek(len(seen) + 1); err != nil {
			return nil, 0 // net/http finds it too
		}
	}
}

// plainHead is the header section of a response without the empty line, as far as it is of the simple kind that nearly all responses
// are of: HTTP/1.1, a final status, fields of a line each, and a length, or none for a response that has no content. All else is
// net/http's to read, or to refuse, so that there is one judge of what is in doubt.
type plainHead []byte

// parse reads p into resp as http.ReadResponse does for a GET. It returns false for what it leaves to that.
func (p plainHead) parse(resp *http.Response) (ok bool) {
	const version = "HTTP/1.1 "
	if len(p) < len(version+"200\r\n") || string(p[:len(version)]) != version {
		return false
	}
	text := string(p)                                            // one for all: the values are parts of it
	reason, rest, ok := strings.Cut(text[len(version):], "\r\n") // with the status before it, as net/http has it
	status, _, _ := strings.Cut(reason, " ")
	code, err := strconv.Atoi(status)
	if !ok || err != nil || len(status) != 3 || code < 200 || code > 599 || !plainText(reason) {
		return false
	}
	fields := bytes.Count(p, []byte{'\n'}) - 1
	h, values := make(http.Header, fields), make([]string, fields)
	for i := range values {
		var line string
		line, rest, ok = strings.Cut(rest, "\r\n")
		name, value, colon := strings.Cut(line, ":")
		if !ok || !colon || !isToken(name) || !plainText(value) {
			return false // also what goes on the line before (RFC 9112 §5.2)
		}
		name = http.CanonicalHeaderKey(name)
		values[i] = strings.Trim(value, " \t")
		if before := h[name]; before != nil {
			h[name] = append(before, values[i])
		} else {
			h[name] = values[i : i+1 : i+1]
		}
	}
	length, ok := plainLength(code, h)
	if !ok {
		return false
	}
	*resp = http.Response{
		Status: reason, StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, ContentLength: length,
	}
	return true
}

// plainLength returns the length of the content (RFC 9112 §6.3), if h says it in the simple way and nothing that net/http would change.
func plainLength(status int, h http.Header) (length int64, ok bool) {
	for _, name := range [...]string{"Transfer-Encoding", "Trailer", "Pragma", "Upgrade"} {
		if h[name] != nil {
			return 0, false
		}
	}
	if c := h["Connection"]; c != nil && (len(c) != 1 || !strings.EqualFold(c[0], "keep-alive")) {
		return 0, false
	}
	lines := h["Content-Length"]
	if status == http.StatusNoContent || status == http.StatusNotModified {
		return 0, lines == nil
	}
	const digitsMax = 18 // what an int64 has in any case
	if len(lines) != 1 || lines[0] == "" || len(lines[0]) > digitsMax {
		return 0, false
	}
	for _, c := range []byte(lines[0]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		length = length*10 + int64(c-'0')
	}
	return length, true
}

// plainText says whether s is made of what a field's value may have (RFC 9110 §5.5).
func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// isToken says whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

var tokenBytes = func() (t [256]bool) {
	for c := range t {
		b := byte(c)
		t[c] = '0' <= b && b <= '9' || 'a' <= b|0x20 && b|0x20 <= 'z' || b != 0 && strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0
	}
	return t
}()

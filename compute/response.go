package compute

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Bounds of a response beside Limits.Output.
const (
	sectionMax = 64 << 10 // bytes of a header section, and of a trailer section
	fieldsMax  = 256
	interimMax = 8 // 1xx responses before the final one
)

var (
	errNothing = errors.New("it wrote none; did it wait for more than the request, or end the connection?")
	errCut     = errors.New("it ends before it is whole")
	errMore    = errors.New("something stands behind it; write one response a request")
)

// endHop drops the fields that are of the connection with the program alone.
func endHop(header http.Header) {
	for name := range connectionNames(header) {
		delete(header, name)
	}
	for name := range hopByHop {
		delete(header, name)
	}
}

func newResponse(r *http.Request, status int, content []byte) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(content)), ContentLength: int64(len(content)), Request: r,
	}
}

// readHead reads a status line and fields (RFC 9112 §4, §5).
func readHead(b []byte) (status int, header http.Header, rest []byte, err error) {
	line, rest, err := readLine(b)
	if err != nil {
		return 0, nil, nil, err
	}
	if len(line) < 12 || !strings.HasPrefix(line, "HTTP/1.1 ") && !strings.HasPrefix(line, "HTTP/1.0 ") || len(line) > 12 && line[12] != ' ' || !isValue(line) {
		return 0, nil, nil, fmt.Errorf("it begins with %.40q, not with a status line", line)
	}
	if status, err = strconv.Atoi(line[9:12]); err != nil || line[9] < '1' || line[9] > '9' || status > 599 {
		return 0, nil, nil, fmt.Errorf("its status is %q", line[9:12])
	}
	header, rest, err = readFields(rest)
	return status, header, rest, err
}

// readLine takes a line off b. It ends in CR LF, and has no other CR.
func readLine(b []byte) (string, []byte, error) {
	end := bytes.IndexByte(b[:min(len(b), sectionMax)], '\n')
	switch {
	case end < 0 && len(b) > sectionMax:
		return "", nil, fmt.Errorf("a line has more than %d bytes", sectionMax)
	case end < 0:
		return "", nil, errCut
	case end == 0 || b[end-1] != '\r':
		return "", nil, fmt.Errorf("the line %.40q ends without CR LF", b[:end])
	}
	return string(b[:end-1]), b[end+1:], nil
}

// readFields takes fields and the empty line off b.
func readFields(b []byte) (http.Header, []byte, error) {
	header, n, begin := http.Header{}, 0, len(b)
	for {
		line, rest, err := readLine(b)
		if err != nil {
			return nil, nil, err
		}
		b = rest
		if line == "" {
			return header, b, nil
		}
		if n++; n > fieldsMax || begin-len(b) > sectionMax {
			return nil, nil, fmt.Errorf("it has more than %d fields, or %d bytes of them", fieldsMax, sectionMax)
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) || !isValue(value) { // RFC 9112 §5.1: no space before the colon; §5.2: no folded lines
			return nil, nil, fmt.Errorf("the line %.40q is no field", line)
		}
		name = http.CanonicalHeaderKey(name)
		header[name] = append(header[name], strings.Trim(value, " \t"))
	}
}

// framing is how the content of a response ends.
type framing uint8

const (
	empty     framing = iota // it has none
	byLength                 // after as many bytes
	byChunks                 // with the last chunk
	byEnd                    // with the connection, or the call
	switching                // never: what follows is of another protocol
)

// framed finds how the content ends (RFC 9112 §6.3), and the length that is told, -1 if none.
func framed(status int, header http.Header, method string) (f framing, length int64, err error) {
	encodings, lengths := header["Transfer-Encoding"], header["Content-Length"]
	length = -1
	if len(lengths) > 0 {
		if length, err = parseLength(lengths); err != nil {
			return 0, 0, err
		}
	}
	if len(encodings) > 0 && (len(encodings) != 1 || !strings.EqualFold(encodings[0], "chunked") || length >= 0) {
		return 0, 0, errors.New("its Transfer-Encoding isn't chunked alone, or it has a Content-Length, too")
	}
	switch {
	case method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified: // RFC 9112 §6.3, 1.
		if status == http.StatusNoContent {
			length = -1 // RFC 9110 §8.6: it has none
		}
		return empty, length, nil
	case len(encodings) > 0:
		return byChunks, -1, nil
	case length >= 0:
		return byLength, length, nil
	}
	return byEnd, -1, nil // RFC 9112 §6.3, 8.
}

// parseLength is RFC 9110 §8.6. A list of the same is refused, too.
func parseLength(values []string) (int64, error) {
	n, err := strconv.ParseUint(values[0], 10, 62)
	if err != nil || len(values) != 1 {
		return 0, fmt.Errorf("its Content-Length is %.40q", strings.Join(values, ", "))
	}
	return int64(n), nil
}

// chunkSize reads the line before a chunk.
func chunkSize(line string) (uint64, error) {
	digits, _, _ := strings.Cut(line, ";")
	n, err := strconv.ParseUint(strings.TrimRight(digits, " \t"), 16, 62)
	if err != nil {
		return 0, fmt.Errorf("a chunk's size is %.40q", line)
	}
	return n, nil
}

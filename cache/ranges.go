package cache

import (
	"net/http"
	"strconv"
	"strings"
)

// byteRange is a part of a body: length bytes from start.
type byteRange struct {
	start, length int64
}

// contentRange is the value of Content-Range for r of size bytes in all (RFC 9110 §14.4).
func (r byteRange) contentRange(size int64) string {
	return "bytes " + strconv.FormatInt(r.start, 10) + "-" + strconv.FormatInt(r.start+r.length-1, 10) + "/" + strconv.FormatInt(size, 10)
}

// rangeKind says what a Range field asks of a body.
type rangeKind int

const (
	rangeWhole         rangeKind = iota // no range, or one to ignore: the whole body
	rangeOne                            // one part
	rangeUnsatisfiable                  // 416
)

// parseRange evaluates a Range field on a body of size bytes (RFC 9110 §14.1.2, §14.2). Another unit than bytes, a malformed
// value and more than one range are ignored, which a server may always do.
func parseRange(h http.Header, size int64) (byteRange, rangeKind) {
	lines := h["Range"]
	if len(lines) != 1 {
		return byteRange{}, rangeWhole
	}
	unit, spec, ok := strings.Cut(lines[0], "=")
	if !ok || !strings.EqualFold(strings.Trim(unit, " \t"), "bytes") {
		return byteRange{}, rangeWhole
	}
	first, last, ok := strings.Cut(strings.Trim(spec, " \t"), "-")
	if !ok {
		return byteRange{}, rangeWhole
	}
	if first == "" {
		n, ok := parsePosition(last)
		switch {
		case !ok:
			return byteRange{}, rangeWhole
		case n == 0 || size == 0:
			return byteRange{}, rangeUnsatisfiable
		}
		n = min(n, size)
		return byteRange{size - n, n}, rangeOne
	}
	start, ok := parsePosition(first)
	end := size - 1
	if last != "" {
		e, okLast := parsePosition(last)
		ok = ok && okLast && e >= start
		end = min(e, end)
	}
	switch {
	case !ok:
		return byteRange{}, rangeWhole
	case start >= size:
		return byteRange{}, rangeUnsatisfiable
	}
	return byteRange{start, end - start + 1}, rangeOne
}

// parsePosition reads digits; what is larger than an int64 is as large as one.
func parsePosition(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n = 1<<63 - 1
	}
	return n, true
}

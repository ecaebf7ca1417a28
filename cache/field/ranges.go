package field

import (
	"net/http"
	"strconv"
	"strings"
)

// Range is a part of a body: length bytes from start.
type Range struct {
	Start, Length int64
}

// ContentRange is the value of Content-Range for r of size bytes in all (RFC 9110 §14.4).
func (r Range) ContentRange(size int64) string {
	return "bytes " + strconv.FormatInt(r.Start, 10) + "-" + strconv.FormatInt(r.Start+r.Length-1, 10) + "/" + strconv.FormatInt(size, 10)
}

// RangeKind says what a Range field asks of a body.
type RangeKind int

const (
	RangeWhole         RangeKind = iota // no range, or one to ignore: the whole body
	RangeOne                            // one part
	RangeUnsatisfiable                  // 416
)

// ParseRange evaluates a Range field on a body of size bytes (RFC 9110 §14.1.2, §14.2). Another unit than bytes, a malformed
// value and more than one range are ignored, which a server may always do.
func ParseRange(h http.Header, size int64) (Range, RangeKind) {
	lines := h["Range"]
	if len(lines) != 1 {
		return Range{}, RangeWhole
	}
	unit, spec, ok := strings.Cut(lines[0], "=")
	if !ok || !strings.EqualFold(strings.Trim(unit, " \t"), "bytes") {
		return Range{}, RangeWhole
	}
	first, last, ok := strings.Cut(strings.Trim(spec, " \t"), "-")
	if !ok {
		return Range{}, RangeWhole
	}
	if first == "" {
		n, ok := parsePosition(last)
		switch {
		case !ok:
			return Range{}, RangeWhole
		case n == 0 || size == 0:
			return Range{}, RangeUnsatisfiable
		}
		n = min(n, size)
		return Range{size - n, n}, RangeOne
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
		return Range{}, RangeWhole
	case start >= size:
		return Range{}, RangeUnsatisfiable
	}
	return Range{start, end - start + 1}, RangeOne
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

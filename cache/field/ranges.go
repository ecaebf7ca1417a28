package field

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// RangesMax is how many ranges of one request are answered; one with more gets the whole (RFC 9110 §17.15).
const RangesMax = 64

// Range is a part of a body: Length bytes from Start.
type Range struct {
	Start, Length int64
}

// End is the offset behind r.
func (r Range) End() int64 { return r.Start + r.Length }

// ContentRange is the value of Content-Range for r of size bytes in all (RFC 9110 §14.4).
func (r Range) ContentRange(size int64) string {
	return "bytes " + strconv.FormatInt(r.Start, 10) + "-" + strconv.FormatInt(r.End()-1, 10) + "/" + strconv.FormatInt(size, 10)
}

// RangeKind says what a Range field asks of a body.
type RangeKind int

const (
	RangeWhole         RangeKind = iota // no range, or one to ignore: the whole body
	RangeParts                          // one part or several
	RangeUnsatisfiable                  // 416
)

// RangeSpec is one member of a Range field before the size of the body is known: bytes First to Last, both included, Last < 0 for
// all behind First; or the last Suffix bytes if First < 0.
type RangeSpec struct {
	First, Last, Suffix int64
}

// ParseRange reads a Range field in bytes (RFC 9110 §14.1.2). It returns nil where there is none and for what a server has to or may
// ignore: another unit, more than one line, a malformed value, more than RangesMax ranges.
func ParseRange(h http.Header) []RangeSpec {
	lines := h["Range"]
	if len(lines) != 1 {
		return nil
	}
	unit, set, ok := strings.Cut(lines[0], "=")
	if !ok || !strings.EqualFold(strings.Trim(unit, " \t"), "bytes") {
		return nil
	}
	var specs []RangeSpec
	for member := range strings.SplitSeq(set, ",") {
		if member = strings.Trim(member, " \t"); member == "" {
			continue // RFC 9110 §5.6.1.2
		}
		spec, ok := parseRangeSpec(member)
		if !ok || len(specs) == RangesMax {
			return nil
		}
		specs = append(specs, spec)
	}
	return specs
}

func parseRangeSpec(s string) (RangeSpec, bool) {
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		return RangeSpec{}, false
	}
	if first == "" {
		n, ok := parsePosition(last)
		return RangeSpec{First: -1, Last: -1, Suffix: n}, ok
	}
	spec := RangeSpec{Last: -1}
	if spec.First, ok = parsePosition(first); !ok || last == "" {
		return spec, ok
	}
	spec.Last, ok = parsePosition(last)
	return spec, ok && spec.Last >= spec.First
}

// of returns what s asks of a body of size bytes; ok is false if that is nothing.
func (s RangeSpec) of(size int64) (r Range, ok bool) {
	if s.First < 0 {
		n := min(s.Suffix, size)
		return Range{size - n, n}, n > 0
	}
	if s.First >= size {
		return Range{}, false
	}
	last := size - 1
	if s.Last >= 0 {
		last = min(last, s.Last)
	}
	return Range{s.First, last - s.First + 1}, true
}

// Ranges returns what specs, which ParseRange has returned, ask of a body of size bytes, in the order in which they were asked for
// (RFC 9110 §14.2). Ranges that overlap are joined and then stand in ascending order (§15.3.7.2); together they are never more than
// the body.
func Ranges(specs []RangeSpec, size int64) ([]Range, RangeKind) {
	if len(specs) == 0 {
		return nil, RangeWhole
	}
	ranges := make([]Range, 0, len(specs))
	for _, spec := range specs {
		if r, ok := spec.of(size); ok {
			ranges = append(ranges, r)
		}
	}
	switch len(ranges) {
	case 0:
		return nil, RangeUnsatisfiable
	case 1:
		return ranges, RangeParts
	}
	sorted := slices.SortedFunc(slices.Values(ranges), func(a, b Range) int {
		switch {
		case a.Start < b.Start:
			return -1
		case a.Start > b.Start:
			return 1
		}
		return 0
	})
	joined := sorted[:1]
	for _, r := range sorted[1:] {
		if last := &joined[len(joined)-1]; r.Start < last.End() {
			last.Length = max(last.End(), r.End()) - last.Start
			continue
		}
		joined = append(joined, r)
	}
	if len(joined) < len(ranges) {
		return joined, RangeParts
	}
	return ranges, RangeParts
}

// ParseContentRange reads the Content-Range of a 206 (RFC 9110 §14.4): the part that is sent, and the size of the whole, -1 if that
// isn't known. A value that contradicts itself is not ok.
func ParseContentRange(h http.Header) (r Range, size int64, ok bool) {
	lines := h["Content-Range"]
	if len(lines) != 1 {
		return r, 0, false
	}
	unit, rest, ok := strings.Cut(lines[0], " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return r, 0, false
	}
	part, whole, ok := strings.Cut(strings.Trim(rest, " \t"), "/")
	if !ok {
		return r, 0, false
	}
	first, last, ok := strings.Cut(part, "-")
	if !ok {
		return r, 0, false
	}
	from, ok1 := parsePosition(first)
	to, ok2 := parsePosition(last)
	if size = -1; whole != "*" {
		if size, ok = parsePosition(whole); !ok {
			return r, 0, false
		}
	}
	if !ok1 || !ok2 || to < from || to == maxPosition || size >= 0 && to >= size {
		return r, 0, false
	}
	return Range{from, to - from + 1}, size, true
}

const maxPosition = 1<<63 - 1

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
		n = maxPosition
	}
	return n, true
}

package cache

import (
	"cmp"
	"crypto/rand"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/wherry/wherry/cache/field"
)

// selection is what of a response goes out: its status, and all of its content, parts of it, or none.
type selection struct {
	status       int
	whole        bool
	ranged       bool // the request had a Range
	ranges       []field.Range
	contentRange string   // of one range; empty: as the range says
	heads        []string // of several ranges: what stands before each part (RFC 9110 §14.6)
	boundary     string
}

// newSelection returns the 206 for ranges of a body of size bytes. Several parts go out in ascending order, which is the order in
// which they can be had.
func newSelection(ranges []field.Range, size int64, contentType string) selection {
	s := selection{status: http.StatusPartialContent, ranged: true, ranges: ranges}
	if len(ranges) == 1 {
		return s
	}
	s.ranges = slices.SortedFunc(slices.Values(ranges), func(a, b field.Range) int { return cmp.Compare(a.Start, b.Start) })
	s.boundary = rand.Text()
	for _, r := range s.ranges {
		head := "\r\n--" + s.boundary + "\r\n"
		if contentType != "" {
			head += "Content-Type: " + contentType + "\r\n"
		}
		s.heads = append(s.heads, head+"Content-Range: "+r.ContentRange(size)+"\r\n\r\n")
	}
	return s
}

func (s *selection) tail() string { return "\r\n--" + s.boundary + "--\r\n" }

// of returns the parts that go out of size bytes.
func (s *selection) of(size int64) []field.Range {
	if s.whole {
		return []field.Range{{Start: 0, Length: max(size, 0)}}
	}
	return s.ranges
}

// describe adapts the fields of the response to what goes out of its size bytes.
func (s *selection) describe(h http.Header, size int64) {
	if s.ranged || s.status == http.StatusPartialContent {
		h["Accept-Ranges"] = []string{"bytes"}
	}
	length := int64(-1)
	switch {
	case s.status == http.StatusNotModified:
		field.DropContent(h)
		return
	case s.status == http.StatusRequestedRangeNotSatisfiable:
		field.DropContent(h)
		h["Content-Range"] = []string{"bytes */" + strconv.FormatInt(size, 10)} // RFC 9110 §14.4
		length = 0
	case s.whole:
		if size >= 0 && field.HasContent(s.status) && !saysLength(h["Content-Length"], size) {
			length = size
		}
	case s.heads == nil:
		h["Content-Range"] = []string{cmp.Or(s.contentRange, s.ranges[0].ContentRange(size))}
		length = s.ranges[0].Length
	default:
		h["Content-Type"] = []string{"multipart/byteranges; boundary=" + s.boundary}
		length = int64(len(s.tail()))
		for i, r := range s.ranges {
			length += int64(len(s.heads[i])) + r.Length
		}
	}
	if length >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
}

// copyTo writes what is selected of body to w.
func (s *selection) copyTo(w io.Writer, body entity) (written int64, err error) {
	switch {
	case s.whole:
		return body.copyTo(w, 0, -1)
	case s.heads == nil:
		return body.copyTo(w, s.ranges[0].Start, s.ranges[0].Length)
	}
	client := sink{w: w}
	for i, r := range s.ranges {
		n, err := io.WriteString(&client, s.heads[i])
		written += int64(n)
		if err != nil {
			return written, client.err
		}
		m, err := body.copyTo(w, r.Start, r.Length)
		written += m
		if err != nil {
			return written, err
		}
	}
	n, _ := io.WriteString(&client, s.tail())
	return written + int64(n), client.err
}

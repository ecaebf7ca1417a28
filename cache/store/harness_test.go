package store

import (
	"net/http"
	"strconv"
	"time"
)

// received is when the responses of the tables were received; they were asked for delay before.
var received = time.Date(2026, time.May, 9, 12, 0, 0, 0, time.UTC)

// at renders a date d after received.
func at(d time.Duration) string { return received.Add(d).Format(http.TimeFormat) }

// storedAt is a response with these fields that was received at received, to a request with the fields req.
func storedAt(req, h http.Header) *Response {
	if h.Get("Date") == "" {
		h.Set("Date", at(0))
	}
	return NewResponse("k", req, 200, h, received, received)
}

func setFields(h http.Header, fields []string) {
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
}

// fields returns a header of name, value pairs.
func fields(pairs ...string) http.Header {
	h := http.Header{}
	setFields(h, pairs)
	return h
}

// httpDate renders the time d from now.
func httpDate(d time.Duration) string {
	return time.Now().Add(d).UTC().Format(http.TimeFormat)
}

// numbered is n bytes of which every place can be told.
func numbered(n int) string {
	b := make([]byte, 0, n+9)
	for i := 10_000_000; len(b) < n; i++ {
		b = append(strconv.AppendInt(b, int64(i), 10), '\n')
	}
	return string(b[:n])
}

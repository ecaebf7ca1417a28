package field

import (
	"net/http"
	"time"
)

// received is when the responses of the tables were received.
var received = time.Date(2026, time.May, 9, 12, 0, 0, 0, time.UTC)

// at renders a date d after received.
func at(d time.Duration) string { return received.Add(d).Format(http.TimeFormat) }

// fields makes a header of names and values in turn.
func fields(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

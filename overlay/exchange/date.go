package exchange

import (
	"net/http"
	"time"
)

// parseDate reads an IMF-fixdate (RFC 9110 §5.6.7) that fits into 32 bits and that formatDate writes the same way.
func parseDate(s string) (seconds uint32, ok bool) {
	if len(s) != len(http.TimeFormat) {
		return 0, false
	}
	t, err := time.Parse(http.TimeFormat, s)
	if err != nil || t.Unix() < 0 || t.Unix() >= 1<<32 {
		return 0, false
	}
	seconds = uint32(t.Unix())
	return seconds, formatDate(seconds) == s
}

func formatDate(seconds uint32) string {
	return time.Unix(int64(seconds), 0).UTC().Format(http.TimeFormat)
}

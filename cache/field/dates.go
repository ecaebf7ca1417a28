package field

import (
	"net/http"
	"strings"
	"time"
)

// ParseDate reads an HTTP-date in any of its three forms (RFC 9110 §5.6.7).
func ParseDate(s string, now time.Time) (time.Time, bool) {
	t, err := time.Parse(http.TimeFormat, s)
	if err == nil {
		return t.UTC(), true
	}
	if t, err = time.Parse(time.ANSIC, s); err == nil {
		return t.UTC(), true
	}
	// time.RFC850 would take any zone's abbreviation as UTC; only GMT is one.
	stamp, isGMT := strings.CutSuffix(s, " GMT")
	if t, err = time.Parse("Monday, 02-Jan-06 15:04:05", stamp); err != nil || !isGMT {
		return time.Time{}, false
	}
	// RFC 9110 §5.6.7: a two-digit year that seems more than 50 years ahead is the latest one in the past.
	for t.After(now.AddDate(50, 0, 0)) {
		t = t.AddDate(-100, 0, 0)
	}
	for !t.After(now.AddDate(-50, 0, 0)) {
		t = t.AddDate(100, 0, 0)
	}
	return t.UTC(), true
}

// Date returns the date in field name: ok is false if it is absent or not one date.
func Date(h http.Header, name string, now time.Time) (t time.Time, ok bool) {
	lines := h[name]
	if len(lines) == 0 {
		return time.Time{}, false
	}
	return ParseDate(lines[0], now)
}

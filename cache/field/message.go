package field

import (
	"net/http"
	"slices"
	"time"
)

// DateOr returns when the message was made, or received if it doesn't say (RFC 9110 §6.6.1).
func DateOr(h http.Header, received time.Time) time.Time {
	if date, ok := Date(h, "Date", received); ok {
		return date
	}
	return received
}

// EnsureDate gives a message without Date the time of its arrival (RFC 9110 §6.6.1).
func EnsureDate(h http.Header, received time.Time) {
	if len(h["Date"]) == 0 {
		h["Date"] = []string{received.UTC().Format(http.TimeFormat)}
	}
}

// contentFields lists the fields that describe content, but for Content-Length, which is about the framing of its message, too.
var contentFields = [...]string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Range", "Accept-Ranges"}

// DescribesContent says whether the field with this canonical name describes content.
func DescribesContent(name string) bool { return slices.Contains(contentFields[:], name) }

// DropContent removes what describes a body that isn't sent (RFC 9110 §15.4.5).
func DropContent(h http.Header) {
	delete(h, "Content-Length")
	for _, name := range contentFields {
		delete(h, name)
	}
}

// HasContent says whether a response with this status has a body (RFC 9110 §6.4.1).
func HasContent(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

package field

import (
	"net/http"
	"strings"
	"time"
)

// NotModified says whether a request's preconditions are answered with 304 from a response with fields h (RFC 9110 §13.2.2,
// RFC 9111 §4.3.2). If-Match and If-Unmodified-Since are the origin's to evaluate.
func NotModified(req Fields, h http.Header, received time.Time) bool {
	if lines := req.Lines("If-None-Match"); len(lines) > 0 {
		return etagListed(lines, h.Get("Etag"))
	}
	lines := req.Lines("If-Modified-Since")
	if len(lines) != 1 {
		return false
	}
	since, ok := ParseDate(lines[0], received)
	if !ok {
		return false // RFC 9110 §13.1.3: ignored
	}
	modified, ok := Date(h, "Last-Modified", received)
	if !ok {
		modified = DateOr(h, received) // RFC 9111 §4.3.2
	}
	return !modified.After(since)
}

// etagListed compares weakly (RFC 9110 §13.1.2); * matches any response.
func etagListed(lines []string, etag string) bool {
	for _, line := range lines {
		for line != "" {
			var member string
			member, line = CutMember(line)
			member = strings.Trim(member, " \t")
			if member == "*" || etag != "" && Opaque(member) == Opaque(etag) {
				return true
			}
		}
	}
	return false
}

// Opaque is an entity-tag without its weakness.
func Opaque(etag string) string {
	return strings.TrimPrefix(etag, "W/")
}

// IsStrong says whether an entity-tag is there and strong (RFC 9110 §8.8.1).
func IsStrong(etag string) bool {
	return etag != "" && !strings.HasPrefix(etag, "W/")
}

// RangeStillValid evaluates If-Range (RFC 9110 §13.1.5): by a strong entity-tag, or by exactly the date of a Last-Modified that
// is strong (§8.8.2.2).
func RangeStillValid(req, h http.Header, received time.Time) bool {
	lines := req["If-Range"]
	if len(lines) == 0 {
		return true
	}
	condition := lines[0]
	if strings.HasPrefix(condition, `"`) || strings.HasPrefix(condition, "W/") {
		return !strings.HasPrefix(condition, "W/") && condition == h.Get("Etag")
	}
	since, ok := ParseDate(condition, received)
	modified, ok2 := Date(h, "Last-Modified", received)
	// A date is strong only if the origin's clock had moved on for a second since the change.
	return ok && ok2 && modified.Equal(since) && DateOr(h, received).Sub(modified) >= time.Second
}

package cache

import (
	"net/http"
	"strings"
	"time"

	"github.com/wherry/wherry/cache/field"
)

// notModified says whether a request's preconditions are answered with 304 from a response with fields h (RFC 9110 §13.2.2,
// RFC 9111 §4.3.2). If-Match and If-Unmodified-Since are the origin's to evaluate.
func notModified(req Fields, h http.Header, received time.Time) bool {
	if lines := req.Lines("If-None-Match"); len(lines) > 0 {
		return etagListed(lines, h.Get("Etag"))
	}
	lines := req.Lines("If-Modified-Since")
	if len(lines) != 1 {
		return false
	}
	since, ok := field.ParseDate(lines[0], received)
	if !ok {
		return false // RFC 9110 §13.1.3: ignored
	}
	modified, ok := field.Date(h, "Last-Modified", received)
	if !ok {
		modified = dateOr(h, received) // RFC 9111 §4.3.2
	}
	return !modified.After(since)
}

// etagListed compares weakly (RFC 9110 §13.1.2); * matches any response.
func etagListed(lines []string, etag string) bool {
	for _, line := range lines {
		for line != "" {
			var member string
			member, line = field.CutMember(line)
			member = strings.Trim(member, " \t")
			if member == "*" || etag != "" && opaque(member) == opaque(etag) {
				return true
			}
		}
	}
	return false
}

// opaque is an entity-tag without its weakness.
func opaque(etag string) string {
	return strings.TrimPrefix(etag, "W/")
}

// isStrong says whether an entity-tag is there and strong (RFC 9110 §8.8.1).
func isStrong(etag string) bool {
	return etag != "" && !strings.HasPrefix(etag, "W/")
}

// rangeStillValid evaluates If-Range (RFC 9110 §13.1.5): by a strong entity-tag, or by exactly the date of a Last-Modified that
// is strong (§8.8.2.2).
func rangeStillValid(req, h http.Header, received time.Time) bool {
	lines := req["If-Range"]
	if len(lines) == 0 {
		return true
	}
	condition := lines[0]
	if strings.HasPrefix(condition, `"`) || strings.HasPrefix(condition, "W/") {
		return !strings.HasPrefix(condition, "W/") && condition == h.Get("Etag")
	}
	since, ok := field.ParseDate(condition, received)
	modified, ok2 := field.Date(h, "Last-Modified", received)
	// A date is strong only if the origin's clock had moved on for a second since the change.
	return ok && ok2 && modified.Equal(since) && dateOr(h, received).Sub(modified) >= time.Second
}

// conditionalFields lists the fields that make a request conditional or partial.
var conditionalFields = [...]string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range"}

// condition makes the request fields h ask whether stored is still current (RFC 9111 §4.3.1).
func condition(h http.Header, stored *Response) {
	if etag := stored.Header.Get("Etag"); etag != "" {
		h["If-None-Match"] = []string{etag}
	}
	if modified := stored.Header.Get("Last-Modified"); modified != "" {
		h["If-Modified-Since"] = []string{modified}
	}
}

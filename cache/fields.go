package cache

import (
	"net/http"
	"strings"
)

// Fields are the fields of a request.
type Fields interface {
	// Lines returns the values of the field with a canonical name; they are good until the next call.
	Lines(name string) []string
}

// headerFields are Fields as net/http has them.
type headerFields http.Header

func (h headerFields) Lines(name string) []string { return h[name] }

// connectionSpecific lists the fields that end at this hop in both directions (RFC 9110 §7.6.1), with the older ones that
// implementations still send. Trailer and TE are handled by net/http's framing.
var connectionSpecific = [...]string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
	"Te", "Transfer-Encoding", "Upgrade",
}

// dropConnectionFields removes from h what is only meant for this connection, and what Connection nominates.
func dropConnectionFields(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = http.CanonicalHeaderKey(strings.Trim(name, " \t")); !endToEnd(name) {
				delete(h, name)
			}
		}
	}
	for _, name := range connectionSpecific {
		delete(h, name)
	}
}

// endToEnd lists the fields that Connection can't take away: without them a message would change its meaning, which somebody
// could use to poison what is stored (RFC 9110 §7.6.1 forbids to nominate them).
func endToEnd(name string) bool {
	switch name {
	case "Cache-Control", "Cdn-Cache-Control", "Wherry-Cache-Control", "Host", "Content-Length", "Content-Type", "Content-Encoding",
		"Content-Range", "Authorization", "Vary", "Age", "Date", "Expires", "Etag", "Range", "If-Range":
		return true
	}
	return false
}

// via returns the member that this node adds to Via for a message that it received in the protocol major.minor (RFC 9110
// §7.6.3).
func via(major, minor int, name string) string {
	switch {
	case major == 1 && minor == 1:
		return "1.1 " + name
	case major == 2:
		return "2.0 " + name
	case major == 3:
		return "3.0 " + name
	}
	return "1.0 " + name
}

// addVia appends member to h's Via on a line of its own slice.
func addVia(h http.Header, member string) {
	if old := h["Via"]; len(old) > 0 {
		member = strings.Join(old, ", ") + ", " + member
	}
	h["Via"] = []string{member}
}

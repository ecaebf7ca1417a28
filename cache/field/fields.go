package field

import (
	"net/http"
	"strings"
)

// Fields are the fields of a request.
type Fields interface {
	// Lines returns the values of the field with a canonical name; they are good until the next call.
	Lines(name string) []string
}

// Header is Fields as net/http has them.
type Header http.Header

// Lines implements Fields.
func (h Header) Lines(name string) []string { return h[name] }

// connectionSpecific lists the fields that end at this hop in both directions (RFC 9110 §7.6.1), with the older ones that
// implementations still send. Trailer and TE are handled by net/http's framing. Alt-Svc would lead clients past this node (RFC 7838 §2).
var connectionSpecific = [...]string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
	"Te", "Transfer-Encoding", "Upgrade", "Alt-Svc",
}

// EndHop removes from h what was only meant for the connection that the message came by: the fields of the list, and those that
// Connection nominates (RFC 9110 §7.6.1). edge does it before it adds fields of its own, which a client could nominate otherwise.
func EndHop(h http.Header) {
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
	case "Cdn-Loop", "Via", // RFC 8586 §2: a loop must not be able to hide itself
		"Cache-Control", "Cdn-Cache-Control", "Wherry-Cache-Control", "Host", "Content-Length", "Content-Type", "Content-Encoding",
		"Content-Range", "Authorization", "Vary", "Age", "Date", "Expires", "Etag", "Range", "If-Range":
		return true
	}
	return false
}

// AddVia adds the node called name to h's Via, for a message that it received in the protocol major.minor (RFC 9110 §7.6.3).
func AddVia(h http.Header, major, minor int, name string) {
	member := "1.0 " + name
	switch {
	case major == 1 && minor == 1:
		member = "1.1 " + name
	case major == 2:
		member = "2.0 " + name
	case major == 3:
		member = "3.0 " + name
	}
	if old := h["Via"]; len(old) > 0 {
		member = strings.Join(old, ", ") + ", " + member
	}
	h["Via"] = []string{member} // a new slice: the old one may be shared
}

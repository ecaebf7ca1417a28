package exchange

import (
	"net/http"
	"strings"
)

// What a byte may be part of.
const (
	inToken = 1 << iota // RFC 9110 §5.6.2
	inName              // the same without upper-case letters: RFC 9113 §8.2.1
	inValue             // RFC 9110 §5.5
)

// class is never written to.
var class = classes()

func classes() (t [256]uint8) {
	for c := range t {
		b := byte(c)
		if 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9' || b != 0 && strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0 {
			t[c] |= inToken
			if b < 'A' || b > 'Z' {
				t[c] |= inName
			}
		}
		if b == '\t' || b >= ' ' && b != 0x7f {
			t[c] |= inValue
		}
	}
	return t
}

func isMade(s string, of uint8) bool {
	for i := range len(s) {
		if class[s[i]]&of == 0 {
			return false
		}
	}
	return s != ""
}

// validValue says whether s may be a field's value, which neither begins nor ends with white space (RFC 9113 §8.2.1).
func validValue(s string) bool {
	return s == "" || isMade(s, inValue) && !blank(s[0]) && !blank(s[len(s)-1])
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// ofHop says whether a field is of one connection and not of the message (RFC 9110 §7.6.1).
func ofHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// parseLength reads Content-Length (RFC 9110 §8.6); -1 if it isn't one.
func parseLength(s string) int64 {
	if s == "" || len(s) > 18 {
		return -1
	}
	n := int64(0)
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// urgency reads the parameter u of Priority (RFC 9218 §4.1); what isn't one is left out (§4).
func urgency(values []string) (u int, ok bool) {
	for _, v := range values {
		for p := range strings.SplitSeq(v, ",") {
			if p, found := strings.CutPrefix(strings.TrimSpace(p), "u="); found && len(p) == 1 && '0' <= p[0] && p[0] <= '7' {
				u, ok = int(p[0]-'0'), true
			}
		}
	}
	return u, ok
}

// canonical is http.CanonicalHeaderKey for a valid name.
func canonical(name string) string { return http.CanonicalHeaderKey(name) }

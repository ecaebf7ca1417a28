package cache

import (
	"strconv"
	"strings"
	"time"
)

// status is this cache's member of Cache-Status (RFC 9211 §2).
type status struct {
	hit       bool
	fwd       string // why the request went forward: uri-miss, vary-miss, stale, request, bypass, method
	fwdStatus int
	stored    bool
	collapsed bool
	ttl       time.Duration
	hasTTL    bool
	key       Key // only when the request is traced
	detail    string
}

// render returns the member of the cache whose name is rendered as name.
func (s *status) render(name string) string {
	return string(s.appendTo(make([]byte, 0, 128), name)) // on the stack
}

// appendTo appends what render returns.
func (s *status) appendTo(b []byte, name string) []byte {
	b = append(b, name...)
	if s.hit {
		b = append(b, "; hit"...)
	}
	if s.fwd != "" {
		b = append(append(b, "; fwd="...), s.fwd...)
	}
	if s.fwdStatus != 0 {
		b = strconv.AppendInt(append(b, "; fwd-status="...), int64(s.fwdStatus), 10)
	}
	if s.hasTTL {
		b = strconv.AppendInt(append(b, "; ttl="...), s.ttlSeconds(), 10)
	}
	if s.stored {
		b = append(b, "; stored"...)
	}
	if s.collapsed {
		b = append(b, "; collapsed"...)
	}
	if s.key != "" {
		b = append(append(b, "; key="...), quoted(string(s.key))...)
	}
	if s.detail != "" {
		b = append(append(b, "; detail="...), tokenOrString(s.detail)...)
	}
	return b
}

// ttlSeconds rounds up, as Age is rounded down: together they are the lifetime.
func (s *status) ttlSeconds() int64 {
	if s.ttl > 0 {
		return int64((s.ttl + time.Second - 1) / time.Second)
	}
	return int64(s.ttl / time.Second)
}

// MemberName renders the name of a node as a member of Cache-Status or Proxy-Status has it.
func MemberName(node string) string { return tokenOrString(node) }

// tokenOrString renders s as a Token if it is one, else as a String (RFC 9651 §3.3.3, §3.3.4).
func tokenOrString(s string) string {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !('0' <= s[i] && s[i] <= '9') && s[i] != '-' && s[i] != '_' && s[i] != '.') {
			return quoted(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}

// quoted renders a String; what a String can't hold is percent-encoded.
func quoted(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c >= 0x7f:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

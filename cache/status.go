package cache

import (
	"math"
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

// render returns the member for the cache called name.
func (s *status) render(name string) string {
	return string(s.appendTo(make([]byte, 0, 64), tokenOrString(name)))
}

// appendTo appends the member for the cache whose rendered name is member.
func (s *status) appendTo(dst []byte, member string) []byte {
	dst = append(dst, member...)
	if s.hit {
		dst = append(dst, "; hit"...)
	}
	if s.fwd != "" {
		dst = append(append(dst, "; fwd="...), s.fwd...)
	}
	if s.fwdStatus != 0 {
		dst = strconv.AppendInt(append(dst, "; fwd-status="...), int64(s.fwdStatus), 10)
	}
	if s.hasTTL {
		dst = strconv.AppendInt(append(dst, "; ttl="...), int64(math.Ceil(s.ttl.Seconds())), 10) // Age is rounded down
	}
	if s.stored {
		dst = append(dst, "; stored"...)
	}
	if s.collapsed {
		dst = append(dst, "; collapsed"...)
	}
	if s.key != "" {
		dst = append(append(dst, "; key="...), quoted(string(s.key))...)
	}
	if s.detail != "" {
		dst = append(append(dst, "; detail="...), tokenOrString(s.detail)...)
	}
	return dst
}

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

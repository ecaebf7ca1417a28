package field

import "strings"

// TokenOrString renders s as a Token if it is one, else as a String (RFC 9651 §3.3.3, §3.3.4).
func TokenOrString(s string) string {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !('0' <= s[i] && s[i] <= '9') && s[i] != '-' && s[i] != '_' && s[i] != '.') {
			return Quoted(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}

// Quoted renders a String; what a String can't hold is percent-encoded.
func Quoted(s string) string {
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

package logs

import (
	"strconv"
	"unicode/utf8"
)

func appendIfAny(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(dst, name, value)
}

func appendString(dst []byte, name, value string) []byte {
	return appendQuoted(appendName(dst, name), value)
}

func appendInt(dst []byte, name string, value int64) []byte {
	return strconv.AppendInt(appendName(dst, name), value, 10)
}

// appendName appends the comma after the field before and the name, which is a constant of ours that needs no escapes.
func appendName(dst []byte, name string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// clip bounds a value that a stranger chose. A code point cut in two becomes U+FFFD like any other invalid byte.
func clip(s string) string {
	if len(s) > valueMaxBytes {
		return s[:valueMaxBytes]
	}
	return s
}

// appendQuoted appends s as a JSON string (RFC 8259 §7). Each byte that isn't part of valid UTF-8 becomes U+FFFD, because §8.1
// allows nothing else in the text; DEL and the C1 controls are escaped too, so that a line can be looked at in a terminal.
func appendQuoted(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	plain := 0 // s[plain:i] needs no escape
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
				i++
				continue
			}
			dst = append(dst, s[plain:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
			}
			i++
			plain = i
			continue
		}
		char, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case char == utf8.RuneError && size == 1:
			dst = append(append(dst, s[plain:i]...), `\ufffd`...)
			plain = i + size
		case char < 0xa0:
			dst = append(append(dst, s[plain:i]...), '\\', 'u', '0', '0', hex[char>>4], hex[char&0xf])
			plain = i + size
		}
		i += size
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}

package logs

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// The name of a field comes as it is written: after the comma that ends the field before, in quotes and with its colon.

func appendIfAny(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(dst, name, value)
}

func appendString(dst []byte, name, value string) []byte {
	return appendQuoted(append(dst, name...), value)
}

func appendInt(dst []byte, name string, value int64) []byte {
	return strconv.AppendInt(append(dst, name...), value, 10)
}

// appendTime appends t, which is in UTC, as RFC 3339 has it, with microseconds. time.Time.AppendFormat would read the layout anew
// for each line.
func appendTime(dst []byte, t time.Time) []byte {
	year, month, day := t.Date()
	if year < 0 || year > 9999 { // RFC 3339 §1: there are no others
		return t.AppendFormat(dst, "2006-01-02T15:04:05.000000Z07:00")
	}
	hour, minute, second := t.Clock()
	dst = appendDigits(append(appendDigits(append(appendDigits(dst, year, 4), '-'), int(month), 2), '-'), day, 2)
	dst = appendDigits(append(appendDigits(append(dst, 'T'), hour, 2), ':'), minute, 2)
	dst = appendDigits(append(appendDigits(append(dst, ':'), second, 2), '.'), t.Nanosecond()/int(time.Microsecond), 6)
	return append(dst, 'Z')
}

// appendDigits appends the last n digits of v.
func appendDigits(dst []byte, v, n int) []byte {
	dst = append(dst, "000000"[:n]...)
	for i := len(dst) - 1; v > 0; i-- {
		dst[i] = '0' + byte(v%10)
		v /= 10
	}
	return dst
}

// clip bounds a value that a stranger chose. A code point cut in two becomes U+FFFD like any other invalid byte.
func clip(s string) string {
	if len(s) > valueMaxBytes {
		return s[:valueMaxBytes]
	}
	return s
}

// plain tells of each byte whether it stands for itself in a string. It is a table because every byte of a line goes through it.
var plain = func() (t [utf8.RuneSelf]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\' && c != 0x7f
	}
	return t
}()

// appendQuoted appends s as a JSON string (RFC 8259 §7). Each byte that isn't part of valid UTF-8 becomes U+FFFD, because §8.1
// allows nothing else in the text; DEL and the C1 controls are escaped too, so that a line can be looked at in a terminal.
func appendQuoted(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	done := 0 // s[done:i] needs no escape
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if plain[c] {
				i++
				continue
			}
			dst = append(dst, s[done:i]...)
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
			done = i
			continue
		}
		char, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case char == utf8.RuneError && size == 1:
			dst = append(append(dst, s[done:i]...), `\ufffd`...)
			done = i + size
		case char < 0xa0:
			dst = append(append(dst, s[done:i]...), '\\', 'u', '0', '0', hex[char>>4], hex[char&0xf])
			done = i + size
		}
		i += size
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}

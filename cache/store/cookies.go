package store

import (
	"net/http"
	"strings"
)

// appendCookie appends the values of one cookie in the lines of Cookie (RFC 6265 §4.2.1): all of them, in their order, because
// servers differ in which one they take. If there is none it appends missing.
func appendCookie(dst []byte, cookie string, lines []string) []byte {
	start := len(dst)
	for _, line := range lines {
		for line != "" {
			var name, value string
			if name, value, line = cutCookie(line); name == cookie && name != "" {
				if len(dst) > start {
					dst = append(dst, ';') // no value has one
				}
				dst = append(append(dst, '='), value...)
			}
		}
	}
	if len(dst) == start {
		return append(dst, missing...)
	}
	return dst
}

// cutCookie cuts the first pair off a line of Cookie as servers do (RFC 6265 §5.4, §4.2). The name of what isn't a pair is empty.
func cutCookie(line string) (name, value, rest string) {
	pair, rest, _ := strings.Cut(line, ";")
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		return "", "", rest
	}
	return strings.Trim(name, " \t"), strings.Trim(value, " \t"), rest
}

// leaveCounted takes the cookies off h that don't count. What is left is the same for all requests that select the same response:
// the cookies in the order of the policy, each with its values in the order in which they were sent.
func (p *KeyPolicy) leaveCounted(h http.Header) {
	lines := h["Cookie"]
	if p.Cookies == nil || lines == nil {
		return
	}
	var b strings.Builder
	for _, cookie := range p.Cookies {
		for _, line := range lines {
			for line != "" {
				var name, value string
				if name, value, line = cutCookie(line); name != cookie {
					continue
				}
				if b.Len() > 0 {
					b.WriteString("; ")
				}
				b.WriteString(name + "=" + value)
			}
		}
	}
	if b.Len() == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = []string{b.String()}
}

package spell

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Absolute returns path as a request line has it: percent-encoded and from the root.
func Absolute(path string) string {
	if !strings.HasPrefix(path, "/") {
		path = "/" + regexp.MustCompile(`^(\.{0,2}(/|$))+`).ReplaceAllString(path, "")
	}
	return Encoded(path)
}

// Encoded percent-encodes what no URI has (RFC 3986 §2.1), and leaves what may be encoded already as it is.
func Encoded(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// WrongPath says what keeps a request line from ever having text in it (RFC 9112 §3.2.1), and what to write; nothing if it is right. fixed is what to write
// where text only isn't written as there.
func WrongPath(text, fixed string) (what, instead string) {
	switch _, err := url.PathUnescape(text); {
	case strings.Contains(text, "://") && !strings.HasPrefix(text, "/"):
		return Quoted(text) + " is a URL", "write only its path, such as /login"
	case strings.ContainsAny(text, "?#"):
		return Quoted(text) + " has a query or fragment", "write only the path; rules don't look at the query"
	case err != nil:
		return Quoted(text) + " has a % without two hexadecimal digits", "write %25 for a percent sign"
	case text == fixed:
		return "", ""
	case strings.HasSuffix(fixed, "/*") && !strings.HasSuffix(text, "/*"):
		return Quoted(text) + " has a * that is not behind a slash", "write " + fixed + ", or the whole path"
	case strings.HasPrefix(fixed, "/") && !strings.HasPrefix(text, "/"):
		return Quoted(text) + " does not begin with a slash", "write " + fixed
	}
	return Quoted(text) + " has characters that paths carry percent-encoded", "write " + fixed
}

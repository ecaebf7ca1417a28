package compute

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/wherry/wherry/fault"
)

// hopByHop are the fields that end at each hop (RFC 9110 §7.6.1), and those that say what this room says itself.
var hopByHop = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Transfer-Encoding": true, "Upgrade": true, // RFC 9110 §7.6.1
	"Trailer": true, // RFC 9110 §6.6.2: trailers end here
	"Host":    true, "Content-Length": true,
	"Expect": true, // RFC 9110 §10.1.1: the content is there already
}

// tellsLength reports whether a request without content says so (RFC 9110 §8.6): where the method gives content a meaning.
func tellsLength(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// writeHead writes the request line, Host and the fields that go on.
func writeHead(b *bytes.Buffer, r *http.Request) error {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	if method == http.MethodConnect {
		return fault.New(fault.Client, "write request", http.StatusNotImplemented, errors.New("programs don't answer CONNECT"))
	}
	target, host := r.URL.RequestURI(), r.Host
	if host == "" {
		host = r.URL.Host
	}
	if !isToken(method) || !isTarget(target) || !isHost(host) {
		return fault.New(fault.Client, "write request", http.StatusBadRequest, errors.New("a method, target or host has characters that it can't have"))
	}
	fmt.Fprintf(b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, host) // RFC 9112 §3, §3.2
	return writeFields(b, r.Header)
}

// writeFields writes those that go on, in the order of their names.
func writeFields(b *bytes.Buffer, h http.Header) error {
	named := connectionNames(h)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		canonical := http.CanonicalHeaderKey(name)
		if hopByHop[canonical] || named[canonical] {
			continue
		}
		if !isToken(name) {
			return fault.New(fault.Client, "write request", http.StatusBadRequest, fmt.Errorf("a field's name is %q", name))
		}
		for _, value := range h[name] {
			if !isValue(value) {
				return fault.New(fault.Client, "write request", http.StatusBadRequest, fmt.Errorf("the value of the field %s has control characters", name))
			}
			b.WriteString(name + ": " + strings.Trim(value, " \t") + "\r\n")
		}
	}
	return nil
}

// connectionNames are the fields that Connection names (RFC 9110 §7.6.1).
func connectionNames(h http.Header) map[string]bool {
	var named map[string]bool
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			if named == nil {
				named = map[string]bool{}
			}
			named[http.CanonicalHeaderKey(strings.Trim(name, " \t"))] = true
		}
	}
	return named
}

func tooLarge(int64) error {
	return &fault.Error{Party: fault.Client, Op: "read request", Status: http.StatusRequestEntityTooLarge, Err: &LimitError{"input"}}
}

// isToken is RFC 9110 §5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			continue
		}
		if strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// isTarget lets origin-form and "*" through (RFC 9112 §3.2), of visible ASCII.
func isTarget(s string) bool {
	if s == "" || s[0] != '/' && s != "*" {
		return false
	}
	return visible(s)
}

// isHost lets names, addresses and ports through (RFC 9112 §3.2).
func isHost(s string) bool { return visible(s) && !strings.ContainsAny(s, "/@?#,") }

func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// isValue is RFC 9110 §5.5: no control characters but the tab.
func isValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

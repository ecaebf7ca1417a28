package cache

import (
	"net/http"
	"slices"
	"strings"

	"github.com/wherry/wherry/cache/field"
)

// varies is what Vary says of a response (RFC 9111 §4.1): the request fields that selected it, with the values that they had.
type varies struct {
	star   bool
	names  []string // canonical, sorted, once each
	values []string // normalized, beside names
	sent   []string // as the client sent them, if that was one line; most requests are decided by it
}

// newVaries reads the lines of Vary and takes the values from the request's fields.
func newVaries(lines []string, req http.Header) varies {
	var v varies
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			switch name = strings.Trim(name, " \t"); name {
			case "":
			case "*":
				v.star = true
			default:
				v.names = append(v.names, http.CanonicalHeaderKey(name))
			}
		}
	}
	slices.Sort(v.names)
	v.names = slices.Compact(v.names)
	v.values, v.sent = make([]string, len(v.names)), make([]string, len(v.names))
	for i, name := range v.names {
		v.values[i] = normalized(name, req)
		if lines := req[name]; len(lines) == 1 {
			v.sent[i] = lines[0]
		}
	}
	return v
}

// matches says whether a request with fields req would have been answered with the same response. It doesn't allocate.
func (v *varies) matches(req Fields) bool {
	if v.star {
		return false
	}
	var room [256]byte
	for i, name := range v.names {
		lines := req.Lines(name)
		if len(lines) == 1 && lines[0] != "" && lines[0] == v.sent[i] {
			continue
		}
		if string(appendNormalized(room[:0], name, lines)) != v.values[i] {
			return false
		}
	}
	return true
}

// secondary is the part of the key that v's fields of req make; it is the same for requests that match each other.
func (v *varies) secondary(req http.Header) string {
	var b strings.Builder
	for _, name := range v.names {
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(normalized(name, req))
		b.WriteByte('\n')
	}
	return b.String()
}

// missing is the normalized value of a field that isn't there, which is another thing than an empty one.
const missing = "\x00"

// normalized returns field name of req in one form for all values with one meaning: lines combined, white space around list
// members gone (RFC 9111 §4.1), and where the field's definition says so, case folded and members in one order.
func normalized(name string, req http.Header) string {
	lines := req[name]
	if len(lines) == 1 && !strings.ContainsAny(lines[0], ", \t") && !ordered(name) {
		return lines[0]
	}
	return string(appendNormalized(nil, name, lines))
}

// appendNormalized appends what normalized returns for the lines of field name.
func appendNormalized(dst []byte, name string, lines []string) []byte {
	if len(lines) == 0 {
		return append(dst, missing...)
	}
	var room [16]string // on the stack, for most
	members := room[:0]
	for _, line := range lines {
		for line != "" {
			var member string
			member, line = field.CutMember(line)
			if member = strings.Trim(member, " \t"); member != "" {
				members = append(members, member)
			}
		}
	}
	if ordered(name) {
		for i, m := range members {
			if strings.ContainsFunc(m, func(c rune) bool { return c == ' ' || c >= 0x80 || 'A' <= c && c <= 'Z' }) {
				members[i] = strings.ReplaceAll(strings.ToLower(m), " ", "")
			}
		}
		slices.Sort(members)
	}
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, m...)
	}
	return dst
}

// ordered says whether the members of a field are case-insensitive and carry their preference in q alone, so that their order
// means nothing (RFC 9110 §12.5.3, §12.5.4).
func ordered(name string) bool {
	return name == "Accept-Encoding" || name == "Accept-Language"
}

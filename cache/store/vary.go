package store

import (
	"bytes"
	"net/http"
	"slices"
	"strings"

	"github.com/wherry/wherry/cache/field"
)

// Varies is what selects a response among those under one key: the request fields that Vary names (RFC 9111 §4.1) and those that
// the site's KeyPolicy names, with the values that they had.
type Varies struct {
	Star   bool     // of no request: Vary had *
	names  []string // canonical, sorted, once each; those of cookies are cookiePart and the cookie's name
	values []string // normalized, beside names
	sent   []string // as the client sent them, if that was one line; most requests are decided by it
}

// cookiePart begins the name of a part that is one cookie; no field's name has a space. Alone it says that a KeyPolicy with
// Cookies made the Varies.
const cookiePart = "Cookie "

// newVaries reads the lines of Vary and takes the values from the request's fields.
func newVaries(lines []string, req http.Header) Varies { return new(KeyPolicy).varies(lines, req) }

// varies returns what selects the response to a request with fields req whose lines of Vary are lines.
func (p *KeyPolicy) varies(lines []string, req http.Header) Varies {
	var v Varies
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			switch name = http.CanonicalHeaderKey(strings.Trim(name, " \t")); {
			case name == "*":
				v.Star = true
			case name == "Cookie" && p.Cookies != nil: // the operator knows which ones
			case name == "", strings.Contains(name, " "): // no field can have such a name
			default:
				v.names = append(v.names, name)
			}
		}
	}
	v.names = append(v.names, p.Headers...)
	if p.Cookies != nil {
		v.names = append(v.names, cookiePart)
	}
	for _, name := range p.Cookies {
		v.names = append(v.names, cookiePart+name)
	}
	slices.Sort(v.names)
	v.names = slices.Compact(v.names)
	v.values, v.sent = make([]string, len(v.names)), make([]string, len(v.names))
	for i, name := range v.names {
		v.values[i] = normalized(name, req)
		if lines := req[fieldOf(name)]; len(lines) == 1 {
			v.sent[i] = lines[0]
		}
	}
	return v
}

// Selects says whether a response that is selected by v is for a request with fields req under p. It doesn't allocate.
func (p *KeyPolicy) Selects(v *Varies, req field.Fields) bool {
	return p.tells(v.names) && v.matches(req)
}

// tells says whether responses that are told apart by names can be used under p. One that was stored under another policy can't if
// that told responses apart by less, or by other cookies.
func (p *KeyPolicy) tells(names []string) bool {
	for _, name := range p.Headers {
		if _, ok := slices.BinarySearch(names, name); !ok {
			return false
		}
	}
	cookies, want := 0, len(p.Cookies)
	if p.Cookies != nil {
		want++ // cookiePart alone
	}
	for _, name := range names {
		cookie, ok := strings.CutPrefix(name, cookiePart)
		if !ok {
			continue
		}
		if cookie != "" && !slices.Contains(p.Cookies, cookie) {
			return false
		}
		cookies++
	}
	return cookies == want
}

// Secondary is the part of the key that p's own fields of req make, where no stored response tells of more.
func (p *KeyPolicy) Secondary(req http.Header) string {
	if len(p.Headers) == 0 && p.Cookies == nil {
		return ""
	}
	v := p.varies(nil, req)
	return v.Secondary(req)
}

// matches says whether a request with fields req would have been answered with the same response. It doesn't allocate.
func (v *Varies) matches(req field.Fields) bool {
	if v.Star {
		return false
	}
	var room [256]byte
	for i, name := range v.names {
		lines := req.Lines(fieldOf(name))
		if len(lines) == 1 && lines[0] != "" && lines[0] == v.sent[i] {
			continue
		}
		if string(appendNormalized(room[:0], name, lines)) != v.values[i] {
			return false
		}
	}
	return true
}

// Secondary is the part of the key that v's fields of req make; it is the same for requests that match each other.
func (v *Varies) Secondary(req http.Header) string {
	var b strings.Builder
	for _, name := range v.names {
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(normalized(name, req))
		b.WriteByte('\n')
	}
	return b.String()
}

// fieldOf returns the field that a part is of.
func fieldOf(name string) string {
	if strings.HasPrefix(name, cookiePart) {
		return "Cookie"
	}
	return name
}

// missing is the normalized value of a field that isn't there, which is another thing than an empty one.
const missing = "\x00"

// normalized returns part name of req in one form for all values with one meaning: lines combined, white space around list
// members gone (RFC 9111 §4.1), and where the field's definition says so, case folded, weights in one form and members in one
// order, once each.
//
// What the definition lets an origin tell apart stays apart: `gzip` and `gzip, br;q=0`, `gzip` and `gzip, identity`, `gzip` and
// `x-gzip`, any order and case in all other fields. An origin that looks for a word instead of reading the field would answer
// some of these differently, and who merges them sends one client what another can't read.
func normalized(name string, req http.Header) string {
	lines := req[fieldOf(name)]
	if len(lines) == 1 && !strings.ContainsAny(lines[0], ", \t") && !ordered(name) && !strings.HasPrefix(name, cookiePart) {
		return lines[0]
	}
	return string(appendNormalized(nil, name, lines))
}

// appendNormalized appends what normalized returns for the lines of the field that part name is of.
func appendNormalized(dst []byte, name string, lines []string) []byte {
	if cookie, ok := strings.CutPrefix(name, cookiePart); ok {
		return appendCookie(dst, cookie, lines)
	}
	if len(lines) == 0 {
		return append(dst, missing...)
	}
	if ordered(name) {
		return appendOrdered(dst, lines)
	}
	start := len(dst)
	for _, line := range lines {
		for line != "" {
			var member string
			member, line = field.CutMember(line)
			if member = strings.Trim(member, " \t"); member == "" {
				continue
			}
			if len(dst) > start {
				dst = append(dst, ',')
			}
			dst = append(dst, member...)
		}
	}
	return dst
}

// ordered says whether the members of a field are case-insensitive and carry their preference in q alone, so that their order
// means nothing (RFC 9110 §12.5.3, §12.5.4).
func ordered(name string) bool {
	return name == "Accept-Encoding" || name == "Accept-Language"
}

// appendOrdered appends the members of a field whose order means nothing.
func appendOrdered(dst []byte, lines []string) []byte {
	type span struct{ from, to int } // of text: slices of it would move it to the heap
	var memberRoom [16]span          // on the stack, for most
	var textRoom [512]byte
	members, text := memberRoom[:0], textRoom[:0]
	for _, line := range lines {
		for line != "" {
			var member string
			member, line = field.CutMember(line)
			start := len(text)
			if text = appendFolded(text, member); len(text) > start {
				members = append(members, span{start, len(text)})
			}
		}
	}
	slices.SortFunc(members, func(a, b span) int { return bytes.Compare(text[a.from:a.to], text[b.from:b.to]) })
	for i, m := range members {
		member := text[m.from:m.to]
		if i > 0 {
			if before := members[i-1]; bytes.Equal(member, text[before.from:before.to]) {
				continue
			}
			dst = append(dst, ',')
		}
		dst = append(dst, member...)
	}
	return dst
}

// appendFolded appends a member of such a field in lower case, without white space around it and its semicolons, and with its
// weight in one form.
func appendFolded(dst []byte, member string) []byte {
	start := len(dst)
	part, rest, more := strings.Cut(member, ";")
	dst = appendLower(dst, strings.Trim(part, " \t"))
	for n := 1; more; n++ {
		part, rest, more = strings.Cut(rest, ";")
		part = strings.Trim(part, " \t")
		if n == 1 && !more && len(dst) > start {
			if weighted, ok := appendWeight(dst, part); ok {
				return weighted
			}
		}
		dst = appendLower(append(dst, ';'), part)
	}
	return dst
}

func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}

// appendWeight appends the shortest form of a weight (RFC 9110 §12.4.2) with its semicolon, which is nothing at all for 1: what has
// no weight has that. It says no to what isn't a weight.
func appendWeight(dst []byte, part string) (with []byte, ok bool) {
	const valueMax = len("0.123")
	if len(part) < len("q=0") || part[0]|0x20 != 'q' || part[1] != '=' || len(part)-len("q=") > valueMax {
		return dst, false
	}
	whole, fraction, _ := strings.Cut(part[len("q="):], ".")
	fraction = strings.TrimRight(fraction, "0")
	switch {
	case strings.Trim(fraction, "0123456789") != "":
		return dst, false
	case whole == "1" && fraction == "":
		return dst, true
	case whole == "0" && fraction == "":
		return append(dst, ";q=0"...), true
	case whole == "0":
		return append(append(dst, ";q=0."...), fraction...), true
	}
	return dst, false
}

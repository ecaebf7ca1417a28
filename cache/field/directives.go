package field

import (
	"net/http"
	"strings"
	"time"
)

// absent is the value of a directive with an argument that wasn't given.
const Absent time.Duration = -1

// MaxDelta is the largest delta-seconds that means something (RFC 9111 §1.2.2).
const MaxDelta = (1 << 31) * time.Second

// Directives are the cache directives of one message. Arguments in seconds are absent (-1) when not given.
type Directives struct {
	NoStore, NoCache, Private, Public  bool
	MustRevalidate, ProxyRevalidate    bool
	MustUnderstand, OnlyIfCached       bool
	Immutable                          bool // RFC 8246
	MaxAge, SMaxAge                    time.Duration
	StaleWhileRevalidate, StaleIfError time.Duration // RFC 5861
	MaxStale, MinFresh                 time.Duration
	NoCacheFields, PrivateFields       []string // canonical names of no-cache="…" and private="…"
	InvalidMaxAge, InvalidSMaxAge      bool
}

func NoDirectives() Directives {
	return Directives{
		MaxAge: Absent, SMaxAge: Absent, StaleWhileRevalidate: Absent, StaleIfError: Absent,
		MaxStale: Absent, MinFresh: Absent,
	}
}

// ParseCacheControl reads the lines of a Cache-Control field (RFC 9111 §5.2). Names are case-insensitive, arguments may be
// quoted, unknown directives are ignored, and of a directive that stands twice the first counts (§4.2.1).
func ParseCacheControl(lines []string) Directives {
	d := NoDirectives()
	for _, line := range lines {
		cut := CutMember
		if !terminated(line) {
			cut = cutAtComma // what stands behind a stray quote may be a no-store
		}
		for line != "" {
			var member string
			member, line = cut(line)
			name, arg, hasArg := strings.Cut(strings.Trim(member, " \t"), "=")
			if name != "" {
				d.set(strings.ToLower(name), unquote(arg), hasArg)
			}
		}
	}
	return d
}

// CutMember splits s at its first comma outside of a quoted string.
func CutMember(s string) (member, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// terminated says whether all quoted strings in s have an end.
func terminated(s string) bool {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		}
	}
	return !quoted
}

func cutAtComma(s string) (member, rest string) {
	member, rest, _ = strings.Cut(s, ",")
	return member, rest
}

// unquote returns the value of a quoted-string (RFC 9110 §5.6.4), or s itself if it is none.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func (d *Directives) set(name, arg string, hasArg bool) {
	switch name {
	case "no-store":
		d.NoStore = true
	case "no-cache":
		if fields := fieldNames(arg); len(fields) > 0 {
			d.NoCacheFields = append(d.NoCacheFields, fields...)
		} else {
			d.NoCache = true
		}
	case "private":
		if fields := fieldNames(arg); len(fields) > 0 {
			d.PrivateFields = append(d.PrivateFields, fields...)
		} else {
			d.Private = true
		}
	case "public":
		d.Public = true
	case "must-revalidate":
		d.MustRevalidate = true
	case "proxy-revalidate":
		d.ProxyRevalidate = true
	case "must-understand":
		d.MustUnderstand = true
	case "only-if-cached":
		d.OnlyIfCached = true
	case "immutable":
		d.Immutable = true
	case "max-age":
		d.InvalidMaxAge = setDelta(&d.MaxAge, arg) || d.InvalidMaxAge
	case "s-maxage":
		d.InvalidSMaxAge = setDelta(&d.SMaxAge, arg) || d.InvalidSMaxAge
	case "stale-while-revalidate":
		setDelta(&d.StaleWhileRevalidate, arg)
	case "stale-if-error":
		setDelta(&d.StaleIfError, arg)
	case "min-fresh":
		setDelta(&d.MinFresh, arg)
	case "max-stale":
		if !hasArg && d.MaxStale == Absent {
			d.MaxStale = MaxDelta // RFC 9111 §5.2.1.2: without an argument, any staleness
			return
		}
		setDelta(&d.MaxStale, arg)
	}
}

// setDelta sets *d from arg unless it is set. It reports an argument that is no delta-seconds, and then sets 0: what has
// invalid freshness information is stale (RFC 9111 §4.2.1).
func setDelta(d *time.Duration, arg string) (invalid bool) {
	if *d != Absent {
		return false
	}
	v, ok := ParseDelta(arg)
	*d = v
	return !ok
}

// ParseDelta reads delta-seconds (RFC 9111 §1.2.2): digits only, clamped to 2^31.
func ParseDelta(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	var n int64
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n = n*10 + int64(s[i]-'0'); n > 1<<31 {
			n = 1 << 31 // and go on, to see that the rest are digits
		}
	}
	return time.Duration(n) * time.Second, true
}

// fieldNames reads the argument of no-cache and private: a list of field names. What isn't one has none: then the directive
// counts for the whole response, which is the safe reading.
func fieldNames(arg string) []string {
	var names []string
	for name := range strings.SplitSeq(arg, ",") {
		switch name = strings.Trim(name, " \t"); {
		case name == "":
		case !IsToken(name):
			return nil
		default:
			names = append(names, http.CanonicalHeaderKey(name))
		}
	}
	return names
}

// IsToken says whether s is a token (RFC 9110 §5.6.2), as field names are.
func IsToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

// RequestDirectives returns the directives of a request. Pragma: no-cache counts where there is no Cache-Control
// (RFC 9111 §5.4).
func RequestDirectives(h http.Header) Directives {
	if cc := h["Cache-Control"]; len(cc) > 0 {
		return ParseCacheControl(cc)
	}
	d := NoDirectives()
	for _, line := range h["Pragma"] {
		for member := range strings.SplitSeq(line, ",") {
			d.NoCache = d.NoCache || strings.EqualFold(strings.Trim(member, " \t"), "no-cache")
		}
	}
	return d
}

package field

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dunglas/httpsfv"
)

// searchMax bounds what is kept of a No-Vary-Search: its canonical form stands in each key that it makes.
const searchMax = 1024

// Search is what No-Vary-Search says of a URL's query (draft-ietf-httpbis-no-vary-search): which parameters, and whether their
// order, make no difference. The zero value is the default: each difference makes one.
type Search struct {
	text     string // two are the same if this is
	anyOrder bool
	only     bool     // just the parameters in names make a difference, instead of all but them
	names    []string // decoded, sorted, once each
}

// NoVarySearch reads the lines of No-Vary-Search. Whatever isn't as it should be makes the default of it (§4.1).
func NoVarySearch(lines []string) Search {
	if len(lines) == 0 {
		return Search{}
	}
	dict, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil {
		return Search{}
	}
	var s Search
	if order, ok := dict.Get("key-order"); ok {
		item, _ := order.(httpsfv.Item)
		if s.anyOrder, ok = item.Value.(bool); !ok {
			return Search{}
		}
	}
	if params, ok := dict.Get("params"); ok && !s.setParams(params) {
		return Search{}
	}
	if except, ok := dict.Get("except"); ok {
		if s.names, ok = keys(except); !ok || !s.only {
			return Search{}
		}
	}
	return s.finished()
}

func (s *Search) setParams(params httpsfv.Member) (ok bool) {
	if item, isItem := params.(httpsfv.Item); isItem {
		s.only, ok = item.Value.(bool)
		return ok
	}
	s.names, ok = keys(params)
	return ok
}

// finished gives s its text; what is as good as the default, or too long to keep, is the default.
func (s *Search) finished() Search {
	slices.Sort(s.names)
	s.names = slices.Compact(s.names)
	if !s.anyOrder && !s.only && len(s.names) == 0 {
		return Search{}
	}
	var b strings.Builder
	if s.anyOrder {
		b.WriteString("key-order,")
	}
	b.WriteString("params=")
	if s.only {
		b.WriteString("only=")
	}
	for _, name := range s.names {
		b.WriteString(url.QueryEscape(name) + "&")
	}
	if b.Len() > searchMax {
		return Search{}
	}
	s.text = b.String()
	return *s
}

// keys reads an inner list of Strings, each of which is a name as a query has it (§4.3).
func keys(member httpsfv.Member) (names []string, ok bool) {
	list, ok := member.(httpsfv.InnerList)
	if !ok {
		return nil, false
	}
	for _, item := range list.Items {
		s, ok := item.Value.(string)
		if !ok {
			return nil, false
		}
		name, ok := decoded(s)
		if !ok {
			return nil, false
		}
		names = append(names, name)
	}
	return names, true
}

// IsDefault says whether each difference in the query makes one.
func (s *Search) IsDefault() bool { return s.text == "" }

// String returns s in one form for all that say the same: of characters that a query may have.
func (s *Search) String() string { return s.text }

// Canonical returns the one form of all queries that are equivalent to query under s (§5). It isn't ok for a query that can't be
// decoded to UTF-8 without replacing something: it is equivalent to itself alone.
func (s *Search) Canonical(query string) (canonical string, ok bool) {
	type param struct{ name, value string }
	var params []param
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, ok := decoded(rawName)
		value, ok2 := decoded(rawValue)
		if !ok || !ok2 {
			return "", false
		}
		if _, listed := slices.BinarySearch(s.names, name); listed == s.only {
			params = append(params, param{name, value})
		}
	}
	if s.anyOrder { // but for the order of a parameter's own values
		slices.SortStableFunc(params, func(a, b param) int { return strings.Compare(a.name, b.name) })
	}
	var b strings.Builder
	for i, p := range params {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value))
	}
	return b.String(), true
}

// decoded reads a name or a value as application/x-www-form-urlencoded has it: a percent sign that begins no octet is itself.
func decoded(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, utf8.ValidString(s)
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s) && hexDigit(s[i+1]) >= 0 && hexDigit(s[i+2]) >= 0:
			b = append(b, byte(hexDigit(s[i+1])<<4|hexDigit(s[i+2])))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b), utf8.Valid(b)
}

// hexDigit returns the value of a hexadecimal digit, or -1.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

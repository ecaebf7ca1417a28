package store

import (
	"slices"

	"github.com/wherry/wherry/cache/field"
)

// Select returns the response that a request with fields req selects: of the matching ones the one with the latest Date
// (RFC 9111 §4), but rather one with Vary, because origins forget Vary on what they send to those who express no preference (§4.1).
// The newest stored stands first, which decides between equals.
func Select(stored []*Response, p *KeyPolicy, req field.Fields) *Response {
	if len(stored) == 1 {
		if r := stored[0]; p.Selects(&r.Varies, req) {
			return r
		}
		return nil
	}
	var best *Response
	of := selector{keys: p, req: req}
	for _, r := range stored {
		if !of.selects(&r.Varies) {
			continue
		}
		if best == nil || r.preferredTo(best) {
			best = r
		}
	}
	return best
}

// preferredTo says whether r goes before other where a request selects both.
func (r *Response) preferredTo(other *Response) bool {
	switch {
	case r.outlasts(other):
		return true
	case other.outlasts(r):
		return false
	}
	return field.DateOr(r.Header, r.Fresh.at).After(field.DateOr(other.Header, other.Fresh.at))
}

// outlasts says whether r has Vary, other hasn't, and r could still be used when other came: else the origin has just said that it
// varies no more.
func (r *Response) outlasts(other *Response) bool {
	return len(r.Header["Vary"]) > 0 && len(other.Header["Vary"]) == 0 && !r.Directives.NoCache && r.Fresh.Left(other.Fresh.at) > 0
}

// selector says which of many stored responses a request selects. Most are told apart by the same fields, so it reads those of the
// request once. It lives on the stack.
type selector struct {
	keys *KeyPolicy
	req  field.Fields

	names  []string // what follows is of these; nil: of none yet
	fits   bool     // there is room for all values
	tells  bool
	values [512]byte // of the request, normalized, one behind the other
	ends   [selectorNames]int
}

const selectorNames = 8

// selects is KeyPolicy.Selects.
func (s *selector) selects(v *Varies) bool {
	if v.Star || len(v.names) == 0 || len(v.names) > selectorNames {
		return s.keys.Selects(v, s.req)
	}
	if !slices.Equal(s.names, v.names) {
		s.read(v.names)
	}
	if !s.fits {
		return s.keys.Selects(v, s.req)
	}
	from := 0
	for i, want := range v.values {
		if string(s.values[from:s.ends[i]]) != want {
			return false
		}
		from = s.ends[i]
	}
	return s.tells
}

func (s *selector) read(names []string) {
	s.names, s.tells = names, s.keys.tells(names)
	values := s.values[:0]
	for i, name := range names {
		values = appendNormalized(values, name, s.req.Lines(fieldOf(name)))
		s.ends[i] = len(values)
	}
	s.fits = len(values) <= len(s.values)
}

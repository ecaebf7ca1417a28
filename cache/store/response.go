package store

import (
	"net/http"
	"slices"
	"time"

	"github.com/wherry/wherry/cache/field"
)

// Response is one stored, or just received, response. All but its body is immutable: a 304 makes a new one with the same body.
type Response struct {
	Key     Key
	Status  int
	Header  http.Header // what may be stored and sent on; slices are clipped, so that appending copies
	Trailer http.Header
	Body    Body // nil until all of it is stored
	Copy    Copy // nil if it is nowhere else

	Varies         Varies           // which requests it is for
	Directives     field.Directives // of Cache-Control, or of the targeted field in its place
	DirectivesFrom string           // the field that they are from
	Fresh          Freshness        // how old it is, and how long it may be used
	Refused        string           // why the site forbids to store it; empty if it doesn't
	Groups         []string         // of Cache-Groups (RFC 9875)
	Tags           []string         // of Cache-Tag and its kin
	Born           Generation       // when it was asked for, in purges: it may tell of what was before any later one
	Checks         *Checks          // of purges since; nil: none can be noted
	Block          Block            // what of Header goes out as it is; see Prepared

	Parts *Parts // how the content is stored if not in Body
	Start int64  // of a fragment: the offset in the whole content at which Body begins
}

// NewResponse takes the header section of a response to a request with the fields req.
func NewResponse(key Key, req http.Header, status int, h http.Header, requested, received time.Time) *Response {
	r := &Response{Key: key, Status: status, Header: h, Checks: new(Checks)}
	r.takeTags()
	d, from, targeted := field.ResponseDirectives(h)
	r.Directives, r.DirectivesFrom = d, from
	r.Fresh = newFreshness(h, status, &d, from, targeted, requested, received)
	r.Varies = newVaries(h["Vary"], req)
	for name, lines := range h {
		h[name] = slices.Clip(lines)
	}
	return r
}

// takeTags reads the names by which the response can be purged.
func (r *Response) takeTags() {
	var few, short bool
	r.Tags, few = field.Tags(r.Header)
	r.Groups, short = field.Groups(r.Header)
	if !few || !short {
		r.Refused = "more or longer tags than a stored response may have"
	}
}

// ForStore returns the response as it is stored: without the fields that no-cache="…" and private="…" name (RFC 9111
// §5.2.2.4, §5.2.2.7).
func (r *Response) ForStore() *Response {
	named := append(slices.Clone(r.Directives.NoCacheFields), r.Directives.PrivateFields...)
	if len(named) == 0 {
		return r
	}
	stored := *r
	stored.Header = r.Header.Clone()
	for _, name := range named {
		delete(stored.Header, name)
	}
	return &stored
}

// Freshened returns r with the fields of a 304 (or of a 200 to HEAD) laid over (RFC 9111 §3.2, §4.3.4).
func (r *Response) Freshened(update http.Header, requested, received time.Time) *Response {
	h := r.Header.Clone()
	for name, lines := range update {
		if !keptOnUpdate(name) {
			h[name] = lines
		}
	}
	if update["Age"] == nil {
		delete(h, "Age") // the stored one is of the stored message
	}
	if update["Date"] == nil {
		delete(h, "Date")
		field.EnsureDate(h, received)
	}
	n := NewResponse(r.Key, nil, r.Status, h, requested, received)
	n.Body, n.Copy, n.Trailer, n.Varies, n.Parts = r.Body, r.Copy, r.Trailer, r.Varies, r.Parts
	return n
}

// Shareable says whether the response, just received, may be used for other requests than the one that fetched it without
// asking again (RFC 9111 §4).
func (r *Response) Shareable() bool {
	return !r.Directives.NoCache && r.Fresh.Left(r.Fresh.at) > 0
}

// keptOnUpdate says whether a stored field stays as it is on an update because it describes the stored bytes (RFC 9111 §3.2).
func keptOnUpdate(name string) bool {
	switch name {
	case "Content-Encoding", "Content-Length", "Content-Md5", "Content-Range", "Etag", "Vary", "Trailer",
		"No-Vary-Search": // which has made the key
		return true
	}
	return false
}

// HasValidator says whether the response can be validated (RFC 9110 §8.8).
func (r *Response) HasValidator() bool {
	return r.Header.Get("Etag") != "" || r.Header.Get("Last-Modified") != ""
}

// StaleUseful says whether the origin allows any use of the response when it is stale.
func (r *Response) StaleUseful() bool {
	return r.Directives.StaleWhileRevalidate > 0 || r.Directives.StaleIfError > 0
}

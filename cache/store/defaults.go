package store

import (
	"net/http"
	"slices"
	"time"
)

// Defaults is what a site says about responses where the origin says nothing, and of how long they live at most. It is immutable.
type Defaults struct {
	TTL       time.Duration // of successes and redirects without explicit freshness; 0 leaves them to the heuristic
	MaxTTL    time.Duration // of all; 0 is no limit
	Negative  []Negative    // of errors without explicit freshness; the first that has the status counts
	SetCookie SetCookie
}

// Negative is how long errors stay fresh.
type Negative struct {
	Statuses []int
	Server   bool // all from 500 to 599 too
	TTL      time.Duration
}

// SetCookie says what becomes of a response with Set-Cookie.
type SetCookie int

// The values of SetCookie.
const (
	// StoreCookie stores it as it is, if its freshness is explicit or it is public: RFC 9111 §7.3 leaves it to the origin.
	StoreCookie SetCookie = iota
	// StripCookie stores it without the cookie, which only the request gets that fetched it.
	StripCookie
	// RefuseCookie doesn't store it.
	RefuseCookie
)

// Adjust lays what the site says in keys and d, which may be nil, over a response that was just received, or freshened. fields are those
// of the request that fetched it; nil if the response is a stored one that is freshened, which is selected as before.
func (r *Response) Adjust(keys *KeyPolicy, d *Defaults, fields http.Header) {
	if fields != nil && (len(keys.Headers) > 0 || keys.Cookies != nil) {
		r.Varies = keys.varies(r.Header["Vary"], fields)
	}
	if d == nil {
		return
	}
	d.assign(&r.Fresh, r.Status)
	if r.Header["Set-Cookie"] == nil {
		return
	}
	switch d.SetCookie {
	case StripCookie:
		// As if the origin had said private="Set-Cookie" (RFC 9111 §5.2.2.7).
		r.Directives.PrivateFields = append(slices.Clip(r.Directives.PrivateFields), "Set-Cookie")
	case RefuseCookie:
		r.Refused = "Set-Cookie, which the site's set_cookie refuses"
	default:
		if r.Fresh.Assigned && !r.Directives.Public {
			r.Refused = "Set-Cookie without explicit freshness"
		}
	}
}

// assign gives the response with status the lifetime that the site says, counted from its arrival here: what somebody else's cache
// or clock says of its age was not said to go with it.
func (d *Defaults) assign(f *Freshness, status int) {
	ttl, from := d.ttl(status)
	if !f.Explicit && from != "" {
		f.lifetime, f.Basis, f.Assigned, f.Negative = f.initialAge+ttl, from, true, status >= 400
	}
	if d.MaxTTL > 0 && f.lifetime > f.initialAge+d.MaxTTL {
		f.lifetime, f.Basis = f.initialAge+d.MaxTTL, "the site's max_ttl, shorter than "+f.Basis
	}
	f.Why = "fresh by " + f.Basis
}

// ttl returns the lifetime that the site gives a response with status, and its name for people; empty if it gives none.
func (d *Defaults) ttl(status int) (ttl time.Duration, from string) {
	for i := range d.Negative {
		if n := &d.Negative[i]; slices.Contains(n.Statuses, status) || n.Server && status >= 500 && status <= 599 {
			return n.TTL, "the site's negative ttl"
		}
	}
	if d.TTL > 0 && defaultable(status) {
		return d.TTL, "the site's default_ttl"
	}
	return 0, ""
}

// defaultable lists the status codes that Defaults.TTL is for: those of RFC 9110 §15.1 that aren't errors, without 206.
func defaultable(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308:
		return true
	}
	return false
}

package store

import (
	"net/http"
	"strings"
	"time"

	"github.com/wherry/wherry/cache/field"
)

// heuristicShare and heuristicMax make the heuristic lifetime: a tenth of the time since the last change, as RFC 9111 §4.2.2
// suggests, and never more than a day, because a wrong guess stays until then.
const (
	heuristicShare = 10
	heuristicMax   = 24 * time.Hour
)

// Freshness is all that the arithmetic of RFC 9111 §4.2 needs to know of a response.
type Freshness struct {
	lifetime   time.Duration // freshness_lifetime
	Basis      string        // what the lifetime is from, for people: "max-age", "heuristic", …
	Why        string        // the reason of all hits, made once
	Explicit   bool          // the origin gave it
	Assigned   bool          // the site gave it, because the origin didn't
	Negative   bool          // assigned to an error: nothing lets it be used when it is stale
	initialAge time.Duration // corrected_initial_age
	at         time.Time     // response_time
}

// newFreshness works out the freshness of a response that was asked for at requested and was there at received.
func newFreshness(h http.Header, status int, d *field.Directives, from string, targeted bool, requested, received time.Time) Freshness {
	f := Freshness{initialAge: initialAge(h, requested, received), at: received}
	prefix := ""
	if targeted {
		prefix = from + " "
	}
	// RFC 9111 §4.2.1, in this order: s-maxage (we are shared), max-age, Expires, then heuristics.
	switch {
	case d.SMaxAge != field.Absent:
		f.lifetime, f.Basis, f.Explicit = d.SMaxAge, prefix+"s-maxage", true
		if d.InvalidSMaxAge {
			f.Basis = "invalid s-maxage"
		}
	case d.MaxAge != field.Absent:
		f.lifetime, f.Basis, f.Explicit = d.MaxAge, prefix+"max-age", true
		if d.InvalidMaxAge {
			f.Basis = "invalid max-age"
		}
	case !targeted && len(h["Expires"]) > 0: // RFC 9213 §2.2: a targeted field switches Expires off
		f.Basis, f.Explicit = "Expires", true
		expires, ok := field.Date(h, "Expires", received)
		if !ok {
			f.Basis = "invalid Expires" // RFC 9111 §5.3: in the past
			break
		}
		f.lifetime = min(max(0, expires.Sub(field.DateOr(h, received))), field.MaxDelta)
	default:
		f.lifetime = heuristicLifetime(h, status, d, received)
		f.Basis = "heuristic"
		if f.lifetime == 0 {
			f.Basis = "no freshness given"
		}
	}
	f.Why = "fresh by " + f.Basis
	return f
}

// heuristicLifetime is RFC 9111 §4.2.2; 0 where no heuristic applies.
func heuristicLifetime(h http.Header, status int, d *field.Directives, received time.Time) time.Duration {
	if !HeuristicallyCacheable(status) && !d.Public {
		return 0
	}
	modified, ok := field.Date(h, "Last-Modified", received)
	if !ok {
		return 0
	}
	return min(heuristicMax, max(0, field.DateOr(h, received).Sub(modified)/heuristicShare))
}

// HeuristicallyCacheable lists the status codes of RFC 9110 §15.1, without 206, which isn't stored.
func HeuristicallyCacheable(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// initialAge is corrected_initial_age of RFC 9111 §4.2.3.
func initialAge(h http.Header, requested, received time.Time) time.Duration {
	apparent := max(0, received.Sub(field.DateOr(h, received)))
	corrected := ageField(h) + max(0, received.Sub(requested))
	// Date has whole seconds: an age that is only the part cut off is none.
	if apparent < time.Second {
		apparent = 0
	}
	return min(max(apparent, corrected), field.MaxDelta) // no sum of durations overflows
}

// ageField reads Age: of a list the first member, and nothing if that isn't delta-seconds (RFC 9111 §5.1).
func ageField(h http.Header) time.Duration {
	lines := h["Age"]
	if len(lines) == 0 {
		return 0
	}
	first, _, _ := strings.Cut(lines[0], ",")
	age, _ := field.ParseDelta(strings.Trim(first, " \t"))
	return age
}

// Age is current_age (RFC 9111 §4.2.3).
func (f *Freshness) Age(now time.Time) time.Duration {
	return f.initialAge + min(max(0, now.Sub(f.at)), field.MaxDelta)
}

// Left is how long the response stays fresh; negative is how long it has been stale.
func (f *Freshness) Left(now time.Time) time.Duration {
	return f.lifetime - f.Age(now)
}

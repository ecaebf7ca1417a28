package cache

import (
	"fmt"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/purges"
	"github.com/wherry/wherry/cache/store"
)

// reuse is what may be done with the stored response that a request selects.
type reuse string

const (
	reuseFresh    reuse = "hit"      // send it
	reuseStale    reuse = "stale"    // send it though it is stale
	reuseRefresh  reuse = "refresh"  // send it though it is stale, and validate it behind the request's back
	reuseValidate reuse = "validate" // ask the upstream first
	reuseNone     reuse = "miss"     // there is none
	reuseRefused  reuse = "refused"  // 504: the request wants no fetch and nothing can be sent (RFC 9111 §5.2.1.7)
)

// decision is a reuse with its reason, and the value for Cache-Status's fwd (RFC 9211 §2.2) if the request goes forward.
type decision struct {
	reuse reuse
	why   string
	fwd   string
}

// decide says what a request with directives req may do with stored at the time now (RFC 9111 §4). varied tells that there are
// stored responses, but for other request fields; purged is what purges have made of stored.
func decide(stored *store.Response, varied bool, purged *purges.Finding, req *field.Directives, p *Policy, now time.Time) decision {
	d := reusable(stored, varied, purged, req, p, now)
	if purged.Standing == purges.Invalid && stored != nil && d.reuse != reuseValidate {
		d = decision{reuseValidate, purged.Why, "stale"} // RFC 9111 §4.4
	}
	if req.OnlyIfCached && (d.reuse == reuseValidate || d.reuse == reuseNone) {
		d.reuse, d.why = reuseRefused, "only-if-cached, and "+d.why
	}
	return d
}

// left is how long r stays fresh; what was purged softly is stale since then at the latest.
func left(r *store.Response, purged *purges.Finding, now time.Time) time.Duration {
	left := r.Fresh.Left(now)
	if purged.Standing == purges.Stale {
		left = min(left, -max(0, now.Sub(purged.Since)))
	}
	return left
}

func reusable(stored *store.Response, varied bool, purged *purges.Finding, req *field.Directives, p *Policy, now time.Time) decision {
	if stored == nil {
		if purged.Standing == purges.Gone {
			return decision{reuseNone, purged.Why, "uri-miss"}
		}
		if varied {
			return decision{reuseNone, "stored only for other request fields (Vary)", "vary-miss"}
		}
		return decision{reuseNone, "nothing stored", "uri-miss"}
	}
	age, left := stored.Fresh.Age(now), left(stored, purged, now)
	unwanted := "request" // RFC 9211 §2.2: fresh, but not for this request
	if left <= 0 {
		unwanted = "stale"
	}
	switch {
	case stored.Directives.NoCache: // §5.2.2.4
		return decision{reuseValidate, stored.DirectivesFrom + " no-cache", "stale"}
	case req.NoCache: // §5.2.1.4
		return decision{reuseValidate, "request no-cache", unwanted}
	case req.MaxAge != field.Absent && age-req.MaxAge > max(0, req.MaxStale) && !unchanging(stored, now): // §5.2.1.1
		return decision{reuseValidate, fmt.Sprintf("age %s above the request's max-age %s", seconds(age), seconds(req.MaxAge)), unwanted}
	case req.MinFresh != field.Absent && left < req.MinFresh: // §5.2.1.3
		return decision{reuseValidate, fmt.Sprintf("fresh for %s, below the request's min-fresh %s", seconds(left), seconds(req.MinFresh)), unwanted}
	case left > 0: // §4.2
		return decision{reuseFresh, stored.Fresh.Why, ""}
	case req.MaxStale != field.Absent && -left <= req.MaxStale && !staleForbidden(stored): // §5.2.1.2
		return decision{reuseStale, "stale for " + seconds(-left) + ", within the request's max-stale", ""}
	case req.MaxAge == field.Absent && -left < whileRevalidate(stored, p): // RFC 5861 §3; §5.2.1.1: max-age alone wants nothing stale
		return decision{reuseRefresh, "stale for " + seconds(-left) + ", within stale-while-revalidate", ""}
	}
	if purged.Standing == purges.Stale {
		return decision{reuseValidate, purged.Why, "stale"}
	}
	return decision{reuseValidate, "stale for " + seconds(-left) + " by " + stored.Fresh.Basis, "stale"}
}

// unchanging says whether the origin promises that the response doesn't change while it is fresh, which it is. Then a reload, which
// browsers send with max-age=0, needs no validation; a forced one comes with no-cache (RFC 8246 §2).
func unchanging(r *store.Response, now time.Time) bool {
	return r.Directives.Immutable && r.Fresh.Left(now) > 0
}

// staleForbidden says whether the origin forbids every use of the stale response (RFC 9111 §4.2.4, §5.2.2.10).
func staleForbidden(r *store.Response) bool {
	return revalidates(r) || r.Directives.SMaxAge != field.Absent
}

func revalidates(r *store.Response) bool {
	d := &r.Directives
	return d.MustRevalidate || d.ProxyRevalidate || d.NoCache
}

// whileRevalidate is for how long the stale response may be sent while it is validated. What the origin says itself counts even
// beside s-maxage: it says both in one breath, so it means both (docs/decisions/0005).
func whileRevalidate(r *store.Response, p *Policy) time.Duration {
	switch {
	case revalidates(r):
		return 0
	case r.Directives.StaleWhileRevalidate != field.Absent:
		return r.Directives.StaleWhileRevalidate
	case r.Directives.SMaxAge != field.Absent, r.Fresh.Negative:
		return 0
	}
	return p.StaleWhileRevalidate
}

// onError says whether the stale response may be sent at now, to a request with directives req, because the upstream failed, and
// why (RFC 5861 §4).
func onError(r *store.Response, purged *purges.Finding, req *field.Directives, p *Policy, now time.Time) (ok bool, why string) {
	switch {
	case purged.Standing >= purges.Invalid:
		return false, purged.Why
	case revalidates(r):
		return false, "must-revalidate or its like forbids stale"
	}
	stale := -left(r, purged, now)
	if stale < 0 {
		return true, "still fresh" // only the request wanted it validated
	}
	allowed, from := p.StaleIfError, "the site's stale_if_error"
	if r.Directives.SMaxAge != field.Absent || r.Fresh.Negative {
		allowed = 0
	}
	if r.Directives.StaleIfError != field.Absent {
		allowed, from = r.Directives.StaleIfError, "stale-if-error"
	}
	if req.StaleIfError > allowed && !staleForbidden(r) {
		allowed, from = req.StaleIfError, "the request's stale-if-error"
	}
	if stale >= allowed {
		return false, fmt.Sprintf("stale for %s, %s allows %s", seconds(stale), from, seconds(allowed))
	}
	return true, fmt.Sprintf("stale for %s, within %s", seconds(stale), from)
}

// seconds renders a duration for people.
func seconds(d time.Duration) string {
	return d.Round(time.Second).String()
}

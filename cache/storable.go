package cache

import (
	"net/http"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
)

// storable says whether a response may be stored (RFC 9111 §3), and if not, why, in the words of the trace.
func storable(req http.Header, reqDirectives *field.Directives, resp *store.Response) (ok bool, why string) {
	d := &resp.Directives
	switch {
	case reqDirectives.NoStore: // §5.2.1.5
		return false, "request no-store"
	case resp.Status == http.StatusPartialContent:
		return false, "incomplete response (206)"
	case resp.Status == http.StatusNotModified:
		return false, "304 to a request that wasn't conditional here"
	case d.MustUnderstand && !understood(resp.Status): // §5.2.2.3
		return false, "must-understand and an unknown status"
	case d.NoStore && !d.MustUnderstand: // §5.2.2.5; §5.2.2.3 lets must-understand override it
		return false, resp.DirectivesFrom + " no-store"
	case d.Private: // §5.2.2.7
		return false, resp.DirectivesFrom + " private"
	case req["Authorization"] != nil && !d.Public && !d.MustRevalidate && d.SMaxAge == field.Absent: // §3.5
		return false, "answer to a request with Authorization, without public, must-revalidate or s-maxage"
	case resp.Refused != "":
		return false, resp.Refused
	case resp.Varies.Star:
		return false, "Vary: *" // §4.1: could never be reused
	case resp.Header["Set-Cookie"] != nil && !resp.Fresh.Explicit && !resp.Fresh.Assigned && !d.Public:
		// Nothing forbids it, but nobody asked to share somebody's cookie by a guess.
		return false, "Set-Cookie without explicit freshness"
	case !resp.Fresh.Explicit && !resp.Fresh.Assigned && !d.Public && !store.HeuristicallyCacheable(resp.Status):
		return false, "status without explicit freshness"
	case resp.Fresh.Left(resp.Received()) <= 0 && !resp.HasValidator() && !resp.StaleUseful():
		return false, "never fresh (" + resp.Fresh.Basis + ") and no validator"
	case d.NoCache && !resp.HasValidator():
		return false, "no-cache and no validator"
	}
	return true, ""
}

// answersCondition lists the statuses that tell of the request's own conditions or range, not of what is at its target.
func answersCondition(status int) bool {
	switch status {
	case http.StatusNotModified, http.StatusPartialContent, http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
		return true
	}
	return false
}

// understood lists the final status codes of RFC 9110 that we know how to cache.
func understood(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415, 416,
		417, 421, 422, 426, 500, 501, 502, 503, 504, 505:
		return true
	}
	return false
}

package cache

import (
	"net/http"
	"slices"
	"strings"

	"github.com/wherry/wherry/cache/field"
)

// invalidateGroups invalidates the groups that the response to an unsafe request names in Cache-Group-Invalidation (RFC 9875 §3).
// Its status doesn't matter: the origin names them on purpose.
func (x *exchange) invalidateGroups(h http.Header) {
	names := field.Strings(h["Cache-Group-Invalidation"])
	if len(names) == 0 {
		return
	}
	x.c.purges.InvalidateGroups(x.origins(), names)
	x.t.Addf("cache", "invalidate", "groups %q", names)
}

// origins returns the origin of the target (RFC 9110 §4.3.1) as keys have it, and what they have where all hosts of the site
// share one copy: that copy is of this origin, too.
func (x *exchange) origins() []string {
	var origins []string
	for _, key := range x.storedKeys("/", "") {
		origin := key.Origin()
		origins = append(origins, origin, origin[:strings.Index(origin, "://")]+"://*")
	}
	slices.Sort(origins)
	return slices.Compact(origins)
}

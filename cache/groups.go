package cache

import (
	"hash/maphash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
)

// invalidationsMax bounds how many invalidations are remembered.
const invalidationsMax = 16384

// invalidations remembers what was invalidated as a group, and when. Nothing is looked for in the store: a response of the group
// that was asked for before isn't used without validation any more (RFC 9111 §4.4).
//
// It is bounded. When it is full, the older half goes and floor takes its place: then all that has any group and was asked for
// before floor needs validation. floor begins when the process does, because what is remembered is lost with the process and
// what is stored may not be.
type invalidations struct {
	seed maphash.Seed

	mu    sync.RWMutex         // protects what follows; lost with the process
	times map[uint64]time.Time // by hash: two groups that share one are invalidated together, which does no harm
	floor time.Time
}

// group names what is invalidated together: responses of one origin, as keys have it, that say the same name.
type group struct{ origin, name string }

func newInvalidations(start time.Time) *invalidations {
	return &invalidations{seed: maphash.MakeSeed(), times: map[uint64]time.Time{}, floor: start}
}

func (i *invalidations) add(g group, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.times) >= invalidationsMax {
		i.halve()
	}
	i.times[maphash.Comparable(i.seed, g)] = now
}

// halve forgets the older half. i.mu is held.
func (i *invalidations) halve() {
	times := make([]time.Time, 0, len(i.times))
	for _, t := range i.times {
		times = append(times, t)
	}
	slices.SortFunc(times, time.Time.Compare)
	newest := times[len(times)/2]
	for hash, t := range i.times {
		if !t.After(newest) {
			delete(i.times, hash)
		}
	}
	if newest = newest.Add(1); newest.After(i.floor) { // the floor itself is not before the floor
		i.floor = newest
	}
}

// since says whether g was, or may have been, invalidated at asked or later.
func (i *invalidations) since(g group, asked time.Time) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	t, ok := i.times[maphash.Comparable(i.seed, g)]
	return ok && !t.Before(asked) || asked.Before(i.floor)
}

// invalidated returns why r may not be used without validation though it may be fresh, or the empty string: a group of it has been
// invalidated since it was asked for (RFC 9875 §2.2.1).
func (c *Cache) invalidated(r *store.Response) (why string) {
	if r == nil {
		return ""
	}
	if byRule(r.Key) && c.purged.since(group{origin: baseOf(r.Key)}, r.Asked) {
		return "its path was purged"
	}
	for _, name := range r.Groups {
		if c.groups.since(group{originOf(r.Key), name}, r.Asked) {
			return "its group " + strconv.Quote(name) + " was invalidated"
		}
	}
	return ""
}

// invalidateGroups invalidates the groups that the response to an unsafe request names in Cache-Group-Invalidation (RFC 9875 §3).
// Its status doesn't matter: the origin names them on purpose.
func (x *exchange) invalidateGroups(h http.Header) {
	names := field.Strings(h["Cache-Group-Invalidation"])
	if len(names) == 0 {
		return
	}
	now := x.c.now()
	for _, origin := range x.origins() {
		for _, name := range names {
			x.c.groups.add(group{origin, name}, now)
		}
	}
	x.t.Addf("cache", "invalidate", "groups %q", names)
}

// origins returns the origin of the target (RFC 9110 §4.3.1) as keys have it, and what they have where all hosts of the site
// share one copy: that copy is of this origin, too.
func (x *exchange) origins() []string {
	var origins []string
	for _, key := range x.storedKeys("/", "") {
		origin := originOf(key)
		origins = append(origins, origin, origin[:strings.Index(origin, "://")]+"://*")
	}
	slices.Sort(origins)
	return slices.Compact(origins)
}

// originOf returns the part of a key before the path.
func originOf(key store.Key) string {
	before, rest, _ := strings.Cut(string(key), "://")
	host, _, _ := strings.Cut(rest, "/")
	return before + "://" + host
}

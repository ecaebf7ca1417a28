package purges

import (
	"strconv"
	"time"

	"github.com/wherry/wherry/cache/store"
)

// Finding is what purges have made of a response, and why in the words of the trace.
type Finding struct {
	Standing
	Why   string
	Since time.Time // of Stale: when it was purged
}

// Current says whether nothing that was purged is about r. It doesn't allocate.
func (t *Table) Current(r *store.Response) bool {
	if checked, _ := r.Checked(); checked == t.tick.Load() {
		return true
	}
	f := t.check(r)
	return f.standing == Current
}

// Check returns what purges have made of r, which may be nil.
func (t *Table) Check(r *store.Response) Finding {
	if r == nil {
		return Finding{}
	}
	if checked, _ := r.Checked(); checked == t.tick.Load() {
		return Finding{}
	}
	f := t.check(r)
	if f.standing == Current {
		return Finding{}
	}
	return Finding{f.standing, f.why(), f.since}
}

// finding is a Finding whose words aren't made yet.
type finding struct {
	standing Standing
	kind     kind
	name     string
	since    time.Time
}

// forgotten is the kind of what a table has forgotten.
const forgotten = kinds

func (f *finding) why() string {
	what := ""
	switch f.kind {
	case ofKey:
		what = "it was purged"
	case ofPrefix:
		what = "what begins with " + strconv.Quote(f.name) + " was purged"
	case ofPath, ofRule, ofBase:
		what = "its path was purged"
	case ofTag:
		what = "its tag " + strconv.Quote(f.name) + " was purged"
	case ofSite:
		what = "its site was purged"
	case ofAll:
		what = "everything was purged"
	case ofGroup:
		what = "its group " + strconv.Quote(f.name) + " was invalidated"
	case forgotten:
		what = "it is older than the purges that are remembered"
	}
	if f.standing == Stale && f.kind != forgotten {
		what += " softly"
	}
	return what
}

// worse makes f say the worse of both.
func (f *finding) worse(s Standing, k kind, name string, since time.Time) {
	if s > f.standing {
		*f = finding{s, k, name, since}
	}
}

// check looks for the worst that was purged and is about r, and remembers with r when that is nothing.
func (t *Table) check(r *store.Response) finding {
	checked, dead := r.Checked()
	if dead {
		return finding{standing: Gone, kind: ofKey}
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	q := question{t: t, r: r, own: r.Born.Boot == t.boot, checked: checked}
	q.site, q.target = r.Key.Split()
	q.byPlace()
	q.byTags()
	q.byGroups()
	q.byFloor()
	switch q.found.standing {
	case Current:
		r.SetChecked(t.tick.Load())
	case Gone:
		r.SetDead()
	}
	return q.found
}

// question is one look at what was purged. The table is locked.
type question struct {
	t            *Table
	r            *store.Response
	own          bool   // this process asked for it
	checked      uint64 // nothing up to here is about it
	site, target string
	found        finding
}

// skips says whether nothing of a kind was purged since r was looked at last.
func (q *question) skips(k kind) bool { return q.t.newest[k] <= q.checked }

func (q *question) look(k kind, site, name string) {
	m := q.t.marks.all[q.t.hash(k, site, name)]
	if m == nil {
		return
	}
	if m.hard.covers(&q.r.Born, q.own) {
		q.found.worse(Gone, k, name, time.Time{})
	}
	if m.soft.covers(&q.r.Born, q.own) {
		q.found.worse(Stale, k, name, m.softAt)
	}
}

func (q *question) byPlace() {
	if !q.skips(ofAll) {
		q.look(ofAll, "", "")
	}
	if !q.skips(ofSite) {
		q.look(ofSite, q.site, "")
	}
	if !q.skips(ofKey) {
		q.look(ofKey, q.site, q.target)
	}
	if !q.skips(ofPath) {
		q.look(ofPath, q.site, baseOf(q.target))
	}
	if !q.skips(ofRule) && q.r.Key.ByRule() {
		q.look(ofRule, q.site, baseOf(q.target))
	}
	if q.skips(ofPrefix) {
		return
	}
	for _, n := range q.t.lengths {
		if n > len(q.target) {
			break
		}
		q.look(ofPrefix, q.site, q.target[:n])
	}
}

func (q *question) byTags() {
	r := q.r
	if !q.own && !q.t.restored && len(r.Tags)+len(r.Groups) > 0 {
		// A former process may have known that they were purged, and nobody else did.
		q.found.worse(Invalid, forgotten, "", time.Time{})
	}
	if q.skips(ofTag) {
		return
	}
	for _, names := range [...][]string{r.Tags, r.Groups} {
		for _, name := range names {
			q.look(ofTag, q.site, name)
			q.look(ofTag, "", name)
		}
	}
}

// byGroups looks for what clients and origins have invalidated. What a former process knew of that is lost with it.
func (q *question) byGroups() {
	t, r := q.t, q.r
	if len(r.Groups) == 0 && !r.Key.ByRule() {
		return
	}
	if !q.own || q.checked < t.groups.floor.tick {
		q.found.worse(Invalid, forgotten, "", time.Time{})
		return
	}
	find := func(k kind, a, b string) {
		if m := t.groups.all[t.hash(k, a, b)]; m != nil && m.hard.covers(&r.Born, q.own) {
			q.found.worse(Invalid, k, b, time.Time{})
		}
	}
	if r.Key.ByRule() {
		find(ofBase, r.Key.Base(), "")
	}
	for _, name := range r.Groups {
		find(ofGroup, r.Key.Origin(), name)
	}
}

// byFloor asks whether something was forgotten that r hasn't been compared with.
func (q *question) byFloor() {
	if floor := q.t.marks.floor; q.checked < max(floor.tick, 1) && floor.covers(&q.r.Born, q.own) {
		q.found.worse(Stale, forgotten, "", q.t.floorAt)
	}
}

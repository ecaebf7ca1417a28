package rollout

import (
	"cmp"
	"fmt"
	"time"

	"github.com/wherry/wherry/config"
)

// The gate. A node with the change is worse if more of its requests are bad than is expected, by so much that it matters and that it isn't chance.
// What is expected is what nodes without the change do meanwhile, and by how much the node was worse than they before: so an outage of
// the origin isn't blamed on the change, neither one that is over nor one that begins now.
const (
	// To what is known comes half a bad request and half a good one, as one may (Jeffreys' prior); and where little is known, good ones up to
	// priorGood, because nearly all sites work. So ten bad requests in a row are too many where nothing is known, five where 20
	// good ones are, four where 200 are.
	priorGood, prior = 8.0, 0.5
	expectedMin      = 0.005 // errors come in bursts: a spotless past doesn't promise a spotless future
	expectedMax      = 0.999
	chanceMax        = 1e-5 // of a look at all nodes of a phase together
	badMin           = 3    // requests
	knownMin         = 20   // requests from which on a reference stands by itself

	errorsMore   = 0.02 // of the requests
	rejectedMore = 0.3  // robots alone may make many 4xx
	slowShare    = 0.3  // of the requests that are slow
	slowFactor   = 4    // of the reference's median
	slowMore     = 50 * time.Millisecond

	// A fall of the hit ratio is what a change of keys or rules does at first, and no harm by itself: if the origin suffers from it, errors and
	// latency say so. Only a cache that has all but ceased to answer, after a whole bake, is taken for a mistake.
	hitsMin    = 500  // requests
	hitsLeft   = 0.02 // ratio
	hitsBefore = 0.5
)

// evidence is what a node, or a phase, did with the change, and what that is compared with.
type evidence struct {
	own, before             Count
	othersNow, othersBefore Count
	kind                    string // of the requests
	chanceMax               float64
	baked                   bool
}

// measure counts requests of a kind that are bad.
type measure func(Count) (bad, all uint64)

func errorsOf(c Count) (bad, all uint64) { return c.Errors, c.Requests }

func rejectedOf(c Count) (bad, all uint64) { return c.Rejected, c.Requests }

// slowMisses counts misses that took t, slowHits hits. Apart, because a change of keys makes misses of hits.
func slowMisses(t time.Duration) measure {
	return func(c Count) (bad, all uint64) { return min(c.above(t), c.misses()), c.misses() }
}

func slowHits(t time.Duration) measure {
	return func(c Count) (bad, all uint64) { return c.above(t) - min(c.above(t), c.misses()), c.Hits }
}

func slow(median time.Duration) time.Duration { return max(slowFactor*median, median+slowMore) }

// worse says in what own is worse than expected, or returns the empty string.
func (e *evidence) worse() string {
	what := fmt.Sprintf("of %d %s", e.own.Requests, e.kind)
	if e.excess(errorsOf, errorsMore) {
		return fmt.Sprintf("answered %s %s with errors, %s", percent(e.own.Errors, e.own.Requests), what, e.reference(errorsOf))
	}
	if e.excess(rejectedOf, rejectedMore) {
		return fmt.Sprintf("rejected %s %s with 4xx, %s", percent(e.own.Rejected, e.own.Requests), what, e.reference(rejectedOf))
	}
	if e.before.misses()+e.othersNow.misses() >= badMin {
		t := slow(max(e.before.missMedian(), e.othersNow.missMedian()))
		if m := slowMisses(t); e.excess(m, slowShare) {
			bad, all := m(e.own)
			return fmt.Sprintf("needed more than %s for %s of %d %s past the cache, %s", brief(t), percent(bad, all), all, e.kind, e.reference(m))
		}
	}
	if e.before.Hits+e.othersNow.Hits >= badMin {
		t := slow(max(e.before.hitMedian(), e.othersNow.hitMedian()))
		if m := slowHits(t); e.excess(m, slowShare) {
			bad, all := m(e.own)
			return fmt.Sprintf("needed more than %s for %s of %d hits, %s", brief(t), percent(bad, all), all, e.reference(m))
		}
	}
	if before := e.before.plus(e.othersNow); e.baked && e.own.Requests >= hitsMin && share(e.own.Hits, e.own.Requests) < hitsLeft &&
		before.Requests >= hitsMin && share(before.Hits, before.Requests) >= hitsBefore {
		return fmt.Sprintf("answered %s %s from its cache, %s without the change (if that is meant, apply it with --emergency)",
			percent(e.own.Hits, e.own.Requests), what, percent(before.Hits, before.Requests))
	}
	return ""
}

func (e *evidence) excess(m measure, more float64) bool {
	bad, all := m(e.own)
	expected, reference := e.expected(m)
	return bad >= badMin && share(bad, all) >= expected+more && chance(all, bad, expected, reference) < e.chanceMax
}

// expected is the share of bad requests that would be no worse, and of how many requests that is known.
func (e *evidence) expected(m measure) (p, reference float64) {
	rate := func(c Count) (share, all float64) {
		b, n := m(c)
		good := max(prior, priorGood-float64(n))
		return (float64(b) + prior) / (float64(n) + prior + good), float64(n) + prior + good
	}
	const known = knownMin + 2*prior
	before, ofBefore := rate(e.before)
	others, ofOthers := rate(e.othersNow)
	othersBefore, ofOthersBefore := rate(e.othersBefore)
	switch {
	case ofOthers < known:
		p, reference = rate(e.before.plus(e.othersNow))
	case ofBefore < known:
		p, reference = others, ofOthers
	case ofOthersBefore < known:
		p, reference = max(others, before), min(ofOthers, ofBefore)
	default:
		p, reference = others+max(0, before-othersBefore), min(ofOthers, ofBefore, ofOthersBefore)
	}
	return min(max(p, expectedMin), expectedMax), reference
}

// reference says with what own was compared.
func (e *evidence) reference(m measure) string {
	text := ""
	if bad, all := m(e.before); all >= badMin {
		text = percent(bad, all) + " before"
	}
	if bad, all := m(e.othersNow); all >= badMin {
		if text != "" {
			text += ", "
		}
		text += percent(bad, all) + " on nodes without the change"
	}
	if text == "" {
		return "and nothing is known of before"
	}
	return text
}

func percent(part, whole uint64) string { return fmt.Sprintf("%.0f %%", 100*share(part, whole)) }

func brief(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// asBad says that own does badly, though not worse than expected; or returns the empty string.
func (e *evidence) asBad() string {
	if e.own.Errors < badMin || share(e.own.Errors, e.own.Requests) < 0.1 {
		return ""
	}
	return fmt.Sprintf("%s of %d %s failed (%s), which isn't blamed on the change: look at the origin", percent(e.own.Errors, e.own.Requests), e.own.Requests, e.kind, e.reference(errorsOf))
}

// done is what a node did with the change.
func (s *State) done(n *Seen, m *Mark, probes bool) Count {
	now := countOf(&n.Report, s.Site, probes)
	if s.Site != "" { // the counts begin anew with the revision
		for i := range n.Sites {
			if t := &n.Sites[i]; t.Site == s.Site && t.Synthetic == probes && t.Revision != s.To.Revision {
				return Count{}
			}
		}
		return now
	}
	if probes {
		return now.since(m.AdoptedProbes)
	}
	return now.since(m.AdoptedClients)
}

// thick is a, and b too if a is little.
func thick(a, b Count) Count {
	if a.Requests >= knownMin {
		return a
	}
	return a.plus(b)
}

// reference fills in what a phase's nodes are compared with.
func (s *State) reference(in Input, probes bool) evidence {
	var clientsNow, probesNow, clients, own Count
	for id, m := range s.Others {
		n := in.Seen[id]
		if !n.Live {
			continue
		}
		then := m
		if n.Boot != m.Boot {
			then = Mark{}
		}
		clientsNow = clientsNow.plus(countOf(&n.Report, s.Site, false).since(then.Clients))
		probesNow = probesNow.plus(countOf(&n.Report, s.Site, true).since(then.Probes))
		clients, own = clients.plus(m.Clients), own.plus(m.Probes)
	}
	if probes {
		return evidence{kind: "requests of its own", othersNow: thick(probesNow, clientsNow), othersBefore: thick(own, clients)}
	}
	return evidence{kind: "requests", othersNow: thick(clientsNow, probesNow), othersBefore: thick(clients, own)}
}

// judged is what the gate says of the nodes of a phase.
type judged struct {
	worse    map[config.NodeID]string
	together string // in what all of them together are worse
	asBad    string
	silent   int // nodes of which there are too few requests to say anything
	nodes    int // that could be judged
	clients  Count
	probes   Count
}

// judge compares the nodes of a phase, each and together.
func (s *State) judge(p *Phase, in Input) judged {
	j := judged{worse: map[config.NodeID]string{}}
	seen := map[config.NodeID]uint64{}
	for _, probes := range []bool{false, true} {
		ref := s.reference(in, probes)
		ref.baked = !p.Adopted.IsZero() && in.Now.Sub(p.Adopted) >= s.bake(p)
		sum := ref
		sum.chanceMax = chanceMax
		for _, id := range p.Nodes {
			n, m := in.Seen[id], s.Marks[id]
			if !m.Adopted || !n.Live || n.Boot != m.Boot {
				continue
			}
			one := ref
			one.chanceMax = chanceMax / float64(len(p.Nodes))
			one.own, one.before = s.done(&n, &m, probes), thick(m.Clients, m.Probes)
			if probes {
				one.before = thick(m.Probes, m.Clients)
			}
			seen[id] += one.own.Requests
			if why := one.worse(); why != "" && j.worse[id] == "" {
				j.worse[id] = why
			}
			sum.own, sum.before = sum.own.plus(one.own), sum.before.plus(one.before)
		}
		if why := sum.worse(); why != "" {
			j.together = cmp.Or(j.together, why)
		} else {
			j.asBad = cmp.Or(j.asBad, sum.asBad())
		}
		if probes {
			j.probes = sum.own
		} else {
			j.clients = sum.own
		}
	}
	for _, n := range seen {
		if n < badMin {
			j.silent++
		}
	}
	j.nodes = len(seen)
	return j
}

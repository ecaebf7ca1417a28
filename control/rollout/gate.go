package rollout

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// The gate. A node with the change is worse if it answers with errors, or slowly, so much more often than the same node before and the nodes without
// the change that it can't be chance; few requests must differ much, many little. What was as bad before is not blamed on the change.
const (
	judgeMin     = 5    // requests before anything is said
	errorsMore   = 0.02 // of the requests, at least
	errorsSigma  = 3.0  // standard deviations
	varianceMin  = 0.05 // of one request, where the reference has no errors: two of five are too many, one is not
	slowFactor   = 4    // of the reference's latency, at the median and at 95 %
	slowMore     = 100 * time.Millisecond
	hitsMin      = 200  // requests before hits are compared
	hitsLeft     = 0.25 // of the reference's ratio
	hitsWorthy   = 0.5  // ratio of the reference that can fall
	bucketUnit   = 100 * time.Microsecond
	referenceMin = 3
)

// tallyOf finds the tally of a site, or of all sites together where site is empty.
func tallyOf(r *feed.Report, site config.SiteName, synthetic bool) feed.SiteTally {
	for i := range r.Sites {
		if r.Sites[i].Site == site && r.Sites[i].Synthetic == synthetic {
			return r.Sites[i]
		}
	}
	return feed.SiteTally{}
}

// since is what a tally counted after another one of the same revision.
func since(now, then feed.SiteTally) feed.SiteTally {
	if now.Revision != then.Revision || !now.Since.Equal(then.Since) || now.Requests < then.Requests {
		return now
	}
	d := now
	d.Requests, d.Errors, d.Hits = now.Requests-then.Requests, now.Errors-then.Errors, now.Hits-then.Hits
	d.Latency = slices.Clone(now.Latency)
	for i := range min(len(d.Latency), len(then.Latency)) {
		d.Latency[i] -= min(d.Latency[i], then.Latency[i])
	}
	return d
}

func add(a, b feed.SiteTally) feed.SiteTally {
	a.Requests, a.Errors, a.Hits = a.Requests+b.Requests, a.Errors+b.Errors, a.Hits+b.Hits
	latency := make([]uint64, max(len(a.Latency), len(b.Latency)))
	copy(latency, a.Latency)
	for i, n := range b.Latency {
		latency[i] += n
	}
	a.Latency = latency
	return a
}

// with is what a node has done with the change.
func (s *State) with(n *Seen, synthetic bool) feed.SiteTally {
	t := tallyOf(&n.Report, s.Site, synthetic)
	if !s.software() && t.Revision != s.To.Revision {
		return feed.SiteTally{}
	}
	return t
}

// gate says why the nodes of a phase are worse than without the change, or returns the empty string.
func (s *State) gate(p *Phase, in Input) string {
	for _, synthetic := range []bool{false, true} {
		others := s.others(in, synthetic)
		var all, before feed.SiteTally
		for _, id := range p.Nodes {
			n, m := in.Seen[id], s.Before[id]
			if !m.Adopted || !n.Live {
				continue
			}
			own, then := s.with(&n, synthetic), m.Tally
			if synthetic {
				then = m.Probes
			}
			if why := compare(own, then, others, synthetic); why != "" {
				return fmt.Sprintf("%s %s %s", p.Name, id, why)
			}
			all, before = add(all, own), add(before, then)
		}
		if why := compare(all, before, others, synthetic); why != "" && len(p.Nodes) > 1 {
			return fmt.Sprintf("the nodes of the phase %s together: %s", p.Name, why)
		}
	}
	return ""
}

// others is what the nodes without the change did since it began.
func (s *State) others(in Input, synthetic bool) (sum feed.SiteTally) {
	given := s.candidates()
	for id, n := range in.Seen {
		m, known := s.Before[id]
		if !known || !n.Live || slices.Contains(given, id) {
			continue
		}
		then := m.Tally
		if synthetic {
			then = m.Probes
		}
		sum = add(sum, since(tallyOf(&n.Report, s.Site, synthetic), then))
	}
	return sum
}

// compare says how own is worse than the better of both references, or returns the empty string. Without any reference, nothing but what is
// bad by itself counts.
func compare(own, before, others feed.SiteTally, synthetic bool) string {
	if own.Requests < judgeMin {
		return ""
	}
	kind := "requests"
	if synthetic {
		kind = "requests of its own"
	}
	ratio, was, known := share(own.Errors, own.Requests), 0.0, false
	for _, r := range []feed.SiteTally{before, others} {
		if r.Requests >= referenceMin {
			if e := share(r.Errors, r.Requests); !known || e > was {
				was, known = e, true // the worse one: an origin that fails for all is not the change's fault
			}
		}
	}
	sigma := math.Sqrt(max(was*(1-was), varianceMin) / float64(own.Requests))
	if ratio > was+errorsMore && ratio > was+errorsSigma*sigma {
		return fmt.Sprintf("answered %.0f %% of %d %s with errors, %s", 100*ratio, own.Requests, kind, reference(known, "%.0f %% without the change", 100*was))
	}
	for _, q := range []float64{0.5, 0.95} {
		now, then := quantile(own.Latency, q), max(quantile(before.Latency, q), quantile(others.Latency, q))
		if now > slowFactor*then && now > then+slowMore && (known || now > 2*time.Second) {
			return fmt.Sprintf("took %s for %.0f %% of %d %s, %s", now, 100*q, own.Requests, kind, reference(known, "%s without the change", then))
		}
	}
	reach := add(before, others)
	if hit, hits := share(own.Hits, own.Requests), share(reach.Hits, reach.Requests); !synthetic && own.Requests >= hitsMin &&
		reach.Requests >= hitsMin && hits >= hitsWorthy && hit < hitsLeft*hits {
		return fmt.Sprintf("answered %.0f %% of %d %s from its cache, %.0f %% without the change", 100*hit, own.Requests, kind, 100*hits)
	}
	return ""
}

func reference(known bool, format string, value any) string {
	if !known {
		return "and nothing is known of before"
	}
	return fmt.Sprintf(format, value)
}

func share(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// quantile is the upper end of the bucket in which it lies.
func quantile(latency []uint64, q float64) time.Duration {
	var all uint64
	for _, n := range latency {
		all += n
	}
	if all == 0 {
		return 0
	}
	need, sum := uint64(math.Ceil(q*float64(all))), uint64(0)
	for i, n := range latency {
		if sum += n; sum >= need {
			return bucketUnit << i
		}
	}
	return bucketUnit << len(latency)
}

// evidence says what speaks for a phase, and whether that is enough.
func (s *State) evidence(p *Phase, in Input) (note string, enough bool) {
	var clients, probes feed.SiteTally
	silent := 0
	for _, id := range p.Nodes {
		n := in.Seen[id]
		if !n.Live {
			continue
		}
		own, probed := s.with(&n, false), s.with(&n, true)
		if own.Requests+probed.Requests < evidenceMin {
			silent++
		}
		clients, probes = add(clients, own), add(probes, probed)
	}
	if s.software() || s.To.IsZero() || s.Site == "" {
		return fmt.Sprintf("%d nodes adopted it and live", len(p.Nodes)), true
	}
	note = fmt.Sprintf("%d requests of clients, %d errors; %d of its own, %d errors", clients.Requests, clients.Errors, probes.Requests, probes.Errors)
	if clients.Errors*2 > clients.Requests || probes.Errors*2 > probes.Requests && clients.Requests == 0 {
		note += "; it was as bad before"
	}
	return note, silent == 0
}

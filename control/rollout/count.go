package rollout

import (
	"math"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// Count is a tally without where and when.
type Count struct {
	Requests uint64   `json:"n,omitempty"`
	Errors   uint64   `json:"e,omitempty"`
	Rejected uint64   `json:"r,omitempty"`
	Hits     uint64   `json:"h,omitempty"`
	Latency  []uint64 `json:"l,omitempty"`
}

// IsZero is for omitzero.
func (c Count) IsZero() bool { return c.Requests == 0 }

// countOf is what a node counted of a site; where site is empty, of all together.
func countOf(r *feed.Report, site config.SiteName, synthetic bool) (c Count) {
	for i := range r.Sites {
		if t := &r.Sites[i]; t.Synthetic == synthetic && (t.Site == site || site == "") {
			c = c.plus(Count{t.Requests, t.Errors, t.Rejected, t.Hits, t.Latency})
		}
	}
	return c
}

func (c Count) plus(d Count) Count {
	latency := make([]uint64, max(len(c.Latency), len(d.Latency)))
	copy(latency, c.Latency)
	for i, n := range d.Latency {
		latency[i] += n
	}
	return Count{c.Requests + d.Requests, c.Errors + d.Errors, c.Rejected + d.Rejected, c.Hits + d.Hits, latency}
}

// since is what was counted after then; if the counts began anew, all.
func (c Count) since(then Count) Count {
	if c.Requests < then.Requests || c.Errors < then.Errors || c.Hits < then.Hits || c.Rejected < then.Rejected {
		return c
	}
	d := Count{c.Requests - then.Requests, c.Errors - then.Errors, c.Rejected - then.Rejected, c.Hits - then.Hits, make([]uint64, len(c.Latency))}
	for i, n := range c.Latency {
		if d.Latency[i] = n; i < len(then.Latency) {
			d.Latency[i] -= min(n, then.Latency[i])
		}
	}
	return d
}

func (c Count) misses() uint64 { return c.Requests - min(c.Hits, c.Requests) }

// bucketUnit is the end of bucket 0 of feed.SiteTally.Latency.
const bucketUnit = 100 * time.Microsecond

// quantile is the end of the bucket in which the time lies that a share q of the requests needed at most.
func (c Count) quantile(q float64) time.Duration {
	var all, sum uint64
	for _, n := range c.Latency {
		all += n
	}
	need := uint64(math.Ceil(q * float64(all)))
	for i, n := range c.Latency {
		if sum += n; n > 0 && sum >= need {
			return bucketUnit << min(i, 30)
		}
	}
	return 0
}

// above counts requests that certainly took as long as t.
func (c Count) above(t time.Duration) (sum uint64) {
	for i, n := range c.Latency {
		if i > 0 && bucketUnit<<min(i-1, 30) >= t {
			sum += n
		}
	}
	return sum
}

// The hits are taken to be the fastest requests, the misses the rest.

func (c Count) hitMedian() time.Duration { return c.quantile(share(c.Hits, c.Requests) / 2) }

func (c Count) missMedian() time.Duration { return c.quantile((1 + share(c.Hits, c.Requests)) / 2) }

func share(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// chance is the probability that of n requests k or more are bad, if of reference others the share p was. A reference of few requests is uncertain
// itself (this is the beta-binomial distribution), and so one of very many is taken for referenceMax, because days differ.
func chance(n, k uint64, p, reference float64) float64 {
	const nMax, referenceMax = 1000, 1000
	if n > nMax { // as good, and quicker
		n, k = nMax, uint64(share(k, n)*nMax)
	}
	reference = min(reference, referenceMax)
	a, b := p*reference, (1-p)*reference
	sum := 0.0
	for i := k; i <= n; i++ {
		x, y := float64(i), float64(n-i)
		sum += math.Exp(lnGamma(x+y+1) - lnGamma(x+1) - lnGamma(y+1) + lnBeta(x+a, y+b) - lnBeta(a, b))
	}
	return min(1, sum)
}

func lnBeta(a, b float64) float64 { return lnGamma(a) + lnGamma(b) - lnGamma(a+b) }

func lnGamma(x float64) float64 {
	y, _ := math.Lgamma(x)
	return y
}

package tree

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

const (
	retryMin, retryMax = 100 * time.Millisecond, 5 * time.Second
	// penaltyTime is how long a node that forged is avoided, and withholdTime one that had less to say than others.
	penaltyTime, withholdTime = 5 * time.Minute, time.Minute
	fullTime                  = 5 * time.Second
	redirectsMax              = 32
	standingsMax              = 1024
	// steadyTime is after how long a parent's earlier failures are forgotten.
	steadyTime = 10 * time.Second
)

// standing is what is remembered of a candidate.
type standing struct {
	failures int
	until    time.Time // it isn't among the first to be tried
	banned   time.Time // it isn't tried at all
}

// standings remembers candidates by address, because a name is only what a node says of itself. Owned by the follower's goroutine and
// whoever else holds Tree.mu. Lost when the process dies.
type standings map[string]standing

// failed notes that c couldn't be reached, or broke off.
func (s standings) failed(address string, now time.Time) {
	at := s[address]
	at.failures = min(at.failures+1, 8)
	at.until = now.Add(backoff(at.failures))
	s.set(address, at, now)
}

// refused notes that it has no place.
func (s standings) refused(address string, now time.Time) {
	at := s[address]
	at.until = now.Add(fullTime)
	s.set(address, at, now)
}

// ban notes that it may not be the parent for a while.
func (s standings) ban(address string, d time.Duration, now time.Time) {
	at := s[address]
	at.banned = now.Add(d)
	s.set(address, at, now)
}

func (s standings) worked(address string) { delete(s, address) }

func (s standings) set(address string, at standing, now time.Time) {
	if len(s) >= standingsMax {
		for a, old := range s {
			if !old.until.After(now) && !old.banned.After(now) {
				delete(s, a)
			}
		}
	}
	if _, known := s[address]; known || len(s) < standingsMax {
		s[address] = at
	}
}

// order returns whom to try now: those that nothing is known against in their order, then those that failed lately, the first that may
// be tried again first. Who is banned isn't among them.
func (s standings) order(candidates []Candidate, now time.Time) (ready, later []Candidate) {
	for _, c := range candidates {
		switch at := s[c.Address]; {
		case at.banned.After(now):
		case at.until.After(now):
			later = append(later, c)
		default:
			ready = append(ready, c)
		}
	}
	return ready, later
}

// backoff is how long to wait after n failures in a row: 100 ms to 5 s.
func backoff(n int) time.Duration {
	return min(retryMin<<min(max(0, n-1), 10), retryMax)
}

// jitter spreads d over [d/2, d), so that many who failed together don't come back together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2) }

// withholdMax is how long a parent may be behind what others say that they have.
const withholdMax = 10 * time.Second

// claim is the latest position that somebody else said it has.
type claim struct {
	position feed.Position
	by       Candidate
	since    time.Time // that we know that somebody is ahead of us
}

// hear takes what c says that it has, while we have mine. A claim stands until it is met, so that a stream of new ones neither hides a
// parent that lags nor blames one that follows.
func (d claim) hear(c Candidate, says, mine feed.Position, now time.Time) claim {
	if !mine.Before(says) || mine.Before(d.position) {
		return d
	}
	return claim{says, c, now}
}

// overdue says that we should have had by now what others have: the parent withholds it, or they lie.
func (d claim) overdue(mine feed.Position, now time.Time) bool {
	return mine.Before(d.position) && now.Sub(d.since) >= withholdMax
}

// askEvery is how often a node asks control what position it has: control gets at most 50 such questions a second of all n nodes.
func askEvery(n int) time.Duration {
	return max(5*time.Second, time.Duration(n)*time.Second/50)
}

// above says whether id is in a path.
func above(path []config.NodeID, id config.NodeID) bool { return slices.Contains(path, id) }

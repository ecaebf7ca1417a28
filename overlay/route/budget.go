package route

import (
	"time"

	"github.com/wherry/wherry/config"
)

const (
	budgetBurst = time.Second      // that a node may be behind
	budgetNodes = 256              // that help at once
	budgetTight = 10 * time.Second // that a node isn't chosen through which more was to go than may
)

// bucket holds what may be sent now.
type bucket struct {
	credit float64 // bytes
	at     time.Time
	overAt time.Time // when bytes were last held back
}

// fill adds what time has brought.
func (b *bucket) fill(now time.Time, rate, most float64) {
	if b.at.IsZero() {
		b.credit = most
	} else if passed := now.Sub(b.at); passed > 0 {
		b.credit = min(b.credit+rate*passed.Seconds(), most)
	}
	b.at = now
}

// Budget bounds the bytes that take detours, for each node that helps and for all together.
type Budget struct {
	rate, rateAll float64 // bytes a second
	all           bucket
	nodes         map[config.NodeID]*bucket
	bytes, over   uint64
}

// NewBudget returns a budget of so many bytes a second through one node, and through all.
func NewBudget(rate, rateAll float64) Budget {
	return Budget{rate: rate, rateAll: rateAll, nodes: map[config.NodeID]*bucket{}}
}

func (b *Budget) of(via config.NodeID, now time.Time) *bucket {
	b.all.fill(now, b.rateAll, b.rateAll*budgetBurst.Seconds())
	n := b.nodes[via]
	if n == nil {
		if len(b.nodes) >= budgetNodes {
			// Full buckets are as good as forgotten ones.
			for id, other := range b.nodes {
				if now.Sub(other.at) > budgetBurst {
					delete(b.nodes, id)
				}
			}
		}
		n = &bucket{}
		if len(b.nodes) < budgetNodes {
			b.nodes[via] = n
		}
	}
	n.fill(now, b.rate, b.rate*budgetBurst.Seconds())
	return n
}

// Take counts bytes through a node, if they may go now.
func (b *Budget) Take(via config.NodeID, bytes int, now time.Time) bool {
	n := b.of(via, now)
	if size := float64(bytes); n.credit < size || b.all.credit < size {
		n.overAt = now
		b.over += uint64(bytes)
		return false
	}
	n.credit -= float64(bytes)
	b.all.credit -= float64(bytes)
	b.bytes += uint64(bytes)
	return true
}

// Tight says whether bytes through a node were held back lately, or are about to be: less than a part of the budget is left.
func (b *Budget) Tight(via config.NodeID, part float64, now time.Time) bool {
	n := b.of(via, now)
	return !n.overAt.IsZero() && now.Sub(n.overAt) < budgetTight || b.Room(via, now) < part
}

// Room is which part of the budget through a node is left now, 0 to 1.
func (b *Budget) Room(via config.NodeID, now time.Time) float64 {
	n := b.of(via, now)
	return min(n.credit/(b.rate*budgetBurst.Seconds()), b.all.credit/(b.rateAll*budgetBurst.Seconds()))
}

// Spent is how many bytes took detours, and how many were held back.
func (b *Budget) Spent() (bytes, over uint64) { return b.bytes, b.over }

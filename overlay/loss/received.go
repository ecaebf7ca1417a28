package loss

import "github.com/wherry/wherry/overlay/wire"

// Received remembers which packets of one path arrived. The zero value has seen none.
//
// It keeps wire.RangesMax ranges; when there are more, the oldest is closed: what is missing below counts as received. Its sender has long
// taken it for lost, and a copy that comes later is a replay like any other.
type Received struct {
	ranges []wire.Range // newest first, apart from each other
	floor  uint64       // all below counts as received
}

// Next is the number after the newest.
func (r *Received) Next() uint64 {
	if len(r.ranges) == 0 {
		return r.floor
	}
	return r.ranges[0].Last + 1
}

// Ranges are for an acknowledgement, and count until the next Add.
func (r *Received) Ranges() []wire.Range { return r.ranges }

// Add takes a packet that arrived. fresh is false for one that was here before; inOrder says that it is the one after the newest.
func (r *Received) Add(n uint64) (fresh, inOrder bool) {
	if len(r.ranges) > 0 && n == r.ranges[0].Last+1 {
		r.ranges[0].Last = n
		return true, true
	}
	if n < r.floor {
		return false, false
	}
	i := 0
	for i < len(r.ranges) && r.ranges[i].First > n {
		i++
	}
	// i is the newest range that begins at or before n.
	if i < len(r.ranges) && n <= r.ranges[i].Last {
		return false, false
	}
	inOrder = i == 0 && len(r.ranges) == 0 && n == r.floor
	below := i < len(r.ranges) && r.ranges[i].Last+1 == n
	above := i > 0 && r.ranges[i-1].First == n+1
	switch {
	case below && above:
		r.ranges[i-1].First = r.ranges[i].First
		r.ranges = append(r.ranges[:i], r.ranges[i+1:]...)
	case below:
		r.ranges[i].Last = n
	case above:
		r.ranges[i-1].First = n
	default:
		r.ranges = append(r.ranges, wire.Range{})
		copy(r.ranges[i+1:], r.ranges[i:])
		r.ranges[i] = wire.Range{First: n, Last: n}
	}
	if k := len(r.ranges) - 1; k >= wire.RangesMax {
		r.floor = r.ranges[k].Last + 1
		r.ranges = r.ranges[:k]
	}
	return true, inOrder
}

// Forget drops what lies below n: the peer knows that it arrived.
func (r *Received) Forget(n uint64) {
	r.floor = max(r.floor, n)
	for k := len(r.ranges) - 1; k > 0 && r.ranges[k].Last < n; k-- {
		r.ranges = r.ranges[:k]
	}
}

package repair

import "math"

// burstMax is how many bytes may be saved up for parity.
const burstMax = 32 << 10

// Budget says how many rows of parity are worth sending, by the loss that is seen, and how many may be, by what was earned.
type Budget struct {
	credit        float64 // bytes
	path          int
	arrived, lost float64 // packets, the older the less they count
	seen, missed  uint64  // of the path's counters
}

// Earn lets parity cost a share of bytes that were carried.
func (b *Budget) Earn(bytes uint64, share float64) {
	b.credit = min(b.credit+share*float64(bytes), burstMax)
}

// Loss is the share of packets that are lost, of the last thousand or two; 0 while too few are known. The counters are of a path.
func (b *Budget) Loss(path int, arrived, lost uint64) float64 {
	const few, many = 200, 2000
	if path != b.path || arrived < b.seen || lost < b.missed {
		b.path, b.seen, b.missed = path, arrived, lost
	}
	b.arrived += float64(arrived - b.seen)
	b.lost += float64(lost - b.missed)
	b.seen, b.missed = arrived, lost
	if b.arrived+b.lost > many {
		b.arrived, b.lost = b.arrived/2, b.lost/2
	}
	if b.arrived < few {
		return 0
	}
	return b.lost / (b.arrived + b.lost)
}

// Rows is how many rows to send for so many rows of data, at most most, and takes what they cost off the credit: enough for the losses that are
// expected and twice their deviation.
func (b *Budget) Rows(loss float64, data, cost, most int) int {
	expected := loss * float64(data+1)
	n := max(min(int(math.Ceil(expected+2*math.Sqrt(expected))), most, int(b.credit/float64(cost))), 0)
	b.credit -= float64(n * cost)
	return n
}

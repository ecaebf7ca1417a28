package turn

import (
	"math"
	"math/rand/v2"
	"time"
)

// Slice bounds how long a task runs while others are ready. Zero fields have defaults.
type Slice struct {
	Instructions uint64        // on a machine that counts them. 1,000,000
	CPU          time.Duration // on others. 2 ms
	// Random makes each slice's length random, from 1 to the bound, by this seed. 0 is not random.
	Random uint64
}

const (
	defaultInstructions = 1_000_000
	defaultCPU          = 2 * time.Millisecond
	// AloneMax is how long a task runs at most that is alone, where instructions aren't counted.
	AloneMax = 50 * time.Millisecond
)

// Turns hands out slices.
type Turns struct {
	most   int64
	alone  int64
	random *rand.Rand // nil: none are
}

// New makes Turns that count instructions, or else nanoseconds.
func New(s Slice, instructions bool) *Turns {
	t := &Turns{most: int64(s.CPU), alone: int64(AloneMax)}
	if s.CPU == 0 {
		t.most = int64(defaultCPU)
	}
	if instructions {
		t.most, t.alone = int64(min(s.Instructions, math.MaxInt64)), 0
		if s.Instructions == 0 {
			t.most = defaultInstructions
		}
	}
	if s.Random != 0 {
		t.random, t.alone = rand.New(rand.NewPCG(s.Random, 0)), 0
	}
	return t
}

// Next is how long the next slice is.
func (t *Turns) Next() int64 {
	if t.random != nil {
		return 1 + t.random.Int64N(t.most)
	}
	return t.most
}

// Alone is how long the task may run that has left of its slice when no other is ready: to due, when the first is to wake by the clock, if that is later. No
// due is 0.
func (t *Turns) Alone(left, due int64) int64 {
	if due == 0 {
		due = t.alone
	}
	return max(left, min(due, t.alone))
}

package ring_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/wherry/wherry/ring"
)

const linearCapacity = 2

// op is what a client asked for; result is what it got.
type (
	op     struct{ kind, message int } // kinds: 0 Send, 1 TrySend, 2 Receive, 3 TryReceive, 4 ReceiveAll
	result struct {
		ok  bool
		got []int
	}
)

// queue is what a bounded buffer is: a list that is appended to while it is short, and shortened from the front while it isn't empty.
var queue = porcupine.Model{
	Init: func() any { return []int(nil) },
	Step: func(state, input, output any) (bool, any) {
		q, in, out := state.([]int), input.(op), output.(result)
		switch {
		case in.kind <= 1 && out.ok:
			return len(q) < linearCapacity, append(slices.Clone(q), in.message)
		case in.kind == 1:
			return len(q) == linearCapacity, q
		case !out.ok:
			return len(q) == 0, q
		case in.kind == 4:
			return slices.Equal(q, out.got), []int(nil) // it takes all there is
		}
		return len(q) > 0 && q[0] == out.got[0], q[min(1, len(q)):]
	},
	Equal: func(a, b any) bool { return slices.Equal(a.([]int), b.([]int)) },
}

func TestLinearizable(t *testing.T) {
	for seed := range uint64(100) {
		r := ring.New[int](linearCapacity)
		start := time.Now()
		var mu sync.Mutex
		var history []porcupine.Operation
		do := func(client int, in op, f func() result) {
			call := time.Since(start).Nanoseconds()
			out := f()
			mu.Lock()
			defer mu.Unlock()
			history = append(history, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: time.Since(start).Nanoseconds()})
		}
		var wg sync.WaitGroup
		const clients, each = 3, 12
		for c := range clients {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(c)))
				for i := range each {
					in := op{random.IntN(2), c*each + i}
					do(c, in, func() result { return send(t.Context(), r, in) })
				}
			})
			wg.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(clients+c)))
				for left := each; left > 0; left-- {
					in := op{kind: 2 + random.IntN(3)}
					// What TrySend didn't send isn't there to be received: drain sends what these wait for.
					do(clients+c, in, func() result { return receive(t.Context(), r, in) })
				}
			})
		}
		finished := make(chan struct{})
		go func() { wg.Wait(); close(finished) }()
		drain(r, finished, do)
		if !porcupine.CheckOperations(queue, history) {
			t.Fatalf("seed %d: no order of these operations explains them: %v", seed, history)
		}
	}
}

// drain is one more client, that keeps the others from waiting for ever.
func drain(r *ring.Buffer[int], finished chan struct{}, do func(int, op, func() result)) {
	for next := 1000; ; next++ {
		select {
		case <-finished:
			return
		case <-time.After(200 * time.Microsecond):
		}
		do(100, op{kind: 3}, func() result { return receive(context.Background(), r, op{kind: 3}) })
		do(100, op{1, next}, func() result { return send(context.Background(), r, op{1, next}) })
	}
}

func send(ctx context.Context, r *ring.Buffer[int], in op) result {
	if in.kind == 0 {
		return result{ok: r.Send(ctx, in.message) == nil}
	}
	ok, _ := r.TrySend(in.message)
	return result{ok: ok}
}

func receive(ctx context.Context, r *ring.Buffer[int], in op) result {
	switch in.kind {
	case 2:
		m, err := r.Receive(ctx)
		return result{err == nil, []int{m}}
	case 3:
		m, ok, _ := r.TryReceive()
		return result{ok, []int{m}}
	}
	into := make([]int, linearCapacity)
	n, err := r.ReceiveAll(ctx, into)
	return result{err == nil, into[:n]}
}

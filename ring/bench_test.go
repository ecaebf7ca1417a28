package ring_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wherry/wherry/ring"
)

// BenchmarkAgainstChannel prints what a message costs through a ring and through a Go channel of the same capacity, taken in turns, and
// their ratio: with a Receive a message, and with a ReceiveAll for those that are there, which channels don't have.
func BenchmarkAgainstChannel(b *testing.B) {
	const capacity = 1024
	const messages = 200_000
	ctx := context.Background()
	oneByOne := func(r *ring.Buffer[uint64]) {
		for range messages {
			_, _ = r.Receive(ctx)
		}
	}
	together := func(r *ring.Buffer[uint64]) {
		into := make([]uint64, capacity)
		for got := 0; got < messages; {
			n, _ := r.ReceiveAll(ctx, into)
			got += n
		}
	}
	for _, senders := range []int{1, 4} {
		for _, way := range []struct {
			name    string
			receive func(*ring.Buffer[uint64])
		}{{"Receive", oneByOne}, {"ReceiveAll", together}} {
			b.Run(fmt.Sprintf("%d/%s", senders, way.name), func(b *testing.B) {
				var ours, theirs []time.Duration
				for b.Loop() {
					r := ring.New[uint64](capacity)
					ours = append(ours, run(senders, messages/senders, func(m uint64) { _ = r.Send(ctx, m) }, func() { way.receive(r) }))
					c := make(chan uint64, capacity)
					theirs = append(theirs, run(senders, messages/senders, func(m uint64) { c <- m }, func() {
						for range messages {
							<-c
						}
					}))
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(median(ours)/messages, "ring-ns/message")
				b.ReportMetric(median(theirs)/messages, "channel-ns/message")
				b.ReportMetric(median(theirs)/median(ours), "times-channel")
			})
		}
	}
}

func run(senders, each int, send func(uint64), receive func()) time.Duration {
	start := time.Now()
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for i := range each {
				send(uint64(i))
			}
		})
	}
	receive()
	wg.Wait()
	return time.Since(start)
}

// median is what a run takes that nobody else's load has fallen into, or all.
func median(all []time.Duration) float64 {
	slices.Sort(all)
	return float64(all[len(all)/2].Nanoseconds())
}

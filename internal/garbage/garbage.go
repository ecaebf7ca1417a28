package garbage

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// OfPrograms is what a process that runs programs keeps on Go's heap, about: decoded code, and what instances take beside their memory.
const OfPrograms = 256 << 20

const (
	// There may be garbage of half of what the caches may hold, between these two, or a tenth of what lives where the caches are huge.
	garbageMin   = 32 << 20
	garbageMax   = 128 << 20
	gcPercentMin = 10
	// liveMin is what lives at least. Before the first collection the runtime says that nothing does, and a share of nothing would put
	// that collection off for ever.
	liveMin = 16 << 20
	// gcPercentIdle bounds it for a process that does little: as Go does by itself.
	gcPercentIdle = 100
	// garbageTick is how often the bound is looked at. The garbage of garbageTicks needn't be collected before.
	garbageTick  = time.Second
	garbageTicks = 2
)

// gcPercent returns how much garbage there may be, in percent of what lives. What Go does by itself would let the heap grow to twice
// of what the caches hold, so full caches get a bound beside them. That is a share, though, and of a cache that is still small it
// is next to nothing: a busy node would collect many times in a second. So what is allocated in a few ticks is always allowed, within
// that bound.
func gcPercent(cacheBytes, liveBytes, tickBytes int64) int {
	garbage := min(garbageMax, max(garbageMin, cacheBytes/2))
	least := max(gcPercentMin, min(gcPercentIdle, garbage*100/max(1, cacheBytes)))
	return int(max(least, min(garbage, garbageTicks*tickBytes)*100/max(liveMin, liveBytes)))
}

// Bound bounds the heap of a process whose caches may hold cacheBytes, until ctx ends. $GOGC counts before it.
func Bound(ctx context.Context, cacheBytes int64) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(garbageTick)
	defer tick.Stop()
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(heap)
	before, set := heap[1].Value.Uint64(), 0
	for {
		metrics.Read(heap)
		live, allocated := heap[0].Value.Uint64(), heap[1].Value.Uint64()
		percent := gcPercent(cacheBytes, int64(live), int64(allocated-before))
		if before = allocated; percent < set*7/8 || percent > set*9/8 { // to set it stops the world for a moment
			set = percent
			debug.SetGCPercent(percent)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

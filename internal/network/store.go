package network

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/cache/tier"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/disk"
)

// What waits to be written to disk is held in memory beside what the cache holds there: a share of that, within limits.
const (
	queueShare = 8
	queueMin   = 8 << 20
	queueMax   = 64 << 20
)

// shelf is where a station keeps responses.
type shelf struct {
	store store.Store
	run   func(context.Context) error // nil if it is memory alone
	close func() error                // instead of run
}

// newShelf makes the store of a node: memory, and below it the volumes, if there are any.
func newShelf(memory config.Memory, volumes []config.Volume, log *slog.Logger, reg prometheus.Registerer) (*shelf, error) {
	m, err := store.NewMemory(int64(memory.Cache), int64(memory.Object))
	if err != nil {
		return nil, err
	}
	store.Watch(reg, m)
	if len(volumes) == 0 {
		return &shelf{store: m, close: func() error { return nil }}, nil
	}
	o := disk.Options{
		Log: log, Metrics: disk.NewMetrics(reg),
		QueueBytes: min(queueMax, max(queueMin, int64(memory.Cache)/queueShare)),
	}
	for _, v := range volumes {
		o.Volumes = append(o.Volumes, disk.Volume{Dir: v.Dir, BytesMax: int64(v.Size)})
	}
	blobs, err := disk.Open(o)
	if err != nil {
		return nil, err
	}
	disk.WatchStore(reg, blobs)
	t := tier.New(tier.Options{Memory: m, Disk: blobs, Log: log, Metrics: tier.NewMetrics(reg)})
	return &shelf{store: t, run: t.Run, close: blobs.Close}, nil
}

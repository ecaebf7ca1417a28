package tier

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/disk"
)

// Options are what a Store is made of.
type Options struct {
	Memory  *store.Memory // nobody else uses it
	Disk    *disk.Store   // just opened; Run runs it
	Log     *slog.Logger  // default: none
	Now     func() time.Time
	Metrics *Metrics // default: not registered
}

const (
	stripes = 256
	// smallMax is the largest body that is read into memory. Up to there one copy costs less than to ask the file each time; of a larger
	// one the system sends the pages that it has anyway (sendfile), and a few of them would fill the memory.
	smallMax = 256 << 10
	// loadsMax is how many reads may be under way; what is looked up beyond that is a miss.
	loadsMax = 1024
	// sweepInterval is how often it is looked whether memory holds on to what the disk has dropped.
	sweepInterval = time.Second
)

// Store is a store.Store in memory and on disk.
type Store struct {
	memory  *store.Memory
	disk    *disk.Store
	log     *slog.Logger
	now     func() time.Time
	metrics *Metrics
	seen    *seen

	seed    maphash.Seed
	stripes [stripes]stripe

	loading  atomic.Int64 // loads under way
	purging  atomic.Int64 // RemoveFuncs under way
	removals removals
	suspect  chan struct{} // a body couldn't be read: holds one token
}

var _ store.Store = (*Store)(nil)

// stripe is what is under way for a part of the keys. Memory and disk change for a key only under its stripe's lock, but for purges by
// function and for what either drops to make room. No lock is held while a disk is waited for.
type stripe struct {
	mu     sync.Mutex // protects what follows; lost with the process
	loads  map[store.Key]*load
	writes map[store.Key][]*write
	// hidden counts why nothing that is on disk under a key may be used: it is being replaced or removed.
	hidden map[store.Key]int
}

// New returns a store over o.Memory and o.Disk.
func New(o Options) *Store {
	s := &Store{
		memory: o.Memory, disk: o.Disk, log: o.Log, now: o.Now, metrics: o.Metrics,
		seen: newSeen(o.Disk.Usage().BytesMax), seed: maphash.MakeSeed(), suspect: make(chan struct{}, 1),
		removals: removals{more: make(chan struct{}, 1)},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.metrics == nil {
		s.metrics = NewMetrics(nil)
	}
	for i := range s.stripes {
		st := &s.stripes[i]
		st.loads, st.writes, st.hidden = map[store.Key]*load{}, map[store.Key][]*write{}, map[store.Key]int{}
	}
	s.memory.Watch(store.MemoryEvents{Second: s.second})
	return s
}

func (s *Store) stripe(key store.Key) *stripe {
	return &s.stripes[maphash.String(s.seed, string(key))%stripes]
}

// Run runs the disk until ctx ends, and returns when all that was queued is written and all goroutines are gone.
func (s *Store) Run(ctx context.Context) error {
	diskCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var err error
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		err = s.disk.Run(diskCtx)
	}()
	s.tend(ctx, ran)
	stop()
	<-ran
	return err
}

// tend removes and sweeps until ctx ends, or ran does.
func (s *Store) tend(ctx context.Context, ran <-chan struct{}) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	evictions := s.disk.Usage().Evictions
	for {
		select {
		case <-ran:
			return
		case <-ctx.Done():
			for s.removeNext() {
			}
			return
		case <-s.removals.more:
			s.removeNext()
		case <-s.suspect:
			s.sweepFiles()
		case <-tick.C:
			if now := s.disk.Usage().Evictions; now != evictions {
				evictions = now
				s.sweepMoved()
			}
		}
	}
}

// Lookup implements store.Store.
func (s *Store) Lookup(key store.Key) []*store.Response {
	if found := s.memory.Lookup(key); found != nil || !s.disk.Has(string(key)) {
		return found
	}
	return s.load(key)
}

// Peek implements store.Store.
func (s *Store) Peek(key store.Key) []*store.Response { return s.memory.Peek(key) }

// NewBody implements store.Store.
func (s *Store) NewBody(size int64) store.Body { return s.memory.NewBody(size) }

// Usage implements store.Store.
func (s *Store) Usage() store.Usage {
	u := s.memory.Usage()
	d := s.disk.Usage()
	u.Disk = &store.DiskUsage{
		Responses: d.Blobs, Bytes: d.Bytes, BytesMax: d.BytesMax, Evictions: d.Evictions, Queued: d.Queued,
		Volumes: make([]store.VolumeUsage, 0, len(d.Volumes)),
	}
	for _, v := range d.Volumes {
		u.Disk.Volumes = append(u.Disk.Volumes, store.VolumeUsage{
			Dir: v.Dir, State: string(v.State), Since: v.Since, LastError: v.LastError,
			Responses: v.Blobs, Bytes: v.Bytes, BytesMax: v.BytesMax,
		})
	}
	return u
}

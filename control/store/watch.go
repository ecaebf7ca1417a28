package store

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Event is a change of a key. Of a key that was deleted there is no value.
type Event struct {
	KV
	Deleted bool
}

// ErrCompacted says that what the store was like then isn't kept any more.
var ErrCompacted = errors.New("the store doesn't keep changes for so long: list anew")

const watchRetry = 100 * time.Millisecond

// Watch calls f with the changes of keys that begin with front, from a revision on, that one included, in their order and each once, until ctx
// ends or f returns an error, which it returns. The events of one transaction come together. It goes on by itself when members come and
// go. ErrCompacted: the changes since then aren't kept; list, and watch from the revision after the list's.
func (s *Store) Watch(ctx context.Context, front string, from Revision, f func([]Event) error) error {
	for {
		err := s.watch(ctx, front, &from, f)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		}
		s.o.Metrics.rewatched.Inc()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.Failed():
			return s.Err()
		case <-time.After(watchRetry):
		}
	}
}

// watch is Watch until the stream breaks. from follows what was seen.
func (s *Store) watch(ctx context.Context, front string, from *Revision, f func([]Event) error) error {
	ctx, cancel := s.until(ctx, 0)
	defer cancel()
	if s.etcd == nil {
		ctx = clientv3.WithRequireLeader(ctx) // a member that was cut off from the others would be silent
	}
	for resp := range s.client.Watch(ctx, prefix+front, clientv3.WithPrefix(), clientv3.WithRev(*from)) {
		if resp.CompactRevision != 0 {
			return ErrCompacted
		}
		if resp.Err() != nil {
			return nil
		}
		if len(resp.Events) == 0 {
			continue
		}
		events := make([]Event, 0, len(resp.Events))
		for _, e := range resp.Events {
			events = append(events, Event{KV: kvOf(e.Kv), Deleted: e.Type == clientv3.EventTypeDelete})
		}
		if err := f(events); err != nil {
			return err
		}
		*from = resp.Events[len(resp.Events)-1].Kv.ModRevision + 1
	}
	return nil
}

package store

import (
	"context"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Revision counts the changes of the store.
type Revision = int64

// KV is a key with its value.
type KV struct {
	Key     string
	Value   []byte
	Created Revision
	Changed Revision
}

func kvOf(k *mvccpb.KeyValue) KV {
	return KV{strings.TrimPrefix(string(k.Key), prefix), k.Value, k.CreateRevision, k.ModRevision}
}

// ReadOption changes how Get, List, All and Backup read.
type ReadOption func(*reading)

type reading struct {
	local bool
}

// Local reads what this member has, also while there is no majority; that may be late.
func Local(r *reading) { r.local = true }

var _ ReadOption = Local

func ops(options []ReadOption, more ...clientv3.OpOption) []clientv3.OpOption {
	var r reading
	for _, o := range options {
		o(&r)
	}
	if r.local {
		more = append(more, clientv3.WithSerializable())
	}
	return more
}

// Get returns a key's value; ok is false if there is none.
func (s *Store) Get(ctx context.Context, key string, options ...ReadOption) (kv KV, ok bool, err error) {
	resp, err := s.get(ctx, prefix+key, ops(options)...)
	if err != nil || len(resp.Kvs) == 0 {
		return KV{}, false, err
	}
	return kvOf(resp.Kvs[0]), true, nil
}

const readRetry = 50 * time.Millisecond

// get reads, again and again while the members look for a leader.
func (s *Store) get(ctx context.Context, key string, o ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := s.until(ctx, askPatience)
	defer cancel()
	for {
		resp, err := s.client.Get(ctx, key, o...)
		if err == nil {
			return resp, nil
		}
		if permanent(err) || !s.pause(ctx, readRetry) {
			return nil, s.explain(err)
		}
	}
}

// pause waits; false if ctx ended.
func (s *Store) pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

const pageMax = 1000

// List returns the keys that begin with front, in their order, from the first one behind after on (a whole key; empty: from the start), and the
// revision at which this is true. more says that there are further ones. limit 0 means 1,000, which is the most.
func (s *Store) List(ctx context.Context, front, after string, limit int, options ...ReadOption) (list []KV, more bool, at Revision, err error) {
	if limit <= 0 || limit > pageMax {
		limit = pageMax
	}
	from := prefix + front
	if after != "" {
		from = max(from, prefix+after+"\x00")
	}
	end := clientv3.GetPrefixRangeEnd(prefix + front)
	if from >= end {
		return nil, false, 0, nil
	}
	resp, err := s.get(ctx, from, ops(options, clientv3.WithRange(end), clientv3.WithLimit(int64(limit)))...)
	if err != nil {
		return nil, false, 0, err
	}
	for _, k := range resp.Kvs {
		list = append(list, kvOf(k))
	}
	return list, resp.More, resp.Header.Revision, nil
}

// All calls f with every key that begins with front, as they were at one revision, which it returns. It reads in pages; ErrCompacted: that took
// more than an hour.
func (s *Store) All(ctx context.Context, front string, f func(KV) error, options ...ReadOption) (at Revision, err error) {
	from, end := prefix+front, clientv3.GetPrefixRangeEnd(prefix+front)
	for {
		o := ops(options, clientv3.WithRange(end), clientv3.WithLimit(pageMax), clientv3.WithRev(at))
		resp, err := s.get(ctx, from, o...)
		if err != nil {
			return 0, err
		}
		if at == 0 {
			at = resp.Header.Revision
		}
		for _, k := range resp.Kvs {
			if err := f(kvOf(k)); err != nil {
				return 0, err
			}
			from = string(k.Key) + "\x00"
		}
		if !resp.More {
			return at, nil
		}
	}
}

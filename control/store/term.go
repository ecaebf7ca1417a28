package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// termSeconds is how long a leader that can't be reached stays one. etcd makes it longer where Election is.
	termSeconds = 2
	// termMargin is by how much a leader thinks that its term is over before the others do.
	termMargin    = 300 * time.Millisecond
	termRetry     = 100 * time.Millisecond
	resignTimeout = time.Second
	leaderPrefix  = "leader/"
	// partAfter is for how long a leader of ours is etcd's leader too before it gives that away: until then, a candidate that has died may
	// still stand. It waits as long before it tries again.
	partAfter = 5 * time.Second
)

// Term is the time for which one member is the leader. What it does has Cond among its conditions: a lease alone doesn't keep a leader that
// was paused from acting on when it wakes up.
type Term struct {
	s     *Store
	key   string // with prefix
	lease clientv3.LeaseID
	rev   Revision // of the key's creation

	done   chan struct{} // closed when the term is over
	stop   context.CancelFunc
	gone   chan struct{} // closed when its goroutine has ended
	resign sync.Once
}

// Campaign waits until this member is the leader of that name. The term is over when ctx ends.
func (s *Store) Campaign(ctx context.Context, name string) (*Term, error) {
	for {
		t, err := s.stand(ctx, name)
		if err != nil {
			return nil, err
		}
		err = t.await(name)
		if err == nil {
			select {
			case <-t.done:
			default:
				s.o.Metrics.terms.Inc()
				return t, nil
			}
		}
		t.Resign()
		if failed := s.Err(); failed != nil {
			return nil, s.explain(failed)
		}
		if !s.pause(ctx, termRetry) {
			return nil, s.explain(ctx.Err())
		}
	}
}

// stand makes a candidate, whose lease is renewed.
func (s *Store) stand(ctx context.Context, name string) (*Term, error) {
	for {
		asking, cancel := s.until(ctx, attemptPatienceMax)
		sent := time.Now()
		lease, err := s.client.Grant(asking, termSeconds)
		cancel()
		if err == nil {
			t := &Term{s: s, lease: lease.ID, done: make(chan struct{}), gone: make(chan struct{})}
			t.key = fmt.Sprintf("%s%s%s/%x", prefix, leaderPrefix, name, lease.ID)
			ctx, stop := s.until(ctx, 0)
			t.stop = stop
			go t.renew(ctx, name, sent, time.Duration(lease.TTL)*time.Second)
			return t, nil
		}
		if permanent(err) || s.Err() != nil || !s.pause(ctx, termRetry) {
			return nil, s.explain(err)
		}
	}
}

// await waits until nobody stands before t.
func (t *Term) await(name string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with await
		select {
		case <-t.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	client := t.s.client
	resp, err := client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(t.key), "=", 0)).
		Then(clientv3.OpPut(t.key, t.s.o.Name, clientv3.WithLease(t.lease))).Else(clientv3.OpGet(t.key)).Commit()
	if err != nil {
		return err
	}
	t.rev = resp.Header.Revision
	if !resp.Succeeded {
		t.rev = resp.Responses[0].GetResponseRange().Kvs[0].CreateRevision
	}
	for {
		before, err := client.Get(ctx, prefix+leaderPrefix+name+"/", append(clientv3.WithLastCreate(), clientv3.WithMaxCreateRev(t.rev-1))...)
		if err != nil {
			return err
		}
		if len(before.Kvs) == 0 {
			return nil
		}
		if err := gone(ctx, client, string(before.Kvs[0].Key), before.Header.Revision+1); err != nil {
			return err
		}
	}
}

// gone waits until a key is deleted.
func gone(ctx context.Context, client *clientv3.Client, key string, from Revision) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for resp := range client.Watch(clientv3.WithRequireLeader(ctx), key, clientv3.WithRev(from)) {
		for _, e := range resp.Events {
			if e.Type == clientv3.EventTypeDelete {
				return nil
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.New("the watch ended")
}

// renew keeps the lease until ctx ends or it can't be kept.
func (t *Term) renew(ctx context.Context, name string, sent time.Time, ttl time.Duration) {
	defer close(t.gone)
	defer close(t.done)
	both := sent // since when this member is the leader of both, or has tried to change that
	// The time runs from before the request was sent, so it is over here first. time.Time has the monotonic clock's reading.
	end := sent.Add(ttl - termMargin)
	for {
		wait := min(ttl/5, time.Until(end))
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		sent := time.Now()
		patience := min(ttl/5, end.Sub(sent))
		if patience <= 0 {
			return
		}
		asking, cancel := context.WithTimeout(ctx, patience)
		resp, err := t.s.client.KeepAliveOnce(asking, t.lease)
		cancel()
		switch {
		case err == nil:
			end = sent.Add(time.Duration(resp.TTL)*time.Second - termMargin)
			if !t.leadsEtcd() {
				both = sent
			} else if sent.Sub(both) > partAfter {
				t.part(ctx, name, ttl/5)
				both = time.Now()
			}
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			return
		}
	}
}

func (t *Term) leadsEtcd() bool {
	return t.s.etcd != nil && t.s.etcd.Server.Leader() == t.s.etcd.Server.MemberID()
}

// part makes another candidate's member the leader of etcd's cluster: were a member to die that leads both, leases would start anew after etcd's
// election, and the next term could begin only after twice the time. Candidates renew leases, so theirs are members that are up.
func (t *Term) part(ctx context.Context, name string, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	list, _, _, err := t.s.List(ctx, leaderPrefix+name+"/", "", 0)
	if err != nil || len(list) < 2 || prefix+slices.MinFunc(list, byCreation).Key != t.key {
		return
	}
	for _, kv := range list {
		for _, m := range t.s.members() {
			if m.Name == string(kv.Value) && m.Name != t.s.o.Name && !m.Learner {
				_, _ = t.s.client.MoveLeader(ctx, m.ID) // else it stays as it is
				return
			}
		}
	}
}

func byCreation(a, b KV) int { return cmp.Compare(a.Created, b.Created) }

// Cond holds as long as nobody else was leader since.
func (t *Term) Cond() Cond {
	return Cond{key: strings.TrimPrefix(t.key, prefix), created: true, want: t.rev}
}

// Number grows from term to term.
func (t *Term) Number() Revision { return t.rev }

// Done is closed when the term is over, or can't be prolonged, before another one may begin.
func (t *Term) Done() <-chan struct{} { return t.done }

// Resign ends the term, so that another member needn't wait.
func (t *Term) Resign() {
	t.resign.Do(func() {
		t.stop()
		<-t.gone
		ctx, cancel := t.s.until(context.Background(), resignTimeout)
		defer cancel()
		_, _ = t.s.client.Revoke(ctx, t.lease) // else it ends by itself
	})
}

// Leader returns the name of the member that is the leader of that name, or the empty string.
func (s *Store) Leader(ctx context.Context, name string, options ...ReadOption) (string, error) {
	resp, err := s.get(ctx, prefix+leaderPrefix+name+"/", ops(options, clientv3.WithFirstCreate()...)...)
	if err != nil || len(resp.Kvs) == 0 {
		return "", err
	}
	return string(resp.Kvs[0].Value), nil
}

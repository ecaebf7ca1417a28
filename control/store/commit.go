package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Cond is a condition of a transaction.
type Cond struct {
	key     string
	created bool // the revision is that of the key's creation
	want    Revision
}

// Absent says that there is no such key.
func Absent(key string) Cond { return Cond{key: key} }

// Unchanged says that the key was changed last at that revision; 0: that there is none.
func Unchanged(key string, at Revision) Cond { return Cond{key: key, want: at} }

// Txn is what happens at once, if all conditions hold.
type Txn struct {
	If     []Cond
	Put    []Put
	Delete []string
}

// Put sets a key.
type Put struct {
	Key   string
	Value []byte
}

// ErrConflict says that a condition of a transaction doesn't hold: nothing happened.
var ErrConflict = errors.New("somebody else was first")

// slotsMax is how many transactions of one member are under way at a time.
const slotsMax = 32

// slots make transactions happen once. Each transaction writes its own name into a slot, under the condition that nobody has written there
// since. So when an answer gets lost and the transaction is sent again, at most one of the two is applied, and the slot tells whether one
// was.
type slots struct {
	once sync.Once
	free chan *slot
}

type slot struct {
	key string
	at  Revision // of its last change, as far as is known; never: not read yet
}

func (s *Store) takeSlot(ctx context.Context) (*slot, error) {
	s.slots.once.Do(func() {
		s.slots.free = make(chan *slot, slotsMax)
		for i := range slotsMax {
			s.slots.free <- &slot{key: prefix + "slot/" + s.o.Name + "/" + strconv.Itoa(i), at: never}
		}
	})
	select {
	case sl := <-s.slots.free:
		return sl, nil
	case <-ctx.Done():
		return nil, explain(ctx.Err())
	}
}

// retryCommit is how long to wait before a transaction is sent again.
const retryCommit = 50 * time.Millisecond

// Commit applies a transaction, once, and returns the revision. ErrConflict: a condition doesn't hold. While there is no majority it tries again
// until ctx ends; then it isn't known whether the transaction was, or will be, applied.
func (s *Store) Commit(ctx context.Context, t Txn) (Revision, error) {
	for _, p := range t.Put {
		if len(p.Value) > valueMax {
			return 0, fmt.Errorf("%s has %d bytes, more than %d", p.Key, len(p.Value), valueMax)
		}
	}
	sl, err := s.takeSlot(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { s.slots.free <- sl }()
	id := s.o.Name + "/" + rand.Text()
	for {
		at, err := s.attempt(ctx, t, sl, id)
		if err == nil || errors.Is(err, ErrConflict) || permanent(err) {
			return at, err
		}
		select {
		case <-ctx.Done():
			return 0, explain(err)
		case <-time.After(retryCommit):
		}
	}
}

// permanent says whether another attempt is of no use.
func permanent(err error) bool {
	return errors.Is(err, errTooMuch)
}

var errTooMuch = errors.New("too much for one transaction")

var errSlot = errors.New("the slot was written by somebody else")

func (s *Store) attempt(ctx context.Context, t Txn, sl *slot, id string) (Revision, error) {
	if sl.at == never {
		resp, err := s.client.Get(ctx, sl.key)
		if err != nil {
			return 0, err
		}
		if sl.at = 0; len(resp.Kvs) > 0 {
			sl.at = resp.Kvs[0].ModRevision
		}
	}
	compares := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(sl.key), "=", sl.at)}
	for _, c := range t.If {
		if c.created {
			compares = append(compares, clientv3.Compare(clientv3.CreateRevision(prefix+c.key), "=", c.want))
		} else {
			compares = append(compares, clientv3.Compare(clientv3.ModRevision(prefix+c.key), "=", c.want))
		}
	}
	ops := []clientv3.Op{clientv3.OpPut(sl.key, id)}
	for _, p := range t.Put {
		ops = append(ops, clientv3.OpPut(prefix+p.Key, string(p.Value)))
	}
	for _, key := range t.Delete {
		ops = append(ops, clientv3.OpDelete(prefix+key))
	}
	if len(ops) > txnOpsMax {
		return 0, fmt.Errorf("%w: %d changes, more than %d", errTooMuch, len(ops)-1, txnOpsMax-1)
	}
	// An attempt that takes for ever would keep a new leader from being asked.
	ctx, cancel := context.WithTimeout(ctx, attemptPatience)
	defer cancel()
	resp, err := s.client.Txn(ctx).If(compares...).Then(ops...).Else(clientv3.OpGet(sl.key)).Commit()
	if err != nil {
		return 0, err
	}
	if resp.Succeeded {
		sl.at = resp.Header.Revision
		return resp.Header.Revision, nil
	}
	now := Revision(0)
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		now = kvs[0].ModRevision
		if string(kvs[0].Value) == id { // the attempt before this one was applied
			sl.at = now
			return now, nil
		}
	}
	if now != sl.at {
		sl.at = now
		return 0, errSlot
	}
	return 0, ErrConflict
}

const attemptPatience = 2 * time.Second

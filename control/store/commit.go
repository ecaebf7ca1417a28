package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
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

// check finds what etcd would refuse, where the error can say which key it is about.
func (t Txn) check() error {
	if n := len(t.Put) + len(t.Delete); n >= txnOpsMax || len(t.If) >= txnOpsMax {
		return fmt.Errorf("%w: %d changes under %d conditions in one transaction, more than %d: split it", ErrTooMuch, n, len(t.If), txnOpsMax-1)
	}
	seen, size := make(map[string]bool, len(t.Put)+len(t.Delete)), 0
	one := func(key string) error {
		if key == "" || seen[key] {
			return fmt.Errorf("the key %q is empty, or twice in one transaction", key)
		}
		seen[key] = true
		return nil
	}
	for _, p := range t.Put {
		if err := one(p.Key); err != nil {
			return err
		}
		if len(p.Value) > valueMax {
			return fmt.Errorf("%w: %s has %d bytes, more than %d: keep large things as objects of the feed", ErrTooMuch, p.Key, len(p.Value), valueMax)
		}
		size += len(p.Key) + len(p.Value)
	}
	for _, key := range t.Delete {
		if err := one(key); err != nil {
			return err
		}
	}
	if size > requestMaxBytes/2 {
		return fmt.Errorf("%w: %d bytes in one transaction, more than %d: split it", ErrTooMuch, size, requestMaxBytes/2)
	}
	return nil
}

func (t Txn) compares() []clientv3.Cmp {
	var all []clientv3.Cmp
	for _, c := range t.If {
		if c.created {
			all = append(all, clientv3.Compare(clientv3.CreateRevision(prefix+c.key), "=", c.want))
		} else {
			all = append(all, clientv3.Compare(clientv3.ModRevision(prefix+c.key), "=", c.want))
		}
	}
	return all
}

func (t Txn) ops() []clientv3.Op {
	var all []clientv3.Op
	for _, p := range t.Put {
		all = append(all, clientv3.OpPut(prefix+p.Key, string(p.Value)))
	}
	for _, key := range t.Delete {
		all = append(all, clientv3.OpDelete(prefix+key))
	}
	return all
}

const (
	// slotsMax is how many transactions of one member are under way at a time.
	slotsMax = 32
	// slotUnread is a revision that no key has.
	slotUnread = -1
	// An attempt that has no answer after this long is made again: its leader may have died. The patience doubles each time, so that slow
	// disks aren't asked more and more.
	attemptPatience    = 400 * time.Millisecond
	attemptPatienceMax = 5 * time.Second
	commitRetry        = 20 * time.Millisecond
)

// slots make transactions happen once. Each transaction writes its number into a slot, under the condition that the slot wasn't written since
// it was read. So of the attempts of one transaction at most one is applied, and the slot tells whether one was. An attempt that finds the
// transaction's conditions not true writes into the slot too (burns it), if there may be earlier ones under way, so that none of those is
// applied after Commit has said that nothing happened.
//
// When changing this, look again at: attempts of a transaction whose caller gave up, which arrive while the next one has the slot, to be
// applied or to burn (every write of a slot is under the condition of its revision); answers that get lost, of either; a slot whose revision
// isn't known yet.
//
// Nobody but this process writes into its slots; what it leaves when it ends is removed by the next one of the same name.
type slots struct {
	instance string

	mu    sync.Mutex // protects what follows
	free  chan *slot
	clean bool // what earlier processes left was removed
}

type slot struct {
	key string
	at  Revision // of its last change, as far as is known, or slotUnread
	seq uint64   // of the transaction that has it
}

func (sl *slot) id() string { return strconv.FormatUint(sl.seq, 10) }

// spent is what a slot says when its transaction was given up.
func (sl *slot) spent() string { return sl.id() + "!" }

func (s *Store) takeSlot(ctx context.Context) (*slot, error) {
	if err := s.cleanSlots(ctx); err != nil {
		return nil, err
	}
	select {
	case sl := <-s.slots.free:
		sl.seq++
		return sl, nil
	case <-ctx.Done():
		return nil, s.explain(ctx.Err())
	}
}

const slotsPrefix = "slot/"

func (s *Store) cleanSlots(ctx context.Context) error {
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	if s.slots.free == nil {
		s.slots.free = make(chan *slot, slotsMax)
		for i := range slotsMax {
			s.slots.free <- &slot{key: fmt.Sprint(prefix, slotsPrefix, s.o.Name, "/", s.slots.instance, "/", i), at: slotUnread}
		}
	}
	if s.slots.clean {
		return nil
	}
	list, _, _, err := s.List(ctx, slotsPrefix+s.o.Name+"/", "", 0)
	if err != nil {
		return err
	}
	// Key by key: a range that is deleted late would take this process's own slots with it.
	var dead []clientv3.Op
	for _, kv := range list {
		if !strings.Contains(kv.Key, "/"+s.slots.instance+"/") {
			dead = append(dead, clientv3.OpDelete(prefix+kv.Key))
		}
	}
	if len(dead) > 0 {
		ctx, cancel := s.until(ctx, attemptPatienceMax)
		defer cancel()
		if _, err := s.client.Txn(ctx).Then(dead...).Commit(); err != nil {
			return s.explain(err)
		}
	}
	s.slots.clean = true
	return nil
}

// Commit applies a transaction, once, and returns its revision. ErrConflict: a condition doesn't hold, and nothing was or will be changed. While
// there is no majority it tries again until ctx ends, for 15 s at most; if it isn't known then whether the transaction was, or will be, applied, the
// error is ErrUnknown.
func (s *Store) Commit(ctx context.Context, t Txn) (Revision, error) {
	start := time.Now()
	at, err := s.commit(ctx, t)
	s.o.Metrics.committed(err, time.Since(start))
	return at, err
}

func (s *Store) commit(ctx context.Context, t Txn) (Revision, error) {
	if err := t.check(); err != nil {
		return 0, err
	}
	if s.etcd != nil {
		if err := s.disk.check(s.o.Dir, time.Now()); err != nil {
			return 0, err
		}
	}
	ctx, cancel := s.until(ctx, askPatience)
	defer cancel()
	sl, err := s.takeSlot(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { s.slots.free <- sl }()
	underWay := false // an attempt may still be applied
	for patience := attemptPatience; ; patience = min(2*patience, attemptPatienceMax) {
		at, err := s.attempt(ctx, t, sl, patience, &underWay)
		switch {
		case err == nil, errors.Is(err, ErrConflict), errors.Is(err, ErrUnknown):
			return at, err
		case permanent(err) && !underWay:
			return 0, s.explain(err)
		}
		s.o.Metrics.retried.Inc()
		if !s.pause(ctx, commitRetry) {
			if underWay {
				return 0, fmt.Errorf("%w: %w", ErrUnknown, s.explain(err))
			}
			return 0, s.explain(err)
		}
	}
}

var errSlot = errors.New("the slot was written since")

// attempt sends a transaction once. underWay says whether earlier attempts may still be applied, and afterwards, whether this one may.
func (s *Store) attempt(ctx context.Context, t Txn, sl *slot, patience time.Duration, underWay *bool) (Revision, error) {
	ctx, cancel := s.until(ctx, patience)
	defer cancel()
	if sl.at == slotUnread {
		resp, err := s.client.Get(ctx, sl.key)
		if err != nil {
			return 0, err
		}
		if sl.at = 0; len(resp.Kvs) > 0 {
			sl.at = resp.Kvs[0].ModRevision
		}
	}
	if s.etcd != nil { // a new leader is asked at once
		changed := s.etcd.Server.LeaderChangedNotify()
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			select {
			case <-changed:
				cancel()
			case <-stop:
			}
		}()
	}
	otherwise := clientv3.OpGet(sl.key)
	if *underWay {
		// Only a slot that wasn't written is burnt: one that was may be what tells that another transaction was applied, if this attempt is late.
		otherwise = clientv3.OpTxn(
			[]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(sl.key), "=", sl.at)},
			[]clientv3.Op{clientv3.OpPut(sl.key, sl.spent())},
			[]clientv3.Op{clientv3.OpGet(sl.key)})
	}
	resp, err := s.client.Txn(ctx).
		If(append(t.compares(), clientv3.Compare(clientv3.ModRevision(sl.key), "=", sl.at))...).
		Then(append(t.ops(), clientv3.OpPut(sl.key, sl.id()))...).
		Else(otherwise).Commit()
	if err != nil {
		if !permanent(err) {
			*underWay = true
		}
		return 0, err
	}
	if resp.Succeeded {
		sl.at = resp.Header.Revision
		return sl.at, nil
	}
	return sl.refused(resp.Responses[0], resp.Header.Revision, underWay)
}

// refused says what it means that a transaction's conditions, or the slot's, aren't true.
func (sl *slot) refused(resp *pb.ResponseOp, now Revision, underWay *bool) (Revision, error) {
	lookedAt := resp
	if *underWay {
		inner := resp.GetResponseTxn()
		if inner.Succeeded { // the slot is burnt: whatever is under way fails
			sl.at, *underWay = now, false
			return 0, ErrConflict
		}
		lookedAt = inner.Responses[0]
	}
	at, value := Revision(0), ""
	if kvs := lookedAt.GetResponseRange().Kvs; len(kvs) > 0 {
		at, value = kvs[0].ModRevision, string(kvs[0].Value)
	}
	before := sl.at
	sl.at = at
	if !*underWay { // there is one attempt, and it wasn't applied
		if at == before {
			return 0, ErrConflict
		}
		return 0, errSlot // a transaction whose caller didn't wait was applied late
	}
	// The slot was written since, so whatever is under way fails; by whom it was written tells what became of it.
	*underWay = false
	switch value {
	case sl.id():
		return at, nil
	case sl.spent():
		return 0, ErrConflict
	case "":
		return 0, fmt.Errorf("%w (is another node of the same name running?)", ErrUnknown)
	}
	return 0, errSlot
}

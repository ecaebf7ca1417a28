package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// restoringKey is in the store while a restore is under way, and stays where one was broken off.
	restoringKey     = "restoring"
	restoreOpsMax    = 500
	restoreSizeMax   = 1 << 20
	restoringSuffix  = ".restoring"
	restoreCleanTime = 30 * time.Second
)

// Edit changes what is restored, such as the epoch of the feed.
type Edit func(key string, value []byte) ([]byte, error)

// ErrNotEmpty says that there is something already where a backup is to be restored.
var ErrNotEmpty = errors.New("a backup is restored into an empty store only: give it another folder, or move what is there away")

// Restore puts a backup into a store that doesn't run: with Dir into a new member, which is a cluster of its own, and with Endpoints into the external
// cluster. All of the backup is checked before anything is changed, and Dir isn't there before all of it is. The members of the old
// cluster can't come back; they join anew with empty folders.
func Restore(ctx context.Context, o Options, r io.ReadSeeker, edit Edit) (count int, err error) {
	if len(o.Endpoints) > 0 {
		s, err := Open(ctx, o)
		if err != nil {
			return 0, err
		}
		defer s.Close()
		return s.Restore(ctx, r, edit)
	}
	if files, err := os.ReadDir(o.Dir); len(files) > 0 {
		return 0, fmt.Errorf("%s: %w", o.Dir, ErrNotEmpty)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	if err := verify(r); err != nil {
		return 0, err
	}
	final := filepath.Clean(o.Dir)
	o.Dir, o.PeerListener, o.Members = final+restoringSuffix, nil, nil
	if err := os.RemoveAll(o.Dir); err != nil { // of one that was broken off
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(o.Dir)
		}
	}()
	s, err := Open(ctx, o)
	if err != nil {
		return 0, err
	}
	count, err = s.Restore(ctx, r, edit)
	if err = errors.Join(err, s.Close()); err != nil {
		return 0, err
	}
	if err := os.Remove(final); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	if err := os.Rename(o.Dir, final); err != nil {
		return 0, err
	}
	return count, syncDir(filepath.Dir(final))
}

func verify(r io.ReadSeeker) error {
	if _, _, err := ReadBackup(r, func(string, []byte) error { return nil }); err != nil {
		return err
	}
	_, err := r.Seek(0, io.SeekStart)
	return err
}

// Restore puts a backup into this store, which must be empty and have no other users. All of the backup is checked before anything is changed; if it
// can't be finished, what was written is removed. edit may be nil.
func (s *Store) Restore(ctx context.Context, r io.ReadSeeker, edit Edit) (count int, err error) {
	if err := verify(r); err != nil {
		return 0, err
	}
	fence, err := s.beginRestore(ctx)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreCleanTime)
			defer cancel()
			if wiped := s.wipe(cleaning); wiped != nil {
				err = errors.Join(err, fmt.Errorf("what was restored so far could not be removed; the next restore will do that: %w", wiped))
			}
		}
	}()
	t, size := Txn{If: []Cond{fence}}, 0
	flush := func() error {
		_, err := s.Commit(ctx, t)
		t, size = Txn{If: []Cond{fence}}, 0
		return err
	}
	_, count, err = ReadBackup(r, func(key string, value []byte) error {
		value = append([]byte(nil), value...)
		if edit != nil {
			var err error
			if value, err = edit(key, value); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		t.Put, size = append(t.Put, Put{key, value}), size+len(key)+len(value)
		if len(t.Put) >= restoreOpsMax || size > restoreSizeMax {
			return flush()
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	t.Delete = append(t.Delete, restoringKey)
	if err := flush(); err != nil {
		return 0, err
	}
	return count, nil
}

// beginRestore marks the store as being restored; the condition holds as long as nobody else does that.
func (s *Store) beginRestore(ctx context.Context) (Cond, error) {
	mark, broken, err := s.Get(ctx, restoringKey)
	if err != nil {
		return Cond{}, err
	}
	if broken {
		if err := s.wipe(ctx); err != nil {
			return Cond{}, err
		}
		mark = KV{}
	}
	_, err = s.All(ctx, "", func(kv KV) error {
		if own(kv.Key) {
			return nil
		}
		return ErrNotEmpty
	})
	if err != nil {
		return Cond{}, err
	}
	at, err := s.Commit(ctx, Txn{If: []Cond{Unchanged(restoringKey, mark.Changed)}, Put: []Put{{restoringKey, nil}}})
	if errors.Is(err, ErrConflict) {
		err = errors.New("somebody else is restoring a backup")
	}
	return Unchanged(restoringKey, at), err
}

// wipe removes all that a restore has written, and its mark, at once.
func (s *Store) wipe(ctx context.Context) error {
	var spans []clientv3.Op
	from := prefix
	for _, mine := range []string{leaderPrefix, slotsPrefix} { // in the order of keys
		spans = append(spans, clientv3.OpDelete(from, clientv3.WithRange(prefix+mine)))
		from = clientv3.GetPrefixRangeEnd(prefix + mine)
	}
	spans = append(spans, clientv3.OpDelete(from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix))))
	ctx, cancel := s.until(ctx, 0)
	defer cancel()
	for {
		_, err := s.client.Txn(ctx).Then(spans...).Commit()
		if err == nil {
			return nil
		}
		if permanent(err) || !s.pause(ctx, readRetry) {
			return s.explain(err)
		}
	}
}

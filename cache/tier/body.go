package tier

import (
	"errors"
	"io"
	"os"
	"runtime"

	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/disk"
)

// fileBody is a body on disk.
type fileBody struct {
	store   *Store
	key     store.Key
	blob    *disk.Blob
	release func()
}

var _ store.FileBody = (*fileBody)(nil)

func newFileBody(s *Store, key store.Key, b *disk.Blob) *fileBody {
	return &fileBody{store: s, key: key, blob: b, release: func() { runtime.KeepAlive(b) }}
}

// Append implements store.Body: nothing can be added to what is complete.
func (b *fileBody) Append([]byte) (int, error) { return 0, store.ErrTooLarge }

// Len implements store.Body.
func (b *fileBody) Len() int64 { return b.blob.Size() }

// Discard implements store.Body: the disk drops what it has when it needs the room.
func (b *fileBody) Discard() {}

// WriteRange implements store.Body.
func (b *fileBody) WriteRange(w io.Writer, off, n int64) (int64, error) {
	written, err := b.blob.WriteRange(w, off, n)
	if err != nil {
		b.store.unreadable(b, err)
	}
	return written, err
}

// File implements store.FileBody.
func (b *fileBody) File() (f *os.File, off int64, release func(), ok bool) {
	f, off, ok = b.blob.File()
	return f, off, b.release, ok
}

// unreadable sees to it that a body which a disk didn't return isn't offered to the next request. Other errors are the writer's.
func (s *Store) unreadable(b *fileBody, err error) {
	lost := errors.Is(err, disk.ErrDamaged) || errors.Is(err, disk.ErrFailed)
	if !lost && !errors.Is(err, disk.ErrSlow) && !errors.Is(err, disk.ErrStopped) {
		return
	}
	st := s.stripe(b.key)
	st.mu.Lock()
	for _, r := range s.memory.Peek(b.key) {
		if r.Body == b {
			s.memory.Swap(r, nil)
		}
	}
	if lost && b.blob.Live() {
		s.removeLater(st, b.key)
	}
	st.mu.Unlock()
	select {
	case s.suspect <- struct{}{}:
	default:
	}
}

// sweepFiles drops from memory what has its body on a disk: some disk has failed to return one. What can still be read is loaded again
// when it is asked for.
func (s *Store) sweepFiles() {
	s.memory.Sweep(anyKey, func(r *store.Response) *store.Response {
		if _, ok := r.Body.(*fileBody); ok {
			return nil
		}
		return r
	})
}

// sweepMoved lets go of bodies in files that the disk has done away with, but whose room it can't use as long as somebody has them open.
func (s *Store) sweepMoved() {
	s.memory.Sweep(anyKey, func(r *store.Response) *store.Response {
		if b, ok := r.Body.(*fileBody); ok && (b.blob.Moved() || !b.blob.Live()) {
			return nil
		}
		return r
	})
}

func anyKey(store.Key) bool { return true }

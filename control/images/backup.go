package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
)

// Backup writes all that the store has, and all images: those that this control node lacks are fetched from others. One that nobody has is left out, and the log says so: a backup
// without it is better than none.
func (s *Images) Backup(ctx context.Context, w io.Writer) error {
	err := s.o.Store.BackupWith(ctx, w, func(put func([sha256.Size]byte, io.Reader) error) error {
		all, err := s.records(ctx)
		if err != nil {
			return err
		}
		for _, h := range slices.SortedFunc(maps.Keys(all.Records), func(x, y feed.Hash) int { return bytes.Compare(x[:], y[:]) }) {
			if err := s.backUp(ctx, h, put); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

func (s *Images) backUp(ctx context.Context, h feed.Hash, put func([sha256.Size]byte, io.Reader) error) error {
	f, err := s.o.Keeper.ObjectFile(h)
	if err != nil { // it isn't here, or has rotted
		if err = s.o.Fetch(ctx, h); err == nil {
			f, err = s.o.Keeper.ObjectFile(h)
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.o.Log.Warn("the image of a program isn't in the backup, as no control node that can be reached has it; deploy it again", "image", h, "error", err)
		return nil
	}
	defer f.Close()
	return put(h, f)
}

// Restored is what a backup has of images.
type Restored struct {
	Images  int         // that are in the keeper now
	Missing []feed.Hash // that the store of the backup names, and nobody has
}

// Restore reads a backup, and keeps its images. It is for a control node that doesn't run, before its store is restored: what is in the keeper without the store naming it does no harm.
func Restore(backup io.Reader, keeper *feed.Keeper) (r Restored, err error) {
	named := map[feed.Hash]bool{}
	_, _, err = store.ReadBackupWith(backup, func(key string, value []byte) error {
		digits, ok := strings.CutPrefix(key, prefix)
		if !ok {
			return nil
		}
		var h feed.Hash
		var record Record
		if err := errors.Join(h.UnmarshalText([]byte(digits)), json.Unmarshal(value, &record)); err != nil {
			return damaged(key, err)
		}
		if record.Removed.IsZero() {
			named[h] = true
		}
		return nil
	}, func(sum [sha256.Size]byte, content io.Reader) error {
		_, _, err := keeper.PutObjectFrom(sum, content)
		if err != nil {
			return fmt.Errorf("an image of the backup: %w", err)
		}
		r.Images++
		return nil
	})
	for h := range named {
		if !keeper.HasObject(h) {
			r.Missing = append(r.Missing, h)
		}
	}
	slices.SortFunc(r.Missing, func(x, y feed.Hash) int { return bytes.Compare(x[:], y[:]) })
	return r, err
}

package images

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wherry/wherry/feed"
)

const (
	// FormerMax is how many images stay that nothing names any more.
	FormerMax = 4
	// wantedMax bounds what is waited for at the same time.
	wantedMax  = 10_000
	againAfter = time.Second
	partSuffix = ".part"
)

// Options are what Images are made of.
type Options struct {
	Dir string
	// Get opens an image from a byte on, and says from which one it does: that or 0.
	Get func(ctx context.Context, h feed.Hash, from int64) (r io.ReadCloser, at int64, err error)
	Log *slog.Logger
}

// Images are those of a node. They are safe for use by many goroutines.
type Images struct {
	o       Options
	changed chan struct{} // holds one when there is something to fetch

	mu     sync.Mutex // protects what follows
	named  map[feed.Hash]bool
	whole  map[feed.Hash]bool  // has been looked at by this process
	wanted map[feed.Hash]error // why the image isn't here yet; nil: nobody has tried
}

// New returns the images in a folder, which the first one makes.
func New(o Options) *Images {
	return &Images{o: o, changed: make(chan struct{}, 1), named: map[feed.Hash]bool{}, whole: map[feed.Hash]bool{}, wanted: map[feed.Hash]error{}}
}

func (s *Images) path(h feed.Hash) string { return filepath.Join(s.o.Dir, h.String()) }

func (s *Images) has(h feed.Hash) bool {
	info, err := os.Stat(s.path(h))
	return err == nil && info.Mode().IsRegular()
}

// isWhole says whether an image is here. One that isn't what its name says any more is removed.
func (s *Images) isWhole(h feed.Hash) bool {
	if !s.has(h) {
		return false
	}
	if s.whole[h] {
		return true
	}
	f, err := os.Open(s.path(h))
	if err != nil {
		return false
	}
	defer f.Close()
	is, err := hashOf(f)
	if s.whole[h] = err == nil && is == h; !s.whole[h] {
		s.o.Log.Warn("the image of a program isn't what it was; it is fetched anew", "image", h, "error", errors.Join(err, os.Remove(s.path(h))))
	}
	return s.whole[h]
}

// Have says whether these images are here. Those that aren't are fetched, and the error says how that goes.
func (s *Images) Have(list []feed.Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, h := range list {
		if s.isWhole(h) {
			continue
		}
		why, known := s.wanted[h]
		if !known && len(s.wanted) < wantedMax {
			s.wanted[h] = nil
		}
		if why == nil {
			why = errors.New("it is on its way from control")
		}
		errs = append(errs, fmt.Errorf("image sha256:%s: %w", h, why))
	}
	if len(errs) > 0 {
		s.poke()
	}
	return errors.Join(errs...)
}

func (s *Images) poke() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Keep says which images the configuration that holds names. Of others the last ones stay.
func (s *Images) Keep(list []feed.Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	named := map[feed.Hash]bool{}
	for _, h := range list {
		named[h] = true
	}
	now := time.Now()
	for h := range s.named {
		if !named[h] {
			_ = os.Chtimes(s.path(h), now, now) // it goes after those that aren't named for longer
		}
	}
	s.named = named
	return s.collect()
}

// former is a file that nothing names.
type former struct {
	image feed.Hash
	path  string
	at    time.Time
}

func (s *Images) collect() error {
	entries, err := os.ReadDir(s.o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var list []former
	for _, e := range entries {
		name, part := strings.CutSuffix(e.Name(), partSuffix)
		var h feed.Hash
		if h.UnmarshalText([]byte(name)) != nil || !e.Type().IsRegular() || s.named[h] {
			continue // what isn't an image is somebody else's
		}
		if _, waits := s.wanted[h]; waits {
			continue
		}
		info, failed := e.Info()
		switch path := filepath.Join(s.o.Dir, e.Name()); {
		case failed != nil: // it has gone
		case part:
			err = errors.Join(err, os.Remove(path))
		default:
			list = append(list, former{h, path, info.ModTime()})
		}
	}
	slices.SortFunc(list, func(a, b former) int { return cmp.Or(b.at.Compare(a.at), strings.Compare(a.path, b.path)) })
	for _, f := range list[min(FormerMax, len(list)):] {
		err = errors.Join(err, os.Remove(f.path))
		delete(s.whole, f.image)
	}
	return err
}

// Run fetches what is wanted, until ctx ends.
func (s *Images) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		again := s.fetchAll(ctx)
		select {
		case <-ctx.Done():
		case <-s.changed:
		case <-again:
		}
	}
	return nil
}

// fetchAll fetches each image that is wanted once, and returns when to do it again; nil: when something is wanted.
func (s *Images) fetchAll(ctx context.Context) (again <-chan time.Time) {
	s.mu.Lock()
	list := make([]feed.Hash, 0, len(s.wanted))
	for h := range s.wanted {
		list = append(list, h)
	}
	s.mu.Unlock()
	for _, h := range list {
		err := s.fetch(ctx, h)
		if ctx.Err() != nil {
			return nil
		}
		s.mu.Lock()
		before := s.wanted[h]
		if delete(s.wanted, h); err != nil {
			s.wanted[h] = err
		}
		s.mu.Unlock()
		if err != nil {
			again = time.After(againAfter)
		}
		if err != nil && (before == nil || before.Error() != err.Error()) { // it is tried again and again
			s.o.Log.Warn("the image of a program couldn't be fetched; trying again", "image", h, "error", err)
		}
	}
	return again
}

// fetch gets an image, or the rest of it.
func (s *Images) fetch(ctx context.Context, h feed.Hash) error {
	if s.has(h) {
		return nil
	}
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return err
	}
	part := s.path(h) + partSuffix
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	from, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := s.fill(ctx, f, h, from); err != nil {
		return err
	}
	if is, err := hashOf(f); err != nil || is != h {
		return errors.Join(err, fmt.Errorf("what came is %s: damaged on the way; it is fetched anew", is), os.Remove(part))
	}
	if err := errors.Join(f.Sync(), os.Rename(part, s.path(h))); err != nil {
		return err
	}
	return syncDir(s.o.Dir)
}

// fill appends to a file what it lacks of an image.
func (s *Images) fill(ctx context.Context, f *os.File, h feed.Hash, from int64) error {
	r, at, err := s.o.Get(ctx, h, from)
	if err != nil {
		return err
	}
	defer r.Close()
	if at != from && at != 0 {
		return fmt.Errorf("byte %d was asked for, and what comes begins at %d", from, at)
	}
	if err := f.Truncate(at); err != nil {
		return err
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(r, feed.ObjectMax+1-at))
	if err == nil && at+n > feed.ObjectMax {
		return errors.Join(fmt.Errorf("it has more than %d MiB", feed.ObjectMax>>20), f.Truncate(0))
	}
	return err
}

func hashOf(f *os.File) (h feed.Hash, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return h, err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return feed.Hash(sum.Sum(nil)), err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

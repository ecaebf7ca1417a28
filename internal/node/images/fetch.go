package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/wherry/wherry/feed"
)

const (
	againAfter = time.Second
	// askedFor is for how long an image is tried again that nobody asks for any more.
	askedFor = 10 * time.Second
	// step is what a source must send within its patience, and what is in memory of an image.
	step = 256 << 10
	// sizeUnknown is the size of an image that nobody has begun to send.
	sizeUnknown = -1
)

var errSlow = errors.New("it has sent nothing, or next to nothing, for too long")

// Source is a node that may have an image.
type Source struct {
	Name string
	Kind string // what it is, for metrics
	// Patience is how long it may take for each step. It grows with how many relays are above the source, so that one that changes its own source isn't left for that.
	Patience time.Duration
	// Open opens an image from a byte on.
	Open func(ctx context.Context, h feed.Hash, from int64) (Opened, error)
}

// Opened is an image that a source sends: from the byte that was asked for on, or from the first one.
type Opened struct {
	io.ReadCloser
	At   int64
	Size int64 // of all of it
}

// coming is an image that is on its way. Images.mu protects it.
type coming struct {
	asked   time.Time     // for the last time
	failed  error         // why the latest attempt did; nil: none has
	size    int64         // as the source says, or sizeUnknown
	have    int64         // bytes from the beginning that are in the part
	over    bool          // the attempt
	changed chan struct{} // closed when any of this does
}

func newComing() *coming { return &coming{size: sizeUnknown, changed: make(chan struct{})} }

// tell has those who serve it on see what has changed. Images.mu is held.
func (c *coming) tell() {
	close(c.changed)
	c.changed = make(chan struct{})
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

// fetchAll fetches each image that is wanted once, and returns when to do it again; nil: when something is wanted. All nodes go by the order of the hashes, so that an
// image is on its way through a relay when those below it ask for it.
func (s *Images) fetchAll(ctx context.Context) (again <-chan time.Time) {
	tried := map[feed.Hash]bool{}
	for {
		s.mu.Lock()
		list := slices.SortedFunc(maps.Keys(s.wanted), func(x, y feed.Hash) int { return bytes.Compare(x[:], y[:]) })
		next := slices.IndexFunc(list, func(h feed.Hash) bool { return !tried[h] })
		s.mu.Unlock()
		if next < 0 {
			return again
		}
		h := list[next]
		tried[h] = true
		err := s.fetch(ctx, h)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			again = time.After(againAfter)
		}
		s.ended(h, err)
	}
}

// ended notes what became of an attempt.
func (s *Images) ended(h feed.Hash, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.wanted[h]
	before := c.failed
	c.over = true
	c.failed = err
	c.tell()
	delete(s.wanted, h)
	if err != nil && time.Since(c.asked) < askedFor {
		s.wanted[h] = newComing()
		s.wanted[h].asked, s.wanted[h].failed = c.asked, err
	}
	if err != nil && (before == nil || before.Error() != err.Error()) { // it is tried again and again
		s.o.Log.Warn("the image of a program couldn't be fetched; trying again", "image", h, "error", err)
	}
	if s.o.Relay {
		_ = s.collect() // the next time
	}
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
	if err := s.fillFromAny(ctx, f, h); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), os.Rename(part, s.path(h))); err != nil {
		return err
	}
	return syncDir(s.o.Dir)
}

// fillFromAny fills a file with an image from the first source that gives what the hash is of. What one has begun the next one goes on with.
func (s *Images) fillFromAny(ctx context.Context, f *os.File, h feed.Hash) error {
	errs := []error{errors.New("no node has it that can be reached")}
	for _, source := range s.o.Sources() {
		for {
			from, err := f.Seek(0, io.SeekEnd)
			if err != nil {
				return err
			}
			whole, err := s.fillFrom(ctx, f, h, source, from)
			switch {
			case whole:
				s.o.Metrics.fetches.WithLabelValues(source.Kind, "whole").Inc()
				return nil
			case ctx.Err() != nil:
				return ctx.Err()
			}
			s.o.Metrics.fetches.WithLabelValues(source.Kind, "failed").Inc()
			errs = append(errs, fmt.Errorf("%s: %w", source.Name, err))
			s.o.Log.Info("the image of a program didn't come whole from a node; the next one is asked", "image", h, "from", source.Kind, "node", source.Name, "error", err)
			if !errors.Is(err, errDamaged) {
				break
			}
			if err := f.Truncate(0); err != nil {
				return err
			}
			if from == 0 {
				break
			} // else what had come before may be what is wrong
		}
	}
	return errors.Join(errs...)
}

var errDamaged = errors.New("what came isn't what was asked for; it is fetched anew")

// fillFrom appends to a file what it lacks, and says whether it is the image then.
func (s *Images) fillFrom(ctx context.Context, f *os.File, h feed.Hash, source Source, from int64) (whole bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(source.Patience, func() { cancel(errSlow) })
	defer watch.Stop()
	o, err := source.Open(ctx, h, from)
	if err == nil {
		defer o.Close()
		defer context.AfterFunc(ctx, func() { _ = o.Close() })()
		err = s.take(f, h, source, &o, from, watch)
	}
	if errors.Is(context.Cause(ctx), errSlow) {
		err = errSlow
	}
	if err != nil {
		return false, err
	}
	if is, err := hashOf(f); err != nil || is != h {
		return false, errors.Join(err, errDamaged)
	}
	return true, nil
}

// take writes what a source sends.
func (s *Images) take(f *os.File, h feed.Hash, source Source, o *Opened, from int64, watch *time.Timer) error {
	switch {
	case o.At != from && o.At != 0:
		return fmt.Errorf("byte %d was asked for, and what comes begins at %d", from, o.At)
	case o.Size < o.At || o.Size > feed.ObjectMax:
		return fmt.Errorf("an image of %d bytes, of which %d are here: it can't be it", o.Size, from)
	}
	if err := f.Truncate(o.At); err != nil {
		return err
	}
	s.progress(h, o.Size, o.At)
	block := make([]byte, step)
	for at := o.At; at < o.Size; {
		n, err := io.ReadFull(o, block[:min(step, o.Size-at)])
		watch.Reset(source.Patience)
		s.o.Metrics.fetched.WithLabelValues(source.Kind).Add(float64(n))
		if n > 0 {
			if _, err := f.WriteAt(block[:n], at); err != nil {
				return err
			}
			at += int64(n)
			s.progress(h, o.Size, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// progress tells those who wait for an image how much is here. Where it begins anew, what they have had may be wrong: they end.
func (s *Images) progress(h feed.Hash, size, have int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.wanted[h]
	if have < c.have || c.size != sizeUnknown && c.size != size {
		c.over, c.failed = true, errDamaged
		c.tell()
		next := newComing()
		next.asked = c.asked
		s.wanted[h], c = next, next
	}
	c.size, c.have = size, have
	c.tell()
}

package images

import (
	"cmp"
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

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

const (
	// FormerMax is how many images stay that nothing names any more.
	FormerMax = 4
	// wantedMax bounds what is waited for at the same time.
	wantedMax  = 10_000
	partSuffix = ".part"
)

// Options are what Images are made of.
type Options struct {
	Dir string
	// Sources are whom to ask, in this order.
	Sources func() []Source
	// Named are the images that the feed's documents name for any node; nil: none. They stay, too.
	Named func() map[feed.Hash]bool
	// Relay says that this node uses no images itself, so that nobody calls Keep.
	Relay   bool
	Log     *slog.Logger
	Metrics *Metrics // default: not registered
}

// Images are those of a node. They are safe for use by many goroutines.
type Images struct {
	o       Options
	changed chan struct{} // holds one when there is something to fetch

	mu      sync.Mutex // protects what follows
	named   map[feed.Hash]bool
	whole   map[feed.Hash]bool    // has been looked at by this process
	wanted  map[feed.Hash]*coming // what isn't here yet
	serving int                   // images that are being sent
	to      map[config.NodeID]int // the same by who gets them
}

// New returns the images in a folder, which the first one makes.
func New(o Options) *Images {
	if o.Named == nil {
		o.Named = func() map[feed.Hash]bool { return nil }
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	return &Images{
		o: o, changed: make(chan struct{}, 1), to: map[config.NodeID]int{},
		named: map[feed.Hash]bool{}, whole: map[feed.Hash]bool{}, wanted: map[feed.Hash]*coming{},
	}
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
		why := errors.New("it is on its way")
		if c := s.want(h); c != nil && c.failed != nil {
			why = c.failed
		}
		errs = append(errs, fmt.Errorf("image sha256:%s: %w", h, why))
	}
	return errors.Join(errs...)
}

// want has an image fetched that isn't here; nil: too many are. s.mu is held.
func (s *Images) want(h feed.Hash) *coming {
	c, known := s.wanted[h]
	if !known {
		if len(s.wanted) >= wantedMax {
			return nil
		}
		c = newComing()
		s.wanted[h] = c
		s.poke()
	}
	c.asked = time.Now()
	return c
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
	alsoNamed := s.o.Named()
	for _, e := range entries {
		name, part := strings.CutSuffix(e.Name(), partSuffix)
		var h feed.Hash
		if h.UnmarshalText([]byte(name)) != nil || !e.Type().IsRegular() || s.named[h] || alsoNamed[h] {
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

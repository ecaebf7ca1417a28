package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wherry/wherry/feed"
)

// shelf gives images from a byte on; after `breaks` bytes it breaks off, if that isn't 0.
type shelf struct {
	has    map[feed.Hash][]byte
	breaks int
	asked  []int64
}

func (s *shelf) open(_ context.Context, h feed.Hash, from int64) (Opened, error) {
	s.asked = append(s.asked, from)
	data, ok := s.has[h]
	if !ok {
		return Opened{}, errors.New("nobody has it")
	}
	rest := data[min(int(from), len(data)):]
	o := Opened{io.NopCloser(bytes.NewReader(rest)), from, int64(len(data))}
	if s.breaks > 0 && len(rest) > s.breaks {
		o.ReadCloser = io.NopCloser(io.MultiReader(bytes.NewReader(rest[:s.breaks]), broken{}))
	}
	return o, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func open(t *testing.T, shelves ...*shelf) *Images {
	t.Helper()
	var list []Source
	for i, s := range shelves {
		list = append(list, Source{Name: fmt.Sprint("shelf ", i), Kind: "shelf", Patience: time.Minute, Open: s.open})
	}
	return openAt(t, list...)
}

func openAt(t *testing.T, sources ...Source) *Images {
	t.Helper()
	return New(Options{
		Dir: filepath.Join(t.TempDir(), "programs"), Sources: func() []Source { return sources }, Log: slog.New(slog.DiscardHandler),
	})
}

// A fetch that breaks off goes on where it was, and the image appears when it is whole.
func TestResume(t *testing.T) {
	image := []byte("twelve bytes")
	h := feed.HashOf(image)
	s := &shelf{has: map[feed.Hash][]byte{h: image}, breaks: 5}
	i := open(t, s)
	for range 2 {
		if err := i.Have([]feed.Hash{h}); err == nil {
			t.Fatal("half of an image is taken for it")
		}
		if i.fetchAll(t.Context()) == nil {
			t.Fatal("nothing broke")
		}
	}
	i.fetchAll(t.Context())
	if err := i.Have([]feed.Hash{h}); err != nil {
		t.Error(err)
	}
	if fmt.Sprint(s.asked) != "[0 5 10]" {
		t.Errorf("asked from bytes %v", s.asked)
	}
	if data, err := os.ReadFile(i.path(h)); err != nil || !bytes.Equal(data, image) {
		t.Errorf("%q, %v", data, err)
	}
	if info, err := os.Stat(i.path(h)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// What comes damaged never has the image's name, and is fetched anew.
func TestDamaged(t *testing.T) {
	image := []byte("an image")
	h := feed.HashOf(image)
	s := &shelf{has: map[feed.Hash][]byte{h: []byte("an imago")}}
	i := open(t, s)
	_ = i.Have([]feed.Hash{h})
	i.fetchAll(t.Context())
	if err := i.Have([]feed.Hash{h}); err == nil {
		t.Fatal("a damaged image is taken")
	}
	s.has[h] = image
	i.fetchAll(t.Context())
	if err := i.Have([]feed.Hash{h}); err != nil || fmt.Sprint(s.asked) != "[0 0]" {
		t.Errorf("%v, asked from bytes %v", err, s.asked)
	}
}

// An image that has rotted on the disk is fetched anew by the next process.
func TestRotten(t *testing.T) {
	image := []byte("an image")
	h := feed.HashOf(image)
	s := &shelf{has: map[feed.Hash][]byte{h: image}}
	i := open(t, s)
	if err := os.MkdirAll(i.o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(i.path(h), []byte("an imago"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := i.Have([]feed.Hash{h}); err == nil {
		t.Fatal("a rotten image is taken")
	}
	i.fetchAll(t.Context())
	if err := i.Have([]feed.Hash{h}); err != nil {
		t.Error(err)
	}
}

// What the configuration names stays, of the rest the last ones; what isn't an image is left alone.
func TestKeep(t *testing.T) {
	s := &shelf{has: map[feed.Hash][]byte{}}
	i := open(t, s)
	var all []feed.Hash
	for n := range FormerMax + 2 {
		image := fmt.Appendf(nil, "image %d", n)
		h := feed.HashOf(image)
		s.has[h] = image
		all = append(all, h)
		_ = i.Have([]feed.Hash{h})
		i.fetchAll(t.Context())
		at := time.Now().Add(time.Duration(n-20) * time.Minute)
		if err := os.Chtimes(i.path(h), at, at); err != nil {
			t.Fatal(err)
		}
	}
	other := filepath.Join(i.o.Dir, "state")
	abandoned := i.path(feed.HashOf([]byte("abandoned"))) + partSuffix
	for _, path := range []string{other, abandoned} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.Keep(all[:1]); err != nil { // the oldest
		t.Fatal(err)
	}
	for n, h := range all {
		if want := n == 0 || n >= 2; i.has(h) != want {
			t.Errorf("image %d of %d is here: %v", n, len(all), !want)
		}
	}
	if err := i.Keep(all[2:3]); err != nil {
		t.Fatal(err)
	}
	if !i.has(all[0]) || !i.has(all[2]) {
		t.Error("the version before is gone")
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(abandoned); err == nil {
		t.Error("what was abandoned is still there")
	}
}

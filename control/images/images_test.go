package images

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
)

// world is a control node of one, and what it is told.
type world struct {
	*Images
	named map[feed.Hash]bool
	fetch func(h feed.Hash) error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(t.Context(), store.Options{Name: "lisbon-1", Dir: t.TempDir(), PeerURL: "http://127.0.0.1:1", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	key := feed.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))).Key()
	keeper, err := feed.OpenKeeper(t.TempDir(), feed.KeeperOptions{Verifier: feed.NewVerifier(key), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keeper.Close() })
	w := &world{named: map[feed.Hash]bool{}}
	w.Images = New(Options{
		Store: s, Keeper: keeper, Now: time.Now, Log: log,
		Named: func(context.Context) (map[feed.Hash]bool, error) { return w.named, nil },
		Fetch: func(_ context.Context, h feed.Hash) error { return w.fetch(h) },
	})
	return w
}

func (w *world) send(t *testing.T, more string) (feed.Hash, error) {
	t.Helper()
	h := feed.HashOf([]byte("\x7fELF" + more))
	_, err := w.Put(t.Context(), h, strings.NewReader("\x7fELF"+more), "ann", store.Put{Key: "audit/1", Value: []byte("{}")})
	return h, err
}

// remember has the store say that there is an image, of which nobody needs to have the bytes.
func (w *world) remember(t *testing.T, h feed.Hash, size int64, age time.Duration) {
	t.Helper()
	if _, err := w.o.Store.Commit(t.Context(), store.Txn{Put: []store.Put{put(h, Record{Size: size, At: time.Now().Add(-age)})}}); err != nil {
		t.Fatal(err)
	}
}

// What something names stays, what nothing names makes room, and when nothing is left to go, who sends more is told.
func TestQuota(t *testing.T) {
	w := newWorld(t)
	w.fetch = func(feed.Hash) error { return errors.New("nobody has it") }
	old, err := w.send(t, "old")
	if err != nil {
		t.Fatal(err)
	}
	w.remember(t, old, 7, 2*Grace)
	large := feed.HashOf([]byte("large"))
	w.remember(t, large, Quota-10, 2*Grace)
	w.named[large] = true

	h, err := w.send(t, "xxxxxxx")
	var f *fault.Error
	if !errors.As(err, &f) || f.Status != http.StatusInsufficientStorage || !strings.Contains(err.Error(), "4096 MiB together") {
		t.Errorf("11 bytes where 10 are left: %v", err)
	}
	if w.o.Keeper.HasObject(h) {
		t.Error("what has no room is kept")
	}
	fits, err := w.send(t, "fits!")
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Stock(t.Context())
	if err != nil || len(s.Records) != 2 || s.Records[fits].Size != 9 || s.Records[large].Size == 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := w.sync(t.Context()); err == nil || !strings.Contains(err.Error(), large.String()) {
		t.Errorf("an image that can't be had isn't missed: %v", err)
	}
	if w.o.Keeper.HasObject(old) || !w.o.Keeper.HasObject(fits) {
		t.Error("the disk hasn't followed")
	}
	if again, err := w.send(t, "old"); again != old || err == nil {
		t.Errorf("what went is taken for what is there: %v", err) // 7 bytes where one is left, and the rest is young
	}
}

// A control node gets the images that were sent to another one.
func TestOnEachControlNode(t *testing.T) {
	w := newWorld(t)
	image := []byte("\x7fELF" + "hello")
	h := feed.HashOf(image)
	w.remember(t, h, int64(len(image)), 0)
	w.fetch = func(h feed.Hash) error { return w.o.Keeper.PutObject(h, image) }
	if err := w.sync(t.Context()); err != nil || !w.o.Keeper.HasObject(h) {
		t.Error(err)
	}
}

// An upload that breaks off leaves nothing.
func TestBrokenUpload(t *testing.T) {
	w := newWorld(t)
	h := feed.HashOf([]byte("\x7fELF" + "hello"))
	_, err := w.Put(t.Context(), h, io.MultiReader(strings.NewReader("\x7fELF"+"he"), broken{}), "ann", store.Put{Key: "audit/1", Value: []byte("{}")})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if _, ok, err := w.Get(t.Context(), h); ok || err != nil || w.o.Keeper.HasObject(h) {
		t.Errorf("half of an image is there: %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

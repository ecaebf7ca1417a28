package values

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/kv"
)

// world is a control node with its store and keeper, and nodes that follow the same keeper.
type world struct {
	t      *testing.T
	store  *store.Store
	keeper *feed.Keeper
	signer *feed.Signer
	values *Values
	local  *kv.Store

	mu    sync.Mutex // protects state
	state *feed.State
}

var _ Control = (*world)(nil)

func newWorld(t *testing.T) *world {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(t.Context(), store.Options{Name: "lisbon-1", Dir: t.TempDir(), PeerURL: "http://127.0.0.1:1", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := &world{t: t, store: s, signer: feed.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))), state: feed.NewState(1)}
	w.keeper, err = feed.OpenKeeper(t.TempDir(), feed.KeeperOptions{Verifier: feed.NewVerifier(w.signer.Key()), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.keeper.Close() })
	if err := w.Publish(t.Context(), store.Txn{Put: []store.Put{{Key: "hello", Value: []byte("x")}}}, nil); err != nil { // so that there is an epoch
		t.Fatal(err)
	}
	w.local = w.node("lisbon-1")
	w.values = New(Options{Control: w, Store: s, Keeper: w.keeper, Values: w.local})
	return w
}

// Publish implements Control, as control does: the store first, then the feed.
func (w *world) Publish(ctx context.Context, t store.Txn, changes []feed.Change) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.store.Commit(ctx, t); err != nil {
		return err
	}
	e := w.state.NewEntry(time.Now(), changes, nil)
	signed, err := w.signer.Sign(e)
	if err != nil {
		return err
	}
	w.state.Apply(e, feed.HashOf(signed.Bytes))
	_, err = w.keeper.Append(signed)
	return err
}

func (w *world) ObjectKey(h feed.Hash) string { return "object/" + h.String() }
func (w *world) Synced() bool                 { return true }

func (w *world) Object(ctx context.Context, h feed.Hash) ([]byte, error) {
	data, ok, err := w.store.Parts(ctx, w.ObjectKey(h))
	if err == nil && !ok {
		err = errors.New("the store hasn't got it")
	}
	return data, err
}

// source is the feed for a node, whose objects come from the store.
type source struct{ w *world }

func (s source) Docs() (d kv.Docs) {
	s.w.keeper.View(func(state *feed.State) { d = Docs(state) })
	return d
}
func (s source) CaughtUp() bool           { return true }
func (s source) Changed() <-chan struct{} { return s.w.keeper.Changed() }
func (s source) Object(ctx context.Context, n kv.Name) ([]byte, error) {
	return s.w.Object(ctx, feed.Hash(n))
}

// node is a node's store, which runs until the test ends.
func (w *world) node(name string) *kv.Store {
	w.t.Helper()
	s, err := kv.Open(kv.Options{
		Node: name, Source: source{w}, Log: slog.New(slog.DiscardHandler), Limits: kv.Limits{Rate: 1e6, Burst: 1e6},
		Send: func(ctx context.Context, batch []byte) error { return w.values.Take(ctx, config.NodeID(name), batch) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx)
	}()
	w.t.Cleanup(func() { cancel(); <-done })
	return s
}

// lead has the control node lead until the returned function is called.
func (w *world) lead() (stop func()) {
	w.t.Helper()
	term, err := w.store.Campaign(w.t.Context(), "control")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := w.values.Lead(ctx, term); err != nil && ctx.Err() == nil {
				w.t.Errorf("the leader ended with %v", err)
				return
			}
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done; term.Resign() })
	w.t.Cleanup(stop)
	return stop
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came that " + what)
		}
	}
}

func read(s *kv.Store, key string) string {
	v, ok, err := s.Get("shop", key)
	if err != nil || !ok {
		return fmt.Sprint("nothing ", err)
	}
	return string(v.Bytes)
}

func ready(s *kv.Store) func() bool {
	return func() bool { _, err := s.Namespaces(); return err == nil }
}

// Nodes write, control orders, and all have the same; with another leader it goes on, and writes that wait for it arrive.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	a, b := w.node("a"), w.node("b")
	stop := w.lead()
	until(t, "nodes are ready", func() bool { return ready(a)() && ready(b)() })
	for range 10 {
		for _, s := range []*kv.Store{a, b} {
			if _, err := s.Add("shop", "count", 1, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	until(t, "both have all adds", func() bool { return read(a, "count") == "20" && read(b, "count") == "20" })
	stop()
	if _, _, err := a.Put("shop", "x", []byte("without a leader"), 0, kv.Condition{}); err != nil {
		t.Fatal(err)
	}
	if read(a, "x") != "without a leader" {
		t.Error("a doesn't see what it has written")
	}
	w.lead()
	until(t, "b has what was written without a leader", func() bool { return read(b, "x") == "without a leader" })
}

// Who isn't who he says, or sends what is no batch, is told; a gap too.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	batch := func(origin string, n uint64) []byte {
		b := kv.Batch{Origin: origin, Ops: []*kv.Op{{N: n, Kind: kv.OpDelete, Namespace: "shop", Key: "x"}}}
		return b.Append(nil)
	}
	if err := w.values.Take(t.Context(), "a", batch("a/1", 1)); !errors.Is(err, ErrElsewhere) {
		t.Errorf("who doesn't lead says %v", err)
	}
	w.lead()
	until(t, "the leader takes writes", func() bool { return w.values.Take(t.Context(), "a", batch("a/1", 1)) == nil })
	for what, c := range map[string]struct {
		data []byte
		gap  bool
		want string
	}{
		"another's origin": {batch("b/1", 1), false, "no batch of this node's"},
		"garbage":          {[]byte("garbage"), false, "no batch"},
		"a gap":            {batch("a/1", 5), true, "missing"},
	} {
		err := w.values.Take(t.Context(), "a", c.data)
		var e *kv.SendError
		if !errors.As(err, &e) || e.Gap != c.gap || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := w.values.Take(t.Context(), "a", batch("a/1", 1)); err != nil {
		t.Errorf("what comes twice is refused: %v", err)
	}
}

// However long it is written, the feed and the store keep a bounded number of documents and objects, and a new node gets all from them.
func TestLogStaysShort(t *testing.T) {
	w := newWorld(t)
	until(t, "the store is ready", ready(w.local))
	term, err := w.store.Campaign(t.Context(), "control")
	if err != nil {
		t.Fatal(err)
	}
	defer term.Resign()
	l := &leader{v: w.values, term: term}
	if err := l.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	const pages = Ring + 60
	for i := range uint64(pages) {
		r := &request{batch: &kv.Batch{Origin: "a/1", Ops: []*kv.Op{
			{N: 2*i + 1, Kind: kv.OpPut, Namespace: "shop", Key: fmt.Sprint("key-", i%300), Value: fmt.Append(nil, i)},
			{N: 2*i + 2, Kind: kv.OpAdd, Namespace: "shop", Key: "count", Delta: 1},
		}}, done: make(chan error, 1)}
		if _, err := l.page(t.Context(), []*request{r}); err != nil {
			t.Fatal(err)
		}
		if err := <-r.done; err != nil {
			t.Fatal(err)
		}
		if i == pages/2 { // another leader finds out what this one knew
			other := &leader{v: w.values, term: term}
			if err := other.begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			if other.first != l.first || other.seq != l.seq || other.at != l.at {
				t.Fatalf("a new leader believes in other shards than the one before it")
			}
			l = other
		}
	}
	objects := map[string]bool{}
	if _, err := w.store.All(t.Context(), "object/", func(kv store.KV) error {
		objects[strings.Split(kv.Key, "/")[1]] = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var named map[feed.Hash]bool
	docs := 0
	w.keeper.View(func(s *feed.State) { named, docs = Objects(s), len(s.Docs) })
	if len(objects) != len(named) || docs > Ring+kv.Shards+1 {
		t.Errorf("the store has %d objects, the feed names %d in %d documents", len(objects), len(named), docs)
	}
	fresh := w.node("b")
	until(t, "a new node has all", func() bool { return read(fresh, "count") == fmt.Sprint(pages) })
	for i := range uint64(300) {
		key := fmt.Sprint("key-", i)
		if got, want := read(fresh, key), read(w.local, key); got != want {
			t.Errorf("a new node has %s under %s, the leader %s", got, key, want)
		}
	}
}

package vault

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/programs"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/fault"
)

// world is a vault over a real store, and what it is told.
type world struct {
	*Vault
	named map[string]bool
	now   time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Name: "lisbon-1", Dir: t.TempDir(), PeerURL: "http://127.0.0.1:1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := &world{named: map[string]bool{}, now: time.Now()}
	w.Vault = New(Options{
		Store: s, Sealer: bytes.Repeat([]byte{7}, 32), Now: func() time.Time { return w.now },
		Named: func(context.Context) (map[string]bool, error) { return w.named, nil },
	})
	return w
}

func (w *world) send(t *testing.T, value string) string {
	t.Helper()
	s, err := w.Put(t.Context(), "cart", "API_KEY", strings.NewReader(value), "ann", store.Put{Key: "audit/1", Value: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	return s.ID
}

func refusedWith(t *testing.T, err error, status int, says string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Status != status || !strings.Contains(err.Error(), says) {
		t.Errorf("%v, want %d with %q", err, status, says)
	}
}

// A value comes back by its name and with its key alone, has another name each time, and stands nowhere in the store.
func TestValuesAreSealed(t *testing.T) {
	w := newWorld(t)
	const value = "a value to look for"
	id, again := w.send(t, value), w.send(t, value)
	if id == again {
		t.Error("the same value has the same name")
	}
	got, err := w.Open(t.Context(), id)
	if err != nil || string(got) != value {
		t.Errorf("%q, %v", got, err)
	}
	found := false
	_, err = w.o.Store.All(t.Context(), "", func(kv store.KV) error {
		found = found || kv.Key == prefixSealed+id
		if bytes.Contains(kv.Value, []byte(value)) {
			t.Errorf("the store has the value in %s", kv.Key)
		}
		return nil
	})
	if err != nil || !found {
		t.Errorf("it isn't in the store: %v", err)
	}
	w.named[id], w.named[again] = true, true
	list, err := w.List(t.Context(), "cart")
	if err != nil || len(list) != 2 || !list[0].Named || list[0].Variable != "API_KEY" || list[0].Author != "ann" {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := w.List(t.Context(), "other"); err != nil || len(list) != 0 {
		t.Errorf("another program has %v, %v", list, err)
	}

	// What was sealed for another name isn't taken for this one's, and another key opens nothing.
	kv, _, err := w.o.Store.Get(t.Context(), prefixSealed+id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.o.Store.Commit(t.Context(), store.Txn{Put: []store.Put{{Key: prefixSealed + again, Value: kv.Value}}}); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Open(t.Context(), again); err == nil {
		t.Errorf("another's is opened: %q", got)
	}
	w.o.Sealer = make([]byte, 32)
	if got, err := w.Open(t.Context(), id); err == nil || !strings.Contains(err.Error(), "secret.key") {
		t.Errorf("another key opens it: %q, %v", got, err)
	}
	_, err = w.Open(t.Context(), strings.Repeat("a", 26))
	refusedWith(t, err, http.StatusNotFound, "wherry program secret set")
}

// What can't be a variable's value is refused, without being repeated.
func TestWhatIsNoSecret(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		program         config.ProgramName
		variable, value string
		status          int
		says            string
	}{
		{"cart", "API_KEY", "", http.StatusUnprocessableEntity, "is empty"},
		{"cart", "API_KEY", "a\x00b", http.StatusUnprocessableEntity, "NUL"},
		{"cart", "API_KEY", strings.Repeat("x", programs.SecretMax+1), http.StatusUnprocessableEntity, "64 KiB"},
		{"cart", "API-KEY", "x", http.StatusBadRequest, "name of a variable"},
		{"a/b", "API_KEY", "x", http.StatusBadRequest, "name of a program"},
	} {
		_, err := w.Put(t.Context(), tt.program, tt.variable, strings.NewReader(tt.value), "ann", store.Put{Key: "audit/1", Value: []byte("{}")})
		refusedWith(t, err, tt.status, tt.says)
	}
	if all, err := w.records(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("kept: %v, %v", all, err)
	}
}

// What something names stays, and what is young; the rest goes, unless whoever says so doesn't lead any more.
func TestPrune(t *testing.T) {
	w := newWorld(t)
	named, old := w.send(t, "named"), w.send(t, "old")
	w.named[named] = true
	w.now = w.now.Add(Grace + time.Second)
	young := w.send(t, "young")
	if err := w.Prune(t.Context(), store.Unchanged("term", 99)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Open(t.Context(), old); err != nil {
		t.Errorf("who doesn't lead dropped it: %v", err)
	}
	if err := w.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, stays := range map[string]bool{named: true, young: true, old: false} {
		_, err := w.Open(t.Context(), id)
		_, ok, _ := w.record(t.Context(), id)
		if (err == nil) != stays || ok != stays {
			t.Errorf("%s: %v, %v; it stays: %v", id, err, ok, stays)
		}
	}
}

// There are so many and no more; what nothing names makes room.
func TestSecretsMax(t *testing.T) {
	w := newWorld(t)
	old := w.send(t, "old")
	var puts []store.Put
	for i := range SecretsMax - 1 {
		id := strings.Repeat("a", 20) + strings.ToLower(string(rune('A'+i%26))+string(rune('A'+i/26%26))+string(rune('A'+i/676)))
		w.named[id] = true
		puts = append(puts, store.Put{Key: prefixAbout + id, Value: []byte(`{}`)})
	}
	for len(puts) > 0 {
		n := min(len(puts), 1000)
		if _, err := w.o.Store.Commit(t.Context(), store.Txn{Put: puts[:n]}); err != nil {
			t.Fatal(err)
		}
		puts = puts[n:]
	}
	_, err := w.Put(t.Context(), "cart", "API_KEY", strings.NewReader("one more"), "ann", store.Put{Key: "audit/1", Value: []byte("{}")})
	refusedWith(t, err, http.StatusInsufficientStorage, "as many as control keeps")
	w.now = w.now.Add(Grace + time.Second)
	w.send(t, "one more")
	if _, err := w.Open(t.Context(), old); err == nil {
		t.Error("what nothing names is there")
	}
}

// Settings name what there is, and not too much of it.
func TestCheck(t *testing.T) {
	w := newWorld(t)
	id := w.send(t, "value")
	settings := func(secrets string) []byte {
		return []byte("zone: cdn.test\nprograms: {cart: {image: \"sha256:" + strings.Repeat("0", 64) + "\", secrets: {" + secrets + "}}}\n")
	}
	check := func(text []byte) error {
		n, problems := config.ParseSettings("network.yaml", text)
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		return w.Check(t.Context(), n)
	}
	good := settings("A: secret:" + id + ", B: secret:" + id)
	if err := check(good); err != nil {
		t.Error(err)
	}
	refusedWith(t, check(settings("A: secret:"+strings.Repeat("a", 26))), http.StatusUnprocessableEntity, "control has no secret:aaa")
	err := check(settings("A: sk_live_0123"))
	refusedWith(t, err, http.StatusUnprocessableEntity, "programs.cart.secrets.A: what stands there is none that control keeps")
	if strings.Contains(err.Error(), "sk_live") {
		t.Errorf("what may be the secret is repeated: %v", err)
	}
	if !Names(good, id) || Names(good, strings.Repeat("a", 26)) || Names([]byte("# secret:"+id+"\nzone: cdn.test\n"), id) || Names([]byte("zone: ["), id) {
		t.Error("what settings name isn't found, or something else is")
	}
	files := map[string][]byte{}
	n, _ := config.ParseSettings("network.yaml", good)
	if err := w.AddTo(t.Context(), n, files); err != nil || len(files) != 1 || string(files["secret:"+id]) != "value" {
		t.Errorf("%q, %v", files, err)
	}
	large := strings.Repeat("x", programs.SecretMax)
	var all strings.Builder
	for p := range 3 {
		all.WriteString(string(rune('a'+p)) + ": {image: \"sha256:" + strings.Repeat("0", 64) + "\", secrets: {")
		for i := range TogetherMax / programs.SecretMax / 2 {
			all.WriteString("K" + string(rune('a'+i%26)) + string(rune('a'+i/26)) + ": secret:" + w.send(t, large) + ", ")
		}
		all.WriteString("}}, ")
		err := check([]byte("zone: cdn.test\nprograms: {" + all.String() + "}\n"))
		if p < 2 && err != nil {
			t.Errorf("as much as settings may name: %v", err)
		} else if p == 2 {
			refusedWith(t, err, http.StatusUnprocessableEntity, "more than 8 MiB")
		}
	}
}

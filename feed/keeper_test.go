package feed

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// author is control, as far as the feed is concerned.
type author struct {
	*Signer
	state *State
	all   []Signed
}

func newAuthor(seed byte) *author {
	return &author{NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))), NewState(1), nil}
}

func (a *author) write(t testing.TB, changes []Change, purge *Purge) Signed {
	t.Helper()
	s, err := a.Sign(a.state.NewEntry(time.Unix(1e9, 0), changes, purge))
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewVerifier(a.Key()).Entry(s)
	if err != nil {
		t.Fatal(err)
	}
	a.state.Apply(e, HashOf(s.Bytes))
	a.all = append(a.all, s)
	return s
}

func (a *author) set(t testing.TB, key string, revision uint64) Signed {
	t.Helper()
	return a.write(t, []Change{{Key: key, Doc: &Doc{Ref: Ref{Revision: revision, Object: HashOf([]byte(key))}}}}, nil)
}

func (a *author) checkpoint(t testing.TB) Checkpoint {
	t.Helper()
	c, err := a.Checkpoint(a.state)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t testing.TB, dir string, a *author) *Keeper {
	t.Helper()
	k, err := OpenKeeper(dir, KeeperOptions{Verifier: NewVerifier(a.Key()), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func appendAll(t testing.TB, k *Keeper, entries ...Signed) {
	t.Helper()
	if _, err := k.Append(entries...); err != nil {
		t.Fatal(err)
	}
}

// look is what a keeper has, in a line.
func look(k *Keeper) string {
	var b strings.Builder
	k.View(func(s *State) {
		keys := make([]string, 0, len(s.Docs))
		for key, doc := range s.Docs {
			keys = append(keys, fmt.Sprint(key, "=", doc.Revision))
		}
		slices.Sort(keys)
		fmt.Fprintf(&b, "%s %v %d purges", s.Position, keys, len(s.Purges))
	})
	return b.String()
}

func expect(t *testing.T, k *Keeper, want string) {
	t.Helper()
	if got := look(k); got != want {
		t.Errorf("has %s, want %s", got, want)
	}
}

func TestKeeperHasWhatItWasGivenAfterARestart(t *testing.T) {
	a, dir := newAuthor(1), t.TempDir()
	k := open(t, dir, a)
	changed := k.Changed()
	appendAll(t, k, a.set(t, "site/a", 1), a.set(t, "site/b", 1), a.set(t, "site/a", 2))
	select {
	case <-changed:
	default:
		t.Error("nobody was told")
	}
	appendAll(t, k, a.write(t, []Change{{Key: "site/b"}}, &Purge{Kind: PurgeTag, Value: "t"}))
	const want = "1.4 [site/a=2] 1 purges"
	expect(t, k, want)
	k.Close()
	k = open(t, dir, a)
	expect(t, k, want)
	if entries, ok := k.After(Position{1, 2}, 1<<20); !ok || len(entries) != 2 {
		t.Errorf("after 1.2: %d entries, %v", len(entries), ok)
	}
	if entries, ok := k.After(Position{1, 0}, 1); !ok || len(entries) != 1 {
		t.Errorf("one at least: %d entries, %v", len(entries), ok)
	}
}

// What another key has signed, what was changed, what is repeated, left out or in another order, changes nothing.
func TestKeeperTakesNothingWrong(t *testing.T) {
	a, forger := newAuthor(1), newAuthor(2)
	k := open(t, t.TempDir(), a)
	one, two, three := a.set(t, "site/a", 1), a.set(t, "site/a", 2), a.set(t, "site/a", 3)
	other := newAuthor(1)
	otherOne, otherTwo := other.set(t, "site/x", 1), other.set(t, "site/x", 2)
	changed := Signed{bytes.Replace(two.Bytes, []byte(`"revision":2`), []byte(`"revision":7`), 1), two.Signature}
	appendAll(t, k, one)
	for _, c := range []struct {
		name    string
		entries []Signed
		err     error
	}{
		{"another key", []Signed{forger.set(t, "site/a", 2)}, ErrForged},
		{"changed", []Signed{changed}, ErrForged},
		{"repeated", []Signed{one}, nil},
		{"left out", []Signed{three}, ErrGap},
		{"another order", []Signed{three, two}, ErrGap},
		{"of another history", []Signed{otherTwo}, ErrFork},
		{"a checkpoint's signature", []Signed{{a.checkpoint(t).Bytes, a.checkpoint(t).Signature}}, ErrForged},
		{"good and bad", []Signed{two, changed}, ErrForged},
		{"nothing", []Signed{{}}, ErrForged},
	} {
		if _, err := k.Append(c.entries...); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		expect(t, k, "1.1 [site/a=1] 0 purges")
	}
	_ = otherOne
	appendAll(t, k, one, two, three)
	expect(t, k, "1.3 [site/a=3] 0 purges")
}

// However much of the files a crash leaves, what is there is a good state of before, and the rest can be had again.
func TestKeeperAfterATornWrite(t *testing.T) {
	a, dir := newAuthor(1), t.TempDir()
	k := open(t, dir, a)
	appendAll(t, k, a.set(t, "site/a", 1))
	if err := k.Rebase(a.checkpoint(t)); err != nil {
		t.Fatal(err)
	}
	appendAll(t, k, a.set(t, "site/a", 2), a.set(t, "site/a", 3))
	k.Close()
	for _, name := range []string{"log", "checkpoint"} {
		whole, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		step := max(1, len(whole)/200)
		for n := 0; n < len(whole); n += step {
			flipped := bytes.Clone(whole)
			flipped[n] ^= 1
			for _, left := range [][]byte{whole[:n], flipped} {
				if err := os.WriteFile(filepath.Join(dir, name), left, 0o600); err != nil {
					t.Fatal(err)
				}
				k := open(t, dir, a)
				at := k.Position()
				if at.Seq > 3 || name == "log" && at.Seq < 1 {
					t.Fatalf("%s with %d bytes: at %s", name, n, at)
				}
				if _, err := k.Append(a.all[at.Seq:]...); err != nil {
					t.Fatalf("%s with %d bytes: at %s, then %v", name, n, at, err)
				}
				expect(t, k, "1.3 [site/a=3] 0 purges")
				k.Close()
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeeperThatIsTooFarBehindTakesACheckpoint(t *testing.T) {
	a, dir := newAuthor(1), t.TempDir()
	ahead := open(t, t.TempDir(), a)
	for i := range uint64(2*entriesBefore + 10) {
		appendAll(t, ahead, a.set(t, "site/a", i+1))
	}
	old := a.checkpoint(t)
	if err := ahead.Rebase(old); err != nil {
		t.Fatal(err)
	}
	if n := ahead.Entries(); n != entriesBefore+1 {
		t.Errorf("%d entries are kept", n)
	}
	k := open(t, dir, a)
	if _, ok := ahead.After(k.Position(), 1<<20); ok {
		t.Fatal("has entries that it has dropped")
	}
	c, _ := ahead.Checkpoint()
	if err := k.Reset(c); err != nil {
		t.Fatal(err)
	}
	last := a.set(t, "site/b", 1)
	appendAll(t, k, last)
	if err := k.Reset(old); !errors.Is(err, ErrOld) {
		t.Errorf("a checkpoint again: %v", err)
	}
	if err := k.Reset(Checkpoint{c.Bytes, slices.Repeat([]byte{1}, 64)}); !errors.Is(err, ErrForged) {
		t.Errorf("a forged checkpoint: %v", err)
	}
	const want = "1.1035 [site/a=1034 site/b=1] 0 purges"
	expect(t, k, want)
	k.Close()
	expect(t, open(t, dir, a), want)
}

// After a restore of control's store numbers come again; the epoch tells.
func TestALaterEpochGoesBeforeAnyNumber(t *testing.T) {
	a := newAuthor(1)
	k := open(t, t.TempDir(), a)
	appendAll(t, k, a.set(t, "site/a", 1))
	backup := a.state.Clone()
	appendAll(t, k, a.set(t, "site/a", 2), a.set(t, "site/a", 3))
	lost := a.checkpoint(t)
	restored := newAuthor(1)
	restored.state = backup
	restored.state.Position.Epoch = 2
	if _, err := k.Append(restored.set(t, "site/b", 1)); !errors.Is(err, ErrGap) {
		t.Errorf("an entry of the next epoch: %v", err)
	}
	if err := k.Reset(restored.checkpoint(t)); err != nil {
		t.Fatal(err)
	}
	expect(t, k, "2.2 [site/a=1 site/b=1] 0 purges")
	if err := k.Reset(lost); !errors.Is(err, ErrOld) {
		t.Errorf("back to the epoch before: %v", err)
	}
	if _, ok := k.After(Position{1, 3}, 1<<20); ok {
		t.Error("who is in the epoch before gets entries")
	}
}

func TestKeeperOnAFullDisk(t *testing.T) {
	a, dir := newAuthor(1), t.TempDir()
	k := open(t, dir, a)
	appendAll(t, k, a.set(t, "site/a", 1))
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	file := k.file
	k.file = full
	two := a.set(t, "site/a", 2)
	if _, err := k.Append(two); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error %v", err)
	}
	expect(t, k, "1.1 [site/a=1] 0 purges")
	k.file = file
	appendAll(t, k, two)
	k.Close()
	expect(t, open(t, dir, a), "1.2 [site/a=2] 0 purges")
}

func TestTwoProcessesCantHaveOneDirectory(t *testing.T) {
	a, dir := newAuthor(1), t.TempDir()
	open(t, dir, a)
	if _, err := OpenKeeper(dir, KeeperOptions{Verifier: NewVerifier(a.Key())}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("error %v", err)
	}
}

func TestObjects(t *testing.T) {
	k := open(t, t.TempDir(), newAuthor(1))
	h := HashOf([]byte("x"))
	if err := k.PutObject(h, []byte("y")); !errors.Is(err, ErrForged) {
		t.Errorf("another content: %v", err)
	}
	if err := k.PutObject(h, []byte("x")); err != nil {
		t.Fatal(err)
	}
	big, size, err := k.PutObjectFrom(Hash{}, strings.NewReader("program"))
	if err != nil || size != 7 || big != HashOf([]byte("program")) {
		t.Errorf("%s, %d bytes, %v", big, size, err)
	}
	path, err := k.ObjectPath(h)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("rot"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Object(h); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rotten: %v", err)
	}
	if n, err := k.Collect(func(o Hash) bool { return o != big }); n != 1 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
}

func TestPurgesAreBounded(t *testing.T) {
	s := NewState(1)
	for i := range uint64(PurgesMax + 1) {
		s.Apply(&Entry{Position: Position{1, i + 1}, Purge: &Purge{Kind: PurgeAll}}, Hash{})
	}
	if len(s.Purges) != PurgesMax/2 || s.PurgeFloor != PurgesMax/2+1 || s.Purges[0].Seq != s.PurgeFloor+1 {
		t.Errorf("%d purges, floor %d, first %d", len(s.Purges), s.PurgeFloor, s.Purges[0].Seq)
	}
}

func FuzzVerifiedEntryParses(f *testing.F) {
	a := newAuthor(1)
	f.Add(a.set(f, "site/a", 1).Bytes)
	f.Add([]byte(`{"position":{"epoch":1,"seq":1},"changes":[{"key":"x"}],"purge":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := Signed{data, ed25519.Sign(a.key, append([]byte(entryKind), data...))}
		if e, err := NewVerifier(a.Key()).Entry(s); err == nil {
			NewState(e.Position.Epoch).Apply(e, HashOf(data))
		}
		_, _ = NewVerifier(a.Key()).State(Checkpoint{data, ed25519.Sign(a.key, append([]byte(checkpointKind), data...))})
		_, _, _, _ = readRecord(data, EntryMax)
	})
}

func BenchmarkAppend(b *testing.B) {
	a := newAuthor(1)
	k := open(b, b.TempDir(), a)
	for b.Loop() {
		appendAll(b, k, a.set(b, "site/a", 1))
	}
}

func BenchmarkCheckpointOf100000(b *testing.B) {
	a := newAuthor(1)
	for i := range 100_000 {
		a.state.Docs[fmt.Sprint("site/shop-", i)] = Doc{Ref: Ref{Revision: 1, Object: HashOf([]byte{byte(i)}), Size: 1000}}
	}
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			b.SetBytes(int64(len(a.checkpoint(b).Bytes)))
		}
	})
	c := a.checkpoint(b)
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if _, err := NewVerifier(a.Key()).State(c); err != nil {
				b.Fatal(err)
			}
		}
	})
}

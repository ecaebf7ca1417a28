package feed

import (
	"bytes"
	"crypto/ed25519"
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
		{"another first one", []Signed{otherOne}, ErrFork},
	} {
		if _, err := k.Append(c.entries...); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		expect(t, k, "1.1 [site/a=1] 0 purges")
	}
	appendAll(t, k, one, two, three)
	expect(t, k, "1.3 [site/a=3] 0 purges")
}

// However much of the files a crash leaves, what is there is a good state of before, and the rest can be had again.
func TestKeeperAfterATornWrite(t *testing.T) {
	a, dir := newAuthor(1), memDir(t)
	k := open(t, dir, a)
	appendAll(t, k, a.set(t, "site/a", 1))
	if err := k.Rebase(a.checkpoint(t)); err != nil {
		t.Fatal(err)
	}
	appendAll(t, k, a.set(t, "site/a", 2), a.set(t, "site/a", 3))
	k.Close()
	for _, name := range []string{"log", "checkpoint", "checkpoint.copy"} {
		whole, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(whole) {
			flipped := bytes.Clone(whole)
			flipped[n] ^= 1
			for _, left := range [][]byte{whole[:n], flipped} {
				if err := os.WriteFile(filepath.Join(dir, name), left, 0o600); err != nil {
					t.Fatal(err)
				}
				k := quick(t, dir, a)
				at := k.Position()
				if at.Seq > 3 || name == "log" && at.Seq < 1 || name != "log" && at.Seq != 3 {
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
	if _, _, err := k.PutObjectFrom(h, strings.NewReader("y")); !errors.Is(err, ErrForged) || k.HasObject(HashOf([]byte("y"))) {
		t.Errorf("another content from a reader: %v", err)
	}
	if err := k.PutObject(h, []byte("x")); err != nil {
		t.Fatal(err)
	}
	big, size, err := k.PutObjectFrom(Hash{}, strings.NewReader("program"))
	if err != nil || size != 7 || big != HashOf([]byte("program")) {
		t.Errorf("%s, %d bytes, %v", big, size, err)
	}
	f, err := k.ObjectFile(big)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(f); err != nil || string(data) != "program" {
		t.Errorf("the file of an object: %q, %v", data, err)
	}
	f.Close()
	read := map[string]func() error{
		"Object":     func() error { _, err := k.Object(h); return err },
		"ObjectFile": func() error { _, err := k.ObjectFile(h); return err },
	}
	for name, read := range read {
		if err := k.PutObject(h, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(k.objectPath(h), []byte("y"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := read(); !errors.Is(err, fs.ErrNotExist) || k.HasObject(h) {
			t.Errorf("%s of a rotten one: %v", name, err)
		}
	}
	if err := k.PutObject(h, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := k.Collect(func(o Hash) bool { return o != big }); n != 1 || err != nil || !k.HasObject(h) || k.HasObject(big) {
		t.Errorf("%d removed, %v", n, err)
	}
}

func TestObjectsAreBoundedAndYoungOnesSpared(t *testing.T) {
	now := time.Now()
	k, err := OpenKeeper(t.TempDir(), KeeperOptions{
		Verifier: NewVerifier(), ObjectMax: 4, CollectAfter: time.Hour, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	long := []byte("12345")
	if err := k.PutObject(HashOf(long), long); err == nil || !strings.Contains(err.Error(), "more than 4 bytes") {
		t.Errorf("too long: %v", err)
	}
	if _, _, err := k.PutObjectFrom(Hash{}, bytes.NewReader(long)); err == nil || !strings.Contains(err.Error(), "more than 4 bytes") {
		t.Errorf("too long from a reader: %v", err)
	}
	if left, err := os.ReadDir(k.path(tempDir)); len(left) > 0 || err != nil {
		t.Errorf("left %v, %v", left, err)
	}
	if err := k.PutObject(HashOf(long[:4]), long[:4]); err != nil {
		t.Fatal(err)
	}
	none := func(Hash) bool { return false }
	if n, err := k.Collect(none); n != 0 || err != nil {
		t.Errorf("a young one: %d removed, %v", n, err)
	}
	now = now.Add(2 * time.Hour)
	if n, err := k.Collect(none); n != 1 || err != nil {
		t.Errorf("an old one: %d removed, %v", n, err)
	}
}

func TestRemember(t *testing.T) {
	a, dir := newAuthor(1), t.TempDir()
	k := open(t, dir, a)
	if data, err := k.Recall("guard"); data != nil || err != nil {
		t.Errorf("nothing yet: %q, %v", data, err)
	}
	for _, data := range []string{"", "one", "two"} {
		if err := k.Remember("guard", []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	k.Close()
	k = open(t, dir, a)
	if data, err := k.Recall("guard"); string(data) != "two" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	path := filepath.Join(dir, keptDir, "guard")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		flipped := bytes.Clone(whole)
		flipped[n] ^= 1
		for _, left := range [][]byte{whole[:n], flipped} {
			if err := os.WriteFile(path, left, 0o600); err != nil {
				t.Fatal(err)
			}
			if data, err := k.Recall("guard"); data != nil || err != nil {
				t.Errorf("%x: %q, %v", left, data, err)
			}
		}
	}
}

// Who reads while entries come, and while the log is written anew, finds each time what belongs together.
func TestReadersBesideAWriter(t *testing.T) {
	a := newAuthor(1)
	k, err := openOn(memDir(t), a, newFaultyDisk(never))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				changed, at := k.Changed(), k.Position()
				k.View(func(s *State) {
					if s.Position.Seq != s.Docs["site/a"].Revision {
						t.Errorf("revision %d at %s", s.Docs["site/a"].Revision, s.Position)
					}
				})
				entries, ok := k.After(Position{1, at.Seq - min(at.Seq, 3)}, 1<<20)
				if e, err := parseEntry(append(entries, Signed{})[0].Bytes); ok && len(entries) > 0 && (err != nil || e.Position.Seq > at.Seq+1) {
					t.Errorf("at %s: %v, %v", at, e, err)
				}
				if k.Checkpoint(); k.Long() {
					t.Error("long")
				}
				select {
				case <-changed:
				case <-done:
					return
				}
			}
		})
	}
	for i := range uint64(300) {
		appendAll(t, k, a.set(t, "site/a", i+1))
		if i%10 == 9 {
			if err := k.Rebase(a.checkpoint(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(done)
	readers.Wait()
}

// A crash, or a full disk, between the checkpoint that was ahead and the log leaves a log that ends before it.
func TestALogThatDoesntReachUpToItsCheckpoint(t *testing.T) {
	a, dir := newAuthor(1), t.TempDir()
	k := open(t, dir, a)
	appendAll(t, k, a.set(t, "site/a", 1), a.set(t, "site/a", 2))
	for i := range uint64(8) {
		a.set(t, "site/b", i+1)
	}
	c := a.checkpoint(t)
	k.Close()
	if err := os.WriteFile(filepath.Join(dir, "checkpoint"), appendRecord(nil, c.Signature, c.Bytes), 0o600); err != nil {
		t.Fatal(err)
	}
	k = open(t, dir, a)
	expect(t, k, "1.10 [site/a=2 site/b=8] 0 purges")
	for seq := range uint64(10) {
		if entries, ok := k.After(Position{1, seq}, 1<<20); ok {
			t.Errorf("after 1.%d: %d entries", seq, len(entries))
		}
	}
	appendAll(t, k, a.set(t, "site/b", 9))
	k.Close()
	k = open(t, dir, a)
	expect(t, k, "1.11 [site/a=2 site/b=9] 0 purges")
	if entries, ok := k.After(Position{1, 10}, 1<<20); !ok || len(entries) != 1 {
		t.Errorf("%d entries, %v", len(entries), ok)
	}
}

// Who asks a control node that has nothing yet isn't lied to.
func TestACheckpointOfNothing(t *testing.T) {
	a := newAuthor(1)
	a.state = NewState(0)
	k := open(t, t.TempDir(), a)
	c := a.checkpoint(t)
	if err := k.Reset(c); !errors.Is(err, ErrOld) {
		t.Errorf("reset: %v", err)
	}
	if err := k.Rebase(c); !errors.Is(err, ErrOld) {
		t.Errorf("rebase: %v", err)
	}
	expect(t, k, "0.0 [] 0 purges")
}

func TestCheckpointsThatArentToRebaseOn(t *testing.T) {
	a, dir := newAuthor(1), t.TempDir()
	k := open(t, dir, a)
	appendAll(t, k, a.set(t, "site/a", 1))
	first := a.checkpoint(t)
	for i := range uint64(entriesBefore + 100) {
		appendAll(t, k, a.set(t, "site/a", i+2))
	}
	second := a.checkpoint(t)
	other := newAuthor(1)
	other.set(t, "site/x", 1)
	for len(other.all) < len(a.all) {
		other.set(t, "site/y", uint64(len(other.all)))
	}
	forked := other.checkpoint(t)
	ahead := newAuthor(1)
	ahead.state = a.state.Clone()
	ahead.set(t, "site/a", 1000)
	nextEpoch := newAuthor(1)
	nextEpoch.state = a.state.Clone()
	nextEpoch.state.Position.Epoch = 2
	for _, c := range []struct {
		name string
		c    Checkpoint
		err  error
	}{
		{"of a fork", forked, ErrFork},
		{"ahead", ahead.checkpoint(t), ErrGap},
		{"of the next epoch", nextEpoch.checkpoint(t), ErrGap},
		{"forged", Checkpoint{second.Bytes, first.Signature}, ErrForged},
		{"good", second, nil},
		{"the same again", second, ErrOld},
		{"replayed", first, ErrOld},
	} {
		if err := k.Rebase(c.c); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
	}
	if err := k.Reset(forked); !errors.Is(err, ErrFork) {
		t.Errorf("a reset to a fork: %v", err)
	}
	if k.Entries() != entriesBefore+1 {
		t.Errorf("%d entries", k.Entries())
	}
	want := look(k)
	k.Close()
	expect(t, open(t, dir, a), want)
}

func TestALongLogIsShortenedByRebase(t *testing.T) {
	a := newAuthor(1)
	k, err := OpenKeeper(t.TempDir(), KeeperOptions{Verifier: NewVerifier(a.Key()), EntriesMax: 3, Unsynced: true})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for i := range uint64(5) {
		if k.Long() != (i > 3) {
			t.Errorf("long with %d entries: %v", i, k.Long())
		}
		appendAll(t, k, a.set(t, "site/a", i+1))
	}
	if err := k.Rebase(a.checkpoint(t)); err != nil || k.Long() {
		t.Errorf("still long, %v", err)
	}
}

func TestAfterGivesWhatFits(t *testing.T) {
	a := newAuthor(1)
	k := open(t, t.TempDir(), a)
	for i := range uint64(20) {
		appendAll(t, k, a.set(t, "site/a", i+1))
	}
	for _, bytesMax := range []int{-1, 0, 1, 500, 1000, 1 << 20} {
		got := k.Position()
		for p := (Position{}); p != got; {
			entries, ok := k.After(p, bytesMax)
			if !ok || len(entries) == 0 {
				t.Fatalf("after %s: %d entries, %v", p, len(entries), ok)
			}
			for i, s := range entries {
				if !bytes.Equal(s.Bytes, a.all[int(p.Seq)+i].Bytes) || !bytes.Equal(s.Signature, a.all[int(p.Seq)+i].Signature) {
					t.Fatalf("after %s: entry %d is another", p, i)
				}
			}
			p = Position{1, p.Seq + uint64(len(entries))}
		}
	}
	for _, c := range []struct {
		p  Position
		ok bool
	}{{Position{1, 20}, true}, {Position{1, 21}, true}, {Position{2, 1}, true}, {Position{0, 7}, false}} {
		if entries, ok := k.After(c.p, 1000); ok != c.ok || len(entries) > 0 {
			t.Errorf("after %s: %d entries, %v", c.p, len(entries), ok)
		}
	}
}

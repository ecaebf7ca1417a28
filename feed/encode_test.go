package feed

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
)

func full() *State {
	s := NewState(3)
	s.Position.Seq, s.Head, s.PurgeFloor = 1<<40, HashOf([]byte("head")), 7
	ref := func(n uint64) Ref {
		return Ref{Revision: n, Object: HashOf([]byte{byte(n)}), Size: 1 << 33, Local: n%2 == 0}
	}
	s.Docs["site/a"] = Doc{Ref: ref(1)}
	s.Docs["site/ä"] = Doc{Ref: ref(2), Variants: []Variant{
		{Nodes: []config.NodeID{"lisbon-1", "porto-1"}, Ref: ref(3)}, {Nodes: []config.NodeID{"lisbon-1"}}, {Ref: ref(4)},
	}}
	s.Docs["none"] = Doc{}
	s.Purges = []PurgeAt{
		{8, Purge{Kind: PurgeURL, Value: "https://a.example/x"}},
		{9, Purge{Kind: PurgeTag, Value: "t", Site: "a", Soft: true}},
		{1 << 40, Purge{Kind: "of later"}},
	}
	return s
}

func TestStateAsItIsCarried(t *testing.T) {
	for name, s := range map[string]*State{"full": full(), "first": NewState(1), "nothing": NewState(0)} {
		data, err := encodeState(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := encodeState(s.Clone())
		if err != nil || !bytes.Equal(data, again) {
			t.Errorf("%s: it isn't the same each time: %v", name, err)
		}
		got, err := decodeState(bytes.NewReader(data))
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, s)
		}
		for n := range data {
			if _, err := decodeState(bytes.NewReader(data[:n])); err == nil {
				t.Errorf("%s: %d of %d bytes are taken for whole", name, n, len(data))
			}
		}
	}
	if _, err := encodeState(&State{Position: Position{0, 1}}); err == nil {
		t.Error("entries without an epoch were encoded")
	}
}

// pack makes a state of frames.
func pack(t testing.TB, frames ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	for _, f := range frames {
		z.Write(append(binary.AppendUvarint(nil, uint64(len(f))), f...))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func head(epoch, docs, purges uint64) []byte {
	var w stateWriter
	w.number(epoch)
	w.number(1)
	w.b = append(w.b, make([]byte, len(Hash{}))...)
	w.number(0)
	w.number(docs)
	w.number(purges)
	return w.b
}

func TestStatesThatArentOnes(t *testing.T) {
	doc := func(fill func(w *stateWriter)) []byte { var w stateWriter; fill(&w); return w.b }
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"no gzip", []byte("state"), "EOF"},
		{"empty", pack(t), "EOF"},
		{"no epoch", pack(t, head(0, 0, 0)), "without an epoch"},
		{"short head", pack(t, head(1, 0, 0)[:20]), "shorter"},
		{"more documents than there are", pack(t, head(1, 1<<62, 0)), "EOF"},
		{"more purges than there may be", pack(t, head(1, 0, PurgesMax+1)), "more than 16384"},
		{"empty document", pack(t, head(1, 1, 0), nil), "shorter"},
		{"long key", pack(t, head(1, 1, 0), binary.AppendUvarint(nil, 1<<60)), "shorter"},
		{"many variants", pack(t, head(1, 1, 0), doc(func(w *stateWriter) {
			w.text("k")
			w.frame(func() {})
			w.number(1 << 50)
		})), "shorter"},
		{"many nodes", pack(t, head(1, 1, 0), doc(func(w *stateWriter) {
			w.text("k")
			w.frame(func() {})
			w.number(1)
			w.frame(func() { w.number(1 << 50) })
		})), "shorter"},
		{"long object", pack(t, head(1, 1, 0), doc(func(w *stateWriter) {
			w.text("k")
			w.frame(func() { w.number(1); w.b = append(w.b, make([]byte, 32)...); w.number(1 << 63); w.flag(false, 1) })
			w.number(0)
		})), "shorter"},
	} {
		if s, err := decodeState(bytes.NewReader(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v", c.name, s, err)
		}
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(binary.AppendUvarint(nil, frameMax+1))
	z.Close()
	if _, err := decodeState(&out); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a frame that is too long: %v", err)
	}
}

// What a later version puts behind the fields is passed over.
func TestAStateOfALaterVersion(t *testing.T) {
	var doc, purge stateWriter
	doc.text("site/a")
	doc.frame(func() {
		doc.ref(&Ref{Revision: 5, Object: HashOf(nil), Size: 3})
		doc.text("new")
	})
	doc.number(1)
	doc.frame(func() {
		doc.number(1)
		doc.text("lisbon-1")
		doc.frame(func() { doc.ref(&Ref{Revision: 6}) })
		doc.text("new")
	})
	doc.text("new")
	purge.purge(&PurgeAt{4, Purge{Kind: PurgeAll}})
	purge.text("new")
	s, err := decodeState(bytes.NewReader(pack(t, append(head(1, 1, 1), "new"...), doc.b, purge.b, []byte("new"))))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Doc{"site/a": {
		Ref:      Ref{Revision: 5, Object: HashOf(nil), Size: 3},
		Variants: []Variant{{[]config.NodeID{"lisbon-1"}, Ref{Revision: 6}}},
	}}
	if !reflect.DeepEqual(s.Docs, want) || !reflect.DeepEqual(s.Purges, []PurgeAt{{4, Purge{Kind: PurgeAll}}}) {
		t.Errorf("%+v", s)
	}
}

func TestSignaturesAreGoodForOneThingAlone(t *testing.T) {
	a, other := newAuthor(1), newAuthor(2)
	s, c := a.set(t, "site/a", 1), a.checkpoint(t)
	both := NewVerifier(other.Key(), a.Key())
	if _, err := both.Entry(s); err != nil {
		t.Errorf("one of two keys: %v", err)
	}
	if _, err := both.State(c); err != nil {
		t.Errorf("one of two keys: %v", err)
	}
	short := NewVerifier(a.Key()[:31], nil)
	for _, v := range []*Verifier{NewVerifier(), NewVerifier(other.Key()), short} {
		if _, err := v.Entry(s); !errors.Is(err, ErrForged) {
			t.Errorf("entry: %v", err)
		}
		if _, err := v.State(c); !errors.Is(err, ErrForged) {
			t.Errorf("state: %v", err)
		}
	}
	if _, err := both.State(Checkpoint(s)); !errors.Is(err, ErrForged) {
		t.Errorf("an entry as a state: %v", err)
	}
	if _, err := both.Entry(Signed(c)); !errors.Is(err, ErrForged) {
		t.Errorf("a state as an entry: %v", err)
	}
	for n := range len(s.Bytes) * 8 {
		flipped := bytes.Clone(s.Bytes)
		flipped[n/8] ^= 1 << (n % 8)
		if _, err := both.Entry(Signed{flipped, s.Signature}); !errors.Is(err, ErrForged) {
			t.Fatalf("bit %d: %v", n, err)
		}
	}
	for n := range len(s.Signature) * 8 {
		flipped := bytes.Clone(s.Signature)
		flipped[n/8] ^= 1 << (n % 8)
		if _, err := both.Entry(Signed{s.Bytes, flipped}); !errors.Is(err, ErrForged) {
			t.Fatalf("bit %d of the signature: %v", n, err)
		}
	}
}

func TestEntriesThatArentSigned(t *testing.T) {
	a := newAuthor(1)
	next := func(changes []Change, p *Purge) *Entry { return a.state.NewEntry(time.Unix(1e9, 0), changes, p) }
	for name, e := range map[string]*Entry{
		"no position":    {Position: Position{1, 0}},
		"no key":         next([]Change{{}}, nil),
		"long key":       next([]Change{{Key: strings.Repeat("k", keyMax+1)}}, nil),
		"key not UTF-8":  next([]Change{{Key: "\xff"}}, nil),
		"purge no UTF-8": next(nil, &Purge{Kind: PurgeTag, Value: "\xff"}),
		"long":           next(nil, &Purge{Kind: PurgeTag, Value: strings.Repeat("x", EntryMax)}),
	} {
		if _, err := a.Sign(e); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestPurgesAreBounded(t *testing.T) {
	s := NewState(1)
	const n = 3 * PurgesMax
	for i := range uint64(n) {
		s.Apply(&Entry{Position: Position{1, i + 1}, Purge: &Purge{Kind: PurgeAll}}, Hash{})
		if len(s.Purges) > PurgesMax || s.Purges[0].Seq != s.PurgeFloor+1 {
			t.Fatalf("%d purges, floor %d, first %d", len(s.Purges), s.PurgeFloor, s.Purges[0].Seq)
		}
	}
	if len(s.Purges) != PurgesMax || s.PurgeFloor != n-PurgesMax || cap(s.Purges) > 2*PurgesMax {
		t.Errorf("%d purges of %d, floor %d", len(s.Purges), cap(s.Purges), s.PurgeFloor)
	}
	// Who collects purges otherwise may have more; a checkpoint has no more of them than nodes take.
	a := newAuthor(1)
	a.state = s.Clone()
	a.state.Purges = append(a.state.Purges, PurgeAt{n + 1, Purge{Kind: PurgeAll}})
	got, err := NewVerifier(a.Key()).State(a.checkpoint(t))
	if err != nil || len(got.Purges) != PurgesMax || got.PurgeFloor != n-PurgesMax+1 || len(a.state.Purges) != PurgesMax+1 {
		t.Errorf("%d purges, floor %d, %v", len(got.Purges), got.PurgeFloor, err)
	}
}

func FuzzParseEntry(f *testing.F) {
	a := newAuthor(1)
	f.Add(a.set(f, "site/a", 1).Bytes)
	f.Add([]byte(`{"position":{"epoch":1,"seq":1},"changes":[{"key":"x"},{"key":"y","doc":{"variants":[{"nodes":["n"]}]}}],"purge":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := parseEntry(data)
		if err != nil {
			if !errors.Is(err, ErrForged) {
				t.Error(err)
			}
			return
		}
		s := NewState(e.Position.Epoch)
		s.Apply(e, HashOf(data))
		if s.Position != e.Position {
			t.Errorf("at %s after %s", s.Position, e.Position)
		}
		if _, err := encodeState(s); err != nil {
			t.Error(err)
		}
	})
}

func FuzzParseState(f *testing.F) {
	for _, s := range []*State{full(), NewState(1)} {
		data, err := encodeState(s)
		if err != nil {
			f.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			f.Fatal(err)
		}
		plain, err := io.ReadAll(z)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
	}
	f.Add(append([]byte{38}, head(1, 1<<40, 0)...))
	f.Fuzz(func(t *testing.T, plain []byte) {
		_, _ = decodeState(bytes.NewReader(plain))
		var out bytes.Buffer
		z, _ := gzip.NewWriterLevel(&out, gzip.HuffmanOnly)
		z.Write(plain)
		z.Close()
		s, err := decodeState(&out)
		if err != nil {
			return
		}
		data, err := encodeState(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeState(bytes.NewReader(data))
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Errorf("%v\n was %+v\n  is %+v", err, s, again)
		}
	})
}

func FuzzLog(f *testing.F) {
	a := newAuthor(1)
	var log []byte
	for i := range uint64(3) {
		s := a.set(f, "site/a", i+1)
		log = appendRecord(log, s.Signature, s.Bytes)
	}
	f.Add(log)
	f.Add(log[:len(log)-1])
	f.Add(append(bytes.Clone(log), make([]byte, 100)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		var again []byte
		good, err := scanRecords(bytes.NewReader(data), EntryMax, func(s Signed, at, size int64) error {
			if at != int64(len(again)) {
				t.Errorf("a record at %d after %d bytes", at, len(again))
			}
			again = appendRecord(again, s.Signature, s.Bytes)
			return nil
		})
		if good != int64(len(again)) || !bytes.Equal(again, data[:good]) || (err == nil) != (good == int64(len(data))) {
			t.Errorf("%d of %d bytes are good, %v", good, len(data), err)
		}
	})
}

func many(n int) *author {
	a := newAuthor(1)
	a.state.Position.Seq = 1
	for i := range n {
		h := HashOf(fmt.Append(nil, i))
		a.state.Docs[fmt.Sprint("site/shop-", i)] = Doc{Ref: Ref{Revision: uint64(i%100 + 1), Object: h, Size: int64(1000 + i)}}
	}
	for i := range uint64(PurgesMax) {
		a.state.Purges = append(a.state.Purges, PurgeAt{i + 1, Purge{Kind: PurgeURL, Value: fmt.Sprint("https://shop.example/images/", i, ".jpg")}})
	}
	return a
}

func BenchmarkCheckpointOf100000(b *testing.B) {
	a := many(100_000)
	b.Run("sign", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.SetBytes(int64(len(a.checkpoint(b).Bytes)))
		}
	})
	c := a.checkpoint(b)
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(c.Bytes)))
		for b.Loop() {
			if _, err := NewVerifier(a.Key()).State(c); err != nil {
				b.Fatal(err)
			}
		}
	})
	k := open(b, b.TempDir(), a)
	if err := k.Reset(c); err != nil {
		b.Fatal(err)
	}
	k.Close()
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k := open(b, k.dir, a)
			if k.Position() != a.state.Position {
				b.Fatal("it isn't what it was")
			}
			k.Close()
		}
	})
}

func BenchmarkApply(b *testing.B) {
	s := many(100_000).state
	doc := &Doc{Ref: Ref{Revision: 1, Object: HashOf(nil)}}
	e := &Entry{Changes: []Change{{Key: "site/shop-7", Doc: doc}}, Purge: &Purge{Kind: PurgeTag, Value: "t"}}
	b.ReportAllocs()
	for b.Loop() {
		e.Position = Position{1, s.Position.Seq + 1}
		s.Apply(e, Hash{})
	}
}

func BenchmarkVerifyEntry(b *testing.B) {
	a := newAuthor(1)
	s, v := a.set(b, "site/a", 1), NewVerifier(a.Key())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Entry(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, group := range []int{1, 100} {
		for _, unsynced := range []bool{false, true} {
			b.Run(fmt.Sprintf("group=%d/unsynced=%v", group, unsynced), func(b *testing.B) {
				a := newAuthor(1)
				k, err := OpenKeeper(b.TempDir(), KeeperOptions{Verifier: NewVerifier(a.Key()), Unsynced: unsynced})
				if err != nil {
					b.Fatal(err)
				}
				defer k.Close()
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					var entries []Signed
					for range group {
						entries = append(entries, a.set(b, "site/a", 1))
					}
					b.StartTimer()
					appendAll(b, k, entries...)
				}
			})
		}
	}
}

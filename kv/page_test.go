package kv

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

func samplePage() *Page {
	return &Page{
		Salt: [8]byte{1, 2}, Seq: 7, At: 1000, Marks: []Mark{{"edge-1/0", 9, 1000}},
		Sets: []Set{{"n", "a", &Record{[]byte("1"), 0}}, {"n", "b", &Record{[]byte{}, 5}}, {"n", "c", nil}},
	}
}

// What is read of a page is written as it was, and a machine takes it.
func FuzzPage(f *testing.F) {
	f.Add(samplePage().Append(nil))
	f.Add([]byte(pageMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePage(data)
		if err != nil {
			return
		}
		again, err := ParsePage(p.Append(nil))
		if err != nil || !bytes.Equal(again.Append(nil), p.Append(nil)) {
			t.Fatalf("what was read can't be read again: %v", err)
		}
		m := newMachine("edge-1/0")
		m.push(&Op{Kind: OpAdd, Namespace: "n", Key: "a", Delta: 1})
		m.seq = p.Seq - 1
		m.take(p)
		checkUsage(t, m)
	})
}

// What is read of a batch is written as it was, and control orders it.
func FuzzBatch(f *testing.F) {
	b := &Batch{"edge-1/0", []*Op{
		{N: 1, Kind: OpPut, Namespace: "n", Key: "a", Value: []byte("1"), Expires: 5, At: 1},
		{N: 2, Kind: OpAdd, Namespace: "n", Key: "a", Delta: -3, At: 1},
		{N: 3, Kind: OpDelete, Namespace: "n", Key: "b", At: 1},
	}}
	f.Add(b.Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseBatch(data)
		if err != nil {
			return
		}
		again, err := ParseBatch(b.Append(nil))
		if err != nil || !bytes.Equal(again.Append(nil), b.Append(nil)) {
			t.Fatalf("what was read can't be read again: %v", err)
		}
		l := Limits{}.withDefaults()
		m := newMachine("")
		p, _, _ := m.order([]*Batch{b}, 1, &l)
		if _, err := ParsePage(p.Append(nil)); err != nil {
			t.Fatalf("what control ordered can't be read: %v", err)
		}
		m.take(p)
		checkUsage(t, m)
	})
}

// A store opens over whatever is on its disk.
func FuzzJournal(f *testing.F) {
	op := (&Op{N: 1, Kind: OpPut, Namespace: "n", Key: "a", Value: []byte("1")}).append(nil)
	h := head{origin: "a/1", next: 1, epoch: 1, loaded: true}
	state := appendFrame(nil, 'H', h.append(nil))
	state = appendFrame(state, 'P', samplePage().Append(nil))
	f.Add(appendFrame(state, 'E', binary.AppendUvarint(nil, 2)), appendFrame(appendFrame(nil, 'O', op), 'P', samplePage().Append(nil)))
	f.Add([]byte("x"), []byte{})
	f.Fuzz(func(t *testing.T, state, log []byte) {
		dir := t.TempDir()
		for name, data := range map[string][]byte{"3" + stateName: state, "3" + logName: log} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Open(Options{Dir: dir, Node: "a", Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		checkUsage(t, s.m)
		mustPut(t, s, "fuzz", "1")
	})
}

package tree

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

func sample() []byte {
	h := feed.HashOf([]byte("object"))
	log := appendJSON(nil, KindHello, Hello{Node: "a", Free: 3, Beat: Beat{Path: []config.NodeID{"a", "control"}}})
	log = appendFrame(log, KindObject, h[:], []byte("object"))
	log = appendSigned(log, KindEntry, []byte("signature"), []byte("entry"))
	log = appendJSON(log, KindBeat, Beat{Position: feed.Position{Epoch: 1, Seq: 2}, Path: []config.NodeID{"a"}})
	return appendSigned(log, KindCheckpoint, nil, []byte("state"))
}

func TestFrames(t *testing.T) {
	d := NewDecoder(bytes.NewReader(sample()))
	if h, err := d.Hello(); err != nil || h.Node != "a" || h.Free != 3 || len(h.Path) != 2 {
		t.Fatalf("%+v, %v", h, err)
	}
	var kinds []Kind
	for {
		f, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, f.Kind)
		switch f.Kind {
		case KindObject:
			if string(f.Object) != "object" || f.Hash != feed.HashOf(f.Object) {
				t.Errorf("%+v", f)
			}
		case KindEntry:
			if string(f.Entry.Bytes) != "entry" || string(f.Entry.Signature) != "signature" {
				t.Errorf("%+v", f)
			}
		case KindBeat:
			if f.Beat.Position.Seq != 2 {
				t.Errorf("%+v", f)
			}
		case KindCheckpoint:
			if string(f.Checkpoint.Bytes) != "state" || len(f.Checkpoint.Signature) != 0 {
				t.Errorf("%+v", f)
			}
		}
	}
	if !bytes.Equal([]byte{4, 3, 5, 2}, []byte{byte(kinds[0]), byte(kinds[1]), byte(kinds[2]), byte(kinds[3])}) {
		t.Errorf("kinds %v", kinds)
	}
}

func TestBadFrames(t *testing.T) {
	hello := appendJSON(nil, KindHello, Hello{Node: "a", Beat: Beat{Path: []config.NodeID{"a"}}})
	long := make([]config.NodeID, depthMax+1)
	for i := range long {
		long[i] = "n"
	}
	for what, frame := range map[string]string{
		"kind 0":                       "\x00\x00\x00\x00\x00",
		"a kind that doesn't exist":    "\x63\x00\x00\x00\x00",
		"a second hello":               string(hello),
		"a report in a log":            string(appendFrame(nil, KindReport, []byte("{}"))),
		"an entry that is too large":   "\x03\x00\x10\x00\x01",
		"an entry without a signature": "\x03\x00\x00\x00\x01a",
		"a signature that is too long": "\x03\x00\x00\x00\x03\xff\xffa",
		"an object without a hash":     "\x04\x00\x00\x00\x01a",
		"an object with another hash":  "\x04\x00\x00\x00\x21" + strings.Repeat("h", 33),
		"a beat that isn't JSON":       "\x05\x00\x00\x00\x01{",
		"a beat without a path":        "\x05\x00\x00\x00\x02{}",
		"a path that is too long":      string(appendJSON(nil, KindBeat, Beat{Path: long})),
		"a path with an endless name":  string(appendJSON(nil, KindBeat, Beat{Path: []config.NodeID{config.NodeID(strings.Repeat("n", 300))}})),
		"a frame that is cut off":      "\x02\x00\x00\x10\x00abc",
		"a head that is cut off":       "\x02\x00",
	} {
		d := NewDecoder(strings.NewReader(string(hello) + frame))
		if _, err := d.Hello(); err != nil {
			t.Fatal(err)
		}
		if f, err := d.Next(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s is taken: %+v, %v", what, f, err)
		}
	}
	for what, frame := range map[string]string{
		"a log that begins with a beat": string(appendJSON(nil, KindBeat, Beat{Path: []config.NodeID{"a"}})),
		"a path of somebody else":       string(appendJSON(nil, KindHello, Hello{Node: "a", Beat: Beat{Path: []config.NodeID{"b"}}})),
	} {
		if _, err := NewDecoder(strings.NewReader(frame)).Hello(); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

// TestLengthAlonePaysForNothing reads a frame that claims a lot and has little.
func TestLengthAlonePaysForNothing(t *testing.T) {
	frame := "\x02\x0f\xff\xff\xff" + strings.Repeat("x", 1000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	readFrame(bufio.NewReader(strings.NewReader(frame)))
	runtime.ReadMemStats(&after)
	bytes := after.TotalAlloc - before.TotalAlloc
	if bytes > 1<<20 {
		t.Errorf("%d bytes for a frame of 1,005", bytes)
	}
}

func TestParsePosition(t *testing.T) {
	for text, want := range map[string]feed.Position{"1.2": {Epoch: 1, Seq: 2}, "0.0": {}, "18446744073709551615.1": {Epoch: 1<<64 - 1, Seq: 1}} {
		if got, err := parsePosition(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "1.", ".1", "1.2.3", "-1.2", "a.b", "18446744073709551616.1"} {
		if p, err := parsePosition(text); err == nil {
			t.Errorf("%q is taken for %v", text, p)
		}
	}
}

// FuzzDecoder holds that no bytes make a decoder panic, and that what is taken can be sent on and read again.
func FuzzDecoder(f *testing.F) {
	f.Add(sample())
	f.Add([]byte("\x02\x0f\xff\xff\xff"))
	f.Add(append(sample(), "\x03\x00\x00\x00\x03\xff\xffa"...))
	f.Fuzz(func(t *testing.T, log []byte) {
		d := NewDecoder(bytes.NewReader(log))
		if _, err := d.Hello(); err != nil {
			return
		}
		for {
			frame, err := d.Next()
			if err != nil {
				return
			}
			if frame.Kind == KindObject && feed.HashOf(frame.Object) != frame.Hash {
				t.Fatal("an object that isn't what its hash says")
			}
			if frame.Kind == KindEntry {
				again := appendSigned(nil, KindEntry, frame.Entry.Signature, frame.Entry.Bytes)
				_, payload, err := readFrame(bufio.NewReader(bytes.NewReader(again)))
				if err != nil {
					t.Fatal(err)
				}
				second, err := parseFrame(KindEntry, payload)
				if err != nil || !bytes.Equal(second.Entry.Bytes, frame.Entry.Bytes) {
					t.Fatalf("it isn't read again: %v", err)
				}
			}
		}
	})
}

// FuzzReports holds that no bytes make who takes reports panic, and that the table stays bounded.
func FuzzReports(f *testing.F) {
	one, _ := AppendReports(nil, []byte(`{"node":"b","boot":"1","count":1,"parent":"a"}`), []byte(`{"node":"a","boot":"1","count":1}`))
	f.Add(one)
	f.Fuzz(func(t *testing.T, stream []byte) {
		p := newReports("self", 8, "boot")
		in := bufio.NewReader(bytes.NewReader(stream))
		for {
			batch, err := readReports(in)
			p.take(sender{id: "a"}, batch, []config.NodeID{"control"}, noon)
			if len(p.rows) > 8 {
				t.Fatal("the table isn't bounded")
			}
			if p.rows["self"] != nil || p.rows["control"] != nil {
				t.Fatal("a child speaks for who is above it")
			}
			if err != nil {
				return
			}
		}
	})
}

package wire

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestAcksAreReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ranges []Range
		at := uint64(rapid.IntRange(1_000_000, 1<<40).Draw(t, "largest"))
		for range rapid.IntRange(1, RangesMax).Draw(t, "ranges") {
			length := uint64(rapid.IntRange(0, 1000).Draw(t, "length"))
			ranges = append(ranges, Range{at - length, at})
			at -= length + 2 + uint64(rapid.IntRange(0, 1000).Draw(t, "gap"))
		}
		b := AppendAck(nil, 3, 77, ranges)
		var f Frame
		rest, err := f.Parse(append(b, 1))
		if err != nil || len(rest) != 1 {
			t.Fatalf("Parse: %v, %d bytes left", err, len(rest))
		}
		if f.ID != 3 || f.Delay != 77 || !slices.Equal(f.Ranges, ranges) {
			t.Fatalf("read %+v, wrote %v", f, ranges)
		}
	})
}

func TestFramesAreReadAsTheyWereWritten(t *testing.T) {
	for _, c := range []struct {
		bytes []byte
		want  Frame
	}{
		{append(AppendStream(nil, 5, 1000, 3, true, false), "abc"...), Frame{Type: Stream, ID: 5, Offset: 1000, Data: []byte("abc"), Fin: true}},
		{append(AppendStream(nil, 5, 1<<40, 3, false, true), "abc"...), Frame{Type: Stream, ID: 5, Offset: 1 << 40, Data: []byte("abc")}},
		{AppendBytes(nil, Close, []byte("bye"), 9), Frame{Type: Close, Code: 9, Data: []byte("bye")}},
		{AppendBytes(nil, Crypto, []byte("tls"), 70), Frame{Type: Crypto, Offset: 70, Data: []byte("tls")}},
		{AppendInts(nil, Reset, 4, 2, 99), Frame{Type: Reset, ID: 4, Code: 2, Offset: 99}},
		{AppendInts(nil, MaxStream, 4, 1<<30), Frame{Type: MaxStream, ID: 4, Offset: 1 << 30}},
		{AppendProof(nil, Challenge, [8]byte{1, 2}), Frame{Type: Challenge, Data: []byte{1, 2, 0, 0, 0, 0, 0, 0}}},
		{AppendBytes(nil, Repair, []byte("xyz"), 4, 100, 50, 1), Frame{Type: Repair, ID: 4, Offset: 100, Size: 50, Code: 1, Data: []byte("xyz")}},
		{AppendInts(nil, PathState, 3, 2, 17, 5000), Frame{Type: PathState, ID: 3, Code: 2, Offset: 17, Rate: 5000}},
		{[]byte{0, 0, 0}, Frame{Type: Padding}},
	} {
		var f Frame
		rest, err := f.Parse(c.bytes)
		f.Ranges = nil
		if err != nil || len(rest) != 0 || !reflect.DeepEqual(f, c.want) {
			t.Errorf("%x: %+v, %v, %d bytes left; want %+v", c.bytes, f, err, len(rest), c.want)
		}
	}
}

func TestExpandFindsTheNumberNearestToTheNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		next := uint64(rapid.Int64Range(0, 1<<50).Draw(t, "next"))
		n := uint64(max(0, int64(next)+rapid.Int64Range(-1<<23+1, 1<<23-1).Draw(t, "apart")))
		if got := Expand(uint32(n), next); got != n {
			t.Fatalf("Expand(%#x, %#x) = %#x, want %#x", uint32(n), next, got, n)
		}
	})
}

func TestHeadersAreReadAsTheyWereWritten(t *testing.T) {
	for _, h := range []Header{
		{Kind: KindData, Phase: 1, To: 0x0405060708, Path: 7, Number: 0xadbeef},
		{Kind: KindInitial, To: 1, From: 2, Number: 7},
		{Kind: KindEarly, To: 1, From: 1 << 63, Number: 7},
	} {
		b := h.Append(nil)
		if len(b) != h.Size() {
			t.Errorf("%+v takes %d bytes, and says %d", h, len(b), h.Size())
		}
		var got Header
		if err := got.Parse(append(b, make([]byte, TagSize)...)); err != nil || got != h {
			t.Errorf("read %+v, %v; wrote %+v", got, err, h)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(make([]byte, 30))
	f.Add((&Header{Kind: KindHandshake, To: 1, From: 2}).Append(nil))
	f.Add(AppendReset(nil, 1, [16]byte{}))
	f.Add(AppendRetry(nil, 1, 2, [32]byte{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Header
		if err := h.Parse(b); err == nil {
			if again := h.Append(nil); !bytes.HasPrefix(b, again) && h.Kind == KindData {
				t.Fatalf("%x was read as %+v, which is written %x", b, h, again)
			}
		}
		_, _ = ParseReset(b)
		_, _ = ParseRetry(b)
	})
}

// FuzzParams reads a peer's parameters: what it takes is read the same again.
func FuzzParams(f *testing.F) {
	f.Add((&Params{Data: 1 << 20, Stream: 1 << 19, Streams: 100, Paths: 8, Size: PacketMin, Level: LevelRepair}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseParams(b)
		if err != nil {
			return
		}
		if again, err := ParseParams(p.Append(nil)); err != nil || again != p {
			t.Fatalf("%+v was read again as %+v, %v", p, again, err)
		}
	})
}

// FuzzFrames also sees that no frame claims bytes that aren't there and that parsing ends.
func FuzzFrames(f *testing.F) {
	f.Add(AppendAck(nil, 0, 10, []Range{{90, 100}, {1, 2}}))
	f.Add(append(AppendStream(nil, 5, 1000, 3, true, false), "abc"...))
	f.Add(AppendBytes(nil, RouteOpen, []byte("node"), 9))
	f.Fuzz(func(t *testing.T, b []byte) {
		var frame Frame
		for len(b) > 0 {
			rest, err := frame.Parse(b)
			if err != nil {
				return
			}
			if len(rest) >= len(b) {
				t.Fatal("a frame took no bytes")
			}
			for i, r := range frame.Ranges {
				if r.First > r.Last || i > 0 && r.Last+1 >= frame.Ranges[i-1].First {
					t.Fatalf("ranges %v", frame.Ranges)
				}
			}
			b = rest
		}
	})
}

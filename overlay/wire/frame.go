package wire

import (
	"encoding/binary"
	"errors"
)

// Type is the first integer of a frame.
type Type uint64

// The types of frames; Stream's two lowest bits are StreamFin and StreamWhole.
const (
	Padding    Type = 0x00
	Ping       Type = 0x01
	TypeAck    Type = 0x02
	Cookie     Type = 0x03
	Reset      Type = 0x04
	Stop       Type = 0x05
	Crypto     Type = 0x06
	CryptoAck  Type = 0x07
	Stream     Type = 0x08
	MaxData    Type = 0x10
	MaxStream  Type = 0x11
	MaxStreams Type = 0x12
	Challenge  Type = 0x1a
	Response   Type = 0x1b
	Close      Type = 0x1c
	Done       Type = 0x1e
	Datagram   Type = 0x30
	RouteOpen  Type = 0x40
	RouteLabel Type = 0x41
	RouteClose Type = 0x42
	PathUse    Type = 0x43
	PathState  Type = 0x44
	Repair     Type = 0x45
)

// What the bits of a stream frame's type say.
const (
	StreamFin   Type = 1 // it ends with these bytes
	StreamWhole Type = 2 // no length: the bytes go on to the end of the packet
)

// RangesMax bounds the ranges of one ack.
const RangesMax = 64

// IntMax is the greatest integer that a frame can hold.
const IntMax = 1<<62 - 1

// Range is packet numbers, both ends included.
type Range struct{ First, Last uint64 }

// Frame is one frame that was read. Which fields count is drawn in doc.go; Data lies in the packet.
type Frame struct {
	Type   Type
	ID     uint64 // stream, path, route's id or label
	Offset uint64 // offset, or the value of a max frame, final size, first number
	Code   uint64 // code, label, or use
	Data   []byte
	Fin    bool

	Delay  uint64  // µs; ack
	Rate   uint64  // bytes a second; path state
	Size   uint64  // bytes that are covered; repair
	Ranges []Range // newest first; ack. Its array is used again by the next Parse
}

// Elicits says whether a frame of this type asks for an acknowledgement.
func (t Type) Elicits() bool {
	return t != Padding && t != TypeAck && t != Close && t != CryptoAck && t != Cookie
}

var errFrame = errors.New("malformed frame")

// AppendInt writes v in as few bytes as hold it (RFC 9000 §16).
func AppendInt(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return binary.BigEndian.AppendUint16(b, uint16(v)|1<<14)
	case v < 1<<30:
		return binary.BigEndian.AppendUint32(b, uint32(v)|2<<30)
	}
	return binary.BigEndian.AppendUint64(b, v|3<<62)
}

// IntSize is how many bytes AppendInt writes.
func IntSize(v uint64) int {
	switch {
	case v < 1<<6:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<30:
		return 4
	}
	return 8
}

// ParseInt reads an integer; n is 0 if it isn't whole.
func ParseInt(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	n = 1 << (b[0] >> 6)
	if len(b) < n {
		return 0, 0
	}
	v = uint64(b[0] & 0x3f)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	return v, n
}

// reader takes integers off; once something was missing, all it gives is zero and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) int() uint64 {
	v, n := ParseInt(r.b)
	if n == 0 {
		r.bad = true
		r.b = nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

// Parse reads the first frame of b and returns what follows it. A run of padding is one frame.
func (f *Frame) Parse(b []byte) (rest []byte, err error) {
	r := reader{b: b}
	*f = Frame{Type: Type(r.int()), Ranges: f.Ranges[:0]}
	switch f.Type {
	case Padding:
		for len(r.b) > 0 && r.b[0] == 0 {
			r.b = r.b[1:]
		}
	case Ping, Done:
	case TypeAck:
		f.parseAck(&r)
	case Reset:
		f.ID, f.Code, f.Offset = r.int(), r.int(), r.int()
	case Stop, PathUse, RouteLabel:
		f.ID, f.Code = r.int(), r.int()
	case Crypto:
		f.Offset = r.int()
		f.Data = r.bytes(r.int())
	case CryptoAck, MaxData, MaxStreams:
		f.Offset = r.int()
	case MaxStream:
		f.ID, f.Offset = r.int(), r.int()
	case Stream, Stream | StreamFin, Stream | StreamWhole, Stream | StreamFin | StreamWhole:
		f.parseStream(&r)
	case Challenge, Response:
		f.Data = r.bytes(8)
	case Cookie:
		f.Data = r.bytes(CookieSize)
	case Close:
		f.Code = r.int()
		f.Data = r.bytes(r.int())
	case Datagram:
		f.Data = r.bytes(r.int())
	case RouteOpen:
		f.ID = r.int()
		f.Data = r.bytes(r.int())
	case RouteClose:
		f.ID = r.int()
	case Repair:
		f.ID, f.Offset, f.Size, f.Code = r.int(), r.int(), r.int(), r.int()
		f.Data = r.bytes(r.int())
		if f.Offset+f.Size > IntMax {
			return nil, errFrame
		}
	case PathState:
		f.ID, f.Code, f.Offset, f.Rate = r.int(), r.int(), r.int(), r.int()
	default:
		return nil, errFrame
	}
	if r.bad {
		return nil, errFrame
	}
	return r.b, nil
}

func (f *Frame) parseStream(r *reader) {
	f.Fin = f.Type&StreamFin != 0
	f.ID, f.Offset = r.int(), r.int()
	if f.Type&StreamWhole != 0 {
		f.Data = r.bytes(uint64(len(r.b)))
	} else {
		f.Data = r.bytes(r.int())
	}
	f.Type = Stream
	if f.Offset+uint64(len(f.Data)) > IntMax {
		r.bad = true
	}
}

func (f *Frame) parseAck(r *reader) {
	f.ID = r.int()
	last, delay, count, length := r.int(), r.int(), r.int(), r.int()
	f.Delay = delay
	if count >= RangesMax || length > last {
		r.bad = true
		return
	}
	f.Ranges = append(f.Ranges, Range{last - length, last})
	for range count {
		gap, length := r.int(), r.int()
		first := f.Ranges[len(f.Ranges)-1].First
		// gap+1 numbers are missing, and the range below them has length+1.
		if gap+length+2 > first {
			r.bad = true
			return
		}
		last := first - gap - 2
		f.Ranges = append(f.Ranges, Range{last - length, last})
	}
}

// AppendAck writes an ack. ranges are the newest first, apart from each other, at least one and at most RangesMax.
func AppendAck(b []byte, path byte, delay uint64, ranges []Range) []byte {
	b = AppendInt(append(b, byte(TypeAck)), uint64(path))
	b = AppendInt(b, ranges[0].Last)
	b = AppendInt(b, delay)
	b = AppendInt(b, uint64(len(ranges)-1))
	b = AppendInt(b, ranges[0].Last-ranges[0].First)
	for i, r := range ranges[1:] {
		b = AppendInt(b, ranges[i].First-r.Last-2)
		b = AppendInt(b, r.Last-r.First)
	}
	return b
}

// StreamOverhead is how many bytes a stream frame has beside its data, when the data goes on to the end of the packet.
func StreamOverhead(id, offset uint64) int { return 1 + IntSize(id) + IntSize(offset) }

// AppendStream writes the head of a stream frame; the caller appends length bytes. whole says that nothing follows them in the packet.
func AppendStream(b []byte, id, offset uint64, length int, fin, whole bool) []byte {
	t := Stream
	if fin {
		t |= StreamFin
	}
	if whole {
		t |= StreamWhole
	}
	b = AppendInt(append(b, byte(t)), id)
	b = AppendInt(b, offset)
	if !whole {
		b = AppendInt(b, uint64(length))
	}
	return b
}

// AppendBytes writes a frame that is a type, integers, and a length with bytes.
func AppendBytes(b []byte, t Type, data []byte, ints ...uint64) []byte {
	b = AppendInts(b, t, ints...)
	return append(AppendInt(b, uint64(len(data))), data...)
}

// AppendInts writes a frame that is a type and integers.
func AppendInts(b []byte, t Type, ints ...uint64) []byte {
	b = AppendInt(b, uint64(t))
	for _, v := range ints {
		b = AppendInt(b, v)
	}
	return b
}

// AppendProof writes a challenge or a response.
func AppendProof(b []byte, t Type, proof [8]byte) []byte {
	return append(append(b, byte(t)), proof[:]...)
}

package wire

import (
	"encoding/binary"
	"errors"
)

// Kind is what sort of packet it is: the first byte, in data packets without the path and the bit of the key's generation.
type Kind byte

// The kinds of packets.
const (
	KindInitial   Kind = 0x80
	KindHandshake Kind = 0x82
	KindEarly     Kind = 0x84
	KindRetry     Kind = 0x86
	KindReset     Kind = 0x88
	KindEnvelope  Kind = 0x8a
	KindData      Kind = 0x90
)

// Sizes of headers, in bytes.
const (
	HeaderSize   = 1 + idShort + numberShort // of a data packet: each byte of it is one less of data
	LongSize     = 1 + 8 + 1 + 4 + 8
	EnvelopeSize = 9
	ResetSize    = 9 + 16
	CookieSize   = 32
	RetrySize    = 17 + CookieSize
	TagSize      = 16
)

// What a data packet says of ID and number.
const (
	idShort     = 5
	numberShort = 3
	PathsMax    = 8 // that a data packet can tell apart
)

// ID names a connection to the node that chose it: 40 bits, so that data packets need no more, or more until that has chosen one.
type ID uint64

// NewID makes an ID that data packets can carry of random bits; it isn't zero.
func NewID(random uint64) ID { return ID(random&(1<<(8*idShort)-1) | 1) }

// Header is the part of a packet before the sealed frames.
type Header struct {
	Kind   Kind
	Phase  byte // generation of the key, its lowest bit; data only
	To     ID   // the receiver's name of the connection
	From   ID   // and the sender's, before the handshake is done
	Path   byte
	Number uint32 // the lowest 24 bits in a data packet, 32 in others
}

// Long says that the header carries the sender's ID.
func (k Kind) Long() bool { return k == KindInitial || k == KindHandshake || k == KindEarly }

// Size is the header's length in bytes.
func (h *Header) Size() int {
	if h.Kind.Long() {
		return LongSize
	}
	return HeaderSize
}

// Append writes the header.
func (h *Header) Append(b []byte) []byte {
	if h.Kind == KindData {
		b = append(b, byte(KindData)|h.Path<<1|h.Phase, byte(h.To>>32))
		b = binary.BigEndian.AppendUint32(b, uint32(h.To))
		return append(b, byte(h.Number>>16), byte(h.Number>>8), byte(h.Number))
	}
	b = append(b, byte(h.Kind))
	b = binary.BigEndian.AppendUint64(b, uint64(h.To))
	b = append(b, h.Path)
	b = binary.BigEndian.AppendUint32(b, h.Number)
	if h.Kind.Long() {
		b = binary.BigEndian.AppendUint64(b, uint64(h.From))
	}
	return b
}

var (
	errShort = errors.New("packet is too short")
	errKind  = errors.New("not a packet of ours")
)

// KindOf tells what a datagram is, and whose.
func KindOf(b []byte) (Kind, ID, error) {
	if len(b) < EnvelopeSize {
		return 0, 0, errShort
	}
	kind, id := Kind(b[0]), ID(binary.BigEndian.Uint64(b[1:]))
	if kind&^0x0f == KindData {
		return KindData, id >> (8 * (8 - idShort)), nil
	}
	if kind&1 != 0 || kind < KindInitial || kind > KindEnvelope {
		return 0, 0, errKind
	}
	return kind, id, nil
}

// Parse reads the header of a packet that is sealed. What follows it is b[h.Size():].
func (h *Header) Parse(b []byte) error {
	kind, id, err := KindOf(b)
	if err != nil {
		return err
	}
	*h = Header{Kind: kind, To: id}
	if kind != KindData && !kind.Long() {
		return errKind
	}
	if len(b) < h.Size()+TagSize {
		return errShort
	}
	if kind == KindData {
		h.Phase, h.Path = b[0]&1, b[0]>>1&(PathsMax-1)
		h.Number = binary.BigEndian.Uint32(b[idShort:]) & (1<<(8*numberShort) - 1)
		return nil
	}
	h.Path = b[9]
	h.Number = binary.BigEndian.Uint32(b[10:])
	h.From = ID(binary.BigEndian.Uint64(b[14:]))
	return nil
}

// Expand gives the whole number of a packet of which the lowest 24 bits are known, when next is the one after the newest that was received (RFC 9000 §A.3).
func Expand(low uint32, next uint64) uint64 {
	const window = 1 << (8 * numberShort)
	n := next&^(window-1) | uint64(low)&(window-1)
	switch {
	case n+window/2 <= next && n < 1<<62-window:
		return n + window
	case n > next+window/2 && n >= window:
		return n - window
	}
	return n
}

// AppendEnvelope writes what stands before a packet that another node forwards.
func AppendEnvelope(b []byte, label ID) []byte {
	return binary.BigEndian.AppendUint64(append(b, byte(KindEnvelope)), uint64(label))
}

// AppendReset writes a whole packet that tells the peer that its connection isn't known here.
func AppendReset(b []byte, to ID, token [16]byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, byte(KindReset)), uint64(to))
	return append(b, token[:]...)
}

// ParseReset reads the token of a reset.
func ParseReset(b []byte) (token [16]byte, err error) {
	if len(b) != ResetSize {
		return token, errShort
	}
	return [16]byte(b[9:]), nil
}

// AppendRetry writes a whole packet that asks to come again with a cookie.
func AppendRetry(b []byte, to, from ID, cookie [CookieSize]byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, byte(KindRetry)), uint64(to))
	b = binary.BigEndian.AppendUint64(b, uint64(from))
	return append(b, cookie[:]...)
}

// ParseRetry reads the cookie of a retry.
func ParseRetry(b []byte) (cookie [CookieSize]byte, err error) {
	if len(b) != RetrySize {
		return cookie, errShort
	}
	return [CookieSize]byte(b[17:]), nil
}

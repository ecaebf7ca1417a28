package wire

import (
	"encoding/binary"
	"errors"
)

// Kind is what sort of packet it is: the first byte, without the bit of the key's generation.
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
	HeaderSize   = 14
	LongSize     = HeaderSize + 8
	EnvelopeSize = 9
	ResetSize    = 9 + 16
	CookieSize   = 32
	RetrySize    = 17 + CookieSize
	TagSize      = 16
)

// ID names a connection to the node that chose it.
type ID uint64

// Header is the part of a packet before the sealed frames.
type Header struct {
	Kind   Kind
	Phase  byte // generation of the key, its lowest bit; data only
	To     ID   // the receiver's name of the connection
	From   ID   // and the sender's, before the handshake is done
	Path   byte
	Number uint32 // the lowest 32 bits
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
	b = append(b, byte(h.Kind)|h.Phase)
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
	if kind&^1 == KindData {
		return KindData, id, nil
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
		h.Phase = b[0] & 1
	}
	h.Path = b[9]
	h.Number = binary.BigEndian.Uint32(b[10:])
	if kind.Long() {
		h.From = ID(binary.BigEndian.Uint64(b[HeaderSize:]))
	}
	return nil
}

// Expand gives the whole number of a packet, when next is the one after the newest that was received (RFC 9000 §A.3).
func Expand(low uint32, next uint64) uint64 {
	const window = 1 << 32
	n := next&^(window-1) | uint64(low)
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

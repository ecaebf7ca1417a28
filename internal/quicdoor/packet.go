package quicdoor

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"net/netip"

	"github.com/quic-go/quic-go"
)

const (
	randomBytes = 8
	tagBytes    = 4
	// idBytes is the length of our connection IDs.
	idBytes = randomBytes + tagBytes
	// idMax is the longest of any (RFC 9000 §17.2).
	idMax    = 20
	keyBytes = 16
)

// signer makes connection IDs, and knows its own.
type signer struct {
	key   [keyBytes]byte
	block cipher.Block
}

func newSigner(key [keyBytes]byte) *signer {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("BUG: " + err.Error()) // only for keys of another length
	}
	return &signer{key, block}
}

func randomSigner() *signer {
	var key [keyBytes]byte
	_, _ = rand.Read(key[:]) // never fails
	return newSigner(key)
}

func (s *signer) sign(id *[idBytes]byte) (tag [tagBytes]byte) {
	var in, out [aes.BlockSize]byte
	copy(in[:], id[:randomBytes])
	s.block.Encrypt(out[:], in[:])
	copy(tag[:], out[:])
	return tag
}

// made says whether s has made the ID.
func (s *signer) made(id []byte) bool {
	if len(id) != idBytes {
		return false
	}
	tag := s.sign((*[idBytes]byte)(id))
	return bytes.Equal(tag[:], id[randomBytes:])
}

// GenerateConnectionID implements quic.ConnectionIDGenerator.
func (s *signer) GenerateConnectionID() (quic.ConnectionID, error) {
	var id [idBytes]byte
	_, _ = rand.Read(id[:randomBytes]) // never fails
	tag := s.sign(&id)
	copy(id[randomBytes:], tag[:])
	return quic.ConnectionIDFromBytes(id[:]), nil
}

// ConnectionIDLen implements quic.ConnectionIDGenerator.
func (*signer) ConnectionIDLen() int { return idBytes }

// longHeader says whether a packet has the form that is used until a connection is established (RFC 8999 §5.1).
func longHeader(p []byte) bool { return len(p) > 0 && p[0]&0x80 != 0 }

// destination returns the ID of whom a packet is for; nil if there is none.
func destination(p []byte) []byte {
	if !longHeader(p) { // RFC 8999 §5.2: of the length that we give to our own
		if len(p) < 1+idBytes {
			return nil
		}
		return p[1 : 1+idBytes]
	}
	const at = 1 + 4 + 1 // flags, version, length
	if len(p) < at || len(p) < at+int(p[at-1]) {
		return nil
	}
	return p[at : at+int(p[at-1])]
}

// passed is a packet on its way between two programs.
type passed struct {
	from    netip.AddrPort
	control []byte
	packet  []byte
}

const (
	packetMax  = 1500 // what is longer is no packet that a QUIC endpoint of ours would read
	controlMax = 128
	zoneMax    = 16                                                    // IFNAMSIZ
	passedMax  = 1 + 2 + 16 + 1 + zoneMax + 1 + controlMax + packetMax // of a message
)

// append appends the message; dst as it was if the packet can't be passed on.
func (p *passed) append(dst []byte) []byte {
	addr := p.from.Addr()
	zone := addr.Zone()
	if !addr.IsValid() || len(zone) > zoneMax || len(p.control) > controlMax || len(p.packet) == 0 || len(p.packet) > packetMax {
		return dst
	}
	family := byte(6)
	if addr.Is4() {
		family = 4
	}
	dst = append(dst, family)
	dst = binary.BigEndian.AppendUint16(dst, p.from.Port())
	dst = append(dst, addr.AsSlice()...)
	dst = append(append(dst, byte(len(zone))), zone...)
	dst = append(append(dst, byte(len(p.control))), p.control...)
	return append(dst, p.packet...)
}

// parse reads a message, of which p keeps parts.
func (p *passed) parse(m []byte) bool {
	if len(m) < 3 {
		return false
	}
	size := 4
	switch m[0] {
	case 4:
	case 6:
		size = 16
	default:
		return false
	}
	port := binary.BigEndian.Uint16(m[1:])
	m = m[3:]
	if len(m) < size {
		return false
	}
	addr, _ := netip.AddrFromSlice(m[:size])
	zone, m, ok := counted(m[size:], zoneMax)
	if !ok || len(zone) > 0 && (size == 4 || addr.Is4In6()) {
		return false
	}
	p.control, p.packet, ok = counted(m, controlMax)
	if !ok || len(p.packet) == 0 || len(p.packet) > packetMax {
		return false
	}
	p.from = netip.AddrPortFrom(addr.WithZone(string(zone)), port)
	return true
}

// counted takes off a length and so many bytes.
func counted(m []byte, most int) (part, rest []byte, ok bool) {
	if len(m) == 0 || int(m[0]) > most || len(m) < 1+int(m[0]) {
		return nil, nil, false
	}
	return m[1 : 1+m[0]], m[1+m[0]:], true
}

// awayMessage is the last that the old program sends.
const awayMessage = "\x01"

// appendHello appends the first message.
func appendHello(dst []byte, s *signer) []byte { return append(append(dst, 0), s.key[:]...) }

func parseHello(m []byte) (*signer, bool) {
	if len(m) != 1+keyBytes || m[0] != 0 {
		return nil, false
	}
	return newSigner([keyBytes]byte(m[1:])), true
}

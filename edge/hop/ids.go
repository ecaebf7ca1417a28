package hop

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync/atomic"
)

// IDBytes is the length of an id.
const IDBytes = 24

// RequestIDField is the field that has the id.
const RequestIDField = "Wherry-Request-Id"

// IDs makes ids of 24 hex digits: 8 that are random for the process and 16 of a counter that is scattered by a bijection,
// so that they are unique in the process and don't tell how many requests there were in between.
type IDs struct {
	prefix  [8]byte // hex
	mask    uint64
	counter atomic.Uint64
}

// NewIDs seeds them.
func NewIDs() (*IDs, error) {
	var seed [20]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("edge: seed request ids: %w", err)
	}
	g := &IDs{mask: binary.BigEndian.Uint64(seed[4:])}
	hex.Encode(g.prefix[:], seed[:4])
	g.counter.Store(binary.BigEndian.Uint64(seed[12:]))
	return g, nil
}

// Next returns an id.
func (g *IDs) Next() string {
	var id [IDBytes]byte
	return string(g.AppendNext(id[:0]))
}

// AppendNext appends an id.
func (g *IDs) AppendNext(dst []byte) []byte {
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], scatter(g.counter.Add(1)^g.mask))
	return hex.AppendEncode(append(dst, g.prefix[:]...), raw[:])
}

// scatter is a bijection on 64 bits in which each bit of v changes about half of the bits: xor-shifts and odd factors.
func scatter(v uint64) uint64 {
	v ^= v >> 32
	v *= 0xd6e8feb86659fd93
	v ^= v >> 32
	v *= 0xd6e8feb86659fd93
	return v ^ v>>32
}

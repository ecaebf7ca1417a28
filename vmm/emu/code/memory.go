package code

import (
	"encoding/binary"
	"errors"
)

const (
	// MemorySize bounds a machine's code in bytes.
	MemorySize = 32 << 20
	// nearSize is the part of it for what is executed mostly, at its beginning: close together, for the host's caches.
	nearSize = MemorySize / 2
	// blockSizeMax bounds what a block may need of either part.
	blockSizeMax = 64 << 10
)

// ErrNoMemory says that the host lets nobody make code.
var ErrNoMemory = errors.New("no memory for translated code; guests are interpreted")

var errBlockSize = errors.New("the code of a block is too long")

// Memory holds code. It only grows: what was executed at an address isn't replaced, but for where its jumps lead.
type Memory struct {
	mapping
	near, far int // where the next block goes, and what is seldom on its way
}

// NewMemory makes memory for MemorySize bytes, or ErrNoMemory.
func NewMemory() (*Memory, error) {
	m, err := newMapping(MemorySize)
	if err != nil {
		return nil, errors.Join(ErrNoMemory, err)
	}
	return &Memory{mapping: m, far: nearSize}, nil
}

// Full reports whether there is no room for any block.
func (m *Memory) Full() bool {
	return m.near+blockSizeMax > nearSize || m.far+blockSizeMax > MemorySize
}

// Fill makes m full.
func (m *Memory) Fill() { m.near = nearSize }

// Used is how many bytes are in use.
func (m *Memory) Used() int { return m.near + m.far - nearSize }

// Places are the addresses of what Put puts next.
func (m *Memory) Places() (here, there uint64) { return m.at + uint64(m.near), m.at + uint64(m.far) }

// Put copies code there, which wasn't Full.
func (m *Memory) Put(here, there []byte) error {
	if max(len(here), len(there)) > blockSizeMax {
		return errBlockSize
	}
	m.near += (copy(m.writable[m.near:], here) + 15) &^ 15
	m.far += (copy(m.writable[m.far:], there) + 15) &^ 15
	serialize()
	return nil
}

// SetJump makes the jump that ends at an address one to another one. Before it is executed, Flush is called.
func (m *Memory) SetJump(end, to uint64) {
	at := end - m.at
	binary.LittleEndian.PutUint32(m.writable[at-4:at], uint32(to-end))
}

// Flush has the processor see what SetJump did.
func (m *Memory) Flush() { serialize() }

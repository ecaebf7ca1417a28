package plain

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/linux/space"
)

var le = binary.LittleEndian

// Process is what these calls work on.
type Process struct {
	Space *space.Space
	Files *file.Table
}

// Args are a call's arguments: rdi, rsi, rdx, r10, r8, r9.
type Args [6]uint64

// Call is a system call: what it does, and how a trace writes its arguments, a letter each: d for a number, l for a long one, x for an address or
// flags, s for a text, b for bytes whose length comes next, f for the descriptor of a directory.
type Call struct {
	Run     func(p Process, a *Args) (uint64, abi.Errno)
	Pattern string
}

// Tables are the calls by number.
func Tables() []map[abi.Call]Call {
	return []map[abi.Call]Call{names, descriptors, sockets, system, one}
}

const (
	// PathMax bounds a path with its zero (PATH_MAX).
	PathMax = 4096
	// ChunkMax bounds what one call copies at once.
	ChunkMax = 256 << 10
)

func fd(v uint64) int { return int(int32(v)) }

// number is a result of vmm/linux/file as a call returns it.
func number(n int, e abi.Errno) (uint64, abi.Errno) { return uint64(n), e }

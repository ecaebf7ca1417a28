package program

import (
	"encoding/binary"
	"fmt"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// ArgsMax bounds arguments and environment together, in bytes.
const ArgsMax = 1 << 20

// hwcap is CPUID 1's EDX of a processor with what every x86-64 has.
const hwcap = 0x178bfbff

// minFrame is what a signal's frame may take, with the state of AVX-512.
const minFrame = 3632

// Stack is what a program finds on its stack (System V ABI for x86-64, 3.4.1).
type Stack struct {
	Pointer uint64 // what RSP is
	Bytes   []byte // from there on
	Auxv    []uint64
}

// NewStack lays args, env and the auxiliary vector below top. seed are the bytes that AT_RANDOM tells of, vdso is where the vDSO is.
func NewStack(top uint64, p *Program, args, env []string, seed [16]byte, vdso uint64) (*Stack, error) {
	total := len(args[0]) + 1
	for _, list := range [][]string{args, env} {
		for _, s := range list {
			total += len(s) + 1
		}
	}
	if total > ArgsMax {
		return nil, fmt.Errorf("%d bytes of arguments and environment; at most %d", total, ArgsMax)
	}
	// Texts stand above the words that point to them, from the top down.
	at := top - 8
	var texts []string
	push := func(text string) uint64 {
		at -= uint64(len(text))
		texts = append(texts, text)
		return at
	}
	name := push(args[0] + "\x00")
	words := []uint64{uint64(len(args))}
	for _, list := range [][]string{args, env} {
		for _, s := range list {
			words = append(words, push(s+"\x00"))
		}
		words = append(words, 0)
	}
	platform := push("x86_64\x00")
	s := &Stack{Auxv: auxv(p, name, platform, push(string(seed[:])), vdso)}
	words = append(words, s.Auxv...)
	s.Pointer = (at - uint64(8*len(words))) &^ 15
	s.Bytes = make([]byte, 0, top-s.Pointer)
	for _, w := range words {
		s.Bytes = binary.LittleEndian.AppendUint64(s.Bytes, w)
	}
	s.Bytes = append(s.Bytes, make([]byte, at-s.Pointer-uint64(len(s.Bytes)))...)
	for i := len(texts) - 1; i >= 0; i-- {
		s.Bytes = append(s.Bytes, texts[i]...)
	}
	return s, nil
}

func auxv(p *Program, name, platform, random, vdso uint64) []uint64 {
	const phent = 56
	return []uint64{
		abi.AT_SYSINFO_EHDR, vdso, abi.AT_HWCAP, hwcap, abi.AT_PAGESZ, 4096, abi.AT_CLKTCK, 100, abi.AT_PHDR, p.PHdr, abi.AT_PHENT, phent, abi.AT_PHNUM, uint64(p.PHNum),
		abi.AT_BASE, 0, abi.AT_FLAGS, 0, abi.AT_ENTRY, p.Entry, abi.AT_UID, 0, abi.AT_EUID, 0, abi.AT_GID, 0, abi.AT_EGID, 0, abi.AT_SECURE, 0,
		abi.AT_RANDOM, random, abi.AT_HWCAP2, 0, abi.AT_EXECFN, name, abi.AT_PLATFORM, platform, abi.AT_MINSIGSTKSZ, minFrame, abi.AT_NULL, 0,
	}
}

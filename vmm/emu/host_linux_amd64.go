package emu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// canTranslate says that this host executes what emit.go writes. LAHF isn't in the oldest processors with 64 bits.
var canTranslate = hasLAHF()

var hostHasPOPCNT = cpu.X86.HasPOPCNT

// enterCode calls the door into translated code with c, for it to go on at code. The goroutine's stack stays as it is; a signal that comes meanwhile
// finds a place that isn't Go's, and lets it be.
//
//go:noescape
func enterCode(c *VCPU, door, code uint64)

// hasLAHF is CPUID's answer (Intel SDM volume 2, CPUID, leaf 80000001, ECX bit 0).
func hasLAHF() bool

// codeMemory is memory that is mapped twice: what is written at one address is executed at another one, and nowhere are both allowed.
type codeMemory struct {
	writable   []byte
	executable []byte
	at         uint64 // of executable
}

// errNoCodeMemory says that the host lets nobody make code.
var errNoCodeMemory = errors.New("no memory for translated code; guests are interpreted")

func newCodeMemory(size int) (*codeMemory, error) {
	fd, err := unix.MemfdCreate("code", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoCodeMemory, err)
	}
	defer unix.Close(fd) // the mappings keep it
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoCodeMemory, err)
	}
	writable, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoCodeMemory, err)
	}
	executable, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoCodeMemory, errors.Join(err, unix.Munmap(writable)))
	}
	return &codeMemory{writable, executable, uint64(uintptr(unsafe.Pointer(unsafe.SliceData(executable))))}, nil
}

// setJump makes the jump that ends there one to an address. Before it is executed, serialize is called.
func (m *codeMemory) setJump(end int, to uint64) {
	binary.LittleEndian.PutUint32(m.writable[end-4:end], uint32(to-(m.at+uint64(end))))
}

// serialize has the processor forget what it has fetched: code was written at another address than it is executed at (Intel SDM volume 3, 10.1.3).
func serialize()

func (m *codeMemory) free() error {
	return errors.Join(unix.Munmap(m.writable), unix.Munmap(m.executable))
}

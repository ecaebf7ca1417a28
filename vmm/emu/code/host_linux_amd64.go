package code

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// Possible says that this host executes what emit.go writes. LAHF isn't in the oldest processors with 64 bits.
var Possible = hasLAHF()

var (
	hostHasPOPCNT = cpu.X86.HasPOPCNT
	hostHasSSE3   = cpu.X86.HasSSE3
	hostHasSSSE3  = cpu.X86.HasSSSE3
	hostHasSSE41  = cpu.X86.HasSSE41
	hostHasSSE42  = cpu.X86.HasSSE42
)

// Enter calls the door into translated code with context, for it to go on at code. The goroutine's stack stays as it is; a signal that comes meanwhile
// finds a place that isn't Go's, and lets it be.
//
//go:noescape
func Enter(context unsafe.Pointer, door, code uint64)

// hasLAHF is CPUID's answer (Intel SDM volume 2, CPUID, leaf 80000001, ECX bit 0).
func hasLAHF() bool

// mapping is memory that is mapped twice: what is written at one address is executed at another one, and nowhere are both allowed.
type mapping struct {
	writable   []byte
	executable []byte
	at         uint64 // of executable
}

func newMapping(size int) (mapping, error) {
	fd, err := unix.MemfdCreate("code", unix.MFD_CLOEXEC)
	if err != nil {
		return mapping{}, err
	}
	defer unix.Close(fd) // the mappings keep it
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return mapping{}, err
	}
	writable, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return mapping{}, err
	}
	executable, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_SHARED)
	if err != nil {
		return mapping{}, errors.Join(err, unix.Munmap(writable))
	}
	return mapping{writable, executable, uint64(uintptr(unsafe.Pointer(unsafe.SliceData(executable))))}, nil
}

// Free gives the memory back. Nobody executes it any more.
func (m *mapping) Free() error {
	return errors.Join(unix.Munmap(m.writable), unix.Munmap(m.executable))
}

// serialize has the processor forget what it has fetched: code was written at another address than it is executed at (Intel SDM volume 3, 10.1.3).
func serialize()

package code

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// Possible says that this host executes what emit.go writes. LAHF isn't in the oldest processors with 64 bits (Intel SDM volume 2, CPUID, leaf 80000001, ECX bit 0).
var Possible = func() bool {
	_, _, ecx := cpuid(0x80000001, 0)
	return ecx&1 != 0
}()

var (
	hostHasPOPCNT = cpu.X86.HasPOPCNT
	hostHasSSE3   = cpu.X86.HasSSE3
	hostHasSSSE3  = cpu.X86.HasSSSE3
	hostHasSSE41  = cpu.X86.HasSSE41
	hostHasSSE42  = cpu.X86.HasSSE42

	hostHasAES       = cpu.X86.HasAES
	hostHasPCLMULQDQ = cpu.X86.HasPCLMULQDQ
	hostHasBMI       = cpu.X86.HasBMI1 && cpu.X86.HasBMI2
	hostHasADX       = cpu.X86.HasADX
	hostHasSHA       = hasSHA()
	hostHasAVX2      = cpu.X86.HasAVX2
	hostHasFMA       = cpu.X86.HasFMA
	hostHasF16C      = cpu.X86.HasAVX && hasF16C()
)

// hasF16C is bit 29 of ECX in leaf 1.
func hasF16C() bool {
	_, _, ecx := cpuid(1, 0)
	return ecx>>29&1 != 0
}

// hasSHA is bit 29 of EBX in leaf 7, if there is one.
func hasSHA() bool {
	last, _, _ := cpuid(0, 0)
	_, ebx, _ := cpuid(7, 0)
	return last >= 7 && ebx>>29&1 != 0
}

// Enter calls the door into translated code with context, for it to go on at code. The goroutine's stack stays as it is; a signal that comes meanwhile
// finds a place that isn't Go's, and lets it be.
//
//go:noescape
func Enter(context unsafe.Pointer, door, code uint64)

// cpuid is the processor's answer.
func cpuid(leaf, subleaf uint32) (eax, ebx, ecx uint32)

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

//go:build linux && amd64

package kvm

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/vmm/x86"
)

// Requests and numbers of linux/kvm.h.
const (
	getAPIVersion       = 0xae00
	createVM            = 0xae01
	checkExtension      = 0xae03
	getRunSize          = 0xae04
	getSupportedCPUID   = 0xc008ae05
	createVCPU          = 0xae41
	getDirtyLog         = 0x4010ae42
	setUserMemoryRegion = 0x4020ae46
	runVCPU             = 0xae80
	getSystemRegs       = 0x8138ae83
	setMSRs             = 0x4008ae89
	setCPUID2           = 0x4008ae90
	getEvents           = 0x8040ae9f
	setEvents           = 0x4040aea0
	enableCap           = 0x4068aea3
	getXSAVE            = 0x9000aea4
	setXSAVE            = 0x5000aea5
	setXCRs             = 0x4188aea7
	setDeviceAttr       = 0x4018aee1
	clearDirtyLog       = 0xc018aec0

	apiVersion = 12

	capSyncRegs           = 74
	capImmediateExit      = 136
	capManualDirtyProtect = 168
	capReadOnlyMemory     = 81
	capMaxVCPUs           = 66
	capMemorySlots        = 10

	syncRegs, syncSystem = 1, 2

	memLogDirty, memReadOnly = 1, 2

	exitIO, exitDebug, exitHalt, exitMMIO, exitShutdown, exitFailEntry, exitInternalError = 2, 4, 5, 6, 8, 9, 17

	msrSTAR, msrLSTAR, msrSyscallMask = 0xc0000081, 0xc0000082, 0xc0000084
)

// runPage is the beginning of struct kvm_run, which the kernel shares.
type runPage struct {
	request    uint32 // byte 1 is immediate_exit
	_          uint32
	exitReason uint32
	_          [20]byte
	exit       [256]byte
	validRegs  uint64
	dirtyRegs  uint64
	regs       x86.Regs
	system     systemRegs
}

const immediateExit = 1 << 8

// ioExit is runPage.exit after exitIO.
type ioExit struct {
	direction, size uint8
	port            uint16
	count           uint32
	dataOffset      uint64
}

// mmioExit is runPage.exit after exitMMIO.
type mmioExit struct {
	addr  uint64
	data  [8]byte
	size  uint32
	write uint8
}

type segment struct {
	base                                         uint64
	limit                                        uint32
	selector                                     uint16
	kind, present, dpl, db, s, l, g, avl, unused uint8
	_                                            uint8
}

type tableRegister struct {
	base  uint64
	limit uint16
	_     [3]uint16
}

// systemRegs is struct kvm_sregs.
type systemRegs struct {
	cs, ds, es, fs, gs, ss, tr, ldt         segment
	gdt, idt                                tableRegister
	cr0, cr2, cr3, cr4, cr8, efer, apicBase uint64
	interrupts                              [4]uint64
}

type memoryRegion struct {
	slot, flags      uint32
	guest, size, our uint64
}

type dirtyLog struct {
	slot, _ uint32
	bitmap  unsafe.Pointer
}

type clearLog struct {
	slot, pages uint32
	first       uint64
	bitmap      unsafe.Pointer
}

type msrEntry struct {
	index, _ uint32
	value    uint64
}

type msrs struct {
	count, _ uint32
	entries  [3]msrEntry
}

type xcrs struct {
	count, flags uint32
	entries      [16]msrEntry
	_            [16]uint64
}

type capability struct {
	number, flags uint32
	args          [4]uint64
	_             [64]byte
}

type cpuidEntry struct {
	function, index, flags uint32
	eax, ebx, ecx, edx     uint32
	_                      [3]uint32
}

// cpuidEntriesMax bounds what the kernel tells: KVM's own limit is 256.
const cpuidEntriesMax = 256

type cpuidTable struct {
	count, _ uint32
	entries  [cpuidEntriesMax]cpuidEntry
}

// events is the beginning of struct kvm_vcpu_events.
type events struct {
	injected, number, hasCode, pending uint8
	code                               uint32
	_                                  [56]byte
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	if errno != 0 {
		return int(n), errno
	}
	return int(n), nil
}

// ioctlNumber is for requests whose argument is a number.
func ioctlNumber(fd int, request, arg uintptr) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, arg)
	if errno != 0 {
		return int(n), errno
	}
	return int(n), nil
}

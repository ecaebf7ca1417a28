//go:build linux && amd64

package kvm

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
)

// The monitor's pages, in this order at m.base in guest-physical memory, and from monitorVA on for the processor.
const (
	pagePDPT = iota
	pagePD
	pagePT
	pageStub                            // where SYSCALL goes
	pageGates                           // IDT, GDT, and where exceptions go
	pageTasks                           // of the processors: task segment below, stack of exceptions above
	pageDetours  = pageTasks + vcpusMax // of the first processors: see detoursMax
	monitorPages = pageDetours + detoursMax
)

const (
	rootEntry = 511
	monitorVA = 0xffffff8000000000
	stubVA    = monitorVA + pageStub<<phys.PageShift
	gatesVA   = monitorVA + pageGates<<phys.PageShift
	tasksVA   = monitorVA + pageTasks<<phys.PageShift

	gdtAt     = 0x400 // in pageGates
	entriesAt = 0x800
	entrySize = 16
	vectors   = 32

	// stubPort is what stub and entries write to. It is a port of one byte in the instruction, for no register is free there.
	stubPort = 0x51
)

// Segment selectors, as Linux has them.
const (
	kernelCode = 0x10
	userData   = 0x28 | 3
	userCode   = 0x30 | 3
)

// newMonitor makes the pages. userStub says that programs may execute the stub.
func newMonitor(base phys.Addr, userStub bool) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, monitorPages<<phys.PageShift, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("memory for the monitor's pages: %w", err)
	}
	at := func(page int) uint64 { return uint64(base) + uint64(page)<<phys.PageShift }
	put := func(page, index int, v uint64) { binary.LittleEndian.PutUint64(b[page<<phys.PageShift+index*8:], v) }
	const table = mmu.Present | mmu.Write | mmu.User | mmu.Accessed
	put(pagePDPT, 0, at(pagePD)|table)
	put(pagePD, 0, at(pagePT)|table)
	stub := at(pageStub) | mmu.Present | mmu.Accessed
	if userStub {
		stub |= mmu.User
	}
	put(pagePT, pageStub, stub)
	put(pagePT, pageGates, at(pageGates)|mmu.Present|mmu.Accessed)
	for i := pageDetours; i < monitorPages; i++ {
		put(pagePT, i, at(i)|mmu.Present|mmu.User|mmu.Accessed)
	}
	for i := pageTasks; i < pageDetours; i++ {
		put(pagePT, i, at(i)|mmu.Present|mmu.Write|mmu.Accessed|mmu.Dirty|mmu.NoExec)
	}
	fillStub(b[pageStub<<phys.PageShift:][:phys.PageSize])
	fillGates(b[pageGates<<phys.PageShift:][:phys.PageSize])
	return b, nil
}

// fillStub has OUT, and nothing that does anything elsewhere. Nobody goes on behind it: Run begins where the program was.
func fillStub(p []byte) {
	for i := range p {
		p[i] = 0xcc
	}
	copy(p, []byte{0xe6, stubPort})
}

// stubBehind is where RIP is after the OUT, for kernels that have it behind.
const stubBehind = stubVA + 2

// fillGates makes the tables of descriptors, with the accessed bits set: nobody writes to them.
func fillGates(p []byte) {
	for v := range vectors {
		entry := gatesVA + entriesAt + uint64(v)*entrySize
		dpl := uint64(0)
		if v == 3 || v == 4 { // INT3 and INTO are for everybody
			dpl = 3
		}
		gate := entry&0xffff | kernelCode<<16 | (0x8e|dpl<<5)<<40 | entry>>16&0xffff<<48
		binary.LittleEndian.PutUint64(p[v*16:], gate)
		binary.LittleEndian.PutUint64(p[v*16+8:], entry>>32)
		copy(p[entriesAt+v*entrySize:], []byte{0xe6, stubPort, 0xf4, 0xeb, 0xfd}) // OUT; HLT; again
	}
	for selector, descriptor := range map[int]uint64{
		kernelCode: 0x00af9b000000ffff, kernelCode + 8: 0x00cf93000000ffff,
		userData &^ 3: 0x00cff3000000ffff, userCode &^ 3: 0x00affb000000ffff,
	} {
		binary.LittleEndian.PutUint64(p[gdtAt+selector:], descriptor)
	}
}

// The task segment (Intel SDM volume 3, figure 8-11).
const (
	taskStack  = 4
	taskIOMap  = 102
	taskSize   = 104
	portsEnd   = vmm.ConsolePort + 4 // a double word at the last one
	taskLimit  = taskSize + portsEnd/8 + 1
	idtLimit   = vectors*16 - 1
	gdtLimit   = 0x3f
	stackFrame = 40 // SS, RSP, RFLAGS, CS, RIP; an error code is below
)

// fillTask makes the page of one processor. The permission bitmap is by ports of a byte: that all four of a double word are allowed allows others, too,
// which exit refuses.
func fillTask(p []byte, index int, userStub bool) {
	binary.LittleEndian.PutUint64(p[taskStack:], taskVA(index)+phys.PageSize)
	binary.LittleEndian.PutUint16(p[taskIOMap:], taskSize)
	for i := range portsEnd/8 + 2 {
		p[taskSize+i] = 0xff
	}
	allow := func(port int) { p[taskSize+port/8] &^= 1 << (port % 8) }
	for port := vmm.DoorbellPort; port < portsEnd; port++ {
		allow(port)
	}
	if userStub {
		allow(stubPort)
	}
}

func taskVA(index int) uint64 { return tasksVA + uint64(index)<<phys.PageShift }

//go:build linux && amd64

package kvm

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// VCPU is a virtual processor of the kernel's.
type VCPU struct {
	machine *Machine
	index   int
	fd      int
	shared  []byte
	run     *runPage // in shared
	system  x86.System
	space   mmu.Space
	root    *uint64 // the last entry of the root page table; nil if that is outside of memory
	task    []byte  // the monitor's page for this processor
	outAt   uint64  // RIP of an OUT that the kernel counts as not done yet

	next    x86.Extended // what the processor is to load in its detour
	pending bool         // it hasn't
	saved   [3]uint64    // RIP, RAX and RDX meanwhile
	detour  []byte       // the monitor's page for that; nil until it is used

	trapped bool // the kernel may know a trap that has come out

	kicked atomic.Bool
	thread atomic.Int32 // where Run runs; 0: it doesn't
}

// NewVCPU implements vmm.Machine.
func (m *Machine) NewVCPU() (vmm.VCPU, error) {
	if len(m.vcpus) >= vcpusMax {
		return nil, fmt.Errorf("a machine has at most %d processors; use those of threads that have ended", vcpusMax)
	}
	c := &VCPU{machine: m, index: len(m.vcpus), fd: -1}
	if err := c.init(); err != nil {
		return nil, errors.Join(fmt.Errorf("making virtual processor %d: %w", c.index, err), c.free())
	}
	m.vcpus = append(m.vcpus, c)
	return c, nil
}

func (c *VCPU) init() (err error) {
	m := c.machine
	if c.fd, err = ioctlNumber(m.fd, createVCPU, uintptr(c.index)); err != nil {
		return err
	}
	unix.CloseOnExec(c.fd)
	if c.shared, err = unix.Mmap(c.fd, 0, m.runSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return err
	}
	c.run = (*runPage)(unsafe.Pointer(unsafe.SliceData(c.shared)))
	c.task = m.monitor[(pageTasks+c.index)<<phys.PageShift:][:phys.PageSize]
	fillTask(c.task, c.index, !m.host.Ring0Native)
	if _, err := ioctl(c.fd, setCPUID2, unsafe.Pointer(m.host.cpuid)); err != nil {
		return fmt.Errorf("KVM_SET_CPUID2: %w", err)
	}
	registers := msrs{count: 3, entries: [3]msrEntry{
		{index: msrSTAR, value: kernelCode<<32 | (userCode-16)<<48},
		{index: msrLSTAR, value: stubVA},
		{index: msrSyscallMask, value: uint64(x86.TF | x86.DF | x86.AC | x86.IF)},
	}}
	if n, err := ioctl(c.fd, setMSRs, unsafe.Pointer(&registers)); err != nil || n != 3 {
		return fmt.Errorf("KVM_SET_MSRS has set %d of 3 registers: %w", n, err)
	}
	c.showCounter()
	if x := m.host.xcr0; x != 0 {
		set := xcrs{count: 1}
		set.entries[0].value = x
		if _, err := ioctl(c.fd, setXCRs, unsafe.Pointer(&set)); err != nil {
			return fmt.Errorf("KVM_SET_XCRS: %w", err)
		}
	}
	if _, err := ioctl(c.fd, getSystemRegs, unsafe.Pointer(&c.run.system)); err != nil {
		return fmt.Errorf("KVM_GET_SREGS: %w", err)
	}
	c.run.validRegs = syncRegs | syncSystem
	c.run.regs = x86.Regs{RFLAGS: x86.Fixed | x86.IF}
	e := x86.NewExtended()
	area := areaOf(&e)
	return c.load(&area)
}

func (c *VCPU) free() error {
	var errs []error
	if c.shared != nil {
		errs = append(errs, unix.Munmap(c.shared))
	}
	if c.fd >= 0 {
		errs = append(errs, unix.Close(c.fd))
	}
	c.shared, c.run, c.fd = nil, nil, -1
	return errors.Join(errs...)
}

// Regs implements vmm.VCPU.
func (c *VCPU) Regs() *x86.Regs { return &c.run.regs }

// System implements vmm.VCPU.
func (c *VCPU) System() (x86.System, error) {
	s := c.system
	s.CR2, s.FSBase, s.GSBase = c.run.system.cr2, c.run.system.fs.base, c.run.system.gs.base
	return s, nil
}

// Bits that SSE, AVX and their states need, whatever the caller says.
const (
	cr0Always = x86.CR0MP | x86.CR0ET | x86.CR0NE
	cr4Always = x86.CR4FXSR | x86.CR4XMM
	cr4XSAVE  = 1 << 18
)

// SetSystem implements vmm.VCPU.
func (c *VCPU) SetSystem(s x86.System) error {
	const paging, long = x86.CR0PE | x86.CR0PG, x86.EFERLME | x86.EFERLMA
	if s.CR0&paging != paging || s.CR4&x86.CR4PAE == 0 || s.EFER&long != long {
		return errors.New("programs run with 64-bit paging; set CR0.PE, CR0.PG, CR4.PAE, EFER.LME and EFER.LMA")
	}
	if !mmu.Canonical(s.FSBase) || !mmu.Canonical(s.GSBase) {
		return fmt.Errorf("segment bases %#x and %#x: addresses have 48 bits", s.FSBase, s.GSBase)
	}
	c.system = s
	root := phys.Addr(s.CR3) &^ (phys.PageSize - 1)
	c.space = mmu.Space{Root: root, WP: s.CR0&x86.CR0WP != 0, NXE: s.EFER&x86.EFERNXE != 0}
	c.root = nil
	if slot := c.machine.slotAt(root); slot != nil {
		c.root = (*uint64)(unsafe.Pointer(&slot.Bytes()[root-slot.Base+rootEntry*8]))
	}
	c.toUser()
	return nil
}

// toUser has the next Run begin at CPL 3 with what SetSystem has set.
func (c *VCPU) toUser() {
	r, s := &c.run.system, &c.system
	data := segment{limit: 0xffffffff, kind: 3, present: 1, dpl: 3, s: 1, db: 1, g: 1}
	r.ds, r.es, r.fs, r.gs, r.ss = data, data, data, data, data
	r.ss.selector = userData
	r.fs.base, r.gs.base = s.FSBase, s.GSBase
	r.cs = segment{limit: 0xffffffff, selector: userCode, kind: 11, present: 1, dpl: 3, s: 1, l: 1, g: 1}
	r.tr = segment{base: taskVA(c.index), limit: taskLimit, selector: 0x38, kind: 11, present: 1}
	r.ldt = segment{unused: 1, kind: 2}
	r.gdt = tableRegister{base: gatesVA + gdtAt, limit: gdtLimit}
	r.idt = tableRegister{base: gatesVA, limit: idtLimit}
	r.cr0, r.cr2, r.cr3, r.cr4 = s.CR0|cr0Always, s.CR2, s.CR3, s.CR4|cr4Always
	if c.machine.host.xcr0 != 0 {
		r.cr4 |= cr4XSAVE
	}
	r.efer = s.EFER | x86.EFERSCE
	r.interrupts = [4]uint64{}
	c.run.dirtyRegs |= syncSystem
}

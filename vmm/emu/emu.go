package emu

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/emu/avx"
	"github.com/wherry/wherry/vmm/emu/code"
	"github.com/wherry/wherry/vmm/emu/flags"
	"github.com/wherry/wherry/vmm/emu/stops"
	"github.com/wherry/wherry/vmm/emu/vector"
	"github.com/wherry/wherry/vmm/emu/x87"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// vcpusMax bounds a machine's virtual processors.
const vcpusMax = 256

// Machine is an emulated machine.
type Machine struct {
	memory *phys.Memory
	vcpus  []*VCPU
	kept   map[place]*block // predecoded code
	store  store
	stops  stops.Set
	first  uint64 // instructions that a new processor has executed
}

var (
	_ vmm.Machine = (*Machine)(nil)
	_ vmm.VCPU    = (*VCPU)(nil)
	_ vmm.Counter = (*Machine)(nil)
)

// New makes a machine with memory, which it owns from now on.
func New(memory *phys.Memory) *Machine {
	m := &Machine{memory: memory, kept: map[place]*block{}}
	m.store = store{Store: code.Store{Emitter: code.New(vcpuLayout), NewMemory: code.NewMemory}, off: !code.Possible, after: translateAfter}
	memory.OnEvict(func(page phys.Addr) {
		m.store.Doubt = m.store.Doubt || memory.Budgeted() || m.store.SaysWhere(page)
	})
	memory.OnRestore(m.restored)
	memory.OnCode(m.store.Unlink) // who jumps to it finds what is there now
	memory.LeaveWritten()
	return m
}

// restored is called when pages have other bytes. Where no page tables are among them addresses mean what they meant, and of code OnCode tells.
func (m *Machine) restored() {
	for _, c := range m.vcpus {
		if root, _, err := m.memory.Locate(c.space.Root); err == nil && root.Kept {
			c.tlb.ForgetWrites()
			continue
		}
		c.flush()
		m.store.Doubt = true
	}
}

// Interpret has all instructions interpreted: the guest does the same, and nothing becomes the host's code. It is called before the first Run.
func (m *Machine) Interpret() { m.store.off = true }

// Phys implements vmm.Machine.
func (m *Machine) Phys() *phys.Memory { return m.memory }

// decodes notes that code is decoded from a page, and returns where its generation stands. The next write to it is noted, by whichever processor.
func (m *Machine) decodes(slot *phys.Slot, index int, page *[phys.PageSize]byte) *uint32 {
	if !slot.Decoded(index) {
		for _, c := range m.vcpus {
			c.tlb.ForgetWriting(page)
		}
	}
	return slot.Code(index)
}

// CollectDirty implements vmm.Machine: the memory knows already.
func (m *Machine) CollectDirty() error { return nil }

// Flush implements vmm.Machine.
func (m *Machine) Flush(phys.Addr, uint64) error {
	for _, c := range m.vcpus {
		c.flush()
	}
	m.store.Doubt = true
	return nil
}

// Caps implements vmm.Machine.
func (m *Machine) Caps() vmm.Caps {
	return vmm.Caps{Name: "emulator", Deterministic: true, CPUIDTrapped: true, Translates: !m.store.off, ExitCost: time.Microsecond}
}

// Close implements vmm.Machine.
func (m *Machine) Close() error {
	for _, c := range m.vcpus {
		*c = VCPU{}
		spareVCPUs.Put(c)
	}
	m.vcpus = nil
	return errors.Join(m.store.Close(), m.memory.Close())
}

// spareVCPUs are empty ones, of machines that are gone: with a TLB each is large, and the collector would have to come often where many machines are started.
var spareVCPUs = sync.Pool{New: func() any { return new(VCPU) }}

// NewVCPU implements vmm.Machine.
func (m *Machine) NewVCPU() (vmm.VCPU, error) {
	if len(m.vcpus) == vcpusMax {
		return nil, errors.New("the machine has as many virtual processors as it can; end some of the guest's threads")
	}
	c := spareVCPUs.Get().(*VCPU)
	c.machine, c.memory, c.extended, c.instructions = m, m.memory, x86.NewExtended(), m.first
	c.regs.RFLAGS = x86.Fixed | x86.IF
	c.tlb.Follow(m.memory)
	c.fpu.Init()
	c.sse.Keep(&c.extended.MXCSR)
	c.sse.Load(c.extended.MXCSR)
	c.ymm = avx.Registers{XMM: &c.extended.XMM, General: c.file[:], SSE: &c.sse}
	m.memory.OnEvict(func(phys.Addr) { c.blocks.forgetPlaces() })
	m.vcpus = append(m.vcpus, c)
	return c, nil
}

// VCPU is an emulated virtual processor.
type VCPU struct {
	host host
	file [regCount]uint64 // while Run runs

	machine  *Machine
	memory   *phys.Memory
	tlb      mmu.TLB
	space    mmu.Space
	system   x86.System
	extended x86.Extended
	regs     x86.Regs // as callers see them, between Runs
	kicked   atomic.Bool

	fpu          x87.FPU     // x87's part of extended
	sse          vector.Unit // what extended.MXCSR says
	ymm          avx.Registers
	rip          uint64
	flags        flags.Lazy
	other        x86.Flags // the flags that aren't arithmetic
	instructions uint64
	running      *block
	changed      bool // the block that runs has written over itself: it ends after this instruction
	again        bool // and this instruction isn't done yet
	exit         vmm.Exit
	blocks       blocks
}

// Regs implements vmm.VCPU.
func (c *VCPU) Regs() *x86.Regs { return &c.regs }

// System implements vmm.VCPU.
func (c *VCPU) System() (x86.System, error) { return c.system, nil }

// SetSystem implements vmm.VCPU.
func (c *VCPU) SetSystem(s x86.System) error {
	const paging, long = x86.CR0PE | x86.CR0PG, x86.EFERLME | x86.EFERLMA
	if s.CR0&paging != paging || s.CR4&x86.CR4PAE == 0 || s.EFER&long != long {
		return errors.New("the emulator has 64-bit paging alone; set CR0.PE, CR0.PG, CR4.PAE, EFER.LME and EFER.LMA")
	}
	space := mmu.Space{Root: phys.Addr(s.CR3) &^ offMask, WP: s.CR0&x86.CR0WP != 0, NXE: s.EFER&x86.EFERNXE != 0}
	if space != c.space || s.CR3 != c.system.CR3 {
		c.space = space
		c.flush()
		c.machine.store.Doubt = true
	}
	c.system = s
	return nil
}

// flush forgets what addresses mean.
func (c *VCPU) flush() {
	c.tlb.Flush()
	c.blocks.forgetPlaces()
}

// Extended implements vmm.VCPU.
func (c *VCPU) Extended() (x86.Extended, error) {
	c.fpu.Save(&c.extended)
	e := c.extended
	e.SetUpper(&c.ymm.Upper)
	return e, nil
}

// SetExtended implements vmm.VCPU.
func (c *VCPU) SetExtended(e *x86.Extended) error {
	c.extended = *e
	c.extended.Beyond = nil
	c.fpu.Load(e)
	c.sse.Load(e.MXCSR)
	c.setUpper(e.Upper())
	return nil
}

// Kick implements vmm.VCPU.
func (c *VCPU) Kick() { c.kicked.Store(true) }

// Instructions is how many instructions were executed, ever.
func (c *VCPU) Instructions() uint64 { return c.instructions }

func (c *VCPU) rflags() x86.Flags { return c.flags.Arithmetic() | c.other }

// userFlags are those that user mode can change by POPF.
const userFlags = x86.Arithmetic | x86.DF | x86.AC | x86.ID | x86.TF

func (c *VCPU) setFlags(f x86.Flags) {
	c.flags.Set(f)
	c.other = c.other&^userFlags | f&userFlags&^x86.Arithmetic
}

func (c *VCPU) enter() {
	r := &c.regs
	c.file = [regCount]uint64{
		r.RAX, r.RCX, r.RDX, r.RBX, r.RSP, r.RBP, r.RSI, r.RDI, r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15,
		regFS: c.system.FSBase, regGS: c.system.GSBase,
	}
	c.rip = r.RIP
	c.flags.Set(r.RFLAGS)
	c.other = r.RFLAGS&^x86.Arithmetic | x86.Fixed
	c.exit, c.changed, c.again = vmm.Exit{}, false, false
}

func (c *VCPU) leave() {
	f := &c.file
	c.regs = x86.Regs{
		RAX: f[0], RCX: f[1], RDX: f[2], RBX: f[3], RSP: f[4], RBP: f[5], RSI: f[6], RDI: f[7],
		R8: f[8], R9: f[9], R10: f[10], R11: f[11], R12: f[12], R13: f[13], R14: f[14], R15: f[15],
		RIP: c.rip, RFLAGS: c.rflags(),
	}
}

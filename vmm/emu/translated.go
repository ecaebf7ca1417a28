package emu

import (
	"errors"
	"unsafe"

	"github.com/wherry/wherry/vmm/emu/avx"
	"github.com/wherry/wherry/vmm/emu/code"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/x86"
)

const (
	// translateAfter is how often a block is interpreted before it is worth translating.
	translateAfter = 20
	// sliceInstructions bounds how many instructions translated code executes before it looks at Go's world again: the garbage collector waits for it.
	sliceInstructions = 50_000
)

// host is what translated code and Go tell each other.
type host struct {
	count  int32  // instructions that are left
	exit   uint32 // why it came back
	block  uint32 // and where: the block's number
	flags  uint32 // the guest's, as code.HostFlags has them
	resume uint64 // where code goes on after Go has done an instruction
	jumps  *[code.JumpsSize]code.Jump
	window uint64 // how far from the stack's addresses the host has them, while a block with a window runs
}

// store is a machine's translated code.
type store struct {
	code.Store
	off    bool  // nothing is translated: the host can't or shall not
	after  uint8 // translateAfter, or less in tests
	blocks []*block
}

// vcpuLayout is where translated code finds a VCPU's parts.
var vcpuLayout = code.Layout{
	Count: at(unsafe.Offsetof(VCPU{}.host) + unsafe.Offsetof(host{}.count)), Exit: at(unsafe.Offsetof(VCPU{}.host) + unsafe.Offsetof(host{}.exit)),
	Block: at(unsafe.Offsetof(VCPU{}.host) + unsafe.Offsetof(host{}.block)), Flags: at(unsafe.Offsetof(VCPU{}.host) + unsafe.Offsetof(host{}.flags)),
	Resume: at(unsafe.Offsetof(VCPU{}.host) + unsafe.Offsetof(host{}.resume)), Jumps: at(unsafe.Offsetof(VCPU{}.host) + unsafe.Offsetof(host{}.jumps)),
	Other: at(unsafe.Offsetof(VCPU{}.other)),
	RIP:   at(unsafe.Offsetof(VCPU{}.rip)), File: at(unsafe.Offsetof(VCPU{}.file)), Stash: at(unsafe.Offsetof(VCPU{}.file) + 8*regT0),
	Segments: [3]int32{x86.FS: at(unsafe.Offsetof(VCPU{}.file) + 8*regFS), x86.GS: at(unsafe.Offsetof(VCPU{}.file) + 8*regGS)},
	XMM:      at(unsafe.Offsetof(VCPU{}.extended) + unsafe.Offsetof(x86.Extended{}.XMM)), MXCSR: at(unsafe.Offsetof(VCPU{}.extended) + unsafe.Offsetof(x86.Extended{}.MXCSR)), TLB: at(unsafe.Offsetof(VCPU{}.tlb)),
	Upper: at(unsafe.Offsetof(VCPU{}.ymm) + unsafe.Offsetof(avx.Registers{}.Upper)), Changed: at(unsafe.Offsetof(VCPU{}.ymm) + unsafe.Offsetof(avx.Registers{}.Changed)),
	Window: at(unsafe.Offsetof(VCPU{}.host) + unsafe.Offsetof(host{}.window)),
}

func at(offset uintptr) int32 { return int32(offset) - code.Bias }

// translation is where a block's code is.
type translation struct {
	code   uint64 // its address, or 0
	number uint32 // of the memory that it is in
	heat   uint8  // how often the block was interpreted
	failed bool
	ways   [code.WaysMax]code.Way
	window code.Window
	misses uint8 // of the window, up to windowMissesMax: then there is none
}

// windowMissesMax is how often a block may be interpreted because its part of the stack doesn't lie in one page.
const windowMissesMax = 8

// translated reports whether b has code.
func (k *store) translated(b *block) bool { return b.native.code != 0 && b.native.number == k.Number }

// runsTranslated reports whether c's state is one that translated code is right for.
func (c *VCPU) runsTranslated() bool {
	return !c.machine.store.off && c.other&x86.TF == 0 && c.sse.Masks == x86.FloatExceptions && !c.machine.stops.Watching()
}

// warm counts that b is to be executed, and translates it when that pays. It reports whether there is code.
func (c *VCPU) warm(b *block) bool {
	k := &c.machine.store
	if k.translated(b) {
		return true
	}
	if b.native.failed || len(b.ops) == 0 {
		return false
	}
	if b.native.heat++; b.native.heat < k.after {
		return false
	}
	b.native.failed = true // until it hasn't
	if err := c.translate(b); err != nil {
		k.off = k.off || errors.Is(err, code.ErrNoMemory)
		return false
	}
	b.native.failed = false
	return true
}

// translate makes code of b.
func (c *VCPU) translate(b *block) error {
	k := &c.machine.store
	insts, err := c.instructionsOf(b)
	if err != nil {
		return err
	}
	if k.Full() || len(k.blocks) >= blocksMax {
		k.blocks = k.blocks[:0]
		if err := k.Begin(); err != nil {
			return err
		}
	}
	at, err := k.Translate(&code.Block{VA: b.va, Number: len(k.blocks), Insts: insts, NoWindow: b.native.misses >= windowMissesMax})
	if err != nil {
		return err
	}
	b.native = translation{code: at, number: k.Number, ways: k.Emitter.Ways(), misses: b.native.misses, window: k.Emitter.Window()}
	k.blocks = append(k.blocks, b)
	return nil
}

// instructionsOf decodes b's instructions again: the steps don't tell all. It finds the steps of each. A comparison that is one step with the jump
// behind it has its own step, or none.
func (c *VCPU) instructionsOf(b *block) ([]code.Inst, error) {
	p := make([]byte, b.end-b.va)
	if err := mmu.ReadVirtual(c.memory, c.space, b.va, p); err != nil {
		return nil, err
	}
	insts := make([]code.Inst, 0, b.count)
	step := 0
	for off := 0; off < len(p); {
		in, err := x86.Decode(p[off:])
		if err != nil {
			return nil, err
		}
		insts = append(insts, code.Inst{Inst: in, Step: step})
		for step < len(b.ops) && int(b.ops[step].off) == off {
			step++
		}
		off += int(in.Len)
	}
	n := len(insts)
	insts[n-1].Last = true
	if last := b.ops[len(b.ops)-1].kind; n > 1 && (last == kindCmpJump || last == kindTestJump) {
		insts[n-2].Last = true
	}
	return insts, nil
}

// runTranslated executes code from b's on, most instructions at most, and at least b's.
func (c *VCPU) runTranslated(b *block, most uint64) {
	k := &c.machine.store
	c.settle()
	slice := int32(min(most, sliceInstructions))
	c.host.count, c.host.jumps, c.host.flags = slice, k.Jumps, code.HostFlags(c.flags.Arithmetic())
	start, at := c.instructions, b.native.code
	for at != 0 {
		code.Enter(unsafe.Pointer(c), k.Enter, at)
		c.instructions = start + uint64(slice-c.host.count)
		what := int(c.host.exit & (1<<code.ExitShift - 1))
		b, at = k.blocks[c.host.block], 0
		switch c.host.exit >> code.ExitShift {
		case code.ExitStep:
			at = c.oneInstruction(b, what)
			continue
		case code.ExitLast:
			c.takeOver(b)
			c.blockEnded(b, c.exec(b.ops, what))
			continue
		case code.ExitWindow:
			c.flags.Set(code.GuestFlags(c.host.flags))
			c.missWindow(b)
			continue
		case code.ExitLink:
			at = c.link(b.native.ways[what])
		case code.ExitIndirect:
			at = c.indirect()
		}
		if at == 0 {
			c.flags.Set(code.GuestFlags(c.host.flags))
		}
	}
}

// takeOver makes c as an interpreter of b has it while it executes it.
func (c *VCPU) takeOver(b *block) {
	c.flags.Set(code.GuestFlags(c.host.flags))
	c.running, c.rip = b, b.end
	c.instructions -= b.count // they are counted at its end
}

// missWindow interprets b once, which looks up its part of the stack. Where that isn't enough again and again, b is translated without a window.
func (c *VCPU) missWindow(b *block) {
	sp := c.file[regSP]
	c.running, c.rip = b, b.end
	c.blockEnded(b, c.exec(b.ops, 0))
	if b.native.window.Found(&c.tlb, sp) || !c.machine.store.translated(b) {
		return
	}
	if b.native.misses++; b.native.misses == windowMissesMax {
		b.native.code = 0
		b.native.heat = c.machine.store.after
		c.machine.store.Unlink() // who jumps here finds what comes
	}
}

// oneInstruction does the instruction of b that begins with step n. It returns where the code goes on, or 0.
func (c *VCPU) oneInstruction(b *block, n int) uint64 {
	c.takeOver(b)
	rest := n + 1
	for rest < len(b.ops) && b.ops[rest].off == b.ops[n].off {
		rest++
	}
	flushes := c.tlb.Flushes()
	n = c.exec(b.ops[:rest], n)
	c.settle()
	holds := b.native.window.Size == 0 || c.tlb.Flushes() == flushes
	if n == rest && holds && c.runsTranslated() {
		c.host.flags = code.HostFlags(c.flags.Arithmetic())
		return c.host.resume
	}
	if n == rest {
		n = c.exec(b.ops, n)
	}
	c.blockEnded(b, n)
	return 0
}

// known returns the code of the block at RIP, or 0.
func (c *VCPU) known() uint64 {
	b := c.blocks.at(c.rip)
	if b == nil {
		b, _, _ = c.keptAt()
	}
	if b == nil || !c.machine.store.translated(b) {
		return 0
	}
	for _, p := range b.pages {
		if !c.machine.store.Leads(c.memory, c.space, p.va, p.pa) {
			return 0
		}
	}
	return b.native.code
}

// link has a jump lead to the block at RIP, if it has code.
func (c *VCPU) link(l code.Way) uint64 {
	to := c.known()
	if to != 0 {
		c.machine.store.Link(l, to)
	}
	return to
}

// indirect is link for a jump that has been somewhere else the last time.
func (c *VCPU) indirect() uint64 {
	to := c.known()
	if to != 0 {
		c.machine.store.Jumps[code.JumpOf(c.rip)] = code.Jump{VA: c.rip, Code: to}
	}
	return to
}

// settle sees to it that jumps from block to block lead where they shall.
func (c *VCPU) settle() { c.machine.store.Settle(c.memory, c.space) }

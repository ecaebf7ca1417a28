package emu

import (
	"errors"
	"unsafe"

	"github.com/wherry/wherry/vmm/emu/code"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
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

// store is a machine's translated code. It lives as long as the machine; its blocks until it is full.
type store struct {
	memory    *code.Memory                 // nil before the first translation
	off       bool                         // nothing is translated: the host can't or shall not
	after     uint8                        // translateAfter, or less in tests
	newMemory func() (*code.Memory, error) // code.NewMemory, or none in tests
	number    uint32                       // of the present memory, in blocks' translations
	blocks    []*block
	enter     uint64
	leave     uint64
	jumps     *[code.JumpsSize]code.Jump
	links     []code.Way           // that lead to other blocks
	space     mmu.Space            // for which jumps and links hold
	doubt     bool                 // whether they do
	pages     map[uint64]phys.Addr // what they lead to: by virtual page
	tables    map[phys.Addr]bool   // which pages say so: others may come back from the image without doubt
	emit      *code.Emitter
}

// vcpuLayout is where translated code finds a VCPU's parts.
var vcpuLayout = code.Layout{
	Count: at(unsafe.Offsetof(VCPU{}.host) + unsafe.Offsetof(host{}.count)), Exit: at(unsafe.Offsetof(VCPU{}.host) + unsafe.Offsetof(host{}.exit)),
	Block: at(unsafe.Offsetof(VCPU{}.host) + unsafe.Offsetof(host{}.block)), Flags: at(unsafe.Offsetof(VCPU{}.host) + unsafe.Offsetof(host{}.flags)),
	Resume: at(unsafe.Offsetof(VCPU{}.host) + unsafe.Offsetof(host{}.resume)), Jumps: at(unsafe.Offsetof(VCPU{}.host) + unsafe.Offsetof(host{}.jumps)),
	RIP: at(unsafe.Offsetof(VCPU{}.rip)), File: at(unsafe.Offsetof(VCPU{}.file)), Stash: at(unsafe.Offsetof(VCPU{}.file) + 8*regT0),
	Segments: [3]int32{x86.FS: at(unsafe.Offsetof(VCPU{}.file) + 8*regFS), x86.GS: at(unsafe.Offsetof(VCPU{}.file) + 8*regGS)},
	XMM:      at(unsafe.Offsetof(VCPU{}.extended) + unsafe.Offsetof(x86.Extended{}.XMM)), MXCSR: at(unsafe.Offsetof(VCPU{}.extended) + unsafe.Offsetof(x86.Extended{}.MXCSR)), TLB: at(unsafe.Offsetof(VCPU{}.tlb)),
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
func (k *store) translated(b *block) bool { return b.native.code != 0 && b.native.number == k.number }

// runsTranslated reports whether c's state is one that translated code is right for.
func (c *VCPU) runsTranslated() bool {
	return !c.machine.store.off && c.other&x86.TF == 0 && c.sse.Masks == x86.FloatExceptions && len(c.machine.stops.watches) == 0
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
	source := code.Block{VA: b.va, Pages: []code.Generation{{At: b.gens[0], Value: b.written[0]}}}
	if b.gens[1] != b.gens[0] {
		source.Pages = append(source.Pages, code.Generation{At: b.gens[1], Value: b.written[1]})
	}
	var err error
	if source.Insts, err = c.instructionsOf(b); err != nil {
		return err
	}
	if k.memory == nil || k.memory.Full() || len(k.blocks) >= blocksMax {
		if err := k.begin(); err != nil {
			return err
		}
	}
	here, there := k.memory.Places()
	source.Number = len(k.blocks)
	source.NoWindow = b.native.misses >= windowMissesMax
	if err := k.emit.Translate(&source, here, there, k.leave); err != nil {
		return err
	}
	if err := k.memory.Put(k.emit.Bytes()); err != nil {
		return err
	}
	b.native = translation{code: here, number: k.number, ways: k.emit.Ways(), misses: b.native.misses, window: k.emit.Window()}
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

// begin drops all code and makes new memory for it: what was executed at an address isn't replaced.
func (k *store) begin() error {
	k.number++ // first: no block has code any more
	if err := k.close(); err != nil {
		return err
	}
	memory, err := k.newMemory()
	if err != nil {
		return err
	}
	k.memory = memory
	k.blocks = k.blocks[:0]
	if k.jumps == nil {
		k.jumps = new([code.JumpsSize]code.Jump)
		k.pages, k.tables = map[uint64]phys.Addr{}, map[phys.Addr]bool{}
	}
	k.links = k.links[:0]
	k.forgetJumps()
	k.enter, _ = memory.Places()
	k.leave = k.enter + uint64(k.emit.Doors(k.enter))
	return memory.Put(k.emit.Bytes())
}

func (k *store) close() error {
	if k.memory == nil {
		return nil
	}
	err := k.memory.Free()
	k.memory = nil
	return err
}

func (k *store) forgetJumps() {
	clear(k.pages)
	clear(k.tables)
	for i := range k.jumps {
		k.jumps[i] = code.Jump{VA: uint64(i) ^ 1} // an address whose entry is another one
	}
}

// unlink forgets where jumps lead: addresses may mean something else now.
func (k *store) unlink() {
	if len(k.pages) == 0 {
		return
	}
	for _, l := range k.links {
		k.memory.SetJump(l.End, l.Stub)
	}
	k.memory.Flush()
	k.links = k.links[:0]
	k.forgetJumps()
}

// runTranslated executes code from b's on, most instructions at most, and at least b's.
func (c *VCPU) runTranslated(b *block, most uint64) {
	k := &c.machine.store
	c.settle()
	slice := int32(min(most, sliceInstructions))
	c.host.count, c.host.jumps, c.host.flags = slice, k.jumps, code.HostFlags(c.flags.Arithmetic())
	start, at := c.instructions, b.native.code
	for at != 0 {
		code.Enter(unsafe.Pointer(c), k.enter, at)
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
		case code.ExitStale:
			k.unlink() // who jumps here finds what is here now
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
		c.machine.store.unlink() // who jumps here finds what comes
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
	for i, p := range b.pages {
		if i > 0 && p == b.pages[0] {
			break
		}
		if at, noted := c.machine.store.pages[p.va]; (!noted || at != p.pa) && !c.leadsTo(p.va, p.pa) {
			return 0
		}
	}
	return b.native.code
}

// leadsTo notes that a page with code is at pa, if it is, and what says so.
func (c *VCPU) leadsTo(va uint64, pa phys.Addr) bool {
	k := &c.machine.store
	t, tables, fault := mmu.Trace(c.memory, c.space, va, mmu.Execute)
	if fault != nil || t.Addr != pa {
		return false
	}
	k.pages[va] = pa
	for _, at := range tables {
		k.tables[at] = true
	}
	return true
}

// link has a jump lead to the block at RIP, if it has code.
func (c *VCPU) link(l code.Way) uint64 {
	k := &c.machine.store
	to := c.known()
	if to != 0 {
		k.memory.SetJump(l.End, to)
		k.memory.Flush()
		k.links = append(k.links, l)
	}
	return to
}

// indirect is link for a jump that has been somewhere else the last time.
func (c *VCPU) indirect() uint64 {
	to := c.known()
	if to != 0 {
		c.machine.store.jumps[code.JumpOf(c.rip)] = code.Jump{VA: c.rip, Code: to}
	}
	return to
}

// settle sees to it that jumps from block to block lead where they shall, after addresses may have changed their meaning. Under a memory budget
// it doesn't look, for that loads pages.
func (c *VCPU) settle() {
	k := &c.machine.store
	if c.space != k.space {
		k.space, k.doubt = c.space, true
	}
	if !k.doubt {
		return
	}
	k.doubt = false
	for va, pa := range k.pages {
		if c.memory.Budgeted() || !c.leadsTo(va, pa) {
			k.unlink()
			return
		}
	}
}

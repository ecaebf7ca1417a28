package emu

import (
	"errors"

	"github.com/wherry/wherry/vmm/emu/asm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

const (
	// translateAfter is how often a block is interpreted before it is worth translating.
	translateAfter = 20
	// codeSizeMax bounds a machine's translated code in bytes. When it is used up, all is dropped.
	codeSizeMax = 32 << 20
	// nearCodeMax is the part of it for what is executed mostly, at its beginning: close together, for the host's caches.
	nearCodeMax = codeSizeMax / 2
	// blockCodeMax bounds what a block's translation may need of either.
	blockCodeMax = 64 << 10
	// sliceInstructions bounds how many instructions translated code executes before it looks at Go's world again: the garbage collector waits for it.
	sliceInstructions = 50_000
	// jumpsSize is how many targets of indirect jumps are found without Go.
	jumpsSize = 1 << jumpsBits
	jumpsBits = 13
	jumpBits  = 4 // log2 of a jump's size
)

// host is what translated code and Go tell each other.
type host struct {
	count  int32  // instructions that are left
	exit   uint32 // why it came back
	block  uint32 // and where: the block's number
	flags  uint32 // the guest's, between instructions: see flagsPlace
	resume uint64 // where code goes on after Go has done an instruction
	jumps  *[jumpsSize]jump
}

// jump is where the code of the block at va is.
type jump struct{ va, code uint64 }

// jumpOf is where the jump to va is.
func jumpOf(va uint64) uint64 { return (va ^ va>>jumpsBits) % jumpsSize }

// code is a machine's translated code. It lives as long as the machine; its blocks until it is full.
type code struct {
	memory    *codeMemory                         // nil before the first translation
	off       bool                                // nothing is translated: the host can't or shall not
	after     uint8                               // translateAfter, or less in tests
	newMemory func(size int) (*codeMemory, error) // newCodeMemory, or none in tests
	number    uint32                              // of the present memory, in blocks' translations
	blocks    []*block
	near      int // where the next block goes
	far       int // and what is seldom on its way
	enter     uint64
	leave     uint64
	jumps     *[jumpsSize]jump
	links     []link
	space     mmu.Space            // for which jumps and links hold
	doubt     bool                 // whether they do
	pages     map[uint64]phys.Addr // what they lead to: by virtual page
	emit      emitter
}

// link is a jump of a block that leads to the code of another one. It led to stub.
type link struct {
	end  int // of the instruction
	stub uint64
}

// translation is where a block's code is.
type translation struct {
	code   uint64 // its address, or 0
	number uint32 // of the memory that it is in
	heat   uint8  // how often the block was interpreted
	failed bool
	ways   [linksMax]link
}

// translated reports whether b has code.
func (k *code) translated(b *block) bool { return b.native.code != 0 && b.native.number == k.number }

// runsTranslated reports whether c's state is one that translated code is right for.
func (c *VCPU) runsTranslated() bool {
	return !c.machine.code.off && c.other&x86.TF == 0 && c.extended.MXCSR&^mxcsrSticky == mxcsrMasks
}

// warm counts that b is to be executed, and translates it when that pays. It reports whether there is code.
func (c *VCPU) warm(b *block) bool {
	k := &c.machine.code
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
		k.off = k.off || errors.Is(err, errNoCodeMemory)
		return false
	}
	b.native.failed = false
	return true
}

// translate makes code of b.
func (c *VCPU) translate(b *block) error {
	k := &c.machine.code
	insts, err := c.instructionsOf(b)
	if err != nil {
		return err
	}
	if k.memory == nil || k.near+blockCodeMax > nearCodeMax || k.far+blockCodeMax > codeSizeMax || len(k.blocks) >= blocksMax {
		if err := k.begin(); err != nil {
			return err
		}
	}
	at, beyond := k.memory.at+uint64(k.near), k.memory.at+uint64(k.far)
	if err := k.emit.translate(b, len(k.blocks), at, beyond, k.leave, insts); err != nil {
		return err
	}
	here, there := k.emit.Bytes()
	if max(len(here), len(there)) > blockCodeMax {
		return errBlockCode
	}
	copy(k.memory.writable[k.near:], here)
	copy(k.memory.writable[k.far:], there)
	b.native = translation{code: at, number: k.number}
	for i := range k.emit.used {
		w := &k.emit.ways[i]
		b.native.ways[i] = link{k.near + w.end, beyond + uint64(w.stubAt)}
	}
	k.blocks = append(k.blocks, b)
	k.near += (len(here) + 15) &^ 15
	k.far += (len(there) + 15) &^ 15
	serialize()
	return nil
}

var errBlockCode = errors.New("the translation of a block is too long")

// instructionsOf decodes b's instructions again: the steps don't tell all.
func (c *VCPU) instructionsOf(b *block) ([]x86.Inst, error) {
	p := make([]byte, b.end-b.va)
	if err := mmu.ReadVirtual(c.memory, c.space, b.va, p); err != nil {
		return nil, err
	}
	insts := make([]x86.Inst, 0, b.count)
	for len(p) > 0 {
		in, err := x86.Decode(p)
		if err != nil {
			return nil, err
		}
		insts = append(insts, in)
		p = p[in.Len:]
	}
	return insts, nil
}

// begin drops all code and makes new memory for it: what was executed at an address isn't replaced.
func (k *code) begin() error {
	if err := k.close(); err != nil {
		return err
	}
	memory, err := k.newMemory(codeSizeMax)
	if err != nil {
		return err
	}
	k.memory = memory
	k.number++
	k.blocks = k.blocks[:0]
	if k.jumps == nil {
		k.jumps = new([jumpsSize]jump)
		k.pages = map[uint64]phys.Addr{}
	}
	k.links = k.links[:0]
	k.forgetJumps()
	k.emit.Begin(memory.at)
	k.enter = memory.at
	k.leave = memory.at + uint64(k.emit.doors())
	here, _ := k.emit.Bytes()
	k.near, k.far = (copy(memory.writable, here)+15)&^15, nearCodeMax
	return nil
}

func (k *code) close() error {
	if k.memory == nil {
		return nil
	}
	err := k.memory.free()
	k.memory = nil
	return err
}

func (k *code) forgetJumps() {
	clear(k.pages)
	for i := range k.jumps {
		k.jumps[i] = jump{va: uint64(i) ^ 1} // an address whose entry is another one
	}
}

// unlink forgets where jumps lead: addresses may mean something else now.
func (k *code) unlink() {
	if len(k.pages) == 0 {
		return
	}
	for _, l := range k.links {
		k.memory.setJump(l.end, l.stub)
	}
	serialize()
	k.links = k.links[:0]
	k.forgetJumps()
}

// doors writes how code is entered, with its address in hostA, and returns where it is left.
func (e *emitter) doors() (leave int) {
	move := func(opcode, vector uint32) {
		for r := range uint8(16) {
			if !homed(r) {
				e.Emit(asm.Op(opcode), 8, hostOf[r], asm.M(hostContext, atFile+8*int32(r)), false)
			}
			e.Emit(asm.Op(vector), 4, asm.Reg(r), asm.M(hostContext, atXMM+16*int32(r)), false) // MOVUPS
		}
	}
	move(0x8b, 0x0f10)
	e.Emit(asm.Op(0xff), 4, 4, asm.R(hostA), false) // JMP
	e.Align(16)
	leave = e.Len()
	move(0x89, 0x0f11)
	e.Raw(0xc3) // RET
	return leave
}

// runTranslated executes code from b's on, most instructions at most, and at least b's.
func (c *VCPU) runTranslated(b *block, most uint64) {
	k := &c.machine.code
	c.settle()
	slice := int32(min(most, sliceInstructions))
	c.host.count, c.host.jumps, c.host.flags = slice, k.jumps, hostFlags(c.flags.arithmetic())
	start, at := c.instructions, b.native.code
	for at != 0 {
		enterCode(c, k.enter, at)
		c.instructions = start + uint64(slice-c.host.count)
		what := int(c.host.exit & (1<<exitShift - 1))
		b, at = k.blocks[c.host.block], 0
		switch c.host.exit >> exitShift {
		case exitStep:
			at = c.oneInstruction(b, what)
			continue
		case exitLast:
			c.takeOver(b)
			c.ended(b, c.exec(b.ops, what))
			continue
		case exitLink:
			at = c.link(b.native.ways[what])
		case exitIndirect:
			at = c.indirect()
		case exitStale:
			k.unlink() // who jumps here finds what is here now
		}
		if at == 0 {
			c.flags.set(guestFlags(c.host.flags))
		}
	}
}

// takeOver makes c as an interpreter of b has it while it executes it.
func (c *VCPU) takeOver(b *block) {
	c.flags.set(guestFlags(c.host.flags))
	c.running, c.rip = b, b.end
	c.instructions -= b.count // they are counted at its end
}

// oneInstruction does the instruction of b that begins with step n. It returns where the code goes on, or 0.
func (c *VCPU) oneInstruction(b *block, n int) uint64 {
	c.takeOver(b)
	rest := n + 1
	for rest < len(b.ops) && b.ops[rest].off == b.ops[n].off {
		rest++
	}
	n = c.exec(b.ops[:rest], n)
	c.settle()
	if n == rest && c.runsTranslated() {
		c.host.flags = hostFlags(c.flags.arithmetic())
		return c.host.resume
	}
	if n == rest {
		n = c.exec(b.ops, n)
	}
	c.ended(b, n)
	return 0
}

// known returns the code of the block at RIP, or 0.
func (c *VCPU) known() uint64 {
	b := c.blocks.at(c.rip)
	if b == nil {
		b, _, _ = c.keptAt()
	}
	if b == nil || !c.machine.code.translated(b) {
		return 0
	}
	c.machine.code.pages[b.pages[0].va], c.machine.code.pages[b.pages[1].va] = b.pages[0].pa, b.pages[1].pa
	return b.native.code
}

// link has a jump lead to the block at RIP, if it has code.
func (c *VCPU) link(l link) uint64 {
	k := &c.machine.code
	to := c.known()
	if to != 0 {
		k.memory.setJump(l.end, to)
		serialize()
		k.links = append(k.links, l)
	}
	return to
}

// indirect is link for a jump that has been somewhere else the last time.
func (c *VCPU) indirect() uint64 {
	to := c.known()
	if to != 0 {
		c.machine.code.jumps[jumpOf(c.rip)] = jump{c.rip, to}
	}
	return to
}

// settle sees to it that jumps from block to block lead where they shall, after addresses may have changed their meaning. Under a memory budget
// it doesn't look, for that loads pages.
func (c *VCPU) settle() {
	k := &c.machine.code
	if c.space != k.space {
		k.space, k.doubt = c.space, true
	}
	if !k.doubt {
		return
	}
	k.doubt = false
	for va, pa := range k.pages {
		if t, fault := mmu.Walk(c.memory, c.space, va, mmu.Execute); c.memory.Budgeted() || fault != nil || t.Addr != pa {
			k.unlink()
			return
		}
	}
}

package emu

import "github.com/wherry/wherry/vmm/x86"

// The selectors are what Linux gives to programs, and don't change: what loads others, or could see a descriptor table, raises #GP.
const (
	selectorCode  = 0x33
	selectorStack = 0x2b
)

var selectors = [6]int64{1: selectorCode, 2: selectorStack}

const (
	segmentStack = 2
	segmentFS    = 4
	segmentGS    = 5
)

// segment makes the steps of what moves segment registers.
func (t *translator) segment() {
	in := t.in
	switch in.Op {
	case x86.STORESEG:
		if in.IsMem {
			t.add(op{kind: kindMov64, d: regT0, s: regZero, imm: selectors[in.Reg]})
			t.write(regT0, in.Size)
		} else {
			t.copy(in.RM, regZero, selectors[in.Reg])
		}
		return
	case x86.PUSHSEG:
		t.do(doPush, op{size: in.Size, s: regZero, imm: selectors[in.Reg]})
		return
	case x86.POPSEG:
		t.do(doPopSegment, op{size: in.Size, d: in.Reg})
		return
	}
	o := op{d: in.Reg, s: in.RM, cond: x86.Cond(in.Op), do: doVerify}
	if in.IsMem {
		t.read(regT0, 2)
		o.s = regT0
	}
	if in.Op == x86.LOADSEG {
		o.do = doLoadSegment
	}
	t.add(o)
}

func doLoadSegment(c *VCPU, o *op) bool { return c.loadSegment(o.d, c.file[o.s&regMask]) }

func doPopSegment(c *VCPU, o *op) bool {
	v, ok := c.load(c.file[regSP], o.size)
	if !ok || !c.loadSegment(o.d, v) {
		return false
	}
	c.file[regSP] += uint64(o.size)
	return true
}

// loadSegment takes the selector that is there. FS and GS get the base 0 by it, as from Intel's processors.
func (c *VCPU) loadSegment(segment uint8, selector uint64) bool {
	if uint16(selector) != uint16(selectors[segment]) {
		c.raise(x86.GeneralProtection)
		c.exit.Code = uint32(selector) & 0xfffc
		return false
	}
	switch segment {
	case segmentFS:
		c.system.FSBase, c.file[regFS] = 0, 0
	case segmentGS:
		c.system.GSBase, c.file[regGS] = 0, 0
	}
	return true
}

// doVerify is VERR and VERW, which know the two selectors, and LAR and LSL, which don't tell of any.
func doVerify(c *VCPU, o *op) bool {
	selector, what := uint16(c.file[o.s&regMask]), x86.Op(o.cond)
	on := what == x86.VERR && (selector == selectorCode || selector == selectorStack) || what == x86.VERW && selector == selectorStack
	c.flags.Change(x86.ZF, x86.Flags(bit(on))*x86.ZF)
	return true
}

// doEnter is ENTER: a frame with pointers to the frames around it (Intel SDM volume 2). Its last write may fault before anything has changed.
func doEnter(c *VCPU, o *op) bool {
	size, frame, sp := uint64(o.size), c.file[regBP], c.file[regSP]
	level := uint64(o.from)
	low := sp - size*(level+1)
	if !c.probe(sp-size) || !c.probe(low) || !c.probe(sp-size-uint64(o.imm)) {
		return false
	}
	for i := uint64(1); i < level; i++ { // what faults does it before anything has changed
		if _, ok := c.load(frame-size*i, o.size); !ok {
			return false
		}
	}
	base := sp - size
	ok := c.store(base, frame, o.size)
	for i := uint64(1); i < level; i++ { // the frames may overlap
		outer, _ := c.load(frame-size*i, o.size)
		ok = c.store(base-size*i, outer, o.size) && ok
	}
	if level > 0 {
		ok = c.store(low, base, o.size) && ok
		c.file[regSP] = low
	} else {
		c.file[regSP] = base
	}
	c.put(regBP, base, o.size)
	c.file[regSP] -= uint64(o.imm)
	return ok
}

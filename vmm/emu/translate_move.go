package emu

import "github.com/wherry/wherry/vmm/x86"

// move makes steps of what copies.
func (t *translator) move() {
	switch in := t.in; in.Op {
	case x86.MOV:
		t.mov()
	case x86.LEA:
		o := t.address()
		o.seg = regZero // LEA has none
		o.d, o.size = in.Reg, in.Size
		if in.Size == 8 {
			o.kind = kindLea64
		} else {
			o.do = doLea
		}
		t.add(o)
	case x86.MOVZX, x86.MOVSX, x86.CRC32:
		o := op{do: doMoveZero, d: in.Reg, size: in.Size, from: in.From}
		switch in.Op {
		case x86.MOVSX:
			o.do = doMoveSign
		case x86.CRC32:
			o.do = doCRC32
		}
		if o.s = regT0; in.IsMem {
			t.read(regT0, in.From)
		} else {
			o.s = t.source(in.RM, in.From, regT0)
		}
		t.add(o)
	case x86.PUSH:
		o := op{do: doPush, size: in.Size, s: in.Reg}
		switch {
		case in.Form == x86.FormI:
			o.s, o.imm = regZero, in.Imm
		case in.Form == x86.FormM && in.IsMem:
			t.read(regT0, in.Size)
			o.s = regT0
		case in.Form == x86.FormM:
			o.s = in.RM
		}
		t.add(o)
	case x86.POP:
		t.pop()
	case x86.XCHG:
		t.exchange()
	}
}

func (t *translator) mov() {
	in := t.in
	switch in.Form {
	case x86.FormRI:
		t.copy(in.Reg, regZero, in.Imm)
	case x86.FormRM:
		if !in.IsMem {
			t.copy(in.Reg, t.source(in.RM, in.Size, regT0), 0)
		} else if in.Size >= 4 {
			t.read(in.Reg, in.Size)
		} else {
			t.read(regT0, in.Size)
			t.copy(in.Reg, regT0, 0)
		}
	case x86.FormMR:
		s := t.source(in.Reg, in.Size, regT0)
		if in.IsMem {
			t.write(s, in.Size)
		} else {
			t.copy(in.RM, s, 0)
		}
	case x86.FormMI:
		if in.IsMem {
			t.add(op{kind: kindMov64, d: regT0, s: regZero, imm: in.Imm})
			t.write(regT0, in.Size)
		} else {
			t.copy(in.RM, regZero, in.Imm)
		}
	}
}

// copy makes general register d the value of register s plus imm, of the instruction's size.
func (t *translator) copy(d, s uint8, imm int64) {
	o := op{d: d, s: s, imm: imm, size: t.in.Size}
	switch {
	case t.in.Size == 8:
		o.kind = kindMov64
	case t.in.Size == 4:
		o.kind = kindMov32
	case t.in.Size == 1 && d >= x86.HighByte:
		o.d -= x86.HighByte
		o.do = doSetHigh
	default:
		o.do = doMerge
	}
	t.add(o)
}

// pop reads before it moves RSP, and if it writes to memory, that by the new RSP: it is undone if the write faults.
func (t *translator) pop() {
	if !t.in.IsMem {
		r := t.in.Reg
		if t.in.Form == x86.FormM {
			r = t.in.RM
		}
		t.do(doPop, op{d: r, size: t.in.Size})
		return
	}
	o := t.address()
	o.size = t.in.Size
	t.do(doPopToMemory, o)
}

func (t *translator) exchange() {
	in := t.in
	if in.IsMem {
		d, done := t.modified(regZero)
		s, end := t.target(in.Reg, in.Size, regT1)
		t.add(op{kind: kindMov64, d: regT3, s: d})
		t.do(doMerge, op{d: d, s: s, size: in.Size})
		done()
		t.do(doMerge, op{d: s, s: regT3, size: in.Size})
		end()
		return
	}
	a, endA := t.target(in.RM, in.Size, regT0)
	b, endB := t.target(in.Reg, in.Size, regT1)
	t.do(doSwap, op{d: a, s: b, size: in.Size})
	endA()
	endB()
}

// branch makes the steps that end a block.
func (t *translator) branch() {
	in := t.in
	o := op{to: t.ip + uint64(in.Imm), cond: in.Cond, size: in.Size, s: regZero}
	if in.Form == x86.FormM {
		if in.IsMem {
			t.read(regT0, 8)
			o.s = regT0
		} else {
			o.s = in.RM
		}
		o.do = doJumpTo
	}
	switch in.Op {
	case x86.JMP:
		if in.Form == x86.FormI {
			o.kind = kindJump
		}
	case x86.JCC:
		o.kind = kindJcc
		t.fuse(&o)
	case x86.CALL:
		o.imm = int64(t.ip)
		if o.do = doCall; in.Form == x86.FormM {
			o.do = doCallTo
		}
	case x86.RET:
		o.do, o.imm = doReturn, in.Imm
	default:
		o.do, o.from, o.seg = doLoop, uint8(in.Op), regZero
		if in.Mem.Addr32 {
			o.size = 4
		}
	}
	t.add(o)
}

// fuse makes one step of a comparison and the jump behind it. Its exit, if any, is the comparison's: there is none.
func (t *translator) fuse(jump *op) {
	if len(t.ops) == 0 {
		return
	}
	last := t.ops[len(t.ops)-1]
	if last.kind != kindCmp && last.kind != kindTest || last.next != t.off {
		return
	}
	t.ops = t.ops[:len(t.ops)-1]
	jump.d, jump.s, jump.imm, jump.size = last.d, last.s, last.imm, last.size
	jump.kind = kindCmpJump
	if last.kind == kindTest {
		jump.kind = kindTestJump
	}
}

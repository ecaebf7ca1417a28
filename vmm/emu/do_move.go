package emu

import (
	"github.com/wherry/wherry/vmm/emu/flags"
	"github.com/wherry/wherry/vmm/x86"
)

func doLoad(c *VCPU, o *op) bool {
	v, ok := c.load(c.ea(o), o.size)
	if ok {
		c.file[o.d&regMask] = v
	}
	return ok
}

func doStore(c *VCPU, o *op) bool { return c.store(c.ea(o), c.file[o.d&regMask], o.size) }

// doLoadToWrite faults as the write would that follows: by then flags and registers have changed.
func doLoadToWrite(c *VCPU, o *op) bool {
	return c.probeRange(c.ea(o), o.size) && doLoad(c, o)
}

func doLea(c *VCPU, o *op) bool {
	c.put(o.d, c.ea(o), o.size)
	return true
}

func doLea32(c *VCPU, o *op) bool {
	c.file[o.d&regMask] = uint64(uint32(c.ea(o)))
	return true
}

func doGetHigh(c *VCPU, o *op) bool {
	c.file[o.d&regMask] = c.file[o.s&regMask] >> 8 & 0xff
	return true
}

func doSetHigh(c *VCPU, o *op) bool {
	v := c.file[o.s&regMask] + uint64(o.imm)
	p := &c.file[o.d&regMask]
	*p = *p&^0xff00 | v&0xff<<8
	return true
}

func doMerge(c *VCPU, o *op) bool {
	c.put(o.d, c.file[o.s&regMask]+uint64(o.imm), o.size)
	return true
}

func doSwap(c *VCPU, o *op) bool {
	a, b := c.file[o.d&regMask], c.file[o.s&regMask]
	c.put(o.d, b, o.size)
	c.put(o.s, a, o.size)
	return true
}

func doMoveZero(c *VCPU, o *op) bool {
	c.put(o.d, flags.Cut(c.file[o.s&regMask], o.from), o.size)
	return true
}

func doMoveSign(c *VCPU, o *op) bool {
	c.put(o.d, uint64(flags.Extend(c.file[o.s&regMask], o.from)), o.size)
	return true
}

func doPush(c *VCPU, o *op) bool { return c.push(c.file[o.s&regMask]+uint64(o.imm), o.size) }

func doPop(c *VCPU, o *op) bool {
	v, ok := c.load(c.file[regSP], o.size)
	if !ok {
		return false
	}
	c.file[regSP] += uint64(o.size)
	c.put(o.d, v, o.size) // after RSP, which may be d
	return true
}

// doPopToMemory computes the address with the RSP that is left.
func doPopToMemory(c *VCPU, o *op) bool {
	v, ok := c.load(c.file[regSP], o.size)
	if !ok {
		return false
	}
	c.file[regSP] += uint64(o.size)
	ok = c.store(c.ea(o), v, o.size)
	if !ok && !c.changed {
		c.file[regSP] -= uint64(o.size)
	}
	return ok
}

func doLeave(c *VCPU, o *op) bool {
	v, ok := c.load(c.file[regBP], o.size)
	if !ok {
		return false
	}
	c.file[regSP] = c.file[regBP] + uint64(o.size)
	c.put(regBP, v, o.size)
	return true
}

func doTranslate(c *VCPU, o *op) bool {
	v, ok := c.load(flags.Cut(c.file[regBX]+c.file[regAX]&0xff, addressWidth(o))+c.file[o.seg&regMask], 1)
	if ok {
		c.put(regAX, v, 1)
	}
	return ok
}

func doJumpTo(c *VCPU, o *op) bool {
	c.rip = c.file[o.s&regMask]
	return true
}

func doCall(c *VCPU, o *op) bool { return c.call(o.to, uint64(o.imm)) }

func doCallTo(c *VCPU, o *op) bool { return c.call(c.file[o.s&regMask], uint64(o.imm)) }

func (c *VCPU) call(to, back uint64) bool {
	if !c.push(back, 8) && !c.changed {
		return false
	}
	c.rip = to
	return true
}

func doReturn(c *VCPU, o *op) bool {
	to, ok := c.load(c.file[regSP], 8)
	if ok {
		c.file[regSP] += 8 + uint64(o.imm)
		c.rip = to
	}
	return ok
}

// doLoop is LOOP, LOOPE, LOOPNE and JRCXZ. size is that of the counter.
func doLoop(c *VCPU, o *op) bool {
	n := flags.Cut(c.file[regCX], o.size)
	if x86.Op(o.from) == x86.JRCXZ {
		if n == 0 {
			c.rip = o.to
		}
		return true
	}
	n = flags.Cut(n-1, o.size)
	c.put(regCX, n, o.size)
	zero := c.flags.ZF()
	if n != 0 && (x86.Op(o.from) == x86.LOOP || zero == (x86.Op(o.from) == x86.LOOPE)) {
		c.rip = o.to
	}
	return true
}

func doFlagsToAH(c *VCPU, _ *op) bool {
	f := c.flags.Arithmetic()&^x86.OF | x86.Fixed
	c.file[regAX] = c.file[regAX]&^0xff00 | uint64(f)<<8
	return true
}

func doFlagsFromAH(c *VCPU, _ *op) bool {
	c.flags.Change(x86.Arithmetic&^x86.OF, x86.Flags(c.file[regAX]>>8&0xff))
	return true
}

func doClearCarry(c *VCPU, _ *op) bool {
	c.flags.Change(x86.CF, 0)
	return true
}

func doSetCarry(c *VCPU, _ *op) bool {
	c.flags.Change(x86.CF, x86.CF)
	return true
}

func doComplementCarry(c *VCPU, _ *op) bool {
	c.flags.Change(x86.CF, c.flags.Arithmetic()^x86.CF)
	return true
}

func doClearDirection(c *VCPU, _ *op) bool {
	c.other &^= x86.DF
	return true
}

func doSetDirection(c *VCPU, _ *op) bool {
	c.other |= x86.DF
	return true
}

func doPushFlags(c *VCPU, o *op) bool { return c.push(uint64(c.rflags()), o.size) }

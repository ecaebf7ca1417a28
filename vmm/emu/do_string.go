package emu

import (
	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// kickEvery is how many rounds a repeated instruction makes between two looks at whether somebody wants the processor.
const kickEvery = 1024

// doString is MOVS, STOS, LODS, SCAS and CMPS, repeated or not. The registers are the progress: after a fault or a kick it goes on.
func doString(c *VCPU, o *op) bool {
	if o.from == 0 {
		return c.stringOnce(o)
	}
	what := x86.Op(o.cond)
	for n := 1; c.file[regCX] != 0; n++ {
		if n%kickEvery == 0 && c.kicked.Load() {
			c.exit = vmm.Exit{Kind: vmm.ExitKicked}
			c.kicked.Store(false)
			return false
		}
		if what == x86.MOVS && c.other&x86.DF == 0 && c.copyRun(o) {
			continue
		}
		ok := c.stringOnce(o)
		if !ok && !c.changed {
			return false
		}
		c.file[regCX]--
		if !ok && c.file[regCX] != 0 {
			c.again = true // the code that it has changed may be its own
			return false
		}
		if !ok {
			return false
		}
		if (what == x86.SCAS || what == x86.CMPS) && c.flags.zf() != (o.from == 0xf3) {
			break
		}
	}
	return true
}

func (c *VCPU) stringOnce(o *op) bool {
	size := o.size
	step := uint64(size)
	if c.other&x86.DF != 0 {
		step = -step
	}
	from, to := c.file[regSI]+c.file[o.seg&regMask], c.file[regDI]
	var a, b uint64
	ok := true
	what := x86.Op(o.cond)
	if what == x86.MOVS || what == x86.LODS || what == x86.CMPS {
		if a, ok = c.load(from, size); !ok {
			return false
		}
	}
	if what == x86.SCAS || what == x86.CMPS {
		if b, ok = c.load(to, size); !ok {
			return false
		}
	}
	switch what {
	case x86.MOVS:
		ok = c.store(to, a, size)
	case x86.STOS:
		ok = c.store(to, c.file[regAX], size)
	case x86.LODS:
		c.put(regAX, a, size)
	case x86.SCAS:
		a = cut(c.file[regAX], size)
		c.flags.difference(a, b, a-b, size)
	case x86.CMPS:
		c.flags.difference(a, b, a-b, size)
	}
	if !ok && !c.changed {
		return false
	}
	if what == x86.MOVS || what == x86.LODS || what == x86.CMPS {
		c.file[regSI] += step
	}
	if what != x86.LODS {
		c.file[regDI] += step
	}
	return ok
}

// copyRun makes as many rounds of MOVS at once as lie in one page on both sides. It reports whether there were any.
func (c *VCPU) copyRun(o *op) bool {
	from, to := c.file[regSI]+c.file[o.seg&regMask], c.file[regDI]
	source, target := c.tlb.Entry(from), c.tlb.Entry(to)
	if !source.Reads(from) || !target.Writes(to) {
		return false
	}
	bytes := min(phys.PageSize-from&offMask, phys.PageSize-to&offMask)
	rounds := min(bytes/uint64(o.size), c.file[regCX])
	if bytes = rounds * uint64(o.size); rounds == 0 || source.Page == target.Page && to&offMask-from&offMask < bytes {
		return false // what is written is read again: byte by byte
	}
	copy(target.Page[to&offMask:][:bytes], source.Page[from&offMask:][:bytes])
	c.file[regSI] += bytes
	c.file[regDI] += bytes
	c.file[regCX] -= rounds
	return true
}

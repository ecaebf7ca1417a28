package emu

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm/emu/flags"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// kickEvery is how many rounds a repeated instruction makes between two looks at whether somebody wants the processor.
const kickEvery = 1024

// addressWidth is the size of the registers that string instructions, XLAT and MASKMOVDQU point with.
func addressWidth(o *op) uint8 {
	if o.shift != 0 { // the prefix 0x67
		return 4
	}
	return 8
}

// doString is MOVS, STOS, LODS, SCAS and CMPS, repeated or not. The registers are the progress: after a fault or a kick it goes on.
func doString(c *VCPU, o *op) bool {
	if o.from == 0 {
		return c.stringOnce(o)
	}
	width := addressWidth(o)
	what := x86.Op(o.cond)
	before := c.flags
	for n := 1; flags.Cut(c.file[regCX], width) != 0; n++ {
		if n%kickEvery == 0 && c.kicked.Load() {
			c.exit = vmm.Exit{Kind: vmm.ExitKicked}
			c.kicked.Store(false)
			return false
		}
		if c.stringRun(o, what) {
			continue
		}
		ok := c.stringOnce(o)
		if !ok && !c.changed {
			c.flags = before // Intel SDM volume 2, REP: as before the instruction
			return false
		}
		c.put(regCX, c.file[regCX]-1, width)
		if !ok && flags.Cut(c.file[regCX], width) != 0 {
			c.again = true // the code that it has changed may be its own
			return false
		}
		if !ok {
			return false
		}
		if (what == x86.SCAS || what == x86.CMPS) && c.flags.ZF() != (o.from == 0xf3) {
			break
		}
	}
	return true
}

// stringFrom and stringTo are where a string instruction reads and writes. Only the first has a segment's base.
func (c *VCPU) stringFrom(o *op) uint64 {
	return flags.Cut(c.file[regSI], addressWidth(o)) + c.file[o.seg&regMask]
}

func (c *VCPU) stringTo(o *op) uint64 { return flags.Cut(c.file[regDI], addressWidth(o)) }

func (c *VCPU) stringOnce(o *op) bool {
	size, width := o.size, addressWidth(o)
	step := uint64(size)
	if c.other&x86.DF != 0 {
		step = -step
	}
	from, to := c.stringFrom(o), c.stringTo(o)
	var a, b uint64
	ok := true
	what := x86.Op(o.cond)
	if what == x86.SCAS || what == x86.CMPS {
		if b, ok = c.load(to, size); !ok {
			return false
		}
	}
	if what == x86.MOVS || what == x86.LODS || what == x86.CMPS {
		if a, ok = c.load(from, size); !ok {
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
		a = flags.Cut(c.file[regAX], size)
		c.flags.Difference(a, b, a-b, size)
	case x86.CMPS:
		c.flags.Difference(a, b, a-b, size)
	}
	if !ok && !c.changed {
		return false
	}
	if what == x86.MOVS || what == x86.LODS || what == x86.CMPS {
		c.put(regSI, c.file[regSI]+step, width)
	}
	if what != x86.LODS {
		c.put(regDI, c.file[regDI]+step, width)
	}
	return ok
}

// stringRun makes as many rounds of MOVS or STOS at once as lie in one page. It reports whether there were any.
func (c *VCPU) stringRun(o *op, what x86.Op) bool {
	if o.shift != 0 || c.other&x86.DF != 0 {
		return false
	}
	switch what {
	case x86.MOVS:
		return c.copyRun(o)
	case x86.STOS:
		return c.fillRun(o)
	}
	return false
}

// copyRun makes as many rounds of MOVS at once as lie in one page on both sides. It reports whether there were any.
func (c *VCPU) copyRun(o *op) bool {
	from, to := c.stringFrom(o), c.stringTo(o)
	source, target := c.tlb.Entry(from), c.tlb.Entry(to)
	if !source.Reads(from) || !target.Writes(to) {
		return false
	}
	bytes := min(phys.PageSize-from&offMask, phys.PageSize-to&offMask)
	rounds := min(bytes/uint64(o.size), c.file[regCX])
	if bytes = rounds * uint64(o.size); rounds == 0 || source.Host == target.Host && to&offMask-from&offMask < bytes {
		return false // what is written is read again: byte by byte
	}
	copy(target.Page()[to&offMask:][:bytes], source.Page()[from&offMask:][:bytes])
	c.file[regSI] += bytes
	c.file[regDI] += bytes
	c.file[regCX] -= rounds
	return true
}

// fillRun makes as many rounds of STOS at once as lie in one page. It reports whether there were any.
func (c *VCPU) fillRun(o *op) bool {
	to := c.stringTo(o)
	target := c.tlb.Entry(to)
	if !target.Writes(to) {
		return false
	}
	rounds := min((phys.PageSize-to&offMask)/uint64(o.size), c.file[regCX])
	if rounds == 0 {
		return false
	}
	bytes := rounds * uint64(o.size)
	p := target.Page()[to&offMask:][:bytes]
	if v := flags.Cut(c.file[regAX], o.size); v == 0 {
		clear(p)
	} else {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], v)
		for done := copy(p, word[:o.size]); done < len(p); {
			done += copy(p[done:], p[:done])
		}
	}
	c.file[regDI] += bytes
	c.file[regCX] -= rounds
	return true
}

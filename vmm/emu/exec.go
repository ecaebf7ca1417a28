package emu

import "github.com/wherry/wherry/vmm/emu/flags"

// exec does the steps of b from one on. It returns len(ops) with the next RIP in c.rip, or the number of the step that didn't end well.
// What programs do most is in this switch. A step there sets flags by hand where the general form would be slower.
func (c *VCPU) exec(ops []op, from int) int {
	file := &c.file
	for n := from; n < len(ops); n++ {
		o := &ops[n]
		v := file[o.s&regMask] + uint64(o.imm)
		d := &file[o.d&regMask]
		ok := true
		switch o.kind {
		case kindDo:
			ok = o.do(c, o)
		case kindLoad64:
			if v, ok = c.load(c.ea(o), 8); ok {
				*d = v
			}
		case kindLoad32:
			if v, ok = c.load(c.ea(o), 4); ok {
				*d = v
			}
		case kindStore64:
			ok = c.store(c.ea(o), *d, 8)
		case kindStore32:
			ok = c.store(c.ea(o), *d, 4)
		case kindMov64:
			*d = v
		case kindMov32:
			*d = uint64(uint32(v))
		case kindLea64:
			*d = c.ea(o)
		case kindAdd64:
			a := *d
			*d = a + v
			c.flags.Sum(a, v, *d, 8)
		case kindAdd32:
			a := *d
			*d = uint64(uint32(a + v))
			c.flags.Sum(a, v, *d, 4)
		case kindSub64:
			a := *d
			*d = a - v
			c.flags.Difference(a, v, *d, 8)
		case kindSub32:
			a := *d
			*d = uint64(uint32(a - v))
			c.flags.Difference(a, v, *d, 4)
		case kindAnd64:
			*d &= v
			c.flags.Logic(int64(*d), 63)
		case kindAnd32:
			*d = uint64(uint32(*d & v))
			c.flags.Logic(int64(int32(*d)), 31)
		case kindOr:
			*d = flags.Cut(*d|v, o.size)
			c.flags.Logic(flags.Extend(*d, o.size), o.size*8-1)
		case kindXor:
			*d = flags.Cut(*d^v, o.size)
			c.flags.Logic(flags.Extend(*d, o.size), o.size*8-1)
		case kindCmp:
			c.flags.Difference(*d, v, *d-v, o.size)
		case kindTest:
			c.flags.Logic(flags.Extend(*d&v, o.size), o.size*8-1)
		case kindCmpJump, kindTestJump, kindJump, kindJcc:
			c.jump(o, *d, v)
		}
		if !ok {
			return n
		}
	}
	return len(ops)
}

// jump ends a block. Two kinds compare d and v first.
func (c *VCPU) jump(o *op, d, v uint64) {
	taken := true
	switch o.kind {
	case kindCmpJump:
		c.flags.Difference(d, v, d-v, o.size)
		taken = c.flags.Compare(o.cond, flags.Extend(d, o.size), flags.Extend(v, o.size))
	case kindTestJump:
		c.flags.Logic(flags.Extend(d&v, o.size), o.size*8-1)
		taken = c.flags.Cond(o.cond)
	case kindJcc:
		taken = c.flags.Cond(o.cond)
	}
	if taken {
		c.rip = o.to
	}
}

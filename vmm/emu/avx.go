package emu

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm/emu/avx"
	"github.com/wherry/wherry/vmm/emu/vector"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// avx makes the step of an instruction with VEX.
func (t *translator) avx() {
	in := t.in
	v := &vecOp{wide: avx.New(&in)}
	o := op{base: regZero, index: regZero, seg: regZero, s: regZero}
	switch {
	case v.wide == nil:
		t.do(doUnsupported, o)
		return
	case in.VecShape == x86.VecGather: // adds to its indices before it cuts, and then the segment
		if o.imm, o.s = in.Mem.Disp, segment(in.Mem.Seg); in.Mem.Base != x86.NoReg {
			o.base = in.Mem.Base
		}
	case in.VecShape == x86.VecMask:
		t.in.Mem.Base, t.in.Mem.Index = regDI, x86.NoReg
		o = t.address()
	case in.IsMem:
		o = t.address()
	}
	o.vec = v
	t.do(doAVX, o)
}

func doAVX(c *VCPU, o *op) bool {
	return o.vec.wide.Do((*port)(c), &c.ymm, c.ea(o), c.file[o.s&regMask])
}

// port is a VCPU as avx's instructions need it.
type port VCPU

func (p *port) Load(va uint64, size uint8) (v vector.Wide, ok bool) {
	c := (*VCPU)(p)
	if size <= 8 {
		v[0].Lo, ok = c.load(va, size)
		return v, ok
	}
	var b [32]byte
	off := va & offMask
	if e := c.tlb.Entry(va); e.Reads(va) && off <= phys.PageSize-uint64(size) {
		copy(b[:size], e.Page()[off:])
	} else if !c.loadSlowly(va, b[:size]) {
		return v, false
	}
	for i := range v {
		v[i] = vector.Vec{Lo: binary.LittleEndian.Uint64(b[16*i:]), Hi: binary.LittleEndian.Uint64(b[16*i+8:])}
	}
	return v, true
}

func (p *port) Store(va uint64, v vector.Wide, size uint8) bool {
	c := (*VCPU)(p)
	switch {
	case size <= 8:
		return c.store(va, v[0].Lo, size)
	case size == 16:
		return c.storeVec(va, v[0])
	}
	var b [32]byte
	for i := range v {
		binary.LittleEndian.PutUint64(b[16*i:], v[i].Lo)
		binary.LittleEndian.PutUint64(b[16*i+8:], v[i].Hi)
	}
	off := va & offMask
	if e := c.tlb.Entry(va); e.Writes(va) && off <= phys.PageSize-32 {
		copy(e.Page()[off:], b[:])
		return true
	}
	return c.storeSlowly(va, b[:])
}

func (p *port) StoreMasked(va uint64, v, mask vector.Vec) bool {
	return (*VCPU)(p).storeMasked(va, v, mask, 16)
}

func (p *port) Probe(va uint64, size uint8) bool { return (*VCPU)(p).probeRange(va, size) }

func (p *port) Raise(exception uint8) bool { return (*VCPU)(p).raise(exception) }

func (p *port) SetFlags(f x86.Flags) { p.flags.Set(f) }

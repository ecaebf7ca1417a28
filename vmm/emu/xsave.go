package emu

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm/emu/avx"
	"github.com/wherry/wherry/vmm/emu/vector"
	"github.com/wherry/wherry/vmm/x86"
)

// fxsaved is the state as FXSAVE has it; pointers are cut to 32 bits without REX.W.
func (c *VCPU) fxsaved(o *op) (p [x86.FxsaveSize]byte) {
	c.fpu.Save(&c.extended)
	c.extended.PutFxsave(p[:])
	binary.LittleEndian.PutUint32(p[avx.MXCSRAt+4:], vector.Writable)
	avx.CutPointers(p[:], o.size)
	return p
}

// restored has the state be what FXSAVE has.
func (c *VCPU) restored(o *op, p []byte) bool {
	control := binary.LittleEndian.Uint32(p[avx.MXCSRAt:])
	if control&^vector.Writable != 0 {
		return c.raise(x86.GeneralProtection)
	}
	avx.CutPointers(p, o.size)
	mask := c.extended.MXCSRMask
	c.extended.GetFxsave(p)
	c.extended.MXCSRMask = mask
	c.fpu.Load(&c.extended)
	c.sse.Load(control)
	return true
}

func doSaveExtended(c *VCPU, o *op) bool {
	va := c.ea(o)
	if va%16 != 0 {
		return c.raise(x86.GeneralProtection)
	}
	if !c.probe(va + x86.FxsaveSize - 1) { // the end first, as Intel's processors do
		return false
	}
	p := c.fxsaved(o)
	return c.storeBytes(va, p[:avx.RegistersEnd])
}

func doRestoreExtended(c *VCPU, o *op) bool {
	va := c.ea(o)
	if va%16 != 0 {
		return c.raise(x86.GeneralProtection)
	}
	var p [x86.FxsaveSize]byte
	if !c.loadBytes(va+x86.FxsaveSize-1, p[:1]) || !c.loadBytes(va, p[:]) { // the end first
		return false
	}
	return c.restored(o, p[:])
}

func doGetControl(c *VCPU, _ *op) bool {
	if uint32(c.file[regCX]) != 0 {
		return c.raise(x86.GeneralProtection)
	}
	c.file[regAX], c.file[regDX] = avx.Parts, 0
	return true
}

// xsaveArea reads the area of XSAVE and XRSTOR, up to the header's end, and returns which parts are asked for.
func (c *VCPU) xsaveArea(va uint64) (p []byte, parts uint8, ok bool) {
	if va%64 != 0 {
		return nil, 0, c.raise(x86.GeneralProtection)
	}
	parts = uint8(c.file[regAX]) & avx.Parts
	p = make([]byte, avx.AreaSize(parts))
	return p, parts, c.loadBytes(va, p[:x86.XsaveUpper])
}

func doXSave(c *VCPU, o *op) bool {
	va := c.ea(o)
	p, parts, ok := c.xsaveArea(va)
	if !ok {
		return false
	}
	state := c.fxsaved(o)
	avx.Save(p, parts, &state, &c.ymm.Upper)
	return c.storeBytes(va, p)
}

func doXRestore(c *VCPU, o *op) bool {
	va := c.ea(o)
	p, parts, ok := c.xsaveArea(va)
	switch {
	case !ok:
		return false
	case avx.Refuses(p):
		return c.raise(x86.GeneralProtection)
	case !c.loadBytes(va+x86.XsaveUpper, p[x86.XsaveUpper:]):
		return false
	}
	state, upper := c.fxsaved(o), c.ymm.Upper
	avx.Restore(p, parts, &state, &upper)
	if !c.restored(o, state[:]) {
		return false
	}
	c.setUpper(upper)
	return true
}

func (c *VCPU) setUpper(u [16][2]uint64) {
	c.ymm.Upper, c.ymm.Changed = u, uint32(bit(u != [16][2]uint64{}))
}

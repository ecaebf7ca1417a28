package emu

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm/emu/vector"
	"github.com/wherry/wherry/vmm/x86"
)

func doFPUInit(c *VCPU, _ *op) bool {
	c.fpu.init()
	return true
}

func doFPUClear(c *VCPU, _ *op) bool {
	c.fpu.raised = 0
	return true
}

func doFPULoadControl(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	v, ok := c.load(c.ea(o), 2)
	if ok {
		c.fpu.setControl(uint16(v))
	}
	return ok
}

func doFPUStoreControl(c *VCPU, o *op) bool { return c.store(c.ea(o), uint64(c.fpu.control), 2) }

func doFPUStoreStatus(c *VCPU, o *op) bool { return c.store(c.ea(o), uint64(c.fpu.status()), 2) }

func doFPUStatus(c *VCPU, _ *op) bool {
	c.put(regAX, uint64(c.fpu.status()), 2)
	return true
}

// environmentWords is how many words an environment has (Intel SDM volume 1, figures 8-9 to 8-12): control, status, tags, then pointers.
const environmentWords = 7

// tags is the tag word, two bits for each register: 0 valid, 1 zero, 2 special, 3 empty.
func (f *fpu) tags() (t uint16) {
	for i, r := range f.regs {
		tag := uint16(0)
		exponent := r.SignExponent & 0x7fff
		switch {
		case f.full>>i&1 == 0:
			tag = 3
		case r.IsZero():
			tag = 1
		case exponent == 0 || exponent == 0x7fff || r.Mantissa>>63 == 0:
			tag = 2
		}
		t |= tag << (2 * i)
	}
	return t
}

func (f *fpu) setTags(t uint16) {
	f.full = 0
	for i := range f.regs {
		if t>>(2*i)&3 != 3 {
			f.full |= 1 << i
		}
	}
}

// environment is f's, in words of size bytes.
func (f *fpu) environment(size uint8) []byte {
	words := [environmentWords]uint32{uint32(f.control), uint32(f.status()), uint32(f.tags()), uint32(f.ip), 0, uint32(f.data), 0}
	var p []byte
	if size == 2 {
		for _, w := range words {
			p = binary.LittleEndian.AppendUint16(p, uint16(w))
		}
		return p
	}
	words[4] = uint32(f.opcode) << 16
	for i, w := range words {
		if i < 3 || i == 6 {
			w |= 0xffff0000 // the upper half of words of 16 bits is reserved, and ones
		}
		p = binary.LittleEndian.AppendUint32(p, w)
	}
	return p
}

func (f *fpu) setEnvironment(p []byte, size uint8) {
	word := func(i int) uint32 {
		if size == 2 {
			return uint32(binary.LittleEndian.Uint16(p[2*i:]))
		}
		return binary.LittleEndian.Uint32(p[4*i:])
	}
	f.setControl(uint16(word(0)))
	f.setStatus(uint16(word(1)))
	f.setTags(uint16(word(2)))
	f.ip, f.data, f.opcode = uint64(word(3)), uint64(word(5)), 0
	if size == 4 {
		f.opcode = uint16(word(4)>>16) & 0x7ff
	}
}

// loadBytes reads p's length at va.
func (c *VCPU) loadBytes(va uint64, p []byte) bool { return c.loadSlowly(va, p) }

// storeBytes writes p, all of it or nothing.
func (c *VCPU) storeBytes(va uint64, p []byte) bool {
	if end := va + uint64(len(p)) - 1; va&^offMask != end&^offMask && !(c.probe(va) && c.probe(end&^offMask)) {
		return false
	}
	return c.storeSlowly(va, p)
}

func doFPULoadEnvironment(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	p := make([]byte, environmentWords*int(o.size))
	ok := c.loadBytes(c.ea(o), p)
	if ok {
		c.fpu.setEnvironment(p, o.size)
	}
	return ok
}

// doFPUStoreEnvironment masks all exceptions when it is done.
func doFPUStoreEnvironment(c *VCPU, o *op) bool {
	ok := c.storeBytes(c.ea(o), c.fpu.environment(o.size))
	if ok || c.changed {
		c.fpu.setControl(c.fpu.control | uint16(x86.FloatExceptions))
	}
	return ok
}

// doFPUSave is FNSAVE: the environment, the registers, FNINIT.
func doFPUSave(c *VCPU, o *op) bool {
	p := c.fpu.environment(o.size)
	for i := range uint8(8) {
		r := c.fpu.regs[(c.fpu.top+i)&7]
		p = binary.LittleEndian.AppendUint64(p, r.Mantissa)
		p = binary.LittleEndian.AppendUint16(p, r.SignExponent)
	}
	ok := c.storeBytes(c.ea(o), p)
	if ok || c.changed {
		c.fpu.init()
	}
	return ok
}

func doFPURestore(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	size := environmentWords * int(o.size)
	p := make([]byte, size+80)
	if !c.loadBytes(c.ea(o), p) {
		return false
	}
	c.fpu.setEnvironment(p, o.size)
	for i := range uint8(8) {
		r := p[size+10*int(i):]
		c.fpu.regs[(c.fpu.top+i)&7] = x86.Float80{Mantissa: binary.LittleEndian.Uint64(r), SignExponent: binary.LittleEndian.Uint16(r[8:])}
	}
	return true
}

// The area of FXSAVE (Intel SDM volume 1, table 10-2): what is behind the registers isn't touched.
const (
	saveSize      = 416
	saveWhole     = 512
	saveAlignment = 16
	saveMXCSRAt   = 24
	saveSTAt      = 32
	saveXMMAt     = 160
)

func doSaveExtended(c *VCPU, o *op) bool {
	va := c.ea(o)
	if va%saveAlignment != 0 {
		return c.raise(x86.GeneralProtection)
	}
	if !c.probe(va + saveWhole - 1) { // the end first, as Intel's processors do
		return false
	}
	c.fpu.save(&c.extended)
	e := &c.extended
	var p [saveSize]byte
	le := binary.LittleEndian
	le.PutUint16(p[0:], e.FCW)
	le.PutUint16(p[2:], e.FSW)
	p[4] = e.FTW
	le.PutUint16(p[6:], e.FOP)
	if o.size == 8 {
		le.PutUint64(p[8:], e.FIP)
		le.PutUint64(p[16:], e.FDP)
	} else {
		le.PutUint32(p[8:], uint32(e.FIP))
		le.PutUint32(p[16:], uint32(e.FDP))
	}
	le.PutUint32(p[saveMXCSRAt:], e.MXCSR)
	le.PutUint32(p[saveMXCSRAt+4:], vector.Writable)
	for i, s := range e.ST {
		le.PutUint64(p[saveSTAt+16*i:], s.Mantissa)
		le.PutUint16(p[saveSTAt+16*i+8:], s.SignExponent)
	}
	for i, x := range e.XMM {
		le.PutUint64(p[saveXMMAt+16*i:], x[0])
		le.PutUint64(p[saveXMMAt+16*i+8:], x[1])
	}
	return c.storeBytes(va, p[:])
}

func doRestoreExtended(c *VCPU, o *op) bool {
	va := c.ea(o)
	if va%saveAlignment != 0 {
		return c.raise(x86.GeneralProtection)
	}
	var p [saveSize]byte
	if !c.loadBytes(va+saveWhole-1, p[:1]) || !c.loadBytes(va, p[:]) { // the end first
		return false
	}
	le := binary.LittleEndian
	control := le.Uint32(p[saveMXCSRAt:])
	if control&^vector.Writable != 0 {
		return c.raise(x86.GeneralProtection)
	}
	e := &c.extended
	e.FCW, e.FSW, e.FTW, e.FOP = le.Uint16(p[0:]), le.Uint16(p[2:]), p[4], le.Uint16(p[6:])
	if o.size == 8 {
		e.FIP, e.FDP = le.Uint64(p[8:]), le.Uint64(p[16:])
	} else {
		e.FIP, e.FDP = uint64(le.Uint32(p[8:])), uint64(le.Uint32(p[16:]))
	}
	for i := range e.ST {
		e.ST[i] = x86.Slot80{Mantissa: le.Uint64(p[saveSTAt+16*i:]), SignExponent: le.Uint16(p[saveSTAt+16*i+8:])}
	}
	for i := range e.XMM {
		e.XMM[i] = [2]uint64{le.Uint64(p[saveXMMAt+16*i:]), le.Uint64(p[saveXMMAt+16*i+8:])}
	}
	c.fpu.load(e)
	c.sse.Load(control)
	return true
}

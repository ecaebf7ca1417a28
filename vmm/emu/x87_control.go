package emu

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm/emu/vector"
	"github.com/wherry/wherry/vmm/emu/x87"
	"github.com/wherry/wherry/vmm/x86"
)

func doFPUInit(c *VCPU, _ *op) bool {
	c.fpu.Init()
	return true
}

func doFPUClear(c *VCPU, _ *op) bool {
	c.fpu.Clear()
	return true
}

func doFPULoadControl(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	v, ok := c.load(c.ea(o), 2)
	if ok {
		c.fpu.SetControl(uint16(v))
	}
	return ok
}

func doFPUStoreControl(c *VCPU, o *op) bool { return c.store(c.ea(o), uint64(c.fpu.Control()), 2) }

func doFPUStoreStatus(c *VCPU, o *op) bool { return c.store(c.ea(o), uint64(c.fpu.Status()), 2) }

func doFPUStatus(c *VCPU, _ *op) bool {
	c.put(regAX, uint64(c.fpu.Status()), 2)
	return true
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
	p := make([]byte, x87.EnvironmentWords*int(o.size))
	ok := c.loadBytes(c.ea(o), p)
	if ok {
		c.fpu.SetEnvironment(p, o.size)
	}
	return ok
}

// doFPUStoreEnvironment masks all exceptions when it is done.
func doFPUStoreEnvironment(c *VCPU, o *op) bool {
	ok := c.storeBytes(c.ea(o), c.fpu.Environment(o.size))
	if ok || c.changed {
		c.fpu.SetControl(c.fpu.Control() | uint16(x86.FloatExceptions))
	}
	return ok
}

// doFPUSave is FNSAVE: the environment, the registers, FNINIT.
func doFPUSave(c *VCPU, o *op) bool {
	ok := c.storeBytes(c.ea(o), c.fpu.State(o.size))
	if ok || c.changed {
		c.fpu.Init()
	}
	return ok
}

func doFPURestore(c *VCPU, o *op) bool {
	if !c.waitFPU() {
		return false
	}
	p := make([]byte, x87.Size(o.size))
	ok := c.loadBytes(c.ea(o), p)
	if ok {
		c.fpu.SetState(p, o.size)
	}
	return ok
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
	c.fpu.Save(&c.extended)
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
	c.fpu.Load(e)
	c.sse.Load(control)
	return true
}

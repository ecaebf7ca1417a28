package emu

import (
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

package emu

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm/emu/flags"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

const offMask = phys.PageSize - 1

// ea is the address of a step's operand.
func (c *VCPU) ea(o *op) uint64 {
	return c.file[o.base&regMask] + c.file[o.index&regMask]<<(o.shift&63) + c.file[o.seg&regMask] + uint64(o.imm)
}

// load reads a number of size bytes. It returns false after a fault, which is in c.exit.
func (c *VCPU) load(va uint64, size uint8) (uint64, bool) {
	off := va & offMask
	if e := c.tlb.Entry(va); e.Reads(va) && off <= phys.PageSize-8 {
		return flags.Cut(binary.LittleEndian.Uint64(e.Page()[off:off+8]), size), true
	}
	var word [8]byte
	if !c.loadSlowly(va, word[:size]) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(word[:]), true
}

func (c *VCPU) loadSlowly(va uint64, p []byte) bool {
	if first := phys.PageSize - va&offMask; uint64(len(p)) > first {
		return c.loadSlowly(va, p[:first]) && c.loadSlowly(va+first, p[first:])
	}
	page, fault := c.tlb.Load(c.memory, c.space, va, mmu.Read)
	if fault != nil {
		return c.fault(fault)
	}
	copy(p, page[va&offMask:])
	c.accessed(va, len(p), false)
	return true
}

// store writes the low size bytes of v. It returns false after a fault, and also where the block that runs has changed itself (c.exit.Kind is then 0).
func (c *VCPU) store(va, v uint64, size uint8) bool {
	off := va & offMask
	if e := c.tlb.Entry(va); e.Writes(va) && off <= phys.PageSize-8 {
		p := e.Page()[off : off+8]
		switch size {
		case 8:
			binary.LittleEndian.PutUint64(p, v)
		case 4:
			binary.LittleEndian.PutUint32(p, uint32(v))
		case 2:
			binary.LittleEndian.PutUint16(p, uint16(v))
		default:
			p[0] = byte(v)
		}
		return true
	}
	var word [8]byte
	binary.LittleEndian.PutUint64(word[:], v)
	return c.storeSlowly(va, word[:size])
}

// storeSlowly writes all of p or nothing.
func (c *VCPU) storeSlowly(va uint64, p []byte) bool {
	if first := phys.PageSize - va&offMask; uint64(len(p)) > first && (!c.probe(va) || !c.probe(va+first)) {
		return false
	}
	if !c.storeParts(va, p) {
		return false
	}
	if c.running != nil && !c.running.fresh() {
		c.changed = true
		return false
	}
	return true
}

func (c *VCPU) storeParts(va uint64, p []byte) bool {
	for len(p) > 0 {
		n := min(uint64(len(p)), phys.PageSize-va&offMask)
		page, fault := c.tlb.Load(c.memory, c.space, va, mmu.Store)
		if fault != nil {
			return c.fault(fault)
		}
		copy(page[va&offMask:], p[:n])
		c.accessed(va, int(n), true)
		va, p = va+n, p[n:]
	}
	return true
}

// probe reports whether the page of va can be written, and faults as a write does if not.
func (c *VCPU) probe(va uint64) bool {
	if _, fault := mmu.Walk(c.memory, c.space, va, mmu.Store); fault != nil {
		return c.fault(fault)
	}
	return true
}

// probeRange is probe for size bytes.
func (c *VCPU) probeRange(va uint64, size uint8) bool {
	if e := c.tlb.Entry(va); e.Writes(va) && va&offMask <= phys.PageSize-8 {
		return true
	}
	next := va&^offMask + phys.PageSize
	return c.probe(va) && (va+uint64(size) <= next || c.probe(next))
}

// fault makes f the exit and returns false.
func (c *VCPU) fault(f *mmu.Fault) bool {
	if f.NotCanonical {
		return c.raise(x86.GeneralProtection)
	}
	c.exit = vmm.Exit{Kind: vmm.ExitPageFault, Vector: x86.PageFault, Addr: f.Addr, Code: f.Code, Fault: f.Cause}
	return false
}

// raise makes an exception the exit and returns false.
func (c *VCPU) raise(vector uint8) bool {
	c.exit = vmm.Exit{Kind: vmm.ExitException, Vector: vector}
	return false
}

func (c *VCPU) push(v uint64, size uint8) bool {
	sp := c.file[regSP] - uint64(size)
	ok := c.store(sp, v, size)
	if ok || c.changed {
		c.file[regSP] = sp
	}
	return ok
}

//go:build linux && amd64

package kvm

import (
	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// outside is the exit for an access that page tables allow to where there is no memory, or none to write to. The kernel says where that is in
// guest-physical memory; which instruction it was and its virtual address are found by decoding, as far as that goes.
func (c *VCPU) outside(io mmioExit) (vmm.Exit, error) {
	if !c.user() {
		return vmm.Exit{Kind: vmm.ExitShutdown}, nil
	}
	e := vmm.Exit{Kind: vmm.ExitPageFault, Vector: x86.PageFault, Addr: io.addr, Code: uint32(mmu.Read), Fault: phys.ErrOutside}
	if io.write != 0 {
		e.Code = uint32(mmu.Store)
		if s := c.machine.slotAt(phys.Addr(io.addr)); s != nil {
			e.Fault = phys.ErrReadOnly
		}
	}
	if at, va, ok := c.accessOf(io); ok {
		c.run.regs.RIP, e.Addr = at, va
	}
	return e, c.complete()
}

// accessOf finds the instruction of an access. A read is at RIP, a write behind its instruction: then the longest one that ends there and stores as many
// bytes at that place.
func (c *VCPU) accessOf(io mmioExit) (at, va uint64, ok bool) {
	rip := c.run.regs.RIP
	if io.write == 0 {
		va, _, ok = c.operand(io, rip)
		return rip, va, ok
	}
	for size := uint64(x86.InstMax); size >= 2; size-- {
		if va, length, ok := c.operand(io, rip-size); ok && length == size {
			return rip - size, va, true
		}
	}
	return 0, 0, false
}

// operand is the virtual address of the operand in memory of the instruction at rip, if that is where io was.
func (c *VCPU) operand(io mmioExit, rip uint64) (va, length uint64, ok bool) {
	const vector, part = 16, 8 // vectors go in parts
	v := view{c.machine}
	var bytes [x86.InstMax]byte
	in, err := x86.Decode(bytes[:v.read(c.space, rip, bytes[:])])
	if err != nil || !in.IsMem || uint32(in.Size) != io.size && (in.Size != vector || io.size != part) {
		return 0, 0, false
	}
	length = uint64(in.Len)
	va = c.effective(in.Mem, rip+length)
	t, fault := mmu.Look(v, c.space, va, mmu.Read)
	return va, length, fault == nil && t.Addr == phys.Addr(io.addr)
}

// effective is the address that m means (Intel SDM volume 1, 3.7.5). next is where the instruction ends.
func (c *VCPU) effective(m x86.Mem, next uint64) uint64 {
	r := &c.run.regs
	file := [...]uint64{r.RAX, r.RCX, r.RDX, r.RBX, r.RSP, r.RBP, r.RSI, r.RDI, r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15}
	va := uint64(m.Disp)
	if m.RIP {
		va += next
	}
	if int(m.Base) < len(file) {
		va += file[m.Base]
	}
	if int(m.Index) < len(file) {
		va += file[m.Index] << (m.Shift & 3)
	}
	if m.Addr32 {
		va = uint64(uint32(va))
	}
	switch m.Seg {
	case x86.FS:
		va += c.run.system.fs.base
	case x86.GS:
		va += c.run.system.gs.base
	}
	return va
}

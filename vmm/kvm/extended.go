//go:build linux && amd64

package kvm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// The extended state as KVM_GET_XSAVE has it: the area of FXSAVE, then a header that says which parts are there.
const (
	fxsaveSize = 512
	headerSize = 64
	xsaveSize  = 4096
)

// A detour is a page by which a processor loads its extended state itself, on the way to the program: KVM_SET_XSAVE costs as much as everything else of a
// reset together. The program may read and execute it, and finds nothing there but its own state.
const (
	detoursMax = 64 // the processors that have one
	// What a detour has behind the state: RIP, where it leads, RAX and RDX, which it uses, and its code.
	detourRegs     = 0xe00
	detourCode     = 0xf00
	detourCodeSize = 0x1c
	detourState    = detourRegs // the most that the state may have
	detoursVA      = monitorVA + pageDetours<<phys.PageShift
)

// fillDetour makes the code of a detour.
func fillDetour(p []byte) {
	at := detourCode
	add := func(data int, code ...byte) { // an instruction whose operand is in data, relative to its end
		copy(p[at:], code)
		at += len(code) + 4
		binary.LittleEndian.PutUint32(p[at-4:], uint32(data-at))
	}
	add(0, 0x48, 0x0f, 0xae, 0x2d)       // XRSTOR64, of the parts that RDX:RAX says
	add(detourRegs+8, 0x48, 0x8b, 0x05)  // MOV to RAX
	add(detourRegs+16, 0x48, 0x8b, 0x15) // MOV to RDX
	add(detourRegs, 0xff, 0x25)          // JMP
}

func (c *VCPU) detourAt() uint64 { return detoursVA + uint64(c.index)<<phys.PageShift + detourCode }

// leave has Run begin with the detour, if there is a state to load.
func (c *VCPU) leave() error {
	if !c.pending {
		return nil
	}
	r := &c.run.regs
	area := areaOf(&c.next)
	if r.RFLAGS&x86.TF != 0 { // a step is one of the program's
		c.pending = false
		return c.load(&area)
	}
	if c.detour == nil {
		c.detour = c.machine.monitor[(pageDetours+c.index)<<phys.PageShift:][:phys.PageSize]
		fillDetour(c.detour)
	}
	copy(c.detour, area[:detourState])
	c.saved = [3]uint64{r.RIP, r.RAX, r.RDX}
	for i, v := range c.saved {
		binary.LittleEndian.PutUint64(c.detour[detourRegs+i*8:], v)
	}
	r.RIP, r.RAX, r.RDX = c.detourAt(), c.machine.host.xcr0, 0
	return nil
}

// arrive is for when Run ends: who was interrupted on the detour goes back to its beginning. Nothing stays in the page, as it isn't part of a reset.
func (c *VCPU) arrive() {
	if !c.pending {
		return
	}
	clear(c.detour[:detourCode])
	r := &c.run.regs
	if r.RIP-c.detourAt() < detourCodeSize {
		r.RIP, r.RAX, r.RDX = c.saved[0], c.saved[1], c.saved[2]
		return
	}
	c.pending, c.next = false, x86.Extended{}
}

// areaOf is e as the kernel has it.
func areaOf(e *x86.Extended) (area [xsaveSize]byte) {
	copy(area[:], (*[fxsaveSize]byte)(unsafe.Pointer(e))[:])
	if len(e.Beyond) >= headerSize {
		copy(area[fxsaveSize:], e.Beyond)
	}
	area[fxsaveSize] |= 3 // x87 and SSE are there
	return area
}

// Extended implements vmm.VCPU.
func (c *VCPU) Extended() (x86.Extended, error) {
	var area [xsaveSize]byte
	if c.pending {
		area = areaOf(&c.next)
	} else if _, err := ioctl(c.fd, getXSAVE, unsafe.Pointer(&area)); err != nil {
		return x86.Extended{}, fmt.Errorf("KVM_GET_XSAVE: %w", err)
	}
	var e x86.Extended
	copy((*[fxsaveSize]byte)(unsafe.Pointer(&e))[:], area[:])
	e.Beyond = append([]byte(nil), area[fxsaveSize:]...)
	return e, nil
}

// SetExtended implements vmm.VCPU. What e.Beyond doesn't have is as after FNINIT; nobody changes e.Beyond any more.
func (c *VCPU) SetExtended(e *x86.Extended) error {
	if c.loadsItself(e) {
		c.next, c.pending = *e, true
		return nil
	}
	c.pending = false
	area := areaOf(e)
	return c.load(&area)
}

// loadsItself reports whether e is what XRSTOR takes, in a detour (Intel SDM volume 1, 13.8): a state may come from a file, and be anything.
func (c *VCPU) loadsItself(e *x86.Extended) bool {
	const mxcsrKnown, partsAlways = 0xffff, 3
	states := c.machine.host.xcr0
	if c.index >= detoursMax || states&partsAlways != partsAlways || e.MXCSR&^mxcsrKnown != 0 {
		return false
	}
	if len(e.Beyond) < headerSize {
		return true
	}
	header, rest := e.Beyond[:headerSize], e.Beyond[min(len(e.Beyond), detourState-fxsaveSize):]
	return len(e.Beyond) <= xsaveSize-fxsaveSize && binary.LittleEndian.Uint64(header)&^states == 0 && zeros(header[8:]) && zeros(rest)
}

func zeros(b []byte) bool {
	var none [xsaveSize]byte
	return bytes.Equal(b, none[:len(b)])
}

// load has the kernel load area.
func (c *VCPU) load(area *[xsaveSize]byte) error {
	if _, err := ioctl(c.fd, setXSAVE, unsafe.Pointer(area)); err != nil {
		return fmt.Errorf("KVM_SET_XSAVE: %w", err)
	}
	return nil
}

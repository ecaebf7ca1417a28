//go:build linux && amd64

package kvm

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// exit says in vmm's words why the kernel came back.
func (c *VCPU) exit() (vmm.Exit, error) {
	c.run.regs.RFLAGS &= visibleFlags // without RF, which the kernel's emulator sets
	switch reason := c.run.exitReason; reason {
	case exitIO:
		return c.port(*(*ioExit)(unsafe.Pointer(&c.run.exit)))
	case exitMMIO:
		return c.outside(*(*mmioExit)(unsafe.Pointer(&c.run.exit)))
	case exitHalt:
		return vmm.Exit{Kind: vmm.ExitHalt}, nil
	case exitDebug:
		return vmm.Exit{Kind: vmm.ExitDebug}, nil
	case exitShutdown:
		return vmm.Exit{Kind: vmm.ExitShutdown}, nil
	case exitInternalError:
		if exit, done := c.fetchFault(); done {
			return exit, nil
		}
		if c.user() {
			return c.unsupported(), nil
		}
		return vmm.Exit{Kind: vmm.ExitShutdown}, nil
	case exitFailEntry:
		return vmm.Exit{}, fmt.Errorf("the processor refused to enter the guest at %#x, reason %#x", c.run.regs.RIP, binary.LittleEndian.Uint64(c.run.exit[:]))
	default:
		return vmm.Exit{}, fmt.Errorf("KVM_RUN ended for a reason that isn't known, %d, at %#x", reason, c.run.regs.RIP)
	}
}

func (c *VCPU) user() bool { return c.run.system.cs.selector&3 == 3 }

// inMonitor is the exit of a processor that is in the monitor's pages: it was about to leave by them.
func (c *VCPU) inMonitor(instead vmm.ExitKind) (vmm.Exit, bool) {
	rip := c.run.regs.RIP
	switch {
	case rip == stubVA || rip == stubBehind && instead == 0:
		c.kicked.CompareAndSwap(false, instead == vmm.ExitKicked)
		return c.syscall(), true
	case !c.user() && rip >= gatesVA+entriesAt && rip < gatesVA+entriesAt+vectors*entrySize:
		c.kicked.CompareAndSwap(false, instead == vmm.ExitKicked)
		return c.exception(uint8((rip - gatesVA - entriesAt) / entrySize)), true
	}
	return vmm.Exit{}, false
}

// syscall undoes what SYSCALL did to RIP and the flags, which are in RCX and R11 (Intel SDM volume 2, SYSCALL).
func (c *VCPU) syscall() vmm.Exit {
	r := &c.run.regs
	r.RIP, r.RFLAGS = r.RCX, x86.Flags(r.R11)&userFlags|x86.Fixed|x86.IF
	r.R11 = uint64(r.RFLAGS)
	return vmm.Exit{Kind: vmm.ExitSyscall}
}

// withCode are the exceptions that push an error code (Intel SDM volume 3, table 6-1).
const withCode = 1<<8 | 1<<10 | 1<<11 | 1<<12 | 1<<13 | 1<<14 | 1<<17 | 1<<21

// exception takes back what the processor pushed.
func (c *VCPU) exception(vector uint8) vmm.Exit {
	r := &c.run.regs
	size := stackFrame
	if withCode>>vector&1 != 0 {
		size += 8
	}
	at := r.RSP - taskVA(c.index)
	if vector == 8 || at > uint64(phys.PageSize-size) || at&7 != 0 {
		return vmm.Exit{Kind: vmm.ExitShutdown}
	}
	frame := c.task[at:]
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(frame[i*8:]) }
	var code uint32
	if size > stackFrame {
		code = uint32(word(0))
		frame = frame[8:]
	}
	r.RIP, r.RFLAGS, r.RSP = word(0), x86.Flags(word(2))&visibleFlags, word(3)
	return c.raised(vector, code)
}

// raised is the exit of a program that has raised an exception.
func (c *VCPU) raised(vector uint8, code uint32) vmm.Exit {
	c.trapped = c.trapped || isTrap(vector)
	switch {
	case c.run.regs.RIP == stubVA: // a single step after SYSCALL
		return c.syscall()
	case vector == x86.DebugException && c.run.regs.RFLAGS&x86.TF != 0:
		return vmm.Exit{Kind: vmm.ExitDebug}
	case vector == x86.PageFault:
		return c.pageFault(code)
	}
	return vmm.Exit{Kind: vmm.ExitException, Vector: vector, Code: code}
}

// upperHalf is where programs have nothing, and hosts that paravirtualize have pages of their own.
const upperHalf = 1 << 63

// pageFault completes a page fault with what the page tables themselves lack. Neither the monitor's pages nor the host's are there, for programs: faults of
// theirs are those that the guest's tables have.
func (c *VCPU) pageFault(code uint32) vmm.Exit {
	e := vmm.Exit{Kind: vmm.ExitPageFault, Vector: x86.PageFault, Addr: c.run.system.cr2, Code: code}
	switch {
	case e.Addr >= monitorVA:
		e.Code &^= mmu.CodePresent | mmu.CodeReserved
	case code&mmu.CodePresent == 0 || e.Addr >= upperHalf:
		access := mmu.Access(code)&(mmu.CodeWrite|mmu.CodeFetch) | mmu.CodeUser
		if _, fault := mmu.Look(view{c.machine}, c.space, e.Addr, access); fault != nil {
			e.Code, e.Fault = fault.Code, fault.Cause
		}
	}
	return e
}

// port is the exit for IN and OUT.
func (c *VCPU) port(io ioExit) (vmm.Exit, error) {
	r := &c.run.regs
	in := io.direction == 0
	if io.port == stubPort && !in {
		if r.RIP == stubBehind || r.RIP == stubVA || !c.user() {
			if exit, done := c.inMonitor(0); done {
				return exit, nil
			}
		}
	}
	if !c.user() {
		return vmm.Exit{Kind: vmm.ExitShutdown}, nil
	}
	before, at, ok := c.portInstruction(io)
	if in || io.count != 1 {
		rax := r.RAX
		if err := c.complete(); err != nil {
			return vmm.Exit{}, err
		}
		r.RAX = rax
	} else if before {
		c.outAt = at
	}
	r.RIP = at
	if !ok {
		return c.unsupported(), nil
	}
	if io.port != vmm.DoorbellPort && io.port != vmm.ConsolePort {
		return vmm.Exit{Kind: vmm.ExitException, Vector: x86.GeneralProtection}, nil
	}
	var bytes [15]byte
	n := view{c.machine}.read(c.space, at, bytes[:])
	inst, err := x86.Decode(bytes[:n])
	if err != nil {
		return c.unsupported(), nil
	}
	r.RIP = at + uint64(inst.Len)
	data := uint32(r.RAX)
	if io.size < 4 {
		data &= 1<<(io.size*8) - 1
	}
	if io.port == vmm.DoorbellPort && !in {
		return vmm.Exit{Kind: vmm.ExitDoorbell, Data: data}, nil
	}
	return vmm.Exit{Kind: vmm.ExitPort, Port: io.port, Size: io.size, In: in, Data: data}, nil
}

// portInstruction finds the IN or OUT that the guest is at, or behind: kernels differ in that. ok is false for strings of ports.
func (c *VCPU) portInstruction(io ioExit) (before bool, at uint64, ok bool) {
	const back = 4 // prefixes, opcode and port
	rip := c.run.regs.RIP
	var bytes [15]byte
	if before = c.machine.host.RIPAtPort || io.direction == 0; before {
		n := view{c.machine}.read(c.space, rip, bytes[:])
		inst, err := x86.Decode(bytes[:n])
		return true, rip, err == nil && (inst.Op == x86.IN || inst.Op == x86.OUT)
	}
	for size := uint64(back); size > 0; size-- {
		n := view{c.machine}.read(c.space, rip-size, bytes[:size])
		inst, err := x86.Decode(bytes[:n])
		if err != nil || inst.Op != x86.OUT || uint64(inst.Len) != size || inst.Size != io.size {
			continue
		}
		return false, rip - size, true
	}
	return false, rip, false
}

// unsupported is the exit at an instruction that isn't done here.
func (c *VCPU) unsupported() vmm.Exit {
	var bytes [15]byte
	n := view{c.machine}.read(c.space, c.run.regs.RIP, bytes[:])
	return vmm.Exit{Kind: vmm.ExitUnsupported, Bytes: slices.Clone(bytes[:n])}
}

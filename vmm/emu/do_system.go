package emu

import (
	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/emu/flags"
	"github.com/wherry/wherry/vmm/x86"
)

// doSystem does what ends a block, and mostly also Run.
var doSystem = map[x86.Op]func(*VCPU, *op) bool{
	x86.SYSCALL: doSyscall, x86.CPUID: doIdentify, x86.RDTSC: doTime, x86.POPF: doPopFlags,
	x86.RDTSCP: doTimeAndProcessor, x86.HLT: doPrivileged, x86.PRIVILEGED: doPrivileged, x86.INT3: doBreakpoint, x86.INTN: doInterrupt,
	x86.UD2: doInvalid, x86.IN: doPort, x86.OUT: doPort,
}

func doSyscall(c *VCPU, _ *op) bool {
	next := c.running.end
	c.file[regCX], c.file[11] = next, uint64(c.rflags())
	c.exit = vmm.Exit{Kind: vmm.ExitSyscall}
	return false
}

func doPrivileged(c *VCPU, _ *op) bool { return c.raise(x86.GeneralProtection) }

func doBreakpoint(c *VCPU, _ *op) bool { return c.raise(x86.Breakpoint) }

func doInvalid(c *VCPU, _ *op) bool { return c.raise(x86.InvalidOpcode) }

func doUnsupported(c *VCPU, _ *op) bool {
	c.exit = vmm.Exit{Kind: vmm.ExitUnsupported}
	return false
}

// doPort lets guests use the two ports that machines let them.
func doPort(c *VCPU, o *op) bool {
	port := uint16(c.file[regDX])
	if x86.Form(o.from) == x86.FormI {
		port = uint16(o.imm)
	}
	in := x86.Op(o.cond) == x86.IN
	switch {
	case port != vmm.DoorbellPort && port != vmm.ConsolePort:
		return c.raise(x86.GeneralProtection)
	case port == vmm.DoorbellPort && !in:
		c.exit = vmm.Exit{Kind: vmm.ExitDoorbell, Data: uint32(flags.Cut(c.file[regAX], o.size))}
	default:
		c.exit = vmm.Exit{Kind: vmm.ExitPort, Port: port, Size: o.size, In: in, Data: uint32(flags.Cut(c.file[regAX], o.size))}
	}
	return false
}

func doPopFlags(c *VCPU, o *op) bool {
	v, ok := c.load(c.file[regSP], o.size)
	if !ok {
		return false
	}
	c.file[regSP] += uint64(o.size)
	if o.size == 2 {
		v |= uint64(c.rflags()) &^ 0xffff
	}
	c.setFlags(x86.Flags(v))
	return true
}

// doTime counts instructions: the same program sees the same time.
func doTime(c *VCPU, _ *op) bool {
	t := c.instructions + c.running.count - 1 // it is the last one of its block
	c.put(regAX, t&0xffffffff, 4)
	c.put(regDX, t>>32, 4)
	return true
}

// doTimeAndProcessor is RDTSCP. Its processor is always 0: which one a program runs on is the personality's to know.
func doTimeAndProcessor(c *VCPU, o *op) bool {
	c.put(regCX, 0, 4)
	return doTime(c, o)
}

// doInterrupt is INT n. There are gates for user mode for the breakpoint alone.
func doInterrupt(c *VCPU, o *op) bool {
	if o.imm == x86.Breakpoint {
		return c.raise(x86.Breakpoint)
	}
	c.raise(x86.GeneralProtection)
	c.exit.Code = uint32(o.imm)<<3 | 2 // a gate of the IDT
	return false
}

func doIdentify(c *VCPU, _ *op) bool {
	r := x86.Identify(uint32(c.file[regAX]), uint32(c.file[regCX]))
	c.file[regAX], c.file[regBX], c.file[regCX], c.file[regDX] = uint64(r[0]), uint64(r[1]), uint64(r[2]), uint64(r[3])
	return true
}

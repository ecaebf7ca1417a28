package emu

import (
	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/x86"
)

// doSystem does what ends a block, and mostly also Run.
var doSystem = map[x86.Op]func(*VCPU, *op) bool{
	x86.SYSCALL: doSyscall, x86.CPUID: doIdentify, x86.RDTSC: doTime, x86.POPF: doPopFlags,
	x86.HLT: doPrivileged, x86.INT3: doBreakpoint, x86.UD2: doInvalid, x86.IN: doPort, x86.OUT: doPort,
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
		c.exit = vmm.Exit{Kind: vmm.ExitDoorbell, Data: uint32(cut(c.file[regAX], o.size))}
	default:
		c.exit = vmm.Exit{Kind: vmm.ExitPort, Port: port, Size: o.size, In: in, Data: uint32(cut(c.file[regAX], o.size))}
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

// The bits of CPUID leaf 1 for what is done here (Intel SDM volume 2, CPUID).
const (
	cpuidFPU                      = 1 << 0
	cpuidTSC, cpuidCX8, cpuidCMOV = 1 << 4, 1 << 8, 1 << 15
	cpuidCX16, cpuidPOPCNT        = 1 << 13, 1 << 23
	cpuidSyscall, cpuidLong       = 1 << 11, 1 << 29
	cpuidNX                       = 1 << 20
	cpuidSSE, cpuidSSE2           = 1 << 25, 1 << 26
)

// doIdentify tells of what the emulator does, and no more: MMX and FXSAVE aren't in it.
func doIdentify(c *VCPU, _ *op) bool {
	var a, b, cx, d uint32
	switch uint32(c.file[regAX]) {
	case 0:
		a, b, d, cx = 1, 'W'|'h'<<8|'e'<<16|'r'<<24, 'r'|'y'<<8|'E'<<16|'m'<<24, 'u'|'l'<<8|'a'<<16|'t'<<24
	case 1:
		a, cx, d = 0x600, cpuidCX16|cpuidPOPCNT, cpuidFPU|cpuidTSC|cpuidCX8|cpuidCMOV|cpuidSSE|cpuidSSE2
	case 0x80000000:
		a = 0x80000008
	case 0x80000001:
		cx, d = 1, cpuidSyscall|cpuidLong|cpuidNX // LAHF in 64-bit mode
	case 0x80000008:
		a = 46 | 48<<8 // bits of physical and virtual addresses
	}
	for r, v := range map[int]uint32{regAX: a, regBX: b, regCX: cx, regDX: d} {
		c.file[r] = uint64(v)
	}
	return true
}

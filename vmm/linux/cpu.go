package linux

import (
	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/space"
	"github.com/wherry/wherry/vmm/linux/trace"
	"github.com/wherry/wherry/vmm/x86"
)

// cpus are the virtual processors that tasks run on. A task keeps its processor while there are enough, as loading all registers costs more than
// running a short while; when there aren't, the one that was used longest ago changes its task.
type cpus struct {
	list []*cpu
	max  int
	uses uint64
}

// cpusMax is how many processors a machine gets at most where making and loading them is slow. An emulator's has its own decoded code, so all tasks
// share one.
const cpusMax = 64

// cpu is a virtual processor.
type cpu struct {
	v      vmm.VCPU
	owner  *Task // whose registers it has; nil when nobody's
	fs, gs uint64
	set    bool // SetSystem was called
	used   uint64
	// counted is how many instructions it had executed when they were counted last
	counted uint64
}

// attach gives t a processor with its registers.
func (p *Process) attach(t *Task) error {
	c := t.cpu
	if c == nil {
		var err error
		if c, err = p.freeCPU(); err != nil {
			return err
		}
		*c.v.Regs() = t.Regs
		if err := c.v.SetExtended(&t.extended); err != nil {
			return err
		}
		c.owner, t.cpu = t, c
	}
	p.cpus.uses++
	c.used = p.cpus.uses
	if !c.set || c.fs != t.FS || c.gs != t.GS {
		s := p.controls
		s.FSBase, s.GSBase = t.FS, t.GS
		if err := c.v.SetSystem(s); err != nil {
			return err
		}
		c.fs, c.gs, c.set = t.FS, t.GS, true
	}
	return nil
}

// freeCPU finds, makes or takes away a processor.
func (p *Process) freeCPU() (*cpu, error) {
	var oldest *cpu
	for _, c := range p.cpus.list {
		if c.owner == nil {
			return c, nil
		}
		if oldest == nil || c.used < oldest.used {
			oldest = c
		}
	}
	if len(p.cpus.list) < p.cpus.max {
		v, err := p.machine.NewVCPU()
		if err == nil {
			c := &cpu{v: v}
			if n, ok := v.(counter); ok {
				c.counted = n.Instructions()
			}
			p.cpus.list = append(p.cpus.list, c)
			return c, nil
		}
		if oldest == nil {
			return nil, err
		}
		p.cpus.max = len(p.cpus.list)
	}
	return oldest, p.detach(oldest)
}

// detach has c's task keep its registers itself.
func (p *Process) detach(c *cpu) error {
	t := c.owner
	ext, err := c.v.Extended()
	if err != nil {
		return err
	}
	t.Regs, t.extended = *c.v.Regs(), ext
	t.cpu, c.owner = nil, nil
	return nil
}

func (p *Process) extendedOf(t *Task) (x86.Extended, error) {
	if t.cpu != nil {
		return t.cpu.v.Extended()
	}
	return t.extended, nil
}

func (p *Process) setExtendedOf(t *Task, e *x86.Extended) error {
	if t.cpu != nil {
		return t.cpu.v.SetExtended(e)
	}
	t.extended = *e
	return nil
}

// controls are the control registers of all tasks. CR4.FSGSBASE isn't among them: segment bases change by arch_prctl alone.
func controls(root uint64) x86.System {
	return x86.System{
		CR0: x86.CR0PE | x86.CR0MP | x86.CR0ET | x86.CR0NE | x86.CR0WP | x86.CR0PG, CR3: root, CR4: x86.CR4PAE | x86.CR4FXSR | x86.CR4XMM,
		EFER: x86.EFERSCE | x86.EFERLME | x86.EFERLMA | x86.EFERNXE,
	}
}

// stackFault is #SS: an address by RSP or RBP that isn't canonical.
const stackFault = 12

// exception gives t the signal of a processor's exception (arch/x86/kernel/traps.c).
func (p *Process) exception(t *Task, vector uint8, code uint32, reason string) {
	t.Trap.Vector, t.Trap.Code = uint64(vector), uint64(code)
	rip := t.registers().RIP
	info := abi.Siginfo{Signo: abi.SIGSEGV, Code: abi.SI_KERNEL}
	switch vector {
	case x86.DivideError:
		info = abi.Siginfo{Signo: abi.SIGFPE, Code: abi.FPE_INTDIV, Addr: rip}
	case x86.DebugException:
		info = abi.Siginfo{Signo: abi.SIGTRAP, Code: abi.TRAP_TRACE, Addr: rip}
	case x86.Breakpoint:
		info = abi.Siginfo{Signo: abi.SIGTRAP, Code: abi.SI_KERNEL}
	case stackFault:
		info = abi.Siginfo{Signo: abi.SIGBUS, Code: abi.SI_KERNEL}
	case x86.InvalidOpcode:
		info = abi.Siginfo{Signo: abi.SIGILL, Code: abi.ILL_ILLOPN, Addr: rip}
	case x86.FloatingPoint, x86.SIMDFloatingPoint:
		info = abi.Siginfo{Signo: abi.SIGFPE, Code: abi.FPE_FLTINV, Addr: rip}
	case x86.AlignmentCheck:
		info = abi.Siginfo{Signo: abi.SIGBUS, Code: abi.BUS_ADRALN}
	}
	p.trace(trace.Event{Kind: trace.Fault, Task: int(t.ID), Name: info.Signo.String(), Addr: rip})
	p.force(t, info, false, reason)
}

// pageFault gives t the page that it needs, or the signal for an access that isn't allowed.
func (p *Process) pageFault(t *Task, exit vmm.Exit) error {
	access := uint32(abi.PROT_READ)
	switch {
	case exit.Code&codeFetch != 0:
		access = abi.PROT_EXEC
	case exit.Code&codeWrite != 0:
		access = abi.PROT_WRITE
	}
	if exit.Fault != nil {
		p.space.Fail(exit.Fault)
		return nil
	}
	kind, err := p.space.Fault(exit.Addr, access)
	if err != nil {
		p.space.Fail(err)
		return nil
	}
	t.Trap = trap{x86.PageFault, uint64(exit.Code), exit.Addr}
	info := abi.Siginfo{Signo: abi.SIGSEGV, Code: abi.SEGV_MAPERR, Addr: exit.Addr}
	switch kind {
	case space.Done:
		p.trace(trace.Event{Kind: trace.Page, Task: int(t.ID), Addr: exit.Addr, Code: exit.Code})
		return nil
	case space.Denied:
		info.Code = abi.SEGV_ACCERR
	case space.Beyond:
		info.Signo, info.Code = abi.SIGBUS, abi.BUS_ADRERR
	case space.NoMemory:
		p.space.Fail(space.ErrNoMemory)
		return nil
	}
	p.trace(trace.Event{Kind: trace.Fault, Task: int(t.ID), Name: info.Signo.String(), Addr: exit.Addr, Code: exit.Code})
	p.force(t, info, false, "")
	return nil
}

//go:build linux && amd64

package kvm

import (
	"bytes"
	"slices"

	"github.com/wherry/wherry/internal/cputime"
	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// int3 is the instruction that raises #BP.
const int3 = 0xcc

// SetStops implements vmm.Stopper. KVM's own way to debug a guest, KVM_SET_GUEST_DEBUG, does nothing on hosts that paravirtualize, nor do debug registers. What comes everywhere is an exception that the guest
// raises: #BP by an INT3, #DB by a step with TF. So breakpoints are INT3s, which are in memory while the guest runs and at no other time: they come with pages that are mapped later, and neither system calls,
// snapshots nor the debugger meet them. Watched memory is compared after each step.
func (m *Machine) SetStops(s vmm.Stops) {
	m.stops = nil
	if len(s.Breakpoints)+len(s.Watches) > 0 {
		m.stops = &vmm.Stops{Breakpoints: slices.Clone(s.Breakpoints), Watches: slices.Clone(s.Watches)}
	}
}

// planted is a byte that an INT3 stands for.
type planted struct {
	va  uint64
	at  phys.Addr
	was byte
}

// plant puts an INT3 wherever there is a breakpoint and memory that can be executed and written.
func (c *VCPU) plant(breakpoints []uint64) []planted {
	var all []planted
	for _, va := range breakpoints {
		t, fault := mmu.Look(view{c.machine}, c.space, va, mmu.Execute)
		if fault != nil {
			continue
		}
		p := planted{va: va, at: t.Addr}
		var b [1]byte
		if c.machine.memory.ReadAt(b[:], p.at) != nil {
			continue
		}
		if p.was = b[0]; p.was == int3 || c.machine.memory.WriteAt([]byte{int3}, p.at) != nil {
			continue // the program's own raises #BP as well
		}
		all = append(all, p)
	}
	return all
}

// pull puts back what was there, unless the guest has written something else.
func (c *VCPU) pull(all []planted) error {
	for _, p := range all {
		var b [1]byte
		if err := c.machine.memory.ReadAt(b[:], p.at); err != nil {
			return err
		}
		if b[0] != int3 {
			continue
		}
		if err := c.machine.memory.WriteAt([]byte{p.was}, p.at); err != nil {
			return err
		}
	}
	return nil
}

// runToStops is Run with a debugger: to its breakpoints, or by steps.
func (c *VCPU) runToStops(budget vmm.Budget) (vmm.Exit, error) {
	var stops vmm.Stops
	if c.machine.stops != nil {
		stops = *c.machine.stops
	}
	step := budget.Instructions == 1
	if step {
		budget = vmm.Budget{} // a step ends by itself
	}
	if len(stops.Watches) == 0 {
		return c.runPlanted(budget, stops.Breakpoints, step)
	}
	before := c.watched(stops.Watches)
	for began := cputime.Thread(); ; {
		exit, err := c.runPlanted(vmm.Budget{}, stops.Breakpoints, true)
		if err != nil || exit.Kind != vmm.ExitSpent && exit.Kind != vmm.ExitSyscall {
			return exit, err
		}
		for i, now := range c.watched(stops.Watches) {
			if exit.Kind == vmm.ExitSpent && !bytes.Equal(before[i], now) {
				return vmm.Exit{Kind: vmm.ExitWatchpoint, Addr: stops.Watches[i].Addr}, nil
			}
		}
		if step || exit.Kind == vmm.ExitSyscall || budget.CPU > 0 && cputime.Thread()-began >= budget.CPU {
			return exit, nil
		}
	}
}

// watched is what the guest reads in ranges, as far as it can.
func (c *VCPU) watched(watches []vmm.Watch) [][]byte {
	all := make([][]byte, len(watches))
	for i, w := range watches {
		all[i] = make([]byte, w.Size)
		all[i] = all[i][:view{c.machine}.read(c.space, w.Addr, all[i])]
	}
	return all
}

// runPlanted is goOn with breakpoints, or one step of it, which ends with ExitSpent.
func (c *VCPU) runPlanted(budget vmm.Budget, breakpoints []uint64, step bool) (vmm.Exit, error) {
	r := &c.run.regs
	step = step && r.RFLAGS&x86.TF == 0 // a program that steps itself does so
	if step {
		r.RFLAGS |= x86.TF
	}
	pushes := step && c.pushesFlags()
	all := c.plant(breakpoints)
	exit, err := c.goOn(budget)
	if pullErr := c.pull(all); err == nil {
		err = pullErr
	}
	if err != nil {
		return exit, err
	}
	if step {
		r.RFLAGS &^= x86.TF
		switch exit.Kind {
		case vmm.ExitSyscall: // which has put the flags there
			r.R11 &^= uint64(x86.TF)
		case vmm.ExitDebug:
			exit = vmm.Exit{Kind: vmm.ExitSpent}
			if pushes {
				err = c.hideStep()
			}
		}
	}
	if exit.Kind == vmm.ExitException && exit.Vector == x86.Breakpoint && slices.Contains(breakpoints, r.RIP-1) {
		r.RIP--
		exit = vmm.Exit{Kind: vmm.ExitBreakpoint}
	}
	return exit, err
}

// pushesFlags reports whether the next instruction is PUSHF.
func (c *VCPU) pushesFlags() bool {
	var b [15]byte
	inst, err := x86.Decode(b[:view{c.machine}.read(c.space, c.run.regs.RIP, b[:])])
	return err == nil && inst.Op == x86.PUSHF
}

// hideStep takes TF off the flags that PUSHF has pushed: the program would step itself when it takes them back.
func (c *VCPU) hideStep() error {
	const second = 1 // the byte of TF
	t, fault := mmu.Look(view{c.machine}, c.space, c.run.regs.RSP+second, mmu.Write)
	if fault != nil {
		return nil // it is where the program can't write: it wasn't pushed
	}
	var b [1]byte
	if err := c.machine.memory.ReadAt(b[:], t.Addr); err != nil {
		return err
	}
	b[0] &^= byte(x86.TF >> (8 * second))
	return c.machine.memory.WriteAt(b[:], t.Addr)
}

package emu

import (
	"errors"
	"math"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/x86"
)

// Run implements vmm.VCPU. budget.CPU isn't looked at: instructions are what an emulator counts.
func (c *VCPU) Run(budget vmm.Budget) (vmm.Exit, error) {
	c.enter()
	end := uint64(math.MaxUint64)
	if budget.Instructions > 0 {
		end = c.instructions + budget.Instructions
	}
	if budget.Past && c.machine.stops.At(c.rip) {
		c.pass()
	}
	for c.exit.Kind == 0 {
		if c.kicked.Load() {
			c.kicked.Store(false)
			c.exit = vmm.Exit{Kind: vmm.ExitKicked}
			break
		}
		if c.instructions >= end {
			c.exit = vmm.Exit{Kind: vmm.ExitSpent}
			break
		}
		c.step(end - c.instructions)
	}
	c.leave()
	return c.exit, nil
}

// step executes the block at RIP, but no more than most instructions.
func (c *VCPU) step(most uint64) {
	if c.other&x86.TF != 0 {
		most = 1
	}
	b := c.blocks.at(c.rip)
	if b == nil || b.count > most {
		if b = c.find(most); b == nil {
			return
		}
	}
	if len(b.ops) == 0 {
		c.refuse(b)
		return
	}
	if c.runsTranslated() && b.count <= most && c.warm(b) {
		c.runTranslated(b, most)
		return
	}
	c.running = b
	c.rip = b.end
	c.blockEnded(b, c.exec(b.ops, 0))
}

// blockEnded goes on after step n of b, where exec ended.
func (c *VCPU) blockEnded(b *block, n int) {
	switch {
	case n == len(b.ops):
		c.instructions += b.count
		c.changed = false
	case c.changed:
		c.finish(b, n)
	default:
		c.stop(b, n)
		return
	}
	if c.other&x86.TF != 0 && c.exit.Kind == 0 {
		c.exit = vmm.Exit{Kind: vmm.ExitDebug}
	}
}

// finish does the rest of the instruction whose step n changed the block that runs.
func (c *VCPU) finish(b *block, n int) {
	o := b.ops[n]
	rest := n + 1
	for rest < len(b.ops) && b.ops[rest].off == o.off {
		rest++
	}
	c.changed = false
	if c.again {
		c.again = false
		c.instructions += executed(b, n)
		c.rip = b.va + uint64(o.off)
		return
	}
	c.rip = b.va + uint64(o.next)
	for n++; n < rest; n++ {
		if n = c.exec(b.ops[:rest], n); n < rest && !c.changed {
			c.stop(b, n)
			return
		}
		c.changed = false
	}
	c.instructions += executed(b, rest)
}

// stop makes c ready to leave Run, at the instruction of step n or behind it.
func (c *VCPU) stop(b *block, n int) {
	o := b.ops[n]
	c.instructions += executed(b, n)
	c.rip = b.va + uint64(o.off)
	switch c.exit.Kind {
	case vmm.ExitSyscall, vmm.ExitPort, vmm.ExitDoorbell:
		c.instructions++
		c.rip = b.va + uint64(o.next)
	case vmm.ExitException:
		if c.exit.Vector == x86.Breakpoint {
			c.instructions++
			c.rip = b.va + uint64(o.next)
		}
	case vmm.ExitUnsupported:
		c.exit.Bytes = c.bytesAt(c.rip)
	}
}

// executed counts the instructions before step n.
func executed(b *block, n int) (count uint64) {
	for i := range b.ops[:n] {
		if i == 0 || b.ops[i].off != b.ops[i-1].off {
			count++
		}
	}
	return count
}

// refuse has the exit for an instruction that isn't decoded.
func (c *VCPU) refuse(b *block) {
	if errors.Is(b.exit, errBreakpoint) {
		c.exit = vmm.Exit{Kind: vmm.ExitBreakpoint}
		return
	}
	if errors.Is(b.exit, x86.ErrUnsupported) {
		c.exit = vmm.Exit{Kind: vmm.ExitUnsupported, Bytes: c.bytesAt(b.va)}
		return
	}
	c.raise(x86.InvalidOpcode)
}

//go:build linux && amd64

package kvm

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/internal/cputime"
	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// userFlags are those that user mode can change by POPF; a guest never gets others, for with IOPL it would have all ports.
const (
	userFlags    = x86.Arithmetic | x86.DF | x86.AC | x86.ID | x86.TF
	visibleFlags = userFlags | x86.Fixed | x86.IF
)

// Run implements vmm.VCPU.
func (c *VCPU) Run(budget vmm.Budget) (vmm.Exit, error) {
	if c.machine.stops != nil || budget.Instructions == 1 {
		return c.runToStops(budget)
	}
	return c.goOn(budget)
}

// goOn is Run without a debugger.
func (c *VCPU) goOn(budget vmm.Budget) (vmm.Exit, error) {
	if exit, done := c.refuse(); done {
		return exit, nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c.thread.Store(int32(unix.Gettid()))
	defer c.thread.Store(0)
	if err := c.enter(); err != nil {
		return vmm.Exit{}, err
	}
	defer c.arrive()
	if budget.CPU > 0 {
		if budget.From == 0 {
			budget.From = cputime.Thread()
		}
		alarm.set(c, budget.CPU)
		defer alarm.clear(c)
	}
	for {
		atomic.StoreUint32(&c.run.request, 0)
		if c.kicked.Swap(false) {
			if exit, done, err := c.interrupted(vmm.ExitKicked); done {
				return exit, err
			}
			c.kicked.Store(true)
		}
		_, err := ioctlNumber(c.fd, runVCPU, 0)
		switch {
		case err == nil:
			return c.exit()
		case !errors.Is(err, unix.EINTR):
			return vmm.Exit{}, fmt.Errorf("KVM_RUN at %#x: %w", c.run.regs.RIP, err)
		case budget.CPU > 0:
			left := budget.CPU + budget.From - cputime.Thread()
			if left <= 0 {
				if exit, done, err := c.interrupted(vmm.ExitSpent); done {
					return exit, err
				}
			}
			alarm.set(c, left)
		}
	}
}

// refuse has the exits of states that the kernel wouldn't take, as the emulator has them.
func (c *VCPU) refuse() (vmm.Exit, bool) {
	switch {
	case c.system.CR3 == 0 && c.system.CR0 == 0:
		return vmm.Exit{Kind: vmm.ExitShutdown}, true
	case !mmu.Canonical(c.run.regs.RIP):
		return vmm.Exit{Kind: vmm.ExitException, Vector: x86.GeneralProtection}, true
	case c.root == nil:
		return c.fetchFault()
	}
	return vmm.Exit{}, false
}

// fetchFault is the exit of a processor that can't fetch the instruction at RIP.
func (c *VCPU) fetchFault() (vmm.Exit, bool) {
	e := vmm.Exit{Kind: vmm.ExitPageFault, Vector: x86.PageFault, Addr: c.run.regs.RIP, Code: uint32(mmu.Execute)}
	t, fault := mmu.Look(view{c.machine}, c.space, e.Addr, mmu.Execute)
	switch {
	case fault != nil:
		e.Code, e.Fault = fault.Code, fault.Cause
	case c.machine.slotAt(t.Addr) == nil:
		e.Fault = phys.ErrOutside
	default:
		return vmm.Exit{}, false
	}
	return e, true
}

// enter makes what the kernel reads when it enters the guest: registers as the caller left them, at CPL 3.
func (c *VCPU) enter() error {
	r := &c.run.regs
	if c.outAt != 0 && r.RIP == c.outAt { // the kernel would go on behind the OUT
		if err := c.complete(); err != nil {
			return err
		}
	}
	c.outAt = 0
	if err := c.forgetTrap(); err != nil {
		return err
	}
	r.RFLAGS = r.RFLAGS&userFlags | x86.Fixed | x86.IF
	if want := uint64(c.machine.base) | mmu.Present | mmu.Write | mmu.User | mmu.Accessed; atomic.LoadUint64(c.root) != want {
		atomic.StoreUint64(c.root, want)
	}
	if c.run.system.cs.selector&3 != 3 {
		c.system.FSBase, c.system.GSBase, c.system.CR2 = c.run.system.fs.base, c.run.system.gs.base, c.run.system.cr2
		c.toUser()
	}
	c.run.dirtyRegs |= syncRegs
	return c.leave()
}

// Kick implements vmm.VCPU.
func (c *VCPU) Kick() {
	c.kicked.Store(true)
	c.interrupt()
}

// interrupt has KVM_RUN return, if the processor is in it or about to be.
func (c *VCPU) interrupt() {
	atomic.StoreUint32(&c.run.request, immediateExit)
	if thread := c.thread.Load(); thread != 0 {
		_ = unix.Tgkill(os.Getpid(), int(thread), unix.SIGURG) // one that is gone needs none
	}
}

// complete has the kernel end what it had to ask us for, without going on in the guest.
func (c *VCPU) complete() error {
	before := c.run.regs
	defer func() {
		c.run.regs = before
		c.run.dirtyRegs |= syncRegs
	}()
	for range completeMax {
		atomic.StoreUint32(&c.run.request, immediateExit)
		_, err := ioctlNumber(c.fd, runVCPU, 0)
		atomic.StoreUint32(&c.run.request, 0)
		if errors.Is(err, unix.EINTR) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("ending an access of the guest: %w", err)
		}
	}
	return errors.New("an access of the guest doesn't end")
}

// completeMax bounds how often one instruction asks: REP MOVS does for each part.
const completeMax = 1 << 16

// interrupted is an exit between two instructions. A fault that the kernel had begun to raise happens again when its instruction does. A trap doesn't, as
// RIP is behind it: when the kernel still has it, it comes out as the guest runs on, and isn't done here. A kernel that emulates ring 0 loses it then, but
// knows its number, which forgetTrap keeps from being an older one's.
func (c *VCPU) interrupted(kind vmm.ExitKind) (e vmm.Exit, done bool, err error) {
	var raised events
	if _, err := ioctl(c.fd, getEvents, unsafe.Pointer(&raised)); err != nil {
		return vmm.Exit{}, true, fmt.Errorf("KVM_GET_VCPU_EVENTS: %w", err)
	}
	under := raised.injected != 0 || raised.pending != 0
	if under && isTrap(raised.number) {
		return vmm.Exit{}, false, nil
	}
	if under {
		raised.injected, raised.pending = 0, 0
		if _, err := ioctl(c.fd, setEvents, unsafe.Pointer(&raised)); err != nil {
			return vmm.Exit{}, true, fmt.Errorf("KVM_SET_VCPU_EVENTS: %w", err)
		}
	}
	c.run.regs.RFLAGS &= visibleFlags
	if exit, done := c.inMonitor(kind); done {
		return exit, true, nil
	}
	if isTrap(raised.number) {
		c.kicked.CompareAndSwap(false, kind == vmm.ExitKicked)
		return c.raised(raised.number, 0), true, nil
	}
	return vmm.Exit{Kind: kind}, true, nil
}

// isTrap says whether an exception is reported behind its instruction (Intel SDM volume 3, table 6-1).
func isTrap(vector uint8) bool {
	return vector == x86.DebugException || vector == x86.Breakpoint || vector == x86.Overflow
}

// forgetTrap has the kernel know none.
func (c *VCPU) forgetTrap() error {
	if !c.trapped {
		return nil
	}
	c.trapped = false
	var e events
	if _, err := ioctl(c.fd, getEvents, unsafe.Pointer(&e)); err != nil {
		return fmt.Errorf("KVM_GET_VCPU_EVENTS: %w", err)
	}
	e.injected, e.pending, e.number = 0, 0, 0
	if _, err := ioctl(c.fd, setEvents, unsafe.Pointer(&e)); err != nil {
		return fmt.Errorf("KVM_SET_VCPU_EVENTS: %w", err)
	}
	return nil
}

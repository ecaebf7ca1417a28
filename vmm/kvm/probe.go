//go:build linux && amd64

package kvm

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/internal/cputime"
	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

const device = "/dev/kvm"

// kept is Keep's descriptor, plus one.
var kept atomic.Int64

// Keep opens /dev/kvm once for all machines, in a process that won't be able to open files any more.
func Keep() error {
	fd, err := openDevice()
	if err == nil {
		kept.Store(int64(fd) + 1)
	}
	return err
}

// openDevice returns /dev/kvm, or an error that says what to do.
func openDevice() (int, error) {
	if fd := kept.Load() - 1; fd >= 0 {
		return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	}
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return -1, fmt.Errorf("%s isn't there: switch virtualization on in the firmware, or ask who runs this virtual machine for nested virtualization, and load the module kvm_intel or kvm_amd", device)
	case errors.Is(err, fs.ErrPermission):
		return -1, fmt.Errorf("%s may not be opened: add the user to the group kvm (usermod -aG kvm USER), or in a container pass the device", device)
	case err != nil:
		return -1, fmt.Errorf("opening %s: %w", device, err)
	}
	return fd, nil
}

// Probe finds out what this host's KVM does, once a process, by running small guests. An error says why there is no KVM to use, and what to do.
var Probe = sync.OnceValues(probe)

func probe() (Host, error) {
	fd, err := openDevice()
	if err != nil {
		return Host{}, err
	}
	defer unix.Close(fd)
	if v, err := ioctlNumber(fd, getAPIVersion, 0); err != nil || v != apiVersion {
		return Host{}, fmt.Errorf("%s has version %d (%v), and %d is needed: use a Linux kernel of 5.10 or later", device, v, err, apiVersion)
	}
	h := Host{}
	for _, need := range []struct {
		number uintptr
		bits   int
		what   string
	}{
		{capSyncRegs, syncRegs | syncSystem, "KVM_CAP_SYNC_REGS"},
		{capImmediateExit, 1, "KVM_CAP_IMMEDIATE_EXIT"},
		{capManualDirtyProtect, 1, "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2"},
		{capReadOnlyMemory, 1, "KVM_CAP_READONLY_MEM"},
	} {
		if n, err := ioctlNumber(fd, checkExtension, need.number); err != nil || n&need.bits != need.bits {
			return Host{}, fmt.Errorf("%s has no %s: use a Linux kernel of 5.10 or later on x86-64", device, need.what)
		}
	}
	if err := h.identify(fd); err != nil {
		return Host{}, err
	}
	for _, step := range []func(*Host) error{probeStub, probeGuest, probeFeatures, probeStale, probeCounter} {
		if err := step(&h); err != nil {
			return Host{}, fmt.Errorf("trying %s: %w", device, err)
		}
	}
	return h, nil
}

// identify reads what the kernel lets guests know of the processor.
func (h *Host) identify(fd int) error {
	h.cpuid = &cpuidTable{count: cpuidEntriesMax}
	if _, err := ioctl(fd, getSupportedCPUID, unsafe.Pointer(h.cpuid)); err != nil {
		return fmt.Errorf("KVM_GET_SUPPORTED_CPUID: %w", err)
	}
	bits := uint32(36)
	for _, e := range h.cpuid.entries[:h.cpuid.count] {
		switch {
		case e.function == 0x80000008:
			bits = e.eax & 0xff
		case e.function == 0xd && e.index == 0:
			h.xcr0 = uint64(e.eax) & xcr0Known
		}
	}
	h.addrEnd = 1 << min(bits, 46)
	return nil
}

// xcr0Known are the states that are saved without asking the kernel for more: x87, SSE, AVX, AVX-512.
const xcr0Known = 0xe7

// tryMachine is a machine with one page of code that is also its data, and its page tables.
type tryMachine struct {
	*Machine
	vcpu    *VCPU
	builder *mmu.Builder
}

const (
	tryVA    = 0x400000
	tryPhys  = 0x20000
	trySize  = 0x40000
	tryOther = tryVA + 0x10000
)

func newTry(h Host, code []byte) (*tryMachine, error) {
	memory := phys.New(phys.Options{})
	if _, err := memory.Add(phys.Spec{Size: trySize}); err != nil {
		return nil, err
	}
	b, err := mmu.NewBuilder(memory, &mmu.Frames{Next: 0x1000, End: tryPhys})
	if err != nil {
		return nil, errors.Join(err, memory.Close())
	}
	err = errors.Join(b.Map(tryVA, tryPhys, phys.PageSize, mmu.User|mmu.Write), memory.WriteAt(code, tryPhys))
	if err != nil {
		return nil, errors.Join(err, memory.Close())
	}
	m, err := newMachine(memory, h)
	if err != nil {
		return nil, errors.Join(err, memory.Close())
	}
	v, err := m.NewVCPU()
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	err = v.SetSystem(x86.System{
		CR0: x86.CR0PE | x86.CR0PG | x86.CR0WP, CR3: uint64(b.Space().Root), CR4: x86.CR4PAE, EFER: x86.EFERLME | x86.EFERLMA | x86.EFERNXE | x86.EFERSCE,
	})
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	c := v.(*VCPU)
	c.run.regs.RIP = tryVA
	return &tryMachine{m, c, b}, nil
}

// tryBudget ends a guest that goes astray.
const tryBudget = 100 * time.Millisecond

func (t *tryMachine) expect(kind vmm.ExitKind) error {
	exit, err := t.vcpu.Run(vmm.Budget{CPU: tryBudget})
	if err == nil && exit.Kind != kind {
		err = fmt.Errorf("a guest of one page ended with %v (%+v) at %#x, not with a %v", exit.Kind, exit, t.vcpu.run.regs.RIP, kind)
	}
	return err
}

// probeStub makes a system call through a stub that programs may execute, and looks where it ran.
func probeStub(h *Host) error {
	t, err := newTry(*h, []byte{0x0f, 0x05})
	if err != nil {
		return err
	}
	defer t.Close()
	if err := t.expect(vmm.ExitSyscall); err != nil {
		return err
	}
	h.Ring0Native = !t.vcpu.user()
	return nil
}

// tryCode shows most of what differs.
var tryCode = []byte{
	0x66, 0xba, 0x11, 0x05, // 0: mov dx, the console's port
	0xee,       // 4: out dx, al
	0x0f, 0xa2, // 5: cpuid
	0x0f, 0x05, // 7: syscall
	0x90,       // 9: nop
	0x0f, 0x05, // 10: syscall
	0xeb, 0xfc, // 12: again
}

// marked is what CPUID is told to say of the vendor.
const marked = 0x57686572

// costRounds is how many exits are measured.
const costRounds = 50

// probeGuest runs tryCode: where RIP is after OUT, whether CPUID says what it was told, whether a single step ends, and what an exit costs.
func probeGuest(h *Host) error {
	told := *h.cpuid
	for i := range told.entries[:told.count] {
		if e := &told.entries[i]; e.function == 0 {
			e.ebx = marked
		}
	}
	with := *h
	with.cpuid = &told
	t, err := newTry(with, tryCode)
	if err != nil {
		return err
	}
	defer t.Close()
	c, r := t.vcpu, &t.vcpu.run.regs
	if err := c.enter(); err != nil {
		return err
	}
	if err := c.untilExit(); err != nil {
		return err
	}
	if c.run.exitReason != exitIO || r.RIP < tryVA+4 || r.RIP > tryVA+5 {
		return fmt.Errorf("OUT to a port that the permission bitmap allows ended with reason %d at %#x", c.run.exitReason, r.RIP)
	}
	h.RIPAtPort = r.RIP == tryVA+4
	*r = x86.Regs{RIP: tryVA + 5}
	if err := t.expect(vmm.ExitSyscall); err != nil {
		return err
	}
	h.CPUIDTrapped = uint32(r.RBX) == marked
	r.RFLAGS |= x86.TF
	exit, err := c.Run(vmm.Budget{CPU: tryBudget})
	if err != nil {
		return err
	}
	h.Debug = exit.Kind == vmm.ExitDebug && r.RIP == tryVA+10
	*r = x86.Regs{RIP: tryVA + 9}
	return h.measureExit(t)
}

func (h *Host) measureExit(t *tryMachine) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h.ExitCost = time.Hour
	for range 3 { // the best of some, for others use the machine, too
		began := cputime.Thread()
		for range costRounds {
			if err := t.expect(vmm.ExitSyscall); err != nil {
				return err
			}
		}
		h.ExitCost = min(h.ExitCost, (cputime.Thread()-began)/costRounds)
	}
	return nil
}

// untilExit enters the guest until something happens, and leaves that as the kernel tells it.
func (c *VCPU) untilExit() error {
	for range costRounds {
		_, err := ioctlNumber(c.fd, runVCPU, 0)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return errors.New("a guest of one page was interrupted each time")
}

// probeStale changes a mapping from one page to another, then the segment registers and CR3 (which flushes a real processor's translations), and looks which
// page the guest reads: where it is the old one, the kernel keeps tables of its own (shadow paging). Then it tries how to make it forget.
func probeStale(h *Host) error {
	t, err := newTry(*h, []byte{
		0x48, 0x8b, 0x03, // 0: mov rax, [rbx]
		0x0f, 0x05, // 3: syscall
	})
	if err != nil {
		return err
	}
	defer t.Close()
	const old, other = tryPhys + 0x10000, tryPhys + 0x11000
	c, r := t.vcpu, &t.vcpu.run.regs
	if err := errors.Join(t.memory.SetUint64(old, 1), t.memory.SetUint64(other, 2)); err != nil {
		return err
	}
	look := func(at phys.Addr) (uint64, error) {
		if at != 0 {
			if err := t.builder.Map(tryOther, at, phys.PageSize, mmu.User); err != nil {
				return 0, err
			}
		}
		*r = x86.Regs{RIP: tryVA, RBX: tryOther}
		if err := t.expect(vmm.ExitSyscall); err != nil {
			return 0, err
		}
		return r.RAX, nil
	}
	if v, err := look(old); err != nil || v != 1 {
		return fmt.Errorf("a guest reads %d where 1 is: %w", v, err)
	}
	v, err := look(other)
	if err != nil {
		return err
	}
	h.StaleEntries = v == 1
	system, _ := c.System()
	system.CR3 ^= 1 << 3 // PWT, which chooses nothing here: another value is a switch
	if err := c.SetSystem(system); err != nil {
		return err
	}
	if v, err = look(0); err != nil {
		return err
	}
	h.ShadowPaging = v == 1
	if err := t.Flush(old, phys.PageSize); err != nil {
		return err
	}
	if v, err = look(0); err != nil {
		return err
	}
	h.FlushAll = v == 1
	if h.FlushAll {
		if err := t.flushAll(); err != nil {
			return err
		}
		if v, err = look(0); err != nil || v == 1 {
			return fmt.Errorf("changed page tables stay unseen: %w", err)
		}
	}
	return nil
}

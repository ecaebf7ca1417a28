//go:build linux && amd64

package kvm

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/phys"
)

// vcpusMax bounds a machine's virtual processors. Each has a page of the monitor's, and all of them one page table.
const vcpusMax = 256

// Machine is a virtual machine of the kernel's.
type Machine struct {
	memory  *phys.Memory
	host    Host
	fd      int
	runSize int
	base    phys.Addr // of the monitor's pages
	monitor []byte
	spare   []byte // one page, mapped and unmapped to flush
	slots   []*kvmSlot
	vcpus   []*VCPU
	shape   uint64 // phys.Memory.Reshaped, at the last flush
	holding bool   // hold is at work, and pages that go are in gone
	gone    []phys.Addr

	stops *vmm.Stops // of a debugger; nil without
}

var (
	_ vmm.Machine = (*Machine)(nil)
	_ vmm.Stopper = (*Machine)(nil)
	_ vmm.VCPU    = (*VCPU)(nil)
)

// New makes a machine with memory, which it owns from now on. It fails where Probe does.
func New(memory *phys.Memory) (vmm.Machine, error) {
	host, err := Probe()
	if err != nil {
		return nil, err
	}
	return newMachine(memory, host)
}

func newMachine(memory *phys.Memory, host Host) (*Machine, error) {
	dev, err := openDevice()
	if err != nil {
		return nil, err
	}
	defer unix.Close(dev)
	m := &Machine{memory: memory, host: host, fd: -1, base: host.addrEnd - monitorPages<<phys.PageShift}
	for {
		// A signal to this thread, of which Go's scheduler has many, interrupts it.
		if m.fd, err = ioctlNumber(dev, createVM, 0); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("making a virtual machine: %w", err)
	}
	unix.CloseOnExec(m.fd)
	if err := m.init(dev); err != nil {
		return nil, errors.Join(err, m.free())
	}
	memory.HoldLater()
	memory.OnEvict(m.evicted)
	return m, nil
}

func (m *Machine) init(dev int) (err error) {
	if m.runSize, err = ioctlNumber(dev, getRunSize, 0); err != nil {
		return fmt.Errorf("asking for the size of kvm_run: %w", err)
	}
	manual := capability{number: capManualDirtyProtect, args: [4]uint64{1}}
	if _, err := ioctl(m.fd, enableCap, unsafe.Pointer(&manual)); err != nil {
		return fmt.Errorf("having written pages logged: %w", err)
	}
	if m.monitor, err = newMonitor(m.base, !m.host.Ring0Native); err != nil {
		return err
	}
	if m.spare, err = unix.Mmap(-1, 0, phys.PageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS); err != nil {
		return fmt.Errorf("memory for the monitor's pages: %w", err)
	}
	if err := m.setRegion(slotMonitor, 0, m.base, m.monitor); err != nil {
		return err
	}
	return m.addSlots()
}

// Phys implements vmm.Machine.
func (m *Machine) Phys() *phys.Memory { return m.memory }

// Caps implements vmm.Machine.
func (m *Machine) Caps() vmm.Caps {
	h := m.host
	return vmm.Caps{
		Name: "kvm", Parallel: true, Ring0Native: h.Ring0Native, ShadowPaging: h.ShadowPaging, CPUIDTrapped: h.CPUIDTrapped, Debug: h.Debug, ExitCost: h.ExitCost,
		HostCounter: h.HostCounter,
	}
}

// Close implements vmm.Machine.
func (m *Machine) Close() error { return errors.Join(m.free(), m.memory.Close()) }

func (m *Machine) free() error {
	var errs []error
	for _, c := range m.vcpus {
		errs = append(errs, c.free())
	}
	errs = append(errs, unix.Close(m.fd))
	for _, p := range [][]byte{m.monitor, m.spare} {
		if p != nil {
			errs = append(errs, unix.Munmap(p))
		}
	}
	m.vcpus, m.slots, m.monitor, m.spare = nil, nil, nil, nil
	return errors.Join(errs...)
}

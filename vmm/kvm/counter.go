//go:build linux && amd64

package kvm

import (
	"unsafe"

	"github.com/wherry/wherry/internal/tsc"
	"github.com/wherry/wherry/vmm"
)

// counterOffset is struct kvm_device_attr, for what a processor's time-stamp counter is more than the host's (Documentation/virt/kvm/devices/vcpu.rst,
// KVM_VCPU_TSC_CTRL).
type counterOffset struct {
	flags, group uint32
	attribute    uint64
	value        *uint64
}

// showCounter has c's guest read the host's time-stamp counter, where the kernel lets us choose. Else it may do so anyway, or not: probeCounter finds out.
func (c *VCPU) showCounter() {
	a := counterOffset{value: new(uint64)}
	_, _ = ioctl(c.fd, setDeviceAttr, unsafe.Pointer(&a))
}

// counterRounds is how often the counter is read.
const counterRounds = 5

// probeCounter has a guest read the time-stamp counter between two readings of the host's: if it's the host's own, it is between them each time. One that
// has an offset or another rate can't be related to the host's to less than an exit, which is too long for a clock.
func probeCounter(h *Host) error {
	if !tsc.Steady() {
		return nil
	}
	t, err := newTry(*h, []byte{
		0x0f, 0x31, // 0: rdtsc
		0x0f, 0x05, // 2: syscall
		0xeb, 0xfa, // 4: again
	})
	if err != nil {
		return err
	}
	defer t.Close()
	r := &t.vcpu.run.regs
	for range counterRounds {
		before := tsc.Read()
		if err := t.expect(vmm.ExitSyscall); err != nil {
			return err
		}
		if guests := r.RDX<<32 | r.RAX; guests < before || guests > tsc.Read() {
			return nil
		}
	}
	h.HostCounter = true
	return nil
}

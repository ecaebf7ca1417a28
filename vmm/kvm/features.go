//go:build linux && amd64

package kvm

import (
	"fmt"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/x86"
)

// flagIndex says that an entry is for one value of ECX.
const flagIndex = 1

// featureLeaves are those by which programs choose instructions, and the one of extended states, up to AVX-512's.
var featureLeaves = []struct{ leaf, subs uint32 }{{1, 0}, {7, 2}, {0xd, 8}}

// probeFeatures is for hosts on which CPUID isn't trapped: programs use what the processor says that it has, whatever the kernel was told. So the kernel is
// told the same, else it wouldn't save and restore all of a program's registers (SetExtended), and what one leaves in them the next could read.
func probeFeatures(h *Host) error {
	if h.CPUIDTrapped {
		return nil
	}
	seen, err := h.asSeen()
	if err != nil {
		return err
	}
	t, err := newTry(seen, []byte{0x0f, 0x05})
	if err != nil {
		return fmt.Errorf("telling the kernel what programs see: %w", err)
	}
	defer t.Close()
	if err := t.expect(vmm.ExitSyscall); err != nil {
		return err
	}
	*h = seen
	return nil
}

// asSeen is h with the features that a guest sees.
func (h *Host) asSeen() (Host, error) {
	t, err := newTry(*h, []byte{
		0x0f, 0xa2, // cpuid
		0x48, 0x89, 0xce, // mov rsi, rcx
		0x0f, 0x05,
	})
	if err != nil {
		return Host{}, err
	}
	defer t.Close()
	seen := *h
	table := *h.cpuid
	seen.cpuid = &table
	for _, f := range featureLeaves {
		for sub := range max(f.subs, 1) {
			r := t.vcpu.Regs()
			*r = x86.Regs{RIP: tryVA, RAX: uint64(f.leaf), RCX: uint64(sub)}
			if err := t.expect(vmm.ExitSyscall); err != nil {
				return Host{}, err
			}
			e := cpuidEntry{function: f.leaf, index: sub, eax: uint32(r.RAX), ebx: uint32(r.RBX), ecx: uint32(r.RSI), edx: uint32(r.RDX)}
			if f.subs > 0 {
				e.flags = flagIndex
			}
			if f.leaf == 0xd && sub == 0 {
				seen.xcr0 = uint64(e.eax) & xcr0Known
				e.eax, e.edx = uint32(seen.xcr0), 0
			}
			if err := table.set(e); err != nil {
				return Host{}, err
			}
		}
	}
	return seen, nil
}

// set replaces the entry of e's leaf, or adds it.
func (t *cpuidTable) set(e cpuidEntry) error {
	for i := range t.entries[:t.count] {
		if old := &t.entries[i]; old.function == e.function && old.index == e.index {
			*old = e
			return nil
		}
	}
	if t.count == cpuidEntriesMax {
		return fmt.Errorf("KVM_GET_SUPPORTED_CPUID has %d leaves, and there is no place for more", t.count)
	}
	t.entries[t.count] = e
	t.count++
	return nil
}

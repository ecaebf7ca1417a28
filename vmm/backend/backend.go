package backend

import (
	"fmt"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/emu"
	"github.com/wherry/wherry/vmm/kvm"
	"github.com/wherry/wherry/vmm/phys"
)

// Kind is which machine is wanted.
type Kind string

// The kinds.
const (
	Auto     Kind = "auto"     // KVM if it can be used, else the emulator
	KVM      Kind = "kvm"      // or an error that says why not
	Emulator Kind = "emulator" // which runs everywhere, and the same each time
)

// ParseKind returns the kind of a name. The empty one is auto.
func ParseKind(s string) (Kind, error) {
	switch k := Kind(s); k {
	case Auto, KVM, Emulator:
		return k, nil
	case "":
		return Auto, nil
	}
	return "", fmt.Errorf("a machine of kind %q: use auto, kvm or emulator", s)
}

// New makes a machine with memory, which it owns from now on. After an error memory is still the caller's.
func New(kind Kind, memory *phys.Memory) (vmm.Machine, error) {
	kind, err := ParseKind(string(kind))
	if err != nil {
		return nil, err
	}
	if kind == Auto {
		kind = Find().Used
	}
	if kind == KVM {
		return kvm.New(memory)
	}
	return emu.New(memory), nil
}

// Host is what this host offers to machines.
type Host struct {
	Used   Kind   `json:"used"`             // what auto means here
	Why    string `json:"why"`              // and why
	KVM    bool   `json:"kvm"`              // can be used
	WhyNot string `json:"whyNot,omitempty"` // why it can't, and what to do
	// What KVM does, if it can be used.
	Details *Details `json:"details,omitempty"`
}

// Details is what differs between hosts with KVM.
type Details struct {
	Ring0            string  `json:"ring0"`            // native or interpreted
	PageTables       string  `json:"pageTables"`       // nested (the processor's) or shadow (the kernel's)
	StaleEntries     bool    `json:"staleEntries"`     // a changed page-table entry needs a flush
	Flush            string  `json:"flush"`            // by page or everything
	CPUIDTrapped     bool    `json:"cpuidTrapped"`     // programs see the features they are told
	SingleSteps      bool    `json:"singleSteps"`      // end with a debug exit
	HostCounter      bool    `json:"hostCounter"`      // programs read the host's time-stamp counter, and so the time without an exit
	DirtyLog         string  `json:"dirtyLog"`         // how written pages are known
	AddressBits      int     `json:"addressBits"`      // of guest-physical memory
	ExtendedStates   string  `json:"extendedStates"`   // XCR0
	ExitMicroseconds float64 `json:"exitMicroseconds"` // CPU time of a system call's way to us and back
}

// Settle finds what this host offers, and keeps what machines are made with: for a process that won't be able to open files any more.
func Settle() Host {
	_ = kvm.Keep() // Find says why not
	return Find()
}

// Find returns what this host offers.
func Find() Host {
	h, err := kvm.Probe()
	if err != nil {
		return Host{Used: Emulator, Why: "KVM can't be used", WhyNot: err.Error()}
	}
	d := &Details{
		Ring0: "interpreted", PageTables: "nested", StaleEntries: h.StaleEntries, Flush: "by page", CPUIDTrapped: h.CPUIDTrapped, SingleSteps: h.Debug, HostCounter: h.HostCounter,
		DirtyLog: "manual protection", AddressBits: h.AddressBits(), ExtendedStates: fmt.Sprintf("%#x", h.States()),
		ExitMicroseconds: float64(h.ExitCost.Nanoseconds()) / 1000,
	}
	if h.Ring0Native {
		d.Ring0 = "native"
	}
	if h.ShadowPaging {
		d.PageTables = "shadow"
	}
	if h.FlushAll {
		d.Flush = "everything"
	}
	return Host{Used: KVM, Why: "KVM can be used, and runs programs at the processor's own speed", KVM: true, Details: d}
}

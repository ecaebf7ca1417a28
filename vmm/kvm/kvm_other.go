//go:build !linux || !amd64

package kvm

import (
	"errors"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/phys"
)

var errNotHere = errors.New("KVM is used on Linux on x86-64; the emulator runs everywhere")

type cpuidTable struct{}

// Probe fails: there is no KVM.
func Probe() (Host, error) { return Host{}, errNotHere }

// New fails: there is no KVM.
func New(*phys.Memory) (vmm.Machine, error) { return nil, errNotHere }

// Keep fails: there is no KVM.
func Keep() error { return errNotHere }

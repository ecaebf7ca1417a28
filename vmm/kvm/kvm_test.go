//go:build linux && amd64

package kvm

import (
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/vmmtest"
)

func TestProbe(t *testing.T) {
	h, err := probe()
	h.cpuid = nil
	t.Logf("%+v %v", h, err)
}

func open(t testing.TB, memory *phys.Memory) vmm.Machine {
	t.Helper()
	m, err := New(memory)
	if err != nil {
		t.Skip(err)
	}
	return m
}

func TestContract(t *testing.T) { vmmtest.Test(t, open) }

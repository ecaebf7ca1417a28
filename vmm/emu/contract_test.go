package emu

import (
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/vmmtest"
)

func TestContract(t *testing.T) {
	vmmtest.Test(t, func(_ testing.TB, memory *phys.Memory) vmm.Machine { return New(memory) })
}

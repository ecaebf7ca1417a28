package emu

import (
	"os"
	"os/exec"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/emu/code"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// Where tests put things: at the same virtual addresses natively and in a guest.
const (
	codeAt    = 0x1000000000
	dataAt    = 0x1000010000
	dataPages = 4
	codePages = 2
	codePhys  = 0x200000
	dataPhys  = 0x210000
)

// interpretEnv has all guests of tests interpreted.
const interpretEnv = "WHERRY_EMU_INTERPRET"

// TestInterpreted runs the tests once more, without translation. Those that compare it with interpreting, or are about it, have done so.
func TestInterpreted(t *testing.T) {
	if os.Getenv(interpretEnv) != "" || !code.Possible {
		t.Skip("they are interpreted already")
	}
	cmd := exec.Command(os.Args[0], "-test.count=1", "-test.skip=^Test(Translated|Loads|Signals|Jumps|Code.*Memory|Host)")
	cmd.Env = append(os.Environ(), interpretEnv+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// newGuest makes a machine with code at codeAt, and data behind it.
func newGuest(t testing.TB, code []byte, options phys.Options) (*Machine, *VCPU) {
	t.Helper()
	memory := phys.New(options)
	t.Cleanup(func() { _ = memory.Close() })
	b := newTables(t, memory)
	if err := b.Map(codeAt, codePhys, codePages*phys.PageSize, mmu.User|mmu.Write); err != nil {
		t.Fatal(err)
	}
	if err := b.Map(dataAt, dataPhys, dataPages*phys.PageSize, mmu.User|mmu.Write|mmu.NoExec); err != nil {
		t.Fatal(err)
	}
	return newProcessor(t, memory, b, code)
}

// newTables gives memory a slot, and page tables in it.
func newTables(t testing.TB, memory *phys.Memory) *mmu.Builder {
	t.Helper()
	if _, err := memory.Add(phys.Spec{Size: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	b, err := mmu.NewBuilder(memory, &mmu.Frames{Next: 0x100000, End: 0x110000})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newProcessor makes a machine of memory, with code where codeAt is mapped to.
func newProcessor(t testing.TB, memory *phys.Memory, b *mmu.Builder, code []byte) (*Machine, *VCPU) {
	t.Helper()
	if err := memory.WriteAt(code, codePhys); err != nil {
		t.Fatal(err)
	}
	m := New(memory)
	m.store.after = 0 // all blocks are translated at once
	t.Cleanup(func() { _ = m.store.Close() })
	if os.Getenv(interpretEnv) != "" {
		m.Interpret()
	}
	v, err := m.NewVCPU()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.SetSystem(x86.System{
		CR0: x86.CR0PE | x86.CR0PG | x86.CR0WP, CR3: uint64(b.Space().Root), CR4: x86.CR4PAE, EFER: x86.EFERLME | x86.EFERLMA | x86.EFERNXE | x86.EFERSCE,
	}); err != nil {
		t.Fatal(err)
	}
	c := v.(*VCPU)
	c.regs.RIP = codeAt
	c.regs.RSP = dataAt + 0x1000
	return m, c
}

func run(t testing.TB, c *VCPU, instructions uint64) vmm.Exit {
	t.Helper()
	exit, err := c.Run(vmm.Budget{Instructions: instructions})
	if err != nil {
		t.Fatal(err)
	}
	return exit
}

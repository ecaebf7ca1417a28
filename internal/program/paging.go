package program

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/backend"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/phys"
)

// Paging is what a machine keeps of its program's memory in the host's, and where the rest goes.
type Paging struct {
	Resident int64  // bytes that may be in memory at once; 0 is no limit
	Swap     string // the directory of a file for written pages that have to go, which has no name; "auto" is the host's for temporary files, "" is none
}

// SwapAuto is the Paging.Swap that needs no directory.
const SwapAuto = "auto"

var errSwapKVM = errors.New("--swap: on KVM written pages stay in memory; take --machine emulator, or no --swap")

// pages is the budget; page tables count.
func (p Paging) pages() int { return int(min(p.Resident/phys.PageSize, 1<<32)) }

// bound has memory keep to p. Its swap file is closed with it.
func (p Paging) bound(memory *phys.Memory) error {
	if p.Resident == 0 {
		return nil
	}
	o := phys.Options{BudgetPages: p.pages()}
	if p.Swap != "" {
		dir := p.Swap
		if dir == SwapAuto {
			dir = ""
		}
		f, err := os.CreateTemp(dir, "wherry-swap-*")
		if err != nil {
			return fmt.Errorf("--swap: %w", err)
		}
		if err := os.Remove(f.Name()); err != nil { // it lives as long as it is open
			return fmt.Errorf("--swap: %w", errors.Join(err, f.Close()))
		}
		o.Swap = f
	}
	memory.Bound(o)
	return nil
}

// machine makes one of kind with a bounded memory. After an error memory is still the caller's.
func (p Paging) machine(kind backend.Kind, memory *phys.Memory) (vmm.Machine, error) {
	if kind == backend.Auto {
		kind = backend.Find().Used
	}
	if kind == backend.KVM && p.Swap != "" {
		return nil, errSwapKVM
	}
	if err := p.bound(memory); err != nil {
		return nil, err
	}
	return backend.New(kind, memory)
}

// hold has a machine keep to its budget now, where it couldn't while it ran, and says how the program ends if it can't.
func hold(m vmm.Machine, stop linux.Stop) (linux.Stop, error) {
	err := m.CollectDirty()
	if errors.Is(err, phys.ErrBudget) {
		return linux.Stop{Kind: linux.LimitPassed, Limit: linux.Resident}, nil
	}
	return stop, err
}

// Replaced is what became of a machine's pages since it was made.
type Replaced struct {
	Resident      int    `json:"resident"`
	ResidentMax   int    `json:"resident_max"`
	Loads         uint64 `json:"loads"` // made resident
	Clean         uint64 `json:"replaced_clean"`
	SwappedOut    uint64 `json:"swapped_out"`
	SwappedIn     uint64 `json:"swapped_in"`
	SecondChances uint64 `json:"second_chances"` // were to go, and had been used
}

func replaced(m vmm.Machine) Replaced {
	n := m.Phys().Metrics()
	return Replaced{n.Resident, n.ResidentMax, n.Loads, n.ReplacedClean, n.SwappedOut, n.SwappedIn, n.SecondChances}
}

// print writes r as a trace ends with it.
func (r Replaced) print(w io.Writer) {
	fmt.Fprintf(w, "--- pages: %d resident, %d at most; %d loaded, %d clean ones replaced, %d swapped out, %d in, %d second chances ---\n",
		r.Resident, r.ResidentMax, r.Loads, r.Clean, r.SwappedOut, r.SwappedIn, r.SecondChances)
}

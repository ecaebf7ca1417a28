package code

import (
	"sync"

	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
)

// Store is a machine's translated code, and where jumps in it lead. It lives as long as the machine; the code until its memory is full.
type Store struct {
	*Emitter
	NewMemory func() (*Memory, error) // of this package, or another one in tests
	Memory    *Memory                 // nil before the first translation
	Number    uint32                  // of the present memory
	Enter     uint64                  // the door
	Jumps     *[JumpsSize]Jump
	Doubt     bool // whether jumps and links hold
	leave     uint64
	links     []Way
	space     mmu.Space            // for which they hold
	pages     map[uint64]phys.Addr // what they lead to: by virtual page
	tables    map[phys.Addr]bool   // which pages say so: others may come back from the image without doubt
}

// Full reports whether code has to Begin anew.
func (k *Store) Full() bool { return k.Memory == nil || k.Memory.Full() }

// Begin drops all code and makes new memory for it: what was executed at an address isn't replaced.
func (k *Store) Begin() error {
	k.Number++ // first: no block has code any more
	if err := k.drop(); err != nil {
		return err
	}
	memory, err := k.NewMemory()
	if err != nil {
		return err
	}
	k.Memory = memory
	if k.Jumps == nil {
		k.Jumps = spareJumps.Get().(*[JumpsSize]Jump)
		k.pages, k.tables = map[uint64]phys.Addr{}, map[phys.Addr]bool{}
	}
	k.links = k.links[:0]
	k.forgetJumps()
	k.Enter, _ = memory.Places()
	k.leave = k.Enter + uint64(k.Doors(k.Enter))
	return memory.Put(k.Bytes())
}

// spareJumps are tables of machines that are gone: it would be much for the collector, with each machine that is started.
var spareJumps = sync.Pool{New: func() any { return new([JumpsSize]Jump) }}

// Close gives everything back.
func (k *Store) Close() error {
	if k.Jumps != nil {
		spareJumps.Put(k.Jumps)
		k.Jumps = nil
	}
	return k.drop()
}

// drop gives the memory back.
func (k *Store) drop() error {
	if k.Memory == nil {
		return nil
	}
	err := k.Memory.Free()
	k.Memory = nil
	return err
}

// Translate makes b's code and returns where it is.
func (k *Store) Translate(b *Block) (at uint64, err error) {
	here, there := k.Memory.Places()
	if err := k.Emitter.Translate(b, here, there, k.leave); err != nil {
		return 0, err
	}
	return here, k.Memory.Put(k.Bytes())
}

func (k *Store) forgetJumps() {
	clear(k.pages)
	clear(k.tables)
	for i := range k.Jumps {
		k.Jumps[i] = Jump{VA: uint64(i) ^ 1} // an address whose entry is another one
	}
}

// Unlink forgets where jumps lead: addresses may mean something else now.
func (k *Store) Unlink() {
	if len(k.pages) == 0 {
		return
	}
	for _, l := range k.links {
		k.Memory.SetJump(l.End, l.Stub)
	}
	k.Memory.Flush()
	k.links = k.links[:0]
	k.forgetJumps()
}

// Link has a jump lead to code.
func (k *Store) Link(l Way, to uint64) {
	k.Memory.SetJump(l.End, to)
	k.Memory.Flush()
	k.links = append(k.links, l)
}

// SaysWhere reports whether a page is a table that says where jumps lead.
func (k *Store) SaysWhere(page phys.Addr) bool { return k.tables[page] }

// Leads reports whether the page at va is at pa, for jumps to lead to it, and notes what says so.
func (k *Store) Leads(m *phys.Memory, s mmu.Space, va uint64, pa phys.Addr) bool {
	if at, noted := k.pages[va]; noted && at == pa {
		return true
	}
	return k.trace(m, s, va, pa)
}

func (k *Store) trace(m *phys.Memory, s mmu.Space, va uint64, pa phys.Addr) bool {
	t, tables, fault := mmu.Trace(m, s, va, mmu.Execute)
	if fault != nil || t.Addr != pa {
		return false
	}
	k.pages[va] = pa
	for _, at := range tables {
		k.tables[at] = true
	}
	return true
}

// Settle sees to it that jumps from block to block lead where they shall, after addresses may have changed their meaning. Under a memory budget it doesn't
// look, for that loads pages.
func (k *Store) Settle(m *phys.Memory, s mmu.Space) {
	if s != k.space {
		k.space, k.Doubt = s, true
	}
	if !k.Doubt {
		return
	}
	k.Doubt = false
	for va, pa := range k.pages {
		if m.Budgeted() || !k.trace(m, s, va, pa) {
			k.Unlink()
			return
		}
	}
}

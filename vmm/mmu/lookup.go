package mmu

import (
	"errors"

	"github.com/wherry/wherry/vmm/phys"
)

// Software are the bits of an entry that processors leave to whoever makes the tables.
const Software = 7 << 9

// OpenBuilder goes on with tables that a Builder made, perhaps in another machine whose memory this one began with.
func OpenBuilder(m *phys.Memory, frames *Frames, root phys.Addr) *Builder {
	return &Builder{m, frames, root}
}

// Page is what the last level says of a virtual page of 4 KiB.
type Page struct {
	At    phys.Addr // where the entry is
	Entry uint64    // 0 if nothing is mapped
}

// Frame is the page's memory.
func (p Page) Frame() phys.Addr { return phys.Addr(p.Entry & frameMask) }

// Lookup returns what is mapped at va, whatever it allows. A part of a large page has no entry of its own, and is an error.
func (b *Builder) Lookup(va uint64) (Page, error) {
	at, err := b.entry(va, 3, false)
	if err != nil || at == 0 {
		if errors.Is(err, errLarge) {
			return Page{}, errors.New("a large page has no entry for each of its pages")
		}
		return Page{}, err
	}
	e, err := b.memory.Uint64(at)
	if err != nil || e&Present == 0 {
		return Page{}, err
	}
	return Page{at, e}, nil
}

// Next is the lowest address from va on that a last-level table may cover: where Lookup finds no entry for want of tables, what follows is skipped.
func (b *Builder) Next(va uint64) (uint64, error) {
	for va < userEnd {
		table := b.root
		missing := uint64(0) // what the absent entry covers
		for level := range 3 {
			shift := 39 - 9*level
			e, err := b.memory.Uint64(table + phys.Addr(va>>shift&511)*8)
			if err != nil {
				return 0, err
			}
			if e&Present == 0 {
				missing = 1 << shift
				break
			}
			table = phys.Addr(e & frameMask)
		}
		if missing == 0 {
			return va, nil
		}
		va = (va + missing) &^ (missing - 1)
	}
	return userEnd, nil
}

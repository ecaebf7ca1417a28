package emu

import (
	"errors"

	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

const (
	placesSize = 4096
	// blocksMax bounds the blocks that are kept; above it all are dropped.
	blocksMax = 1 << 15
	// blockInstructionsMax bounds a block: also how late a Kick is seen.
	blockInstructionsMax = 64
)

// blocks keeps predecoded code. places finds by virtual address and is forgotten with the translations; kept finds by both addresses.
type blocks struct {
	places [placesSize]*block
	kept   map[place]*block
}

// place is where code lies: its steps have virtual addresses in them.
type place struct {
	pa phys.Addr
	va uint64
}

func (k *blocks) init() { k.kept = map[place]*block{} }

// at returns the block at va, or nil if it has to be found.
func (k *blocks) at(va uint64) *block {
	if b := k.places[placeOf(va)]; b != nil && b.va == va && b.fresh() {
		return b
	}
	return nil
}

// placeOf mixes the page's number in: functions begin at like offsets.
func placeOf(va uint64) uint64 { return (va ^ va>>12*37) % placesSize }

func (k *blocks) forgetPlaces() { clear(k.places[:]) }

// find returns the block at RIP with at most so many instructions, or nil after a fault. Shorter ones than there could be aren't kept.
func (c *VCPU) find(most uint64) *block {
	t, fault := mmu.Walk(c.memory, c.space, c.rip, mmu.Execute)
	if fault != nil {
		c.fault(fault)
		return nil
	}
	key := place{t.Addr, c.rip}
	k := &c.blocks
	if b := k.kept[key]; b != nil && b.fresh() && b.count <= most {
		k.places[placeOf(c.rip)] = b
		return b
	}
	b := c.decode(c.rip, t.Addr, int(min(most, blockInstructionsMax)))
	if b != nil && most >= blockInstructionsMax {
		if len(k.kept) >= blocksMax {
			clear(k.kept)
			k.forgetPlaces()
		}
		k.kept[key] = b
		k.places[placeOf(c.rip)] = b
	}
	return b
}

// decode makes the block at va, which lies at pa. It ends at the end of the page; an instruction that goes over it is a block of its own.
// It returns nil after a fault, of the first instruction alone.
func (c *VCPU) decode(va uint64, pa phys.Addr, most int) *block {
	slot, index, err := c.memory.Locate(pa)
	if err != nil {
		c.fault(&mmu.Fault{Addr: va, Code: uint32(mmu.Execute), Cause: err})
		return nil
	}
	page, err := c.memory.Page(pa, false)
	if err != nil {
		c.fault(&mmu.Fault{Addr: va, Code: uint32(mmu.Execute), Cause: err})
		return nil
	}
	b := &block{va: va, end: va}
	b.gens = [2]*uint32{slot.Code(index), slot.Code(index)}
	c.machine.forgetWriting(page)
	t := translator{ops: make([]op, 0, 16)}
	code := page[pa&offMask:]
	for int(b.count) < most {
		in, err := x86.Decode(code[b.end-va:])
		if errors.Is(err, x86.ErrShort) {
			if b.count > 0 {
				break // the next block begins with it
			}
			if in, err = c.straddling(b, code); b.exit == nil && errors.Is(err, x86.ErrShort) {
				return nil
			}
			most = 1
		}
		if err != nil {
			b.exit = err
			break
		}
		ends := t.inst(in, b.end, uint16(b.end-va))
		b.end += uint64(in.Len)
		b.count++
		if ends {
			break
		}
	}
	b.ops = t.ops
	b.written = [2]uint32{*b.gens[0], *b.gens[1]}
	return b
}

// straddling decodes an instruction whose bytes go on in the next page. ErrShort says that they can't be fetched: the fault is in c.exit.
func (c *VCPU) straddling(b *block, code []byte) (x86.Inst, error) {
	next := b.va + uint64(len(code))
	t, fault := mmu.Walk(c.memory, c.space, next, mmu.Execute)
	if fault != nil {
		c.fault(fault)
		return x86.Inst{}, x86.ErrShort
	}
	whole := append([]byte(nil), code...) // before the page is loaded, for which this one may go
	page, err := c.memory.Page(t.Addr, false)
	if err != nil {
		c.fault(&mmu.Fault{Addr: next, Code: uint32(mmu.Execute), Cause: err})
		return x86.Inst{}, x86.ErrShort
	}
	if slot, index, err := c.memory.Locate(t.Addr); err == nil {
		b.gens[1] = slot.Code(index)
	}
	c.machine.forgetWriting(page)
	return x86.Decode(append(whole, page[:x86.InstMax]...))
}

// bytesAt returns what can be read of an instruction at va.
func (c *VCPU) bytesAt(va uint64) []byte {
	for n := x86.InstMax; n > 0; n-- {
		p := make([]byte, n)
		if mmu.ReadVirtual(c.memory, c.space, va, p) == nil {
			return p
		}
	}
	return nil
}

package emu

import (
	"errors"
	"slices"
	"unsafe"

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

// blocks finds predecoded code by virtual address. It is forgotten with the translations; Machine.kept finds by both addresses.
type blocks struct {
	places  [placesSize]*block
	filled  bool // since they were forgotten
	scratch []op // where the next one is decoded
}

// place is where code lies: its steps have virtual addresses in them.
type place struct {
	pa phys.Addr
	va uint64
}

// at returns the block at va, or nil if it has to be found.
func (k *blocks) at(va uint64) *block {
	if b := k.places[placeOf(va)]; b != nil && b.va == va && b.fresh() {
		return b
	}
	return nil
}

// placeOf mixes the page's number in: functions begin at like offsets.
func placeOf(va uint64) uint64 { return (va ^ va>>12*37) % placesSize }

func (k *blocks) put(b *block) {
	k.places[placeOf(b.va)] = b
	k.filled = true
}

func (k *blocks) forgetPlaces() {
	if k.filled {
		clear(k.places[:])
		k.filled = false
	}
}

// keptAt returns the block at RIP if it is kept, and else where RIP is, unless it faults.
func (c *VCPU) keptAt() (*block, phys.Addr, *mmu.Fault) {
	t, fault := mmu.Walk(c.memory, c.space, c.rip, mmu.Execute)
	if fault != nil {
		return nil, 0, fault
	}
	b := c.machine.kept[place{t.Addr, c.rip}]
	if b == nil || !b.fresh() {
		return nil, t.Addr, nil
	}
	if second := b.pages[1]; second != b.pages[0] {
		if next, fault := mmu.Walk(c.memory, c.space, second.va, mmu.Execute); fault != nil || next.Addr != second.pa {
			return nil, t.Addr, nil
		}
	}
	c.blocks.put(b)
	return b, t.Addr, nil
}

// find returns the block at RIP with at most so many instructions, or nil after a fault. Shorter ones than there could be aren't kept.
func (c *VCPU) find(most uint64) *block {
	b, pa, fault := c.keptAt()
	switch {
	case fault != nil:
		c.fault(fault)
		return nil
	case b != nil && b.count <= most:
		return b
	case b != nil:
		pa = b.pages[0].pa + phys.Addr(b.va&offMask)
	}
	longest := c.machine.longest()
	b = c.decode(c.rip, pa, int(min(most, longest)))
	if b != nil && most >= longest && !c.machine.stops.Lifted {
		m := c.machine
		if len(m.kept) >= blocksMax {
			clear(m.kept)
		}
		m.kept[place{pa, c.rip}] = b
		c.blocks.put(b)
	}
	return b
}

// decode makes the block at va, which lies at pa. It ends at the end of the page; an instruction that goes over it is a block of its own.
// It returns nil after a fault, of the first instruction alone.
func (c *VCPU) decode(va uint64, pa phys.Addr, most int) *block {
	page, err := c.memory.Page(pa, false)
	if err != nil {
		c.fault(&mmu.Fault{Addr: va, Code: uint32(mmu.Execute), Cause: err})
		return nil
	}
	slot, index, _ := c.memory.Locate(pa) // it is there
	b := &block{va: va, decoded: decoded{end: va}}
	generation := c.machine.decodes(slot, index, page)
	b.gens = [2]*uint32{generation, generation}
	b.pages[0] = codePage{va &^ offMask, pa &^ offMask}
	b.pages[1] = b.pages[0]
	b.written = [2]uint32{*generation, *generation}
	shared, from := most == blockInstructionsMax && !c.machine.stops.Any() && slot.Pristine(index), place{pa - slot.Base, va}
	if shared {
		if d, ok := slot.Image.Shared(from).(decoded); ok {
			b.decoded = d
			return b
		}
	}
	if !c.decodeInto(b, page[pa&offMask:], most) {
		return nil
	}
	if shared && b.pages[0] == b.pages[1] {
		slot.Image.Share(from, b.decoded, len(b.ops)*int(unsafe.Sizeof(op{})))
	}
	return b
}

// decodeInto decodes b's instructions. It reports false where the first one can't be fetched: the fault is in c.exit.
func (c *VCPU) decodeInto(b *block, code []byte, most int) bool {
	va, t := b.va, translator{ops: c.blocks.scratch[:0]}
	for int(b.count) < most {
		if c.machine.stops.At(b.end) {
			b.exit = errBreakpoint
			break
		}
		in, err := x86.Decode(code[b.end-va:])
		if errors.Is(err, x86.ErrShort) {
			if b.count > 0 {
				break // the next block begins with it
			}
			if in, err = c.straddling(b, code); b.exit == nil && errors.Is(err, x86.ErrShort) {
				return false
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
	b.ops, c.blocks.scratch = slices.Clone(t.ops), t.ops
	b.written = [2]uint32{*b.gens[0], *b.gens[1]}
	return true
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
		b.gens[1] = c.machine.decodes(slot, index, page)
		b.pages[1] = codePage{next, t.Addr}
	}
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

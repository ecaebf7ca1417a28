package mmu

import (
	"errors"
	"fmt"

	"github.com/wherry/wherry/vmm/phys"
)

// ErrNoFrames says that there is no page left for page tables.
var ErrNoFrames = errors.New("no memory left for the guest's page tables; give them a larger range")

const (
	page2M = 1 << 21
	// userEnd is where the lower half ends, in which programs live.
	userEnd = 1 << 47
)

// Frames hands out the pages of a range of guest-physical memory, for page tables. None is given back: under shadow paging tables only grow.
type Frames struct {
	Next, End phys.Addr
}

func (f *Frames) take() (phys.Addr, error) {
	if f.Next >= f.End {
		return 0, ErrNoFrames
	}
	a := f.Next
	f.Next += phys.PageSize
	return a, nil
}

// Builder makes the page tables of one space.
type Builder struct {
	memory *phys.Memory
	frames *Frames
	root   phys.Addr
}

// NewBuilder takes a root from frames, whose memory must be zero.
func NewBuilder(m *phys.Memory, frames *Frames) (*Builder, error) {
	root, err := frames.take()
	if err != nil {
		return nil, err
	}
	return &Builder{m, frames, root}, nil
}

// Space is what Walk needs to read b's tables, with WP and NXE.
func (b *Builder) Space() Space { return Space{Root: b.root, WP: true, NXE: true} }

// Map lets size bytes at va be those at pa, with the given bits of Write, User, NoExec and Software; what was mapped there before is replaced, and
// needs a flush. All three are whole pages. Where va and pa allow it, pages have 2 MiB.
func (b *Builder) Map(va uint64, pa phys.Addr, size uint64, bits uint64) error {
	if err := checkRange(va, size); err != nil {
		return err
	}
	if pa%phys.PageSize != 0 || uint64(pa)+size > 1<<46 || uint64(pa)+size < size {
		return fmt.Errorf("guest-physical %#x–%#x can't be mapped", pa, uint64(pa)+size)
	}
	entry := bits&(Write|User|NoExec|Software) | Present | Accessed
	for size > 0 {
		step, last := uint64(phys.PageSize), 3
		if va%page2M == 0 && pa%page2M == 0 && size >= page2M {
			step, last = page2M, 2
		}
		at, err := b.entry(va, last, true)
		if errors.Is(err, errLarge) { // a part of a large page gets another mapping
			step, last = phys.PageSize, 3
			if err = b.split(va); err == nil {
				at, err = b.entry(va, last, true)
			}
		}
		if err != nil {
			return err
		}
		value := uint64(pa) | entry
		if last == 2 {
			value |= Large
			if err := b.reshape(at); err != nil {
				return err
			}
		}
		if err := b.memory.SetUint64(at, value); err != nil {
			return err
		}
		va, pa, size = va+step, pa+phys.Addr(step), size-step
	}
	return nil
}

// Unmap takes away what is mapped in size bytes at va. It needs a flush.
func (b *Builder) Unmap(va, size uint64) error {
	return b.change(va, size, func(uint64) uint64 { return 0 })
}

// Protect changes the Write, User and NoExec bits of what is mapped in size bytes at va. It needs a flush.
func (b *Builder) Protect(va, size uint64, bits uint64) error {
	const mask = Write | User | NoExec
	return b.change(va, size, func(e uint64) uint64 { return e&^mask | bits&mask })
}

func (b *Builder) change(va, size uint64, f func(uint64) uint64) error {
	if err := checkRange(va, size); err != nil {
		return err
	}
	for end := va + size; va < end; {
		at, err := b.entry(va, 3, false)
		step := uint64(phys.PageSize)
		if errors.Is(err, errLarge) {
			if va%page2M == 0 && end-va >= page2M {
				step = page2M
				at, err = b.entry(va, 2, false)
			} else if err = b.split(va); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		if at == 0 { // no table
			va = (va + page2M) &^ (page2M - 1)
			continue
		}
		e, err := b.memory.Uint64(at)
		if err != nil {
			return err
		}
		if e&Present != 0 {
			if step == page2M {
				b.memory.Reshape()
			}
			if err := b.memory.SetUint64(at, f(e)); err != nil {
				return err
			}
		}
		va += step
	}
	return nil
}

// errLarge says that a large page is on the way to the wanted level.
var errLarge = errors.New("a large page")

// entry returns where the entry of va at level last is, making tables on the way if make is set; else 0 where one is missing.
func (b *Builder) entry(va uint64, last int, make bool) (phys.Addr, error) {
	table := b.root
	for level := 0; ; level++ {
		at := table + phys.Addr(va>>(39-9*level)&511)*8
		if level == last {
			return at, nil
		}
		e, err := b.memory.Uint64(at)
		switch {
		case err != nil:
			return 0, err
		case e&Present == 0 && !make:
			return 0, nil
		case e&Present == 0:
			next, err := b.frames.take()
			if err != nil {
				return 0, err
			}
			// What a page allows stands in the last level alone.
			e = uint64(next) | Present | Write | User | Accessed
			if err := b.memory.SetUint64(at, e); err != nil {
				return 0, err
			}
		case e&Large != 0:
			return 0, errLarge
		}
		table = phys.Addr(e & frameMask)
	}
}

// reshape notes that the entry at, which maps a large page or a table, becomes another: shadow page tables made from it are no longer of use.
func (b *Builder) reshape(at phys.Addr) error {
	e, err := b.memory.Uint64(at)
	if e&Present != 0 {
		b.memory.Reshape()
	}
	return err
}

// split makes 512 pages of the large one at va.
func (b *Builder) split(va uint64) error {
	at, err := b.entry(va, 2, false)
	if err != nil {
		return err
	}
	large, err := b.memory.Uint64(at)
	if err != nil {
		return err
	}
	table, err := b.frames.take()
	if err != nil {
		return err
	}
	for i := range phys.Addr(512) {
		if err := b.memory.SetUint64(table+i*8, large&^Large+uint64(i)<<phys.PageShift); err != nil {
			return err
		}
	}
	b.memory.Reshape()
	return b.memory.SetUint64(at, uint64(table)|Present|Write|User|Accessed)
}

func checkRange(va, size uint64) error {
	if va%phys.PageSize != 0 || size%phys.PageSize != 0 || va >= userEnd || size > userEnd-va {
		return fmt.Errorf("virtual %#x–%#x: whole pages below %#x can be mapped", va, va+size, uint64(userEnd))
	}
	return nil
}

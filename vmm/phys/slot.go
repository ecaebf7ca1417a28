package phys

import "fmt"

// Spec says what a slot is.
type Spec struct {
	Base     Addr
	Size     int    // bytes
	Image    *Image // what it begins with; the rest is zeros
	ReadOnly bool   // for the guest, and for Page
	Kept     bool   // Restore leaves it as it is: page tables, which only grow
}

// generationsOf is how many pages have their generations side by side. Most pages have no code.
const generationsOf = 256

type generations [generationsOf]uint32

// Slot is a range of guest-physical addresses and the host's memory behind it.
type Slot struct {
	Spec
	memory   *Memory
	bytes    []byte
	resident *Bitmap
	used     *Bitmap        // its second chance: cleared by the hand, set by use
	dirty    *Bitmap        // written since the last Restore
	code     *Bitmap        // decoded in the present generation
	gens     []*generations // of pages that code was decoded from
}

func newSlot(m *Memory, spec Spec, large bool) (*Slot, error) {
	if spec.Image != nil && spec.Image.Size() > spec.Size {
		return nil, fmt.Errorf("an image of %d bytes in a slot of %d", spec.Image.Size(), spec.Size)
	}
	bytes, err := mapSlot(spec.Size, spec.Image)
	if err != nil {
		return nil, fmt.Errorf("mapping a slot of %d bytes: %w", spec.Size, err)
	}
	if large && spec.Image == nil {
		preferLarge(bytes)
	}
	if spec.Image != nil {
		spec.Image.users.Add(1)
	}
	n := spec.Size >> PageShift
	return &Slot{
		Spec: spec, memory: m, bytes: bytes, resident: NewBitmap(n), used: NewBitmap(n), dirty: NewBitmap(n), code: NewBitmap(n), gens: make([]*generations, (n+generationsOf-1)/generationsOf),
	}, nil
}

func (s *Slot) unmap() error {
	err := unmapSlot(s.bytes)
	s.bytes = nil
	if s.Image != nil {
		s.Image.users.Add(-1)
	}
	return err
}

func (s *Slot) end() Addr { return s.Base + Addr(len(s.bytes)) }

// Bytes is the host's memory behind s, for KVM. Whoever writes to it tells Touched.
func (s *Slot) Bytes() []byte { return s.bytes }

// Pages is how many pages s has.
func (s *Slot) Pages() int { return int(s.Size >> PageShift) }

// Dirty is the set of pages written since the last Restore. The caller doesn't change it.
func (s *Slot) Dirty() *Bitmap { return s.dirty }

// written notes a write to page.
func (s *Slot) written(page int) {
	s.dirty.Set(page)
	s.recode(page)
}

// recode has page's code, if some was decoded from it, be of another generation, and reports whether there was any.
func (s *Slot) recode(page int) bool {
	if !s.code.Has(page) {
		return false
	}
	s.code.Clear(page)
	s.gens[page/generationsOf][page%generationsOf]++
	for _, f := range s.memory.onCode {
		f()
	}
	return true
}

// Writable reports whether writes to page need no note any more: it was written, and no code was decoded from it since.
func (s *Slot) Writable(page int) bool { return !s.ReadOnly && s.dirty.Has(page) && !s.code.Has(page) }

// Decoded reports whether code was decoded from page in its present generation: then nobody keeps a pointer for writing to it.
func (s *Slot) Decoded(page int) bool { return s.code.Has(page) }

// Code notes that code is decoded from page, and returns where its generation stands: while that has the same value, so has the code. Who keeps
// a pointer for writing to the page drops it.
func (s *Slot) Code(page int) *uint32 {
	s.code.Set(page)
	gens := &s.gens[page/generationsOf]
	if *gens == nil {
		*gens = new(generations)
	}
	return &(*gens)[page%generationsOf]
}

// Pristine reports whether a page has an image's bytes, unwritten since the last Restore.
func (s *Slot) Pristine(page int) bool { return !s.dirty.Has(page) && s.initial(page) != nil }

// initial is the part of the image that page begins with, or nil for zeros.
func (s *Slot) initial(page int) []byte {
	at := page << PageShift
	if s.Image == nil || at >= len(s.Image.bytes) {
		return nil
	}
	return s.Image.bytes[at : at+PageSize]
}

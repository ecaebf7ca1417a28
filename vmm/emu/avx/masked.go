package avx

import "github.com/wherry/wherry/vmm/emu/vector"

// width is how many bytes the numbers have that masks are about.
func (s *Step) width() uint8 {
	switch s.in.Vec & 0xff {
	case 0x2c, 0x2e:
		return 4
	case 0x2d, 0x2f:
		return 8
	}
	return s.in.From
}

func chosen(mask *vector.Wide, i, width uint8) bool { return mask.Number(i, width)>>(width*8-1) != 0 }

func (s *Step) maskedLoad(p Processor, r *Registers, va uint64) bool {
	width, mask := s.width(), r.get(s.in.V)
	var v vector.Wide
	for i := range s.in.Size / width {
		if !chosen(&mask, i, width) {
			continue
		}
		n, ok := p.Load(va+uint64(i*width), width)
		if !ok {
			return false
		}
		v.SetNumber(i, width, n[0].Lo)
	}
	r.set(s.in.Reg, v)
	return true
}

// maskedStore asks first for all that it writes, so that it writes that or nothing.
func (s *Step) maskedStore(p Processor, r *Registers, va uint64) bool {
	width, mask, v := s.width(), r.get(s.in.V), r.get(s.in.Reg)
	for i := range s.in.Size / width {
		if chosen(&mask, i, width) && !p.Probe(va+uint64(i*width), width) {
			return false
		}
	}
	ok := true
	for i := range s.in.Size / width {
		if chosen(&mask, i, width) {
			ok = p.Store(va+uint64(i*width), vector.Wide{{Lo: v.Number(i, width)}}, width) && ok
		}
	}
	return ok
}

// gather reads numbers one by one, and notes in the mask which are done, so that it goes on where it faulted.
func (s *Step) gather(p Processor, r *Registers, va, base uint64) bool {
	in := &s.in
	width, indexWidth := in.From, uint8(4+in.Vec&1*4)
	n := in.Size / max(width, indexWidth)
	d, mask, indices := r.get(in.Reg), r.get(in.V), r.get(in.RM)
	ok := true
	for i := uint8(0); i < n && ok; i++ {
		if !chosen(&mask, i, width) {
			mask.SetNumber(i, width, 0)
			continue
		}
		index := indices.Number(i, indexWidth)
		if indexWidth == 4 {
			index = uint64(int32(index))
		}
		at := va + index<<in.Mem.Shift
		if in.Mem.Addr32 {
			at &= 0xffffffff
		}
		var v vector.Wide
		if v, ok = p.Load(at+base, width); ok {
			d.SetNumber(i, width, v[0].Lo)
			mask.SetNumber(i, width, 0)
		}
	}
	if !ok {
		r.set(in.Reg, d)
		r.set(in.V, mask)
		return false
	}
	for i := n; i < 32/width; i++ {
		d.SetNumber(i, width, 0)
	}
	r.set(in.Reg, d)
	r.set(in.V, vector.Wide{})
	return true
}

package avx

import (
	"github.com/wherry/wherry/vmm/emu/vector"
	"github.com/wherry/wherry/vmm/x86"
)

// Registers are the parts of a processor that instructions read and write.
type Registers struct {
	XMM     *[16][2]uint64
	Upper   [16][2]uint64
	Changed uint32   // not 0 if an upper half may not be 0: after an instruction with 256 bits
	General []uint64 // by their numbers
	SSE     *vector.Unit
}

// Processor is what else they need. What returns false has ended the instruction.
type Processor interface {
	// Load reads up to 32 bytes, with zeros behind them.
	Load(va uint64, size uint8) (vector.Wide, bool)
	// Store writes them all or none.
	Store(va uint64, v vector.Wide, size uint8) bool
	// StoreMasked writes those of the first 16 bytes whose bytes in mask have their upper bits.
	StoreMasked(va uint64, v, mask vector.Vec) bool
	// Probe reports whether size bytes may be written.
	Probe(va uint64, size uint8) bool
	Raise(exception uint8) bool
	SetFlags(x86.Flags)
}

// Step is an instruction that is ready to be done.
type Step struct {
	in      x86.Inst
	compute vector.WideFunc
	flags   func(u *vector.Unit, a, s vector.Wide) x86.Flags
	aligned bool // memory must be
}

// New makes in's step. It is nil if in isn't done here.
func New(in *x86.Inst) *Step {
	s := &Step{in: *in, aligned: in.IsMem && aligned[in.Vec]}
	switch in.VecShape {
	case x86.VecTest:
		s.flags = vector.WideFlags(in)
	case x86.VecString, x86.VecMask, x86.VecZero, x86.VecMaskedLoad, x86.VecMaskedStore, x86.VecGather:
	default:
		if s.compute = vector.WideOf(in); s.compute == nil {
			return nil
		}
	}
	return s
}

// aligned are the moves whose memory has to be aligned. That of others needn't be.
var aligned = map[x86.Vector]bool{
	0x28: true, 0x29: true, 0x2b: true, x86.Vec66 | 0x28: true, x86.Vec66 | 0x29: true, x86.Vec66 | 0x2b: true, x86.Vec66 | 0x6f: true, x86.Vec66 | 0x7f: true,
	x86.Vec66 | 0xe7: true, x86.Vec66 | x86.Vec38 | 0x2a: true,
}

func (r *Registers) get(i uint8) vector.Wide {
	x, y := &r.XMM[i&15], &r.Upper[i&15]
	return vector.Wide{{Lo: x[0], Hi: x[1]}, {Lo: y[0], Hi: y[1]}}
}

func (r *Registers) set(i uint8, v vector.Wide) {
	r.XMM[i&15] = [2]uint64{v[0].Lo, v[0].Hi}
	r.Upper[i&15] = [2]uint64{v[1].Lo, v[1].Hi}
}

// Do does the instruction. va is where its operand in memory is, and of a gather what its indices are added to, in a segment that begins at base.
func (s *Step) Do(p Processor, r *Registers, va, base uint64) bool {
	in := &s.in
	if in.VecShape == x86.VecZero {
		return s.zero(r)
	}
	if in.Wide {
		r.Changed = 1
	}
	switch in.VecShape {
	case x86.VecMask:
		return p.StoreMasked(va, r.get(in.Reg)[0], r.get(in.RM)[0])
	case x86.VecMX, x86.VecEX:
		return s.back(p, r, va)
	case x86.VecMaskedLoad:
		return s.maskedLoad(p, r, va)
	case x86.VecMaskedStore:
		return s.maskedStore(p, r, va)
	case x86.VecGather:
		return s.gather(p, r, va, base)
	}
	operand, ok := s.operand(p, r, va)
	if !ok {
		return false
	}
	var d vector.Wide
	switch in.VecShape {
	case x86.VecTest:
		f := s.flags(r.SSE, r.get(in.Reg), operand)
		if r.SSE.Noted() && r.SSE.Signaled() {
			return p.Raise(x86.SIMDFloatingPoint)
		}
		p.SetFlags(f)
		return true
	case x86.VecString:
		return s.strings(p, r, operand[0])
	case x86.VecXVMR:
		d = r.get(uint8(in.Imm) >> 4)
	case x86.VecXXVM:
		d = r.get(in.Reg)
	}
	a := r.get(in.V)
	if in.VecShape == x86.VecVM {
		a, operand = operand, vector.Wide{}
	}
	v := s.compute(r.SSE, d, a, operand)
	if r.SSE.Noted() && r.SSE.Signaled() {
		return p.Raise(x86.SIMDFloatingPoint)
	}
	if !in.Wide {
		v[1] = vector.Vec{}
	}
	switch in.VecShape {
	case x86.VecGM:
		r.General[in.Reg] = v[0].Lo
		if in.From == 4 {
			r.General[in.Reg] &= 0xffffffff
		}
	case x86.VecVM:
		r.set(in.V, v)
	default:
		r.set(in.Reg, v)
	}
	return true
}

// operand is the one of ModRM.rm.
func (s *Step) operand(p Processor, r *Registers, va uint64) (v vector.Wide, ok bool) {
	in := &s.in
	general := in.VecShape == x86.VecXE || in.VecShape == x86.VecXVE
	switch {
	case in.IsMem:
		if s.aligned && va%uint64(in.Size) != 0 {
			return v, p.Raise(x86.GeneralProtection)
		}
		if v, ok = p.Load(va, in.Size); general {
			v[0].Hi = uint64(in.From)
		}
		return v, ok
	case general:
		v[0] = vector.Vec{Lo: r.General[in.RM], Hi: uint64(in.From)}
		if in.From == 4 {
			v[0].Lo &= 0xffffffff
		}
		return v, true
	}
	return r.get(in.RM), true
}

// back does what writes the operand of ModRM.rm.
func (s *Step) back(p Processor, r *Registers, va uint64) bool {
	in := &s.in
	v := s.compute(r.SSE, vector.Wide{}, r.get(in.V), r.get(in.Reg))
	if r.SSE.Noted() {
		if in.IsMem && !p.Probe(va, in.Size) { // before the exception is told
			r.SSE.Forget()
			return false
		}
		if r.SSE.Signaled() {
			return p.Raise(x86.SIMDFloatingPoint)
		}
	}
	switch {
	case in.IsMem && s.aligned && va%uint64(in.Size) != 0:
		return p.Raise(x86.GeneralProtection)
	case in.IsMem:
		return p.Store(va, v, in.Size)
	case in.VecShape == x86.VecEX && in.From == 4:
		r.General[in.RM] = v[0].Lo & 0xffffffff
	case in.VecShape == x86.VecEX:
		r.General[in.RM] = v[0].Lo
	default:
		r.set(in.RM, v)
	}
	return true
}

func (s *Step) zero(r *Registers) bool {
	if s.in.Wide {
		*r.XMM = [16][2]uint64{}
	}
	r.Upper, r.Changed = [16][2]uint64{}, 0
	return true
}

// strings is VPCMPESTRM, VPCMPESTRI, VPCMPISTRM and VPCMPISTRI, which end in these two bits.
func (s *Step) strings(p Processor, r *Registers, operand vector.Vec) bool {
	const ax, cx, dx = 0, 1, 2
	first, second := int64(r.General[ax]), int64(r.General[dx])
	if s.in.From == 4 {
		first, second = int64(int32(first)), int64(int32(second))
	}
	index, mask, flags := vector.Strings(r.get(s.in.Reg)[0], operand, uint8(s.in.Imm), s.in.Vec&2 != 0, first, second)
	if s.in.Vec&1 != 0 {
		r.General[cx] = uint64(index)
	} else {
		r.set(0, vector.Wide{mask})
	}
	p.SetFlags(flags)
	return true
}

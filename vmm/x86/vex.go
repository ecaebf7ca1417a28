package x86

// vex decodes what follows 0xc5 or 0xc4: instructions with general registers, of BMI1 and BMI2, and those with vectors (Intel SDM volume 2, 2.3.5).
//
//	c5   R̄ v̄v̄v̄v̄ L pp            table 0f
//	c4   R̄ X̄ B̄ table   W v̄v̄v̄v̄ L pp
func (d *decoder) vex(b byte) error {
	if d.rex != 0 || d.rep != 0 || d.opSize || d.inst.Lock {
		return ErrInvalid
	}
	first := d.byte()
	second := first
	key := vexKey{1, 0, 0}
	d.rex = 0x40 | ^first>>5&4
	if b == 0xc4 {
		second = d.byte()
		d.rex = 0x40 | ^first>>5&7 | second>>7<<3
		key.table = first & 31
	}
	key.prefix, key.opcode = second&3, d.byte()
	if d.short {
		return nil
	}
	d.inst.V = ^second >> 3 & 15
	d.inst.Wide = second&4 != 0
	if op, known := vexGeneral[key]; known {
		return d.vexOfGeneral(op)
	}
	if key.table == 0 || key.table > 3 {
		return ErrInvalid
	}
	if key == (vexKey{1, 0, 0xae}) {
		return d.vexControl()
	}
	return d.vexVector(key)
}

// vexKey is what selects an instruction: the table, the prefix that it stands for (none, 66, f3, f2), and the opcode.
type vexKey struct{ table, prefix, opcode byte }

// vexGeneral are the instructions with general registers. BLSR has a group in ModRM.reg.
var vexGeneral = map[vexKey]Op{
	{2, 0, 0xf2}: ANDN, {2, 0, 0xf3}: BLSR, {2, 0, 0xf5}: BZHI, {2, 2, 0xf5}: PEXT, {2, 3, 0xf5}: PDEP, {2, 3, 0xf6}: MULX,
	{2, 0, 0xf7}: BEXTR, {2, 1, 0xf7}: SHLX, {2, 2, 0xf7}: SARX, {2, 3, 0xf7}: SHRX, {3, 3, 0xf0}: RORX,
}

func (d *decoder) vexOfGeneral(op Op) error {
	if d.inst.Wide {
		return ErrInvalid
	}
	size := uint8(4)
	if d.rex&8 != 0 {
		size = 8
	}
	i := d.set(op, FormRM, size)
	group := d.modRM(8, 8)
	if op == BLSR {
		if group == 0 || group > 3 {
			return ErrInvalid
		}
		i.Op += Op(group - 1)
		i.Reg = i.V // where the result goes
	}
	if op == RORX {
		if i.V != 0 {
			return ErrInvalid
		}
		i.Imm = d.imm(1) & 0xff
	}
	return nil
}

// vexControl is VLDMXCSR and VSTMXCSR.
func (d *decoder) vexControl() error {
	v, wide := d.inst.V, d.inst.Wide
	group := d.modRM(8, 8)
	if !d.short && (group != 2 && group != 3 || !d.inst.IsMem || v != 0 || wide) {
		return ErrInvalid
	}
	d.set(LDMXCSR+Op(group&1), FormM, 4)
	return nil
}

// vexVector decodes an instruction of AVX, AVX2, FMA or F16C.
func (d *decoder) vexVector(key vexKey) error {
	vec := [4]Vector{1: 0, 2: Vec38, 3: Vec3A}[key.table] | Vector(key.prefix)<<8 | Vector(key.opcode)
	e := wideVectors[vec]
	i := d.set(AVX, FormNone, e.size)
	w := d.rex >> 3 & 1
	i.Wide = i.Wide && !e.scalar
	if i.Vec, i.VecShape, i.From = vec, e.shape, 4<<w; i.Wide {
		i.Size = e.wide
	}
	if i.Size == 0 {
		i.Size = i.From
	}
	switch {
	case e.shape == VecNo:
		return ErrUnsupported
	case e.shape == VecZero:
		return d.unless(i.V != 0)
	case i.Wide && e.wide == 0, !i.Wide && e.size == onlyWide, e.w == onlyW0 && w != 0, e.w == onlyW1 && w == 0:
		return ErrInvalid
	}
	d.modRM(8, 8)
	if d.short {
		return nil
	}
	if e.shape == VecXM && e.scalar && !i.IsMem { // VMOVSS and VMOVSD between registers have three
		i.VecShape = VecXVM
	}
	none := !i.VecShape.hasV() && (e.shape != VecMX || !e.scalar || i.IsMem)
	switch {
	case i.IsMem && e.registers || !i.IsMem && e.memory, none && i.V != 0:
		return ErrInvalid
	case e.shape == VecVM && !shiftGroup(vec, i.Reg&7):
		return ErrInvalid
	case e.shape == VecGather:
		return d.gather()
	}
	if e.imm {
		i.Imm = d.imm(1) & 0xff
	}
	return nil
}

// unless is ErrInvalid if so.
func (d *decoder) unless(invalid bool) error {
	if invalid {
		return ErrInvalid
	}
	return nil
}

// gather has a vector for its index, in RM. No two of its three registers may be one.
func (d *decoder) gather() error {
	i := &d.inst
	if !d.indexed {
		return ErrInvalid
	}
	i.RM, i.Mem.Index = d.index, NoReg
	return d.unless(i.RM == i.Reg || i.RM == i.V || i.V == i.Reg)
}

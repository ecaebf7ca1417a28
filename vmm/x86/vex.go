package x86

// vex decodes what follows 0xc5 or 0xc4, of which general registers have some instructions: BMI1 and BMI2 (Intel SDM volume 2, 2.3.5). Vectors have the rest,
// which isn't known.
//
//	c5   R̄ v̄v̄v̄v̄ L pp            table 0f
//	c4   R̄ X̄ B̄ table   W v̄v̄v̄v̄ L pp
func (d *decoder) vex(b byte) error {
	if d.rex != 0 || d.rep != 0 || d.opSize || d.inst.Lock {
		return ErrInvalid
	}
	first := d.byte()
	if b == 0xc5 {
		d.byte() // the opcode: nothing of that table is known
		return ErrUnsupported
	}
	second := d.byte()
	opcode := d.byte()
	if d.short {
		return nil
	}
	d.rex = 0x40 | ^first>>5&7 | second>>7<<3
	size := uint8(4)
	if second>>7 != 0 {
		size = 8
	}
	key := vexKey{first & 31, second & 3, opcode}
	op, known := vexGeneral[key]
	if !known {
		return ErrUnsupported
	}
	if second&4 != 0 { // L
		return ErrInvalid
	}
	i := d.set(op, FormRM, size)
	i.V = ^second >> 3 & 15
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

// vexKey is what selects an instruction: the table, the prefix that it stands for (none, 66, f3, f2), and the opcode.
type vexKey struct{ table, prefix, opcode byte }

// vexGeneral are the instructions with general registers. BLSR has a group in ModRM.reg.
var vexGeneral = map[vexKey]Op{
	{2, 0, 0xf2}: ANDN, {2, 0, 0xf3}: BLSR, {2, 0, 0xf5}: BZHI, {2, 2, 0xf5}: PEXT, {2, 3, 0xf5}: PDEP, {2, 3, 0xf6}: MULX,
	{2, 0, 0xf7}: BEXTR, {2, 1, 0xf7}: SHLX, {2, 2, 0xf7}: SARX, {2, 3, 0xf7}: SHRX, {3, 3, 0xf0}: RORX,
}

package x86

// oneByte decodes what follows an opcode of one byte (Intel SDM volume 2, table A-2).
func (d *decoder) oneByte(b byte) error {
	switch {
	case d.short:
		return nil
	case b == 0x0f:
		return d.twoBytes(d.byte())
	case b < 0x40:
		return d.arithmetic(b)
	case b >= 0xb0 && b < 0xc0: // MOV register, immediate
		size := d.size(b < 0xb8)
		d.set(MOV, FormRI, size).Reg = d.general(b&7|d.rex<<3&8, size)
		d.inst.Imm = d.imm(int(size))
	case b >= 0x50 && b < 0x60:
		op := PUSH
		if b >= 0x58 {
			op = POP
		}
		d.set(op, FormR, d.stackSize()).Reg = b&7 | d.rex<<3&8
	case b >= 0x70 && b < 0x80:
		d.set(JCC, FormI, 8).Cond = Cond(b & 15)
		d.inst.Imm = d.imm(1)
	case b > 0x90 && b < 0x98, b == 0x90 && d.rex&1 != 0 && d.rep != 0xf3: // which makes it PAUSE
		d.set(XCHG, FormMR, d.size(false)).RM = b&7 | d.rex<<3&8
		d.inst.Reg = 0
	case b >= 0x80 && b < 0xa0:
		return d.middle(b)
	case b >= 0xa0 && b < 0xb0:
		return d.accumulator(b)
	case b >= 0xd8 && b < 0xe0:
		return d.x87(b)
	case b == 0xc4 || b == 0xc5:
		return d.vex(b)
	case b >= 0xc0:
		return d.upper(b)
	case b == 0x63:
		d.set(MOVSX, FormRM, d.size(false)).From = 4
		d.modRM(8, 8)
	case b == 0x68:
		d.set(PUSH, FormI, d.stackSize()).Imm = d.imm(int(min(d.stackSize(), 4)))
	case b == 0x6a:
		d.set(PUSH, FormI, d.stackSize()).Imm = d.imm(1)
	case b == 0x69 || b == 0x6b:
		d.set(IMUL, FormRMI, d.size(false))
		d.modRM(8, 8)
		if b == 0x69 {
			d.inst.Imm = d.immZ()
		} else {
			d.inst.Imm = d.imm(1)
		}
	case b == 0x62: // EVEX
		return ErrUnsupported
	case b >= 0x6c && b < 0x70: // INS, OUTS
		d.set(PRIVILEGED, FormNone, 1)
	default: // these aren't in 64-bit mode
		return ErrInvalid
	}
	return nil
}

// arithmetic decodes ADD, OR, ADC, SBB, AND, SUB, XOR and CMP.
func (d *decoder) arithmetic(b byte) error {
	op, size := Op(b>>3), d.size(b&1 == 0)
	switch b & 7 {
	case 0, 1:
		d.set(op, FormMR, size)
		d.modRM(size, size)
	case 2, 3:
		d.set(op, FormRM, size)
		d.modRM(size, size)
	case 4, 5:
		d.set(op, FormRI, size).Reg = 0
		d.inst.Imm = d.immZ()
	default:
		return ErrInvalid
	}
	return nil
}

// middle decodes 0x80 to 0x9f.
func (d *decoder) middle(b byte) error {
	size := d.size(b&1 == 0)
	switch b {
	case 0x80, 0x81, 0x83:
		d.set(0, FormMI, size)
		d.inst.Op = Op(d.modRM(8, size))
		if b == 0x83 {
			d.inst.Imm = d.imm(1)
		} else {
			d.inst.Imm = d.immZ()
		}
	case 0x84, 0x85:
		d.set(TEST, FormMR, size)
		d.modRM(size, size)
	case 0x86, 0x87:
		d.set(XCHG, FormMR, size)
		d.modRM(size, size)
	case 0x88, 0x89:
		d.set(MOV, FormMR, size)
		d.modRM(size, size)
	case 0x8a, 0x8b:
		d.set(MOV, FormRM, size)
		d.modRM(size, size)
	case 0x8d:
		d.set(LEA, FormRM, d.size(false))
		if d.modRM(8, 8); !d.inst.IsMem && !d.short {
			return ErrInvalid
		}
	case 0x8f:
		d.set(POP, FormM, d.stackSize())
		if d.modRM(8, 8) != 0 {
			return ErrInvalid
		}
	case 0x90:
		d.set(NOP, FormNone, 4)
	case 0x98:
		d.set(CBW, FormNone, d.size(false))
	case 0x99:
		d.set(CWD, FormNone, d.size(false))
	case 0x9c:
		d.set(PUSHF, FormNone, d.stackSize())
	case 0x9d:
		d.set(POPF, FormNone, d.stackSize())
	case 0x9e:
		d.set(SAHF, FormNone, 1)
	case 0x9f:
		d.set(LAHF, FormNone, 1)
	case 0x9b: // FWAIT
		d.set(X87, FormNone, 0).Vec = FPUWait
	case 0x8c, 0x8e:
		return d.segment(b)
	default: // 0x82, 0x9a
		return ErrInvalid
	}
	return nil
}

// segment decodes MOV from and to segment registers.
func (d *decoder) segment(b byte) error {
	d.set(STORESEG, FormM, d.size(false))
	group := d.modRM(8, 8)
	if b == 0x8e {
		d.inst.Op = LOADSEG
	}
	if d.inst.IsMem || b == 0x8e {
		d.inst.Size = 2
	}
	if d.inst.Reg = group; group > 5 || b == 0x8e && group == 1 { // CS isn't loaded
		return ErrInvalid
	}
	return nil
}

// accumulator decodes 0xa0 to 0xaf: the accumulator with an absolute address, strings, TEST.
func (d *decoder) accumulator(b byte) error {
	size := d.size(b&1 == 0)
	switch b {
	case 0xa0, 0xa1, 0xa2, 0xa3:
		form := FormRM
		if b >= 0xa2 {
			form = FormMR
		}
		d.set(MOV, form, size).IsMem = true
		d.inst.Mem.Base, d.inst.Mem.Index = NoReg, NoReg
		if d.inst.Mem.Addr32 {
			d.inst.Mem.Disp = int64(uint32(d.imm(4)))
		} else {
			d.inst.Mem.Disp = d.imm(8)
		}
	case 0xa8, 0xa9:
		d.set(TEST, FormRI, size).Imm = d.immZ()
	default:
		ops := map[byte]Op{0xa4: MOVS, 0xa6: CMPS, 0xaa: STOS, 0xac: LODS, 0xae: SCAS}
		d.set(ops[b&^1], FormNone, size).Rep = d.rep
	}
	return nil
}

// upper decodes 0xc0 to 0xff, without x87.
func (d *decoder) upper(b byte) error {
	size := d.size(b&1 == 0)
	switch b {
	case 0xc0, 0xc1, 0xd0, 0xd1, 0xd2, 0xd3:
		d.shift(b, size)
	case 0xc2, 0xc3:
		d.set(RET, FormI, 8)
		if b == 0xc2 {
			d.inst.Imm = d.imm(2) & 0xffff
		}
	case 0xc6, 0xc7:
		d.set(MOV, FormMI, size)
		if d.modRM(8, size) != 0 {
			return ErrInvalid
		}
		d.inst.Imm = d.immZ()
	case 0xc8:
		d.set(ENTER, FormI, d.stackSize()).Imm = d.imm(2) & 0xffff
		d.inst.From = uint8(d.imm(1)) & 31
	case 0xc9:
		d.set(LEAVE, FormNone, d.stackSize())
	case 0xcc:
		d.set(INT3, FormNone, 1)
	case 0xcd:
		d.set(INTN, FormI, 1).Imm = d.imm(1) & 0xff
	case 0xfa, 0xfb: // CLI, STI
		d.set(PRIVILEGED, FormNone, 1)
	case 0xd7:
		d.set(XLAT, FormNone, 1)
	case 0xe0, 0xe1, 0xe2, 0xe3:
		d.set([]Op{LOOPNE, LOOPE, LOOP, JRCXZ}[b&3], FormI, 8).Imm = d.imm(1)
	case 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef:
		d.port(b)
	case 0xe8:
		d.set(CALL, FormI, 8).Imm = d.imm(4)
	case 0xe9:
		d.set(JMP, FormI, 8).Imm = d.imm(4)
	case 0xeb:
		d.set(JMP, FormI, 8).Imm = d.imm(1)
	case 0xf4:
		d.set(HLT, FormNone, 1)
	case 0xf5, 0xf8, 0xf9, 0xfc, 0xfd:
		d.set(map[byte]Op{0xf5: CMC, 0xf8: CLC, 0xf9: STC, 0xfc: CLD, 0xfd: STD}[b], FormNone, 1)
	case 0xf6, 0xf7:
		d.group3(size)
	case 0xfe, 0xff:
		return d.group5(b, size)
	case 0xce, 0xd4, 0xd5, 0xd6, 0xea:
		return ErrInvalid
	default: // VEX, far returns and jumps, INT1
		return ErrUnsupported
	}
	return nil
}

func (d *decoder) shift(b byte, size uint8) {
	form := FormMI
	if b == 0xd2 || b == 0xd3 {
		form = FormMR // by CL
	}
	d.set(0, form, size)
	d.inst.Op = ROL + Op(d.modRM(8, size))
	if d.inst.Op == SAL {
		d.inst.Op = SHL
	}
	d.inst.Reg = 1
	switch b {
	case 0xc0, 0xc1:
		d.inst.Imm = d.imm(1) & 0xff
	case 0xd0, 0xd1:
		d.inst.Imm = 1
	}
}

func (d *decoder) port(b byte) {
	op, form, size := IN, FormNone, d.size(b&1 == 0)
	if b&2 != 0 {
		op = OUT
	}
	d.set(op, form, min(size, 4))
	if b < 0xe8 {
		d.inst.Form = FormI
		d.inst.Imm = d.imm(1) & 0xff
	}
}

func (d *decoder) group3(size uint8) {
	d.set(0, FormM, size)
	group := d.modRM(8, size)
	d.inst.Op = []Op{TEST, TEST, NOT, NEG, MUL, IMUL1, DIV, IDIV}[group]
	if group < 2 {
		d.inst.Form = FormMI
		d.inst.Imm = d.immZ()
	}
}

func (d *decoder) group5(b byte, size uint8) error {
	d.set(0, FormM, size)
	group := d.modRM(8, size)
	switch {
	case group < 2:
		d.inst.Op = INC + Op(group)
	case b == 0xfe || group == 7:
		return ErrInvalid
	case group == 2:
		d.set(CALL, FormM, 8)
	case group == 4:
		d.set(JMP, FormM, 8)
	case group == 6:
		d.set(PUSH, FormM, d.stackSize())
	default: // far
		return ErrUnsupported
	}
	return nil
}

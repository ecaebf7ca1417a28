package x86

// twoBytes decodes what follows 0x0f and b (Intel SDM volume 2, table A-3), without SSE.
func (d *decoder) twoBytes(b byte) error {
	size := d.size(false)
	switch {
	case d.short:
	case b >= 0x40 && b < 0x50:
		d.set(CMOVCC, FormRM, size).Cond = Cond(b & 15)
		d.modRM(8, 8)
	case b >= 0x80 && b < 0x90:
		d.set(JCC, FormI, 8).Cond = Cond(b & 15)
		d.inst.Imm = d.imm(4)
	case b >= 0x90 && b < 0xa0:
		d.set(SETCC, FormM, 1).Cond = Cond(b & 15)
		d.modRM(8, 1)
	case b >= 0xc8 && b < 0xd0:
		d.set(BSWAP, FormR, size).Reg = b&7 | d.rex<<3&8
	case b >= 0xa0 && b < 0xb0:
		return d.bits(b, size)
	case b >= 0xb0 && b < 0xc8 && b != 0xc2 && b != 0xc4 && b != 0xc5 && b != 0xc6:
		return d.exchanges(b, size)
	default:
		return d.rest(b, size)
	}
	return nil
}

// bits decodes 0xa0 to 0xaf.
func (d *decoder) bits(b byte, size uint8) error {
	switch b {
	case 0xa2:
		d.set(CPUID, FormNone, 4)
	case 0xa3, 0xab:
		d.set(BT, FormMR, size)
		if b == 0xab {
			d.inst.Op = BTS
		}
		d.modRM(8, 8)
	case 0xa4, 0xa5, 0xac, 0xad:
		d.set(SHLD, FormMRI, size)
		if b >= 0xac {
			d.inst.Op = SHRD
		}
		d.modRM(8, 8)
		if b&1 == 0 {
			d.inst.Imm = d.imm(1) & 0xff
		} else {
			d.inst.Form = FormMR // by CL
		}
	case 0xae:
		return d.group15()
	case 0xaf:
		d.set(IMUL, FormRM, size)
		d.modRM(8, 8)
	case 0xa0, 0xa1, 0xa8, 0xa9: // FS, GS
		d.set(PUSHSEG+Op(b&1), FormNone, d.stackSize()).Reg = 4 + b>>3&1
	default: // RSM
		return ErrInvalid
	}
	return nil
}

// group15 is about x87 and SSE as a whole, and the fences. What is in it beyond, CPUID doesn't tell of.
func (d *decoder) group15() error {
	group := d.modRM(8, 8)
	switch {
	case d.short:
	case d.rep != 0 || d.opSize:
		return ErrInvalid
	case !d.inst.IsMem && group >= 5: // fences
		d.set(NOP, FormNone, 4)
	case d.inst.IsMem && group == 7:
		d.set(CLFLUSH, FormM, 1)
	case d.inst.IsMem && group < 2:
		d.set(FXSAVE+Op(group), FormM, 4)
		if d.rex&8 != 0 {
			d.inst.Size = 8 // of FIP and FDP in it
		}
	case d.inst.IsMem && group < 4:
		d.set(LDMXCSR+Op(group-2), FormM, 4)
	case d.inst.IsMem && group < 6:
		d.set(XSAVE+Op(group-4), FormM, 4)
		if d.rex&8 != 0 {
			d.inst.Size = 8
		}
	default: // XSAVEOPT and the like
		return ErrInvalid
	}
	return nil
}

// exchanges decodes 0xb0 to 0xc7.
func (d *decoder) exchanges(b byte, size uint8) error {
	bytes := d.size(b&1 == 0)
	switch b {
	case 0xb0, 0xb1:
		d.set(CMPXCHG, FormMR, bytes)
		d.modRM(bytes, bytes)
	case 0xb3, 0xbb:
		d.set(BTR, FormMR, size)
		if b == 0xbb {
			d.inst.Op = BTC
		}
		d.modRM(8, 8)
	case 0xb6, 0xb7, 0xbe, 0xbf:
		d.set(MOVZX, FormRM, size).From = 1 + b&1
		if b >= 0xbe {
			d.inst.Op = MOVSX
		}
		d.modRM(8, d.inst.From)
	case 0xb8:
		if d.rep != 0xf3 {
			return ErrInvalid
		}
		d.set(POPCNT, FormRM, size)
		d.modRM(8, 8)
	case 0xba:
		d.set(BT, FormMI, size)
		group := d.modRM(8, 8)
		if group < 4 {
			return ErrInvalid
		}
		d.inst.Op = BT + Op(group-4)
		d.inst.Imm = d.imm(1) & 0xff
	case 0xbc, 0xbd:
		op := BSF
		if d.rep == 0xf3 {
			op = TZCNT
		}
		d.set(op+Op(b&1), FormRM, size)
		d.modRM(8, 8)
	case 0xc0, 0xc1:
		d.set(XADD, FormMR, bytes)
		d.modRM(bytes, bytes)
	case 0xc3: // MOVNTI
		d.set(MOV, FormMR, size)
		if d.modRM(8, 8); !d.inst.IsMem || d.opSize || d.rep != 0 {
			return ErrInvalid
		}
	case 0xc7:
		d.set(CMPXCHG16B, FormM, size)
		if group := d.modRM(8, 8); group != 1 || !d.inst.IsMem {
			return ErrInvalid // RDRAND and the like, which CPUID doesn't tell of
		}
		d.inst.Size = 8
		if d.rex&8 != 0 {
			d.inst.Size = 16
		}
	case 0xb9: // UD1
		d.set(UD2, FormNone, 1)
		d.modRM(8, 8)
	default:
		return ErrUnsupported
	}
	return nil
}

// rest decodes what is left of the general instructions.
func (d *decoder) rest(b byte, size uint8) error {
	switch b {
	case 0x05:
		d.set(SYSCALL, FormNone, 8)
	case 0x0b:
		d.set(UD2, FormNone, 1)
	case 0xff: // UD0
		d.set(UD2, FormNone, 1)
		d.modRM(8, 8)
	case 0x0d, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f: // prefetches, hints and long NOPs
		d.set(NOP, FormM, size)
		d.modRM(8, 8)
	case 0x31:
		d.set(RDTSC, FormNone, 4)
	case 0x38:
		return d.threeBytes(d.byte())
	case 0x3a:
		return d.vector(Vec3A, d.byte())
	case 0x00, 0x01, 0x02, 0x03:
		return d.descriptors(b, size)
	case 0x06, 0x07, 0x08, 0x09, 0x30, 0x32, 0x33, 0x34, 0x35: // CLTS, SYSRET, INVD, WBINVD, MSRs, RDPMC, SYSENTER, SYSEXIT
		d.set(PRIVILEGED, FormNone, 1)
	case 0x20, 0x21, 0x22, 0x23:
		return d.controlRegister(b)
	default:
		return d.vector(0, b)
	}
	return nil
}

// controlRegister decodes MOV of control and debug registers, in whose ModRM the mode isn't looked at.
func (d *decoder) controlRegister(b byte) error {
	number := d.byte()>>3&7 | d.rex<<1&8
	switch {
	case b&1 != 0 && number >= 8, b&1 == 0 && number != 0 && number != 2 && number != 3 && number != 4 && number != 8:
		return ErrInvalid
	}
	d.set(PRIVILEGED, FormNone, 1)
	return nil
}

// threeBytes decodes what follows 0f 38 and b: CRC32, MOVBE, ADCX and ADOX, and SSE.
func (d *decoder) threeBytes(b byte) error {
	switch {
	case b == 0xf6 && d.rep != 0xf2 && (d.opSize || d.rep != 0):
		op := ADCX
		if d.rep != 0 {
			op = ADOX
		}
		d.opSize = false // it was a part of the opcode
		d.set(op, FormRM, d.size(false))
		d.modRM(8, 8)
		return nil
	case b&^1 == 0xf0 && d.rep == 0:
		d.set(MOVBE, FormRM, d.size(false))
		if b == 0xf1 {
			d.inst.Form = FormMR
		}
		if d.modRM(8, 8); !d.inst.IsMem {
			return ErrInvalid
		}
		return nil
	case b&^1 == 0xf0 && d.rep == 0xf3:
		return ErrInvalid
	case b&^1 != 0xf0:
		return d.vector(Vec38, b)
	}
	from := d.size(b&1 == 0)
	d.set(CRC32, FormRM, 4).From = from
	if d.rex&8 != 0 {
		d.inst.Size = 8
	}
	d.modRM(8, from)
	return nil
}

// descriptors decodes 0x00 to 0x03: descriptor tables, and what user mode can know of them.
func (d *decoder) descriptors(b byte, size uint8) error {
	group := d.modRM(8, 8)
	rm := d.inst.RM & 7
	switch {
	case d.short:
	case b >= 2:
		d.set(LAR, FormRM, size)
	case b == 0 && (group == 4 || group == 5):
		d.set(VERR+Op(group-4), FormM, 2)
	case b == 0 && group < 4, b == 1 && (group == 4 || group == 6): // SLDT, STR, LLDT, LTR; SMSW (by UMIP), LMSW
		d.set(PRIVILEGED, FormNone, 1)
	case b == 1 && d.inst.IsMem && (group < 4 || group == 7), b == 1 && group == 7 && rm == 0: // tables, INVLPG, SWAPGS
		d.set(PRIVILEGED, FormNone, 1)
	case b == 1 && group == 7 && rm == 1 && !d.inst.IsMem:
		d.set(RDTSCP, FormNone, 4)
	case b == 1 && group == 2 && rm < 2 && !d.inst.IsMem && !d.opSize && d.rep == 0: // XGETBV, XSETBV
		d.set([2]Op{XGETBV, PRIVILEGED}[rm], FormNone, 4)
	default: // virtual machines, transactions: which CPUID doesn't tell of
		return ErrInvalid
	}
	return nil
}

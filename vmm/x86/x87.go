package x86

// FPU says which x87 instruction an Inst is, in Inst.Vec's place: Op is X87. RM is i of ST(i); Cond is the group of arithmetic, or a condition;
// From is how many numbers it takes off the stack when it is done; Reg is 1 if memory has whole numbers.
type FPU = Vector

// The x87 instructions.
const (
	FPULoad       FPU = iota // of memory, or ST(i)
	FPUStore                 // to memory, or ST(i)
	FPUArithmetic            // ST(0) = ST(0) op memory or ST(i)
	FPUTo                    // ST(i) = ST(0) op ST(i)
	FPUCompare               // ST(0) and memory or ST(i), to the status word
	FPUFlags                 // the same, to RFLAGS
	FPUExchange
	FPUNegate
	FPUAbsolute
	FPUTest    // ST(0) and 0
	FPUExamine // what ST(0) is
	FPUConstant
	FPURoot
	FPURound
	FPUScale
	FPUTurnDown // the stack: FDECSTP
	FPUTurnUp
	FPUFree
	FPUInit
	FPUNothing
	FPULoadControl
	FPUStoreControl
	FPUStoreStatus // to memory, or AX
	FPUMove        // FCMOVcc
	FPUWait
	FPUCompareQuietly  // FUCOM
	FPUClear           // FNCLEX
	FPULoadEnvironment // Size is that of its words: 2 or 4
	FPUStoreEnvironment
	FPURestore
	FPUSave
	FPULoadBCD
	FPUStoreBCD
	FPUTruncate // FISTTP
	FPUExtract
	FPURemainder
	FPURemainderNearest
	FPUPower     // F2XM1
	FPULogarithm // FYL2X
	FPULogarithm1
	FPUTangent
	FPUArcTangent
	FPUSine
	FPUCosine
	FPUSineCosine
	FPUNoOperation // FNOP

	// FPUs is above them all.
	FPUs
)

// The groups of arithmetic, in the order of ModRM.reg.
const (
	FPUAdd = iota
	FPUMultiply
	_ // comparisons
	_
	FPUSubtract
	FPUSubtractReverse
	FPUDivide
	FPUDivideReverse
)

// fpuMemory is the size of memory for each escape (d8 to df) and group, without arithmetic.
var fpuMemory = [8][8]struct {
	op   FPU
	size uint8
	pops uint8
}{
	1: {
		0: {FPULoad, 4, 0}, 2: {FPUStore, 4, 0}, 3: {FPUStore, 4, 1}, 4: {FPULoadEnvironment, 4, 0}, 5: {FPULoadControl, 2, 0},
		6: {FPUStoreEnvironment, 4, 0}, 7: {FPUStoreControl, 2, 0},
	},
	3: {
		0: {FPULoad, 4, 0}, 1: {FPUTruncate, 4, 1}, 2: {FPUStore, 4, 0}, 3: {FPUStore, 4, 1}, 5: {FPULoad, 10, 0}, 7: {FPUStore, 10, 1},
	},
	5: {
		0: {FPULoad, 8, 0}, 1: {FPUTruncate, 8, 1}, 2: {FPUStore, 8, 0}, 3: {FPUStore, 8, 1}, 4: {FPURestore, 4, 0}, 6: {FPUSave, 4, 0},
		7: {FPUStoreStatus, 2, 0},
	},
	7: {
		0: {FPULoad, 2, 0}, 1: {FPUTruncate, 2, 1}, 2: {FPUStore, 2, 0}, 3: {FPUStore, 2, 1}, 4: {FPULoadBCD, 10, 0}, 5: {FPULoad, 8, 0},
		6: {FPUStoreBCD, 10, 1}, 7: {FPUStore, 8, 1},
	},
}

// x87 decodes what follows the escape d8 to df (Intel SDM volume 2, A.5).
func (d *decoder) x87(b byte) error {
	i := d.set(X87, FormNone, 0)
	escape := b & 7
	group := d.modRM(8, 8)
	switch {
	case d.short:
		return nil
	case i.IsMem:
		i.Reg = 0
		return d.x87Memory(escape, group)
	}
	i.Reg, i.RM = 0, i.RM&7
	return d.x87Registers(escape, group)
}

func (d *decoder) x87Memory(escape, group byte) error {
	i := &d.inst
	if escape&1 == 0 { // arithmetic with m32, m32 whole, m64, m16 whole
		i.Size = [4]uint8{4, 4, 8, 2}[escape/2]
		i.Reg = escape >> 1 & 1
		d.x87Arithmetic(group)
		return nil
	}
	e := fpuMemory[escape][group]
	if e.size == 0 {
		return ErrInvalid
	}
	i.Vec, i.Size, i.From = e.op, e.size, e.pops
	if e.op == FPUTruncate {
		i.Imm, i.Reg = 1, 1 // whole, and not rounded
	}
	if d.opSize && d.rex&8 == 0 && (e.op >= FPULoadEnvironment && e.op <= FPUSave) {
		i.Size = 2
	}
	if escape == 3 && e.size == 4 || escape == 7 {
		i.Reg = 1
	}
	return nil
}

func (d *decoder) x87Arithmetic(group byte) {
	i := &d.inst
	i.Vec, i.Cond = FPUArithmetic, Cond(group)
	if group == 2 || group == 3 {
		i.Vec, i.From = FPUCompare, group-2
	}
}

func (d *decoder) x87Registers(escape, group byte) error {
	i := &d.inst
	switch {
	case escape == 0:
		d.x87Arithmetic(group)
	case escape == 1 && group == 0:
		i.Vec = FPULoad
	case escape == 1 && group == 1:
		i.Vec = FPUExchange
	case escape == 1:
		return d.x87Single(group<<3 | i.RM)
	case escape == 2 && group < 4: // FCMOVB, E, BE, U
		i.Vec, i.Cond = FPUMove, []Cond{CondB, CondE, CondBE, CondP}[group]
	case escape == 3 && group < 4:
		i.Vec, i.Cond = FPUMove, []Cond{CondAE, CondNE, CondA, CondNP}[group]
	case escape == 2 && group == 5 && i.RM == 1: // FUCOMPP
		i.Vec, i.From = FPUCompareQuietly, 2
	case escape == 3 && group == 4 && i.RM == 2:
		i.Vec = FPUClear
	case escape == 3 && group == 4 && i.RM < 2: // FNENI, FNDISI: nothing any more
		i.Vec = FPUNothing
	case escape == 3 && group == 4 && i.RM == 3:
		i.Vec = FPUInit
	case (escape == 3 || escape == 7) && (group == 5 || group == 6):
		i.Vec, i.From, i.Reg = FPUFlags, escape>>2, 6-group
	case (escape == 4 || escape == 6) && group&6 != 2:
		i.Vec, i.Cond, i.From = FPUTo, Cond(group), escape>>1&1
	case escape == 6 && group == 3 && i.RM == 1: // FCOMPP
		i.Vec, i.From = FPUCompare, 2
	case escape == 5 && group == 0:
		i.Vec = FPUFree
	case escape == 5 && (group == 2 || group == 3):
		i.Vec, i.From = FPUStore, group-2
	case escape == 5 && (group == 4 || group == 5):
		i.Vec, i.From = FPUCompareQuietly, group-4
	case escape == 7 && group == 4 && i.RM == 0:
		i.Vec, i.Size = FPUStoreStatus, 2
	default:
		return d.x87Aliases(escape, group)
	}
	return nil
}

// x87Aliases decodes what manuals leave out and processors do (AMD's APM volume 3, tables ).
func (d *decoder) x87Aliases(escape, group byte) error {
	i := &d.inst
	switch {
	case escape == 4 && (group == 2 || group == 3), escape == 6 && group == 2: // FCOM, FCOMP
		i.Vec, i.From = FPUCompare, group&1|escape>>1&1
	case (escape == 5 || escape == 7) && group == 1: // FXCH
		i.Vec = FPUExchange
	case escape == 7 && group == 0: // FFREEP
		i.Vec, i.From = FPUFree, 1
	case escape == 7 && (group == 2 || group == 3): // FSTP
		i.Vec, i.From = FPUStore, 1
	case escape == 3 && group == 4 && i.RM == 4: // FSETPM
		i.Vec = FPUNothing
	default:
		return ErrInvalid
	}
	return nil
}

// x87Single decodes d9 d0 to d9 ff, which have no operand.
func (d *decoder) x87Single(b byte) error {
	i := &d.inst
	i.RM = 0
	if b >= 0x28 && b < 0x2f {
		i.Vec, i.Imm = FPUConstant, int64(b-0x28)
		return nil
	}
	ops := map[byte]FPU{
		0x10: FPUNoOperation, 0x20: FPUNegate, 0x21: FPUAbsolute, 0x24: FPUTest, 0x25: FPUExamine,
		0x30: FPUPower, 0x31: FPULogarithm, 0x32: FPUTangent, 0x33: FPUArcTangent, 0x34: FPUExtract, 0x35: FPURemainderNearest, 0x36: FPUTurnDown,
		0x37: FPUTurnUp, 0x38: FPURemainder, 0x39: FPULogarithm1, 0x3a: FPURoot, 0x3b: FPUSineCosine, 0x3c: FPURound, 0x3d: FPUScale, 0x3e: FPUSine,
		0x3f: FPUCosine,
	}
	if b >= 0x18 && b < 0x20 { // FSTP1, which stores like FSTP
		i.Vec, i.From, i.RM, i.Reg = FPUStore, 1, b&7, 1
		return nil
	}
	op, ok := ops[b]
	if !ok {
		return ErrInvalid
	}
	i.Vec = op
	return nil
}

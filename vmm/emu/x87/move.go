package x87

import "github.com/wherry/wherry/vmm/x86"

// Push is a load of a number that is as it is.
func (f *FPU) Push(v x86.Float80) { f.push(v) }

// PushBits is a load of a float of 4 or 8 bytes.
func (f *FPU) PushBits(l *x86.Layout, b uint64) {
	v := f.env.Load(l, b)
	if f.env.Status&x86.FloatDenormal != 0 && !f.overflows() { // it is loaded even if that interrupts
		f.raised |= x86.FloatDenormal
		f.env.Status = 0
	}
	f.push(v)
}

// top80 is ST(0) to be stored.
func (f *FPU) top80() x86.Float80 {
	if f.lacks(0) {
		return x86.Indefinite
	}
	return f.st(0)
}

// Bits is ST(0) as a float of 4 or 8 bytes, to be stored.
func (f *FPU) Bits(l *x86.Layout) uint64 { return f.env.Store(l, f.top80()) }

// Whole is ST(0) as a whole number of size bytes, to be stored; it may be cut and not rounded.
func (f *FPU) Whole(size uint8, cut bool) uint64 {
	v, r := f.top80(), f.env.Rounding
	if cut {
		r = x86.ToZero
	}
	return uint64(f.env.Int80(v, size, r))
}

// BCD is ST(0) as one, to be stored.
func (f *FPU) BCD() x86.BCD { return f.env.StoreBCD(f.top80()) }

// Float80 is ST(0), to be stored.
func (f *FPU) Float80() x86.Float80 { return f.top80() }

// Stores has the exceptions of a number that is to be stored in the status word. It returns false if it isn't stored: an exception interrupts. Of a
// result that is out of its range that is so, too (Intel SDM volume 1, 8.5.4).
func (f *FPU) Stores() bool {
	const outOfRange = x86.FloatOverflow | x86.FloatUnderflow
	status := f.env.Status
	f.before = pointers{f.codes, f.raised, f.ip}
	if stored := f.ended(); stored && status&^f.env.Masks&outOfRange == 0 {
		return true
	}
	f.raised = f.raised&^x86.FloatInexact | f.before.raised&x86.FloatInexact
	f.codes &^= codeC1
	return false
}

// Undo is for a store that faults: Stores didn't happen.
func (f *FPU) Undo() { f.codes, f.raised, f.ip = f.before.codes, f.before.raised, f.before.ip }

func load(f *FPU, o Operands) {
	v := x86.Indefinite
	if !f.lacks(o.I) {
		v = f.st(o.I)
	}
	f.push(v)
}

func store(f *FPU, o Operands) {
	if o.Whole && f.isEmpty(0) { // FSTP1 copies that too
		f.ended()
		f.full &^= 1 << ((f.top + o.I) & 7)
		f.Pop(o.Pops)
		return
	}
	f.result(o.I, f.top80(), o.Pops)
}

func exchange(f *FPU, o Operands) {
	a, b := x86.Indefinite, x86.Indefinite
	if !f.isEmpty(0) {
		a = f.st(0)
	}
	if !f.isEmpty(o.I) {
		b = f.st(o.I)
	}
	f.lacks(0, o.I)
	if f.ended() {
		f.set(0, b)
		f.set(o.I, a)
	}
}

func constant(f *FPU, o Operands) { f.push(f.env.Constant80(o.Which)) }

func turn(by uint8) func(*FPU, Operands) {
	return func(f *FPU, _ Operands) {
		f.ended()
		f.top = (f.top + by) & 7
	}
}

// free is FFREE and FFREEP.
func free(f *FPU, o Operands) {
	f.ended()
	f.full &^= 1 << ((f.top + o.I) & 7)
	f.Pop(o.Pops)
}

// Move is FCMOVcc, whose condition holds or doesn't.
func (f *FPU) Move(i uint8, holds bool) {
	v := x86.Indefinite
	if !f.lacks(0, i) {
		if v = f.st(0); holds {
			v = f.st(i)
		}
	}
	if f.kept() {
		f.set(0, v)
	}
}

// nothing is FNOP.
func nothing(f *FPU, _ Operands) { f.ip = f.at }

//go:build linux && amd64

package emu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// twins are two guests that do the same, one interpreted, the other translated.
type twins struct {
	t      testing.TB
	m      [2]*Machine
	c      [2]*VCPU
	random *rand.Rand
}

func newTwins(t testing.TB, code []byte, seed uint64) *twins {
	t.Helper()
	w := &twins{t: t, random: rand.New(rand.NewPCG(seed, 11))}
	for i := range w.c {
		w.m[i], w.c[i] = newGuest(t, code, phys.Options{})
	}
	w.m[0].Interpret()
	return w
}

func (w *twins) each(f func(m *Machine, c *VCPU)) {
	for i := range w.c {
		f(w.m[i], w.c[i])
	}
}

// run runs both and compares what is seen from outside.
func (w *twins) run(instructions uint64, what string) vmm.Exit {
	w.t.Helper()
	a, b := run(w.t, w.c[0], instructions), run(w.t, w.c[1], instructions)
	a.Fault, b.Fault = nil, nil
	if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
		w.t.Errorf("%s: interpreted %+v, translated %+v", what, a, b)
	}
	if x, y := w.c[0].regs, w.c[1].regs; x != y {
		w.t.Errorf("%s: after %+v\n interpreted %x\n translated  %x", what, a, x, y)
	}
	if x, y := w.c[0].Instructions(), w.c[1].Instructions(); x != y {
		w.t.Errorf("%s: %d instructions interpreted, %d translated", what, x, y)
	}
	x, _ := w.c[0].Extended()
	y, _ := w.c[1].Extended()
	if fmt.Sprint(x) != fmt.Sprint(y) {
		w.t.Errorf("%s: after %+v\n interpreted %x\n translated  %x", what, a, x, y)
	}
	for i := range phys.Addr(codePages) {
		w.comparePage(codePhys+i*phys.PageSize, what)
	}
	for i := range phys.Addr(dataPages) {
		w.comparePage(dataPhys+i*phys.PageSize, what)
	}
	return a
}

func (w *twins) comparePage(at phys.Addr, what string) {
	w.t.Helper()
	x, errX := w.m[0].memory.Page(at, false)
	y, errY := w.m[1].memory.Page(at, false)
	if errX != nil || errY != nil || *x != *y {
		w.t.Errorf("%s: the page at %#x differs (%v, %v)", what, at, errX, errY)
	}
}

// TestTranslatedPrograms has random programs do the same both ways, at every exit, flags that Intel calls undefined and all: loops of random
// instructions, jumps to anywhere, addresses that fault, writes to code, in budgets of any size.
func TestTranslatedPrograms(t *testing.T) {
	count, seed := fromEnvironment("WHERRY_EMU_PROGRAMS", 60), uint64(fromEnvironment("WHERRY_EMU_SEED", 1))
	var done uint64
	for i := range count {
		w := newTwins(t, nil, seed<<32+uint64(i))
		w.program()
		if t.Failed() {
			t.Logf("program %d of seed %d", i, seed)
			return
		}
		done += w.c[0].Instructions()
		w.each(func(m *Machine, _ *VCPU) { _ = m.Close() })
	}
	t.Logf("%d instructions were compared", done)
}

// TestTranslatedInstructions has single random instructions do the same both ways, with all flags.
func TestTranslatedInstructions(t *testing.T) {
	w := newTwins(t, nil, uint64(fromEnvironment("WHERRY_EMU_SEED", 1)))
	for range fromEnvironment("WHERRY_EMU_INSTRUCTIONS", 5000) {
		g := generator{random: w.random}
		inst := g.instruction()
		switch w.random.IntN(6) {
		case 0:
			inst = g.vector()
		case 1:
			inst = g.x87()
		case 2, 3:
			inst = g.avx()
		}
		w.each(func(m *Machine, c *VCPU) {
			if err := m.memory.WriteAt(inst, codePhys); err != nil {
				t.Fatal(err)
			}
			setRegisters(&c.regs, g.registers)
			c.regs.RIP = codeAt
			if err := c.SetExtended(&g.extended); err != nil {
				t.Fatal(err)
			}
		})
		if w.run(1, fmt.Sprintf("% x", inst)); t.Failed() {
			return
		}
	}
}

// program makes a program and runs it.
func (w *twins) program() {
	code := w.code()
	g := generator{random: w.random}
	g.state()
	var first uint64 // of the code's bytes
	if w.random.IntN(2) == 0 {
		first = phys.PageSize - uint64(w.random.IntN(len(code)))
	}
	stack := dataAt + 0x1f00 + uint64(w.random.IntN(3)*128) // or at a page's end
	w.each(func(m *Machine, c *VCPU) {
		if err := m.memory.WriteAt(code, codePhys+phys.Addr(first)); err != nil {
			w.t.Fatal(err)
		}
		r := g.registers
		for _, i := range []int{regBX, regSI, regDI, regBP, 8, 12} {
			r[i] = dataAt + r[i]%(dataPages*phys.PageSize)
		}
		r[regSP], r[regCX] = stack, r[regCX]&0xff
		setRegisters(&c.regs, r)
		c.regs.RIP = codeAt + first
		c.regs.RFLAGS &^= x86.DF
		if err := c.SetExtended(&g.extended); err != nil {
			w.t.Fatal(err)
		}
	})
	for left := 60; left > 0 && !w.t.Failed(); left-- {
		budget := uint64(1 + w.random.IntN(8))
		if w.random.IntN(3) == 0 {
			budget = uint64(1 + w.random.IntN(3000))
		}
		exit := w.run(budget, fmt.Sprintf("% x", code))
		switch exit.Kind {
		case vmm.ExitSpent, vmm.ExitDebug:
		default: // go on somewhere else, with addresses that are good again
			at, data := w.random.Uint64()%uint64(len(code)), dataAt+w.random.Uint64()%(dataPages*phys.PageSize)
			w.each(func(_ *Machine, c *VCPU) {
				c.regs.RIP, c.regs.RSP = codeAt+first+at, stack
				c.regs.RBX, c.regs.RSI, c.regs.RDI, c.regs.R12 = data, data, data, data
				c.regs.RFLAGS &^= x86.TF
			})
		}
	}
}

// code is random instructions with jumps between them.
func (w *twins) code() []byte {
	g := generator{random: w.random}
	var code []byte
	var starts []int
	for n := 5 + w.random.IntN(60); n > 0; n-- {
		starts = append(starts, len(code))
		at := starts[w.random.IntN(len(starts))]
		switch w.random.IntN(14) {
		case 12, 13:
			code = append(code, g.avx()...)
		case 0: // jcc back
			code = append(code, 0x0f, 0x80|byte(w.random.IntN(16)))
			code = appendDistance(code, at)
		case 1: // jcc forward, maybe into an instruction
			code = append(code, 0x70|byte(w.random.IntN(16)), byte(w.random.IntN(12)))
		case 2:
			code = append(code, 0xe8)
			code = appendDistance(code, at)
		case 3:
			code = append(code, 0xc3)
		case 4: // dec ecx; jnz
			code = append(code, 0xff, 0xc9, 0x0f, 0x85)
			code = appendDistance(code, at)
		case 5: // lea rax, [rip+…]; jmp rax
			code = append(code, 0x48, 0x8d, 0x05)
			code = appendDistance(code, at)
			code = append(code, 0xff, 0xe0)
		case 6:
			code = append(code, g.vector()...)
		case 8, 9:
			code = append(code, w.onStack()...)
		case 7: // mov byte [rip+…], imm: into code
			code = append(code, 0xc6, 0x05)
			code = appendDistance(code, at-1)
			code = append(code, byte(w.random.IntN(256)))
		default:
			code = append(code, g.instruction()...)
		}
	}
	return append(code, 0x0f, 0x05)
}

// onStack is an instruction on what is near RSP, or one that moves RSP.
func (w *twins) onStack() []byte {
	disp, reg := byte(w.random.IntN(16)*8-64), byte(w.random.IntN(8))
	switch w.random.IntN(8) {
	case 0:
		return []byte{0x50 | reg}
	case 1:
		return []byte{0x58 | reg}
	case 2:
		return []byte{0x48, 0x83, 0xc4 | byte(w.random.IntN(2)*0x28), byte(w.random.IntN(5) * 8)} // add or sub rsp
	case 3:
		return []byte{0x0f, 0x10 | byte(w.random.IntN(2)), 0x44 | reg<<3, 0x24, disp} // movups
	case 4:
		return []byte{[]byte{0xf6, 0xc0, 0xfe, 0x80}[w.random.IntN(4)], 0x44 | byte(w.random.IntN(8))<<3, 0x24, disp, byte(w.random.IntN(256))}
	}
	code := []byte{0x40 | byte(w.random.IntN(2))<<3 | byte(w.random.IntN(2))<<2}
	if w.random.IntN(4) == 0 {
		code = append(code, 0x0f, []byte{0xb6, 0xaf, 0x44, 0x92, 0xc1, 0xb1, 0xa3, 0xbc}[w.random.IntN(8)])
	} else {
		code = append(code, []byte{0x01, 0x03, 0x11, 0x13, 0x29, 0x31, 0x39, 0x3b, 0x85, 0x87, 0x88, 0x89, 0x8b, 0x8b, 0xd1, 0xd3, 0xff, 0x8d}[w.random.IntN(18)])
	}
	return append(code, 0x44|reg<<3, 0x24, disp)
}

func appendDistance(code []byte, to int) []byte {
	d := to - (len(code) + 4)
	return append(code, byte(d), byte(d>>8), byte(d>>16), byte(d>>24))
}

// TestTranslatedStrings has MOVS and STOS do the same both ways: of each size, repeated or not, up and down, within pages and over their ends, over themselves, and where
// they fault.
func TestTranslatedStrings(t *testing.T) {
	count := fromEnvironment("WHERRY_EMU_STRINGS", 3000)
	w := newTwins(t, nil, uint64(fromEnvironment("WHERRY_EMU_SEED", 1)))
	for range count {
		var inst []byte
		if w.random.IntN(3) > 0 {
			inst = append(inst, []byte{0xf3, 0xf3, 0xf3, 0xf2}[w.random.IntN(4)])
		}
		switch w.random.IntN(4) {
		case 0:
			inst = append(inst, 0x66)
		case 1, 2:
			inst = append(inst, 0x48)
		}
		inst = append(inst, []byte{0xa4, 0xa5, 0xaa, 0xab}[w.random.IntN(4)], 0xff, 0xcd, 0x75, 0) // dec ebp; jnz to the beginning
		inst[len(inst)-1] = byte(-len(inst))
		g := generator{random: w.random}
		g.state()
		r := g.registers
		address := func() uint64 {
			at := dataAt + w.random.Uint64()%(dataPages*phys.PageSize)
			if w.random.IntN(3) == 0 {
				at = at&^0xfff + uint64(w.random.IntN(64))
			}
			return at - uint64(w.random.IntN(32))
		}
		r[regSI], r[regDI], r[regBP] = address(), address(), uint64(1+w.random.IntN(4))
		if w.random.IntN(3) == 0 {
			r[regDI] = r[regSI] + uint64(w.random.IntN(24))
		}
		r[regCX] = []uint64{0, 1, uint64(w.random.IntN(64)), uint64(w.random.IntN(1200)), uint64(w.random.IntN(5000))}[w.random.IntN(5)]
		r[16] &^= uint64(x86.DF)
		if w.random.IntN(6) == 0 {
			r[16] |= uint64(x86.DF)
		}
		w.each(func(m *Machine, c *VCPU) {
			if err := m.memory.WriteAt(inst, codePhys); err != nil {
				t.Fatal(err)
			}
			setRegisters(&c.regs, r)
			c.regs.RIP = codeAt
		})
		if w.run(uint64(3*(1+w.random.IntN(4))), fmt.Sprintf("% x", inst)); t.Failed() {
			return
		}
	}
}

//go:build linux && amd64

package emu

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/emu/avx"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// TestXSaveAgainstProcessor saves and restores random states, of random parts, in areas that a processor takes and in others.
func TestXSaveAgainstProcessor(t *testing.T) {
	if !hostHasAVX {
		t.Skip("this processor has no AVX2 to compare with")
	}
	p := trace(t)
	d := &differ{t: t, random: rand.New(rand.NewPCG(uint64(fromEnvironment("WHERRY_EMU_SEED", 1)), 10)), kinds: map[string]int{}, failed: map[string]bool{}}
	d.machine, d.vcpu = newGuest(t, nil, phys.Options{})
	data, ends := make([]byte, dataPages*phys.PageSize), map[vmm.ExitKind]int{}
	for range soaked("WHERRY_EMU_AREAS", 1000) {
		g := generator{random: d.random}
		g.x87() // makes a state
		at := d.random.IntN(16) * 64
		g.fill(data)
		header := data[at+x86.FxsaveSize:][:64]
		clear(header)
		header[0] = byte(d.random.IntN(8))
		switch d.random.IntN(12) {
		case 0:
			i := 4 + d.random.IntN(60) // before are states that this processor may have
			if i == 15 {
				i++ // and the last bit here says that the area is compacted, which it may know
			}
			header[i] |= 1 << d.random.IntN(8)
		case 1:
			at += 1 << d.random.IntN(6)
		case 2:
			at = len(data) - d.random.IntN(14)*64 // it may not fit
		}
		if d.random.IntN(4) > 0 && at+28 < len(data) {
			copy(data[at+24:], []byte{0x80, 0x1f, 0, 0}) // MXCSR
		}
		if at+28 < len(data) {
			data[at+26] &^= 2 // a bit of MXCSR that AMD's processors have
		}
		g.registers[regAX], g.registers[regDX], g.registers[regBX] = d.random.Uint64()&7, 0, dataAt+uint64(at)
		inst := []byte{0x48, 0x0f, 0xae, 0x23 | byte(d.random.IntN(2))<<3} // XSAVE64 or XRSTOR64 [RBX]
		in, err := x86.Decode(inst)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.machine.memory.WriteAt(data, dataPhys); err != nil {
			t.Fatal(err)
		}
		if _, err := p.memory.WriteAt(data, dataAt); err != nil {
			t.Fatal(err)
		}
		ends[d.compareSaved(p, inst, in, &g, at)]++
	}
	t.Logf("they ended in %v", ends)
}

// compareSaved is compareTraced for areas, in which not all is the same on all processors.
func (d *differ) compareSaved(p *traced, inst []byte, in x86.Inst, g *generator, at int) vmm.ExitKind {
	if err := d.machine.memory.WriteAt(inst, codePhys); err != nil {
		d.t.Fatal(err)
	}
	setRegisters(&d.vcpu.regs, g.registers)
	d.vcpu.regs.RIP = codeAt
	if err := d.vcpu.SetExtended(&g.extended); err != nil {
		d.t.Fatal(err)
	}
	exit := run(d.t, d.vcpu, 1)
	registers, want := g.registers, g.extended
	wantExit, err := p.run(inst, &registers, &want)
	if err != nil {
		d.t.Fatal(err)
	}
	if refusedTwice(in, g, at, p) && exit.Vector == x86.GeneralProtection && wantExit.Vector == x86.PageFault {
		return exit.Kind
	}
	if exit.Kind != wantExit.Kind || exit.Vector != wantExit.Vector || exit.Addr&^offMask != wantExit.Addr&^offMask {
		d.fail(inst, in, "%+v, natively %+v; parts %#x at %#x", exit, wantExit, g.registers[regAX], at)
		return exit.Kind
	}
	if e, _ := d.vcpu.Extended(); e.XMM == [16][2]uint64{} && e.MXCSR == 0x1f80 {
		want.MXCSR = e.MXCSR // the kernel saves nothing of what is as at the beginning, and tells of what it has had before
	}
	d.compareExtended(inst, in, &g.extended, &want)
	got, native := make([]byte, dataPages*phys.PageSize), make([]byte, dataPages*phys.PageSize)
	if err := d.machine.memory.ReadAt(got, dataPhys); err != nil {
		d.t.Fatal(err)
	}
	if _, err := p.memory.ReadAt(native, dataAt); err != nil {
		d.t.Fatal(err)
	}
	if in.Op == x86.XSAVE && exit.Kind == vmm.ExitSpent {
		for _, area := range [][]byte{got[at:], native[at:]} {
			if upper := g.extended.Upper(); upper == [16][2]uint64{} { // which parts are told of depends on the processor where they are as at the beginning
				area[x86.FxsaveSize] &^= x86.XsaveYMM
			}
			area[x86.FxsaveSize] &^= x86.XsaveX87 | x86.XsaveXMM
			clear(area[28:32]) // the mask of MXCSR
			if !hostIsIntel {
				clear(area[6:24]) // x87's pointers, which AMD's keep for exceptions alone
			}
			for i := range 8 {
				clear(area[32+16*i+10 : 48+16*i]) // behind the 10 bytes of a register
			}
		}
	}
	if !bytes.Equal(got, native) {
		for i := range got {
			if got[i] != native[i] {
				d.fail(inst, in, "byte %#x of the area is %#x, natively %#x; parts %#x", i-at, got[i], native[i], g.registers[regAX])
				break
			}
		}
	}
	return exit.Kind
}

// refusedTwice reports whether an area to restore has a header that is refused, and an end that isn't there: AMD's processors look at the header first, Intel's at
// either, as what is in it has it.
func refusedTwice(in x86.Inst, g *generator, at int, p *traced) bool {
	const size = dataPages * phys.PageSize
	if in.Op != x86.XRSTOR || at+x86.XsaveUpper > size || at+avx.AreaSize(uint8(g.registers[regAX])&avx.Parts) <= size {
		return false
	}
	area := make([]byte, x86.XsaveUpper)
	_, err := p.memory.ReadAt(area, dataAt+int64(at))
	return err == nil && avx.Refuses(area)
}

// TestXSaveNeedsNoProcessor: what is saved comes back, whichever host there is.
func TestXSaveNeedsNoProcessor(t *testing.T) {
	_, c := newGuest(t, []byte{0x48, 0x0f, 0xae, 0x23, 0x0f, 0x05, 0x48, 0x0f, 0xae, 0x2b, 0x0f, 0x05}, phys.Options{}) // xsave64 [rbx]; syscall; xrstor64 [rbx]; syscall
	g := generator{random: rand.New(rand.NewPCG(3, 4))}
	g.x87()
	upper := [16][2]uint64{3: {1, 2}, 15: {3, 4}}
	g.extended.SetUpper(&upper)
	if err := c.SetExtended(&g.extended); err != nil {
		t.Fatal(err)
	}
	before, _ := c.Extended()
	c.regs.RAX, c.regs.RDX, c.regs.RBX = avx.Parts, 0, dataAt
	if exit := run(t, c, 10); exit.Kind != vmm.ExitSyscall {
		t.Fatalf("%+v", exit)
	}
	fresh := x86.NewExtended()
	if err := c.SetExtended(&fresh); err != nil {
		t.Fatal(err)
	}
	if exit := run(t, c, 10); exit.Kind != vmm.ExitSyscall {
		t.Fatalf("%+v", exit)
	}
	after, _ := c.Extended()
	if after.XMM != before.XMM || after.Upper() != upper || after.MXCSR != before.MXCSR || after.ST != before.ST || after.FSW != before.FSW {
		t.Errorf("saved %+v, restored %+v", before, after)
	}
}

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

// TestFaultsAgainstProcessor executes random instructions, most of which fault, here and in a traced process: what they leave is the same.
func TestFaultsAgainstProcessor(t *testing.T) {
	p := trace(t)
	count := soaked("WHERRY_EMU_FAULTS", 5000)
	d := &differ{t: t, random: rand.New(rand.NewPCG(uint64(fromEnvironment("WHERRY_EMU_SEED", 1)), 8)), kinds: map[string]int{}, failed: map[string]bool{}}
	d.machine, d.vcpu = newGuest(t, nil, phys.Options{})
	vectors := map[string]int{}
	for range count {
		if exit, ok := d.fault(p); ok {
			vectors[fmt.Sprint(exit.Kind, " ", exit.Vector)]++
		}
		if len(d.failed) > failuresMax {
			break
		}
	}
	t.Logf("%d instructions of %d kinds were compared, which ended in %v", d.compared, len(d.kinds), vectors)
}

// bad makes a register something that isn't good as an address: near the ends of the data, not aligned, or anything.
func (g *generator) bad(r int) {
	switch g.random.IntN(5) {
	case 0:
		g.registers[r] = dataAt + dataPages*phys.PageSize - uint64(g.random.IntN(200))
	case 1:
		g.registers[r] = dataAt - uint64(g.random.IntN(20)) + uint64(g.random.IntN(10))
	case 2:
		g.registers[r] = g.random.Uint64()
	default:
		g.registers[r] += uint64(g.random.IntN(16))
	}
}

// worse makes it likely that an instruction faults.
func (g *generator) worse() {
	for range g.random.IntN(3) {
		g.bad(g.random.IntN(16))
	}
	if g.random.IntN(2) == 0 {
		g.extended.MXCSR &^= g.random.Uint32() & 0x1f80
	}
	if g.random.IntN(2) == 0 {
		g.extended.FCW &^= uint16(g.random.Uint32()) & 0x3f
		if g.random.IntN(2) == 0 {
			g.extended.FSW &^= 0x7f // else an exception waits, mostly
		}
	}
	if g.extended.FSW&^g.extended.FCW&0x3f != 0 {
		g.extended.FSW |= 0x8080
	}
}

// fault compares one instruction. It isn't ok if there is nothing to compare.
func (d *differ) fault(p *traced) (exit vmm.Exit, ok bool) {
	g := generator{random: d.random}
	inst := g.any()
	g.worse()
	in, err := x86.Decode(inst)
	if err != nil || hasStopped(in) || intelAlone(in) || faultsAsIntels(in, &g) {
		return exit, false
	}
	if in.IsMem && in.Mem.Base < 16 && d.random.IntN(2) == 0 {
		g.bad(int(in.Mem.Base))
	}
	if d.compared%64 == 0 {
		d.fillAll(p, &g)
	}
	return d.compareTraced(p, inst, in, &g), true
}

// faultsAsIntels says that other processors leave something else: where x87's exceptions aren't masked they look at memory first, keep the flags of REP SCAS and
// CMPS, shift 2 bytes by more than 16 otherwise, and have another bit of MXCSR.
func faultsAsIntels(in x86.Inst, g *generator) bool {
	switch {
	case hostIsIntel:
		return false
	case in.Op == x86.FXRSTOR || in.Op == x86.LDMXCSR:
		return true
	case in.Op == x86.X87:
		return in.IsMem && g.extended.FCW&uint16(x86.FloatExceptions) != uint16(x86.FloatExceptions)
	}
	return (in.Op == x86.SCAS || in.Op == x86.CMPS) && in.Rep != 0 || shiftsTooFar(in, &g.registers)
}

// hasStopped are instructions that tell of the tracer, and ENTER, which on processors writes a part of the frame before it faults.
func hasStopped(in x86.Inst) bool {
	return in.Op == x86.PUSHF || in.Op == x86.INT3 || in.Op == x86.ENTER
}

// turnsStack are instructions that make ST(0) the first register on Intel's processors even if the memory that they write to faults.
func turnsStack(in x86.Inst) bool {
	return in.Op == x86.SSE && (in.IsMem && (in.VecShape == x86.MMXQP || in.VecShape == x86.MMXEP) || in.VecShape == x86.MMXMask)
}

// inParts are instructions that access memory in parts: processors have done some of them when one faults, and tell of any address in its page.
func inParts(in x86.Inst) bool {
	if in.Op != x86.X87 || !in.IsMem {
		return in.Op == x86.FXSAVE || in.Op == x86.FXRSTOR || in.Op == x86.SSE && in.VecShape == x86.VecMask
	}
	return in.Size == 10 || in.Vec >= x86.FPULoadEnvironment && in.Vec <= x86.FPUSave
}

// fillAll makes the data of both anything.
func (d *differ) fillAll(p *traced, g *generator) {
	page := make([]byte, phys.PageSize)
	for i := range dataPages {
		g.fill(page)
		if err := d.machine.memory.WriteAt(page, dataPhys+phys.Addr(i*phys.PageSize)); err != nil {
			d.t.Fatal(err)
		}
		if _, err := p.memory.WriteAt(page, dataAt+int64(i*phys.PageSize)); err != nil {
			d.t.Fatal(err)
		}
	}
}

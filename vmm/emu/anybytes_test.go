//go:build linux && amd64

package emu

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
	"golang.org/x/sys/cpu"
)

// leaves are instructions that can't be compared in a process that is traced: they go elsewhere, or the kernel does them.
func leaves(in x86.Inst) bool {
	switch in.Op {
	case x86.JMP, x86.JCC, x86.JRCXZ, x86.LOOP, x86.LOOPE, x86.LOOPNE, x86.CALL, x86.RET, x86.SYSCALL, x86.INTN, x86.INT3, x86.IN, x86.OUT,
		x86.CPUID, x86.RDTSC, x86.RDTSCP, x86.STORESEG, x86.LOADSEG, x86.PUSHSEG, x86.POPSEG, x86.VERR, x86.VERW, x86.LAR, x86.PUSHF, x86.POPF, x86.ENTER:
		return true
	}
	counts := !cpu.X86.HasBMI1 && (in.Op == x86.TZCNT || in.Op == x86.LZCNT) // which a processor may take for BSF and BSR
	halves := in.Mem.Addr32 && (in.Op == x86.MOVS || in.Op == x86.STOS || in.Op == x86.LODS || in.Op == x86.SCAS || in.Op == x86.CMPS)
	return counts || halves || in.Mem.RIP || in.Mem.Seg != x86.NoSeg
}

// kernels are privileged instructions that Linux has an answer to: SYSRET, SYSENTER and SYSEXIT, and those about descriptor tables, which it emulates.
func kernels(code []byte) bool {
	opcode := code[bytes.IndexByte(code, 0x0f)+1]
	return opcode <= 0x01 || opcode == 0x07 || opcode == 0x34 || opcode == 0x35
}

// TestAnyBytesAgainstProcessor decodes random bytes: what is an instruction here is one to the processor, and does the same.
func TestAnyBytesAgainstProcessor(t *testing.T) {
	p := trace(t)
	count := soaked("WHERRY_EMU_BYTES", 5000)
	d := &differ{t: t, random: rand.New(rand.NewPCG(uint64(fromEnvironment("WHERRY_EMU_SEED", 1)), 9)), kinds: map[string]int{}, failed: map[string]bool{}}
	d.machine, d.vcpu = newGuest(t, nil, phys.Options{})
	known := 0
	for range count {
		g := generator{random: d.random}
		g.state()
		g.addresses()
		code := g.bytes()
		in, err := x86.Decode(code)
		if err != nil || leaves(in) || in.Op == x86.PRIVILEGED && kernels(code[:in.Len]) {
			continue
		}
		if intelAlone(in) {
			continue
		}
		known++
		for r := range g.registers[:16] {
			g.registers[r] = dataAt + 0x1800 + uint64(g.random.IntN(64))*16
		}
		g.registers[regCX] = uint64(g.random.IntN(8))
		d.fillAll(p, &g)
		d.compareTraced(p, code[:in.Len], in, &g)
		if len(d.failed) > failuresMax {
			break
		}
	}
	t.Logf("%d of %d were compared, of %d kinds", known, count, len(d.kinds))
}

// bytes are some that often are an instruction.
func (g *generator) bytes() []byte {
	var code []byte
	for g.random.IntN(3) == 0 {
		code = append(code, []byte{0x66, 0x67, 0xf2, 0xf3, 0x2e, 0xf0}[g.random.IntN(6)])
	}
	if g.random.IntN(2) == 0 {
		code = append(code, 0x40|byte(g.random.IntN(16)))
	}
	switch g.random.IntN(4) {
	case 0:
		code = append(code, 0x0f)
	case 1:
		code = append(code, 0x0f, []byte{0x38, 0x3a}[g.random.IntN(2)])
	}
	for len(code) < x86.InstMax {
		code = append(code, byte(g.random.Uint32()))
	}
	return code
}

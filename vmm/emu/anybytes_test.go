//go:build linux && amd64

package emu

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
	"golang.org/x/sys/cpu"
)

// leaves are instructions that can't be compared in a process that is traced: they go elsewhere, or the kernel does them.
func leaves(in x86.Inst) bool {
	switch in.Op {
	case x86.JMP, x86.JCC, x86.JRCXZ, x86.LOOP, x86.LOOPE, x86.LOOPNE, x86.CALL, x86.RET, x86.SYSCALL, x86.INTN, x86.INT3, x86.IN, x86.OUT,
		x86.CPUID, x86.XGETBV, x86.XSAVE, x86.XRSTOR, x86.RDTSC, x86.RDTSCP, x86.STORESEG, x86.LOADSEG, x86.PUSHSEG, x86.POPSEG, x86.VERR, x86.VERW, x86.LAR, x86.PUSHF, x86.POPF, x86.ENTER:
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
		if intelAlone(in) || !hostIsIntel && shiftsTooFar(in, &g.registers) || in.Op == x86.AVX && !hostHasAVX {
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
	switch g.random.IntN(5) {
	case 2:
		code = append(code, 0xc4, byte(g.random.IntN(8))<<5|byte(1+g.random.IntN(3)))
	case 3:
		code = append(code, 0xc5)
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

// beyondUs are the instructions with VEX that a processor may have and the emulator hasn't: masks of AVX-512, GFNI, VAES and VPCLMULQDQ with 256 bits, VNNI and
// what came after it. CPUID doesn't tell of them.
func beyondUs(code []byte) bool {
	table, opcode, wide := code[1]&31, code[3], code[2]&4 != 0
	switch table {
	case 1:
		return opcode&0xf0 == 0x40 || opcode&0xf0 == 0x90
	case 2:
		return opcode >= 0x50 && opcode <= 0x53 || opcode == 0xcf || wide && opcode >= 0xdc && opcode <= 0xdf || opcode >= 0xb0 && opcode <= 0xb5 ||
			opcode >= 0xca && opcode <= 0xdf || opcode >= 0xe0 && opcode <= 0xef || opcode >= 0x49 && opcode <= 0x6c
	}
	return opcode&0xf0 == 0x30 || opcode&^1 == 0xce || wide && opcode == 0x44 || opcode == 0xde
}

// TestEncodingsAgainstProcessor tries each opcode with VEX in all its forms: what raises #UD here does so on the processor, and the other way round.
func TestEncodingsAgainstProcessor(t *testing.T) {
	if !hostHasAVX {
		t.Skip("this processor has no AVX2 to compare with")
	}
	p := trace(t)
	told, tried := 0, 0
	for i := range 3 * 4 * 256 * 16 {
		c := avxCode{byte(1 + i>>14), byte(i >> 4 & 3), byte(i >> 6), byte(i & 1), byte(i >> 1 & 1)}
		for _, modRM := range []byte{0x0b, 0xcb, 0x1b, 0xdb, 0x33, 0xf3} {
			code := c.bytes(0, byte(i>>2&1)*5, modRM)
			if code = append(code, 0, 0, 0, 0, 0); i>>3&1 != 0 { // with an index
				code[4] = modRM&0x38 | 4
				code[5] = 0x33
			}
			_, err := x86.Decode(code)
			permute := c.table == 3 && c.prefix == 1 && c.opcode < 2 && c.w == 0 // AMD's don't look at W of VPERMQ and VPERMPD
			if beyondUs(code) || permute && !hostIsIntel || errors.Is(err, x86.ErrUnsupported) && modRM != 0x0b && modRM != 0xcb {
				continue
			}
			g := generator{random: rand.New(rand.NewPCG(1, 2))}
			g.extended = x86.NewExtended()
			for r := range g.registers[:16] {
				g.registers[r] = dataAt + 0x1800
			}
			g.registers[16] = 2
			exit, errRun := p.run(code, &g.registers, &g.extended)
			if errRun != nil {
				t.Fatal(errRun)
			}
			tried++
			if refused := exit.Kind == vmm.ExitException && exit.Vector == x86.InvalidOpcode; refused != (err != nil) {
				if told++; told < failuresMax {
					t.Errorf("% x (%+v): %v here; the processor raises #UD: %v", code, c, err, refused)
				}
			}
		}
	}
	t.Logf("%d encodings were tried", tried)
}

//go:build linux && amd64

package emu

import (
	"bytes"
	"math"
	"testing"

	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
	"golang.org/x/sys/unix"
)

// BenchmarkSum counts this process's CPU time, for the machine may have other things to do.
func BenchmarkSum(b *testing.B) {
	_, c := newGuest(b, sum, phys.Options{})
	before, start := c.Instructions(), cpuTime(b)
	for b.Loop() {
		c.regs.RIP, c.regs.RAX, c.regs.RCX = codeAt, 0, 100_000
		run(b, c, 0)
	}
	b.ReportMetric(float64(cpuTime(b)-start)/float64(c.Instructions()-before), "CPU-ns/instruction")
}

func cpuTime(b testing.TB) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return t.Nano()
}

// BenchmarkSteps has loops of 100 instructions of a kind, and tells what one costs.
func BenchmarkSteps(b *testing.B) {
	for name, code := range map[string][]byte{
		"addsd":        {0xf2, 0x0f, 0x58, 0xc1},
		"mulsd memory": {0xf2, 0x0f, 0x59, 0x03},
		"divss":        {0xf3, 0x0f, 0x5e, 0xd1},
		"mulps":        {0x0f, 0x59, 0xd7},
		"ucomisd":      {0x66, 0x0f, 0x2e, 0xc1},
		"cvtsi2sd":     {0xf2, 0x48, 0x0f, 0x2a, 0xd9},
		"cvttsd2si":    {0xf2, 0x48, 0x0f, 0x2c, 0xc0},
		"movups load":  {0x0f, 0x10, 0x23},
		"movups store": {0x0f, 0x11, 0x23},
		"movaps":       {0x0f, 0x28, 0xe1},
		"movsd load":   {0xf2, 0x0f, 0x10, 0x2b},
		"pxor":         {0x66, 0x0f, 0xef, 0xf1},
		"paddb":        {0x66, 0x0f, 0xfc, 0xf1},
		"paddd":        {0x66, 0x0f, 0xfe, 0xf1},
		"pcmpeqb":      {0x66, 0x0f, 0x74, 0xf1},
		"pminub":       {0x66, 0x0f, 0xda, 0xf1},
		"pmovmskb":     {0x66, 0x0f, 0xd7, 0xd6},
		"punpcklbw":    {0x66, 0x0f, 0x60, 0xf1},
		"pshufd":       {0x66, 0x0f, 0x70, 0xf1, 0x1b},
		"fld, fstp":    {0xdd, 0x03, 0xdd, 0x1b},
		"fadd":         {0xd8, 0xc1},
		"fmul":         {0xd8, 0xc9},
		"fdiv":         {0xd8, 0xf1},
		"fsqrt":        {0xd9, 0xfa},
		"fsin":         {0xd9, 0xfe},
		"lodsb":        {0xac},
	} {
		b.Run(name, func(b *testing.B) {
			loop := bytes.Repeat(code, 100)
			loop = append(loop, 0x0f, 0x05)
			_, c := newGuest(b, loop, phys.Options{})
			one, half := math.Float64bits(1.1), math.Float64bits(0.9)
			c.extended.XMM[0][0], c.extended.XMM[1][0] = one, half
			c.extended.MXCSR |= 1 << 5
			c.extended.XMM[2], c.extended.XMM[7] = [2]uint64{0x3f8ccccd3f8ccccd, 0x3f8ccccd3f8ccccd}, [2]uint64{0x3f8000003f800000, 0x3f8000003f800000}
			c.fpu.Push(x86.One)
			c.fpu.Push(x86.Pi)
			before, start := c.Instructions(), cpuTime(b)
			for b.Loop() {
				c.regs.RIP, c.regs.RBX, c.regs.RSI = codeAt, dataAt+64, dataAt
				c.extended.XMM[0][0] = one
				run(b, c, 0)
			}
			b.ReportMetric(float64(cpuTime(b)-start)/float64(c.Instructions()-before), "CPU-ns/instruction")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkFill is REP STOSB over a page.
func BenchmarkFill(b *testing.B) {
	_, c := newGuest(b, []byte{0xf3, 0xaa, 0x0f, 0x05}, phys.Options{})
	start := cpuTime(b)
	for b.Loop() {
		c.regs.RIP, c.regs.RDI, c.regs.RCX = codeAt, dataAt, 2*phys.PageSize
		run(b, c, 0)
	}
	b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N)/(2*phys.PageSize), "CPU-ns/byte")
}

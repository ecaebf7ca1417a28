package code

import (
	"testing"

	"github.com/wherry/wherry/vmm/x86"
)

// TestFlagsInMemory: what LAHF and SETO tell is what it was.
func TestFlagsInMemory(t *testing.T) {
	for f := range x86.Arithmetic + 1 {
		if f &= x86.Arithmetic; GuestFlags(HostFlags(f)) != f {
			t.Errorf("%#x becomes %#x", f, GuestFlags(HostFlags(f)))
		}
		if got := GuestFlags(HostFlags(f) | NoAF); got != f&^x86.AF {
			t.Errorf("%#x without AF is %#x", f, got)
		}
	}
}

// FuzzTranslate has whatever can be decoded translated, too: no flag is lost, no jump goes nowhere, and the code fits.
func FuzzTranslate(f *testing.F) {
	f.Add([]byte{0x48, 0x01, 0xc8, 0x48, 0xff, 0xc9, 0x48, 0x83, 0xf9, 0x00, 0x75, 0xf4})       // add, dec, cmp, jne
	f.Add([]byte{0x48, 0xd3, 0xe0, 0x0f, 0xa3, 0xc8, 0x0f, 0x92, 0x03, 0x11, 0x06, 0xff, 0x23}) // shl by cl, bt, setb and adc in memory, jmp
	f.Add([]byte{0x4d, 0x0f, 0xaf, 0xee, 0xd1, 0xc8, 0x66, 0x0f, 0x58, 0x0e, 0x9c, 0xc3})       // imul r13, r14; ror; addpd; pushf; ret
	f.Fuzz(func(t *testing.T, p []byte) {
		b := Block{VA: 0x400000}
		for len(p) > 0 && len(b.Insts) < 64 {
			in, err := x86.Decode(p)
			if err != nil {
				break
			}
			b.Insts = append(b.Insts, Inst{Inst: in, Step: len(b.Insts)})
			p = p[in.Len:]
		}
		if len(b.Insts) == 0 {
			return
		}
		b.Insts[len(b.Insts)-1].Last = true
		e := New(Layout{Count: 0, Flags: 8, RIP: 16, File: 128, TLB: 1 << 10})
		if err := e.Translate(&b, 1<<32, 1<<32+nearSize, 1<<32); err != nil {
			t.Fatal(err)
		}
		if here, there := e.Bytes(); len(here) > blockSizeMax || len(there) > blockSizeMax {
			t.Errorf("%d and %d bytes for %d instructions", len(here), len(there), len(b.Insts))
		}
	})
}

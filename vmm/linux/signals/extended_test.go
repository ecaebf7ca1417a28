package signals

import (
	"encoding/binary"
	"testing"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/x86"
)

// frame is a program's memory from address 0 on.
type frame []byte

func (f frame) CopyIn(b []byte, va uint64) abi.Errno {
	if va > uint64(len(f)) || uint64(len(b)) > uint64(len(f))-va {
		return abi.EFAULT
	}
	copy(b, f[va:])
	return 0
}

func (f frame) Word32(va uint64) (uint32, abi.Errno) {
	var b [4]byte
	errno := f.CopyIn(b[:], va)
	return binary.LittleEndian.Uint32(b[:]), errno
}

func state() (x86.Extended, [16][2]uint64) {
	e, upper := x86.NewExtended(), [16][2]uint64{}
	for i := range upper {
		e.XMM[i], upper[i] = [2]uint64{uint64(i), 1}, [2]uint64{2, uint64(i)}
	}
	e.SetUpper(&upper)
	return e, upper
}

// TestExtendedComesBack: from a frame, also as a handler has changed it, and from a checkpoint.
func TestExtendedComesBack(t *testing.T) {
	e, upper := state()
	b := EncodeExtended(&e)
	got, errno := ReadExtended(frame(b), 0)
	if errno != 0 || got.XMM != e.XMM || got.Upper() != upper {
		t.Errorf("from a frame: %v, %+v", errno, got)
	}
	if got := DecodeExtended(b); got.XMM != e.XMM || got.Upper() != upper {
		t.Errorf("from a checkpoint: %+v", got)
	}
	binary.LittleEndian.PutUint64(b[x86.XsaveUpper+16*3:], 77)
	upper[3][0] = 77
	if got, _ := ReadExtended(frame(b), 0); got.Upper() != upper {
		t.Errorf("changed: %x", got.Upper())
	}
	clear(b[len(b)-4:]) // without its magic it is FXSAVE's alone
	if got, errno := ReadExtended(frame(b), 0); errno != 0 || got.XMM != e.XMM || got.Upper() != [16][2]uint64{} {
		t.Errorf("without the magic: %v, %+v", errno, got)
	}
}

// FuzzReadExtended: whatever a program has in a frame, its upper halves can be read and changed.
func FuzzReadExtended(f *testing.F) {
	e, _ := state()
	f.Add(EncodeExtended(&e), uint64(0))
	f.Add(EncodeExtended(&e)[:600], uint64(16))
	f.Fuzz(func(t *testing.T, b []byte, at uint64) {
		got, errno := ReadExtended(frame(b), at)
		if errno != 0 {
			return
		}
		if got.MXCSR&^mxcsrMask != 0 || len(got.Beyond) > beyondMax {
			t.Fatalf("MXCSR %#x, %d bytes beyond", got.MXCSR, len(got.Beyond))
		}
		upper := got.Upper()
		upper[1][1] ^= 1
		if got.SetUpper(&upper); got.Upper() != upper {
			t.Fatalf("upper halves are %x, want %x", got.Upper(), upper)
		}
		if again := DecodeExtended(EncodeExtended(&got)); again.Upper() != upper {
			t.Fatalf("encoded and decoded they are %x, want %x", again.Upper(), upper)
		}
	})
}

package signals

import (
	"bytes"
	"encoding/binary"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/x86"
)

var le = binary.LittleEndian

const (
	magicSize = 4
	// beyondMax bounds an XSAVE area's part behind FXSAVE's.
	beyondMax = 16 << 10
	// xsaveHeader is XSTATE_BV and what is reserved behind it.
	xsaveHeader = 64
	// ExtendedMax is how long a frame's fpstate may be.
	ExtendedMax = abi.FxsaveSize + beyondMax
)

// Memory is the program's.
type Memory interface {
	CopyIn(b []byte, va uint64) abi.Errno
	Word32(va uint64) (uint32, abi.Errno)
}

// EncodeExtended is what a frame's fpstate has: FXSAVE's 512 bytes, and the rest of XSAVE's area if the machine has it.
func EncodeExtended(e *x86.Extended) []byte {
	n := abi.FxsaveSize + len(e.Beyond)
	b := make([]byte, n, n+magicSize)
	e.PutFxsave(b)
	if len(e.Beyond) < xsaveHeader {
		return b[:abi.FxsaveSize]
	}
	copy(b[abi.FxsaveSize:], e.Beyond)
	sw := b[abi.FxsaveSoftware:]
	le.PutUint32(sw, abi.FP_XSTATE_MAGIC1)
	le.PutUint32(sw[4:], uint32(n+magicSize))
	le.PutUint64(sw[8:], le.Uint64(e.Beyond)|3)
	le.PutUint32(sw[16:], uint32(n))
	return le.AppendUint32(b, abi.FP_XSTATE_MAGIC2)
}

// ReadExtended reads an fpstate. What a program has changed there is its own affair, but for bits that would fault: those of MXCSR that don't exist.
func ReadExtended(m Memory, at uint64) (x86.Extended, abi.Errno) {
	var e x86.Extended
	b := make([]byte, abi.FxsaveSize)
	if errno := m.CopyIn(b, at); errno != 0 {
		return e, errno
	}
	e.GetFxsave(b)
	e.MXCSR &= mxcsrMask
	sw := b[abi.FxsaveSoftware:]
	size := le.Uint32(sw[16:])
	if le.Uint32(sw) != abi.FP_XSTATE_MAGIC1 || size < abi.FxsaveSize+xsaveHeader || size > abi.FxsaveSize+beyondMax {
		return e, 0
	}
	magic, errno := m.Word32(at + uint64(size))
	if errno != 0 || magic != abi.FP_XSTATE_MAGIC2 {
		return e, errno
	}
	e.Beyond = make([]byte, size-abi.FxsaveSize)
	return e, m.CopyIn(e.Beyond, at+abi.FxsaveSize)
}

const mxcsrMask = 0xffff

// DecodeExtended reads what EncodeExtended made; less than that is a fresh state.
func DecodeExtended(b []byte) x86.Extended {
	e := x86.NewExtended()
	if len(b) < abi.FxsaveSize {
		return e
	}
	e.GetFxsave(b)
	e.MXCSR &= mxcsrMask
	if len(b) > abi.FxsaveSize+xsaveHeader+magicSize {
		e.Beyond = bytes.Clone(b[abi.FxsaveSize : len(b)-magicSize])
	}
	return e
}

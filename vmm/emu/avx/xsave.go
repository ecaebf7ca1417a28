package avx

import (
	"encoding/binary"

	"github.com/wherry/wherry/vmm/x86"
)

// Where things are in the area of FXSAVE and XSAVE (Intel SDM volume 1, table 10-2 and 13.4).
const (
	pointersAt   = 8
	MXCSRAt      = 24
	stAt         = 32
	xmmAt        = 160
	RegistersEnd = 416                 // what is behind them FXSAVE doesn't touch
	headerKnown  = x86.FxsaveSize + 24 // up to here what isn't known has to be 0

	// Parts is XCR0: what there is.
	Parts = x86.XsaveX87 | x86.XsaveXMM | x86.XsaveYMM
)

// CutPointers cuts an area's pointers to 32 bits where the instruction has no REX.W, whose operands have 8 bytes.
func CutPointers(p []byte, size uint8) {
	if size != 8 {
		clear(p[pointersAt+4 : pointersAt+8])
		clear(p[pointersAt+12 : pointersAt+16])
	}
}

// ranges are the bytes of FXSAVE's area that belong to parts. MXCSR belongs to two.
var ranges = [...]struct {
	parts    uint8
	from, to int
}{
	{x86.XsaveX87, 0, MXCSRAt}, {x86.XsaveX87, stAt, xmmAt}, {x86.XsaveXMM, xmmAt, RegistersEnd}, {x86.XsaveXMM | x86.XsaveYMM, MXCSRAt, stAt},
}

// AreaSize is how long the area of XSAVE is for parts.
func AreaSize(parts uint8) int {
	if parts&x86.XsaveYMM != 0 {
		return x86.XsaveSize
	}
	return x86.XsaveUpper
}

// Save is XSAVE of parts, from what FXSAVE has and upper halves, to an area of AreaSize: what it doesn't write stays. x87 and XMM registers are always there,
// upper halves if one isn't 0.
func Save(area []byte, parts uint8, from *[x86.FxsaveSize]byte, upper *[16][2]uint64) {
	for _, r := range ranges {
		if parts&r.parts != 0 {
			copy(area[r.from:r.to], from[r.from:])
		}
	}
	there := uint8(x86.XsaveX87 | x86.XsaveXMM)
	if *upper != [16][2]uint64{} {
		there = Parts
	}
	area[x86.FxsaveSize] = area[x86.FxsaveSize]&^parts | there&parts
	if parts&x86.XsaveYMM == 0 {
		return
	}
	for i, u := range upper {
		binary.LittleEndian.PutUint64(area[x86.XsaveUpper+16*i:], u[0])
		binary.LittleEndian.PutUint64(area[x86.XsaveUpper+16*i+8:], u[1])
	}
}

// Refuses reports whether a processor doesn't restore an area for its header, which ends at XsaveUpper.
func Refuses(area []byte) bool {
	for i, b := range area[x86.FxsaveSize:headerKnown] {
		if i == 0 && b&^Parts != 0 || i > 0 && b != 0 {
			return true
		}
	}
	return false
}

// Restore is XRSTOR of parts, of an area that isn't refused. Those that aren't there become what they are at the beginning, but for MXCSR.
func Restore(area []byte, parts uint8, to *[x86.FxsaveSize]byte, upper *[16][2]uint64) {
	there := area[x86.FxsaveSize]
	var initial [x86.FxsaveSize]byte
	fresh := x86.NewExtended()
	fresh.PutFxsave(initial[:])
	for _, r := range ranges {
		switch {
		case parts&r.parts == 0:
		case there&r.parts == 0 && r.from != MXCSRAt:
			copy(to[r.from:r.to], initial[r.from:])
		default:
			copy(to[r.from:r.to], area[r.from:])
		}
	}
	if parts&x86.XsaveYMM != 0 {
		e := x86.Extended{Beyond: area[x86.FxsaveSize:]}
		*upper = e.Upper()
	}
}

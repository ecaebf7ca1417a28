package x86

import (
	"encoding/binary"
	"slices"
)

var le = binary.LittleEndian

// PutFxsave writes the first 512 bytes of b but what software may use of them.
func (e *Extended) PutFxsave(b []byte) {
	le.PutUint16(b[0:], e.FCW)
	le.PutUint16(b[2:], e.FSW)
	b[4] = e.FTW
	le.PutUint16(b[6:], e.FOP)
	le.PutUint64(b[8:], e.FIP)
	le.PutUint64(b[16:], e.FDP)
	le.PutUint32(b[24:], e.MXCSR)
	le.PutUint32(b[28:], e.MXCSRMask)
	for i, s := range e.ST {
		le.PutUint64(b[32+16*i:], s.Mantissa)
		le.PutUint16(b[40+16*i:], s.SignExponent)
	}
	for i, x := range e.XMM {
		le.PutUint64(b[160+16*i:], x[0])
		le.PutUint64(b[168+16*i:], x[1])
	}
}

// GetFxsave reads what PutFxsave writes.
func (e *Extended) GetFxsave(b []byte) {
	e.FCW, e.FSW, e.FTW, e.FOP = le.Uint16(b), le.Uint16(b[2:]), b[4], le.Uint16(b[6:])
	e.FIP, e.FDP, e.MXCSR, e.MXCSRMask = le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint32(b[24:]), le.Uint32(b[28:])
	for i := range e.ST {
		e.ST[i].Mantissa, e.ST[i].SignExponent = le.Uint64(b[32+16*i:]), le.Uint16(b[40+16*i:])
	}
	for i := range e.XMM {
		e.XMM[i] = [2]uint64{le.Uint64(b[160+16*i:]), le.Uint64(b[168+16*i:])}
	}
}

// An area of XSAVE in its standard form (Intel SDM volume 1, 13.4): FXSAVE's 512 bytes, a header of 64, and what is beyond them at its offset.
//
//	512   which parts are there, 8 bytes: bit 0 x87, bit 1 XMM registers, bit 2 the upper halves of YMM registers
//	520   zeros
//	576   the upper halves, 16 bytes each
const (
	FxsaveSize = 512
	XsaveUpper = 576
	// XsaveSize is up to the end of the upper halves.
	XsaveSize = XsaveUpper + 16*16

	XsaveX87 = 1 << 0
	XsaveXMM = 1 << 1
	XsaveYMM = 1 << 2
)

// noUpper is Beyond where all upper halves are 0. Nobody changes what is in a Beyond.
var noUpper = func() []byte {
	b := make([]byte, XsaveSize-FxsaveSize)
	b[0] = XsaveX87 | XsaveXMM
	return b
}()

// Upper are the upper halves of the YMM registers.
func (e *Extended) Upper() (u [16][2]uint64) {
	if len(e.Beyond) < XsaveSize-FxsaveSize || e.Beyond[0]&XsaveYMM == 0 {
		return u
	}
	for i := range u {
		at := e.Beyond[XsaveUpper-FxsaveSize+16*i:]
		u[i] = [2]uint64{le.Uint64(at), le.Uint64(at[8:])}
	}
	return u
}

// SetUpper changes them.
func (e *Extended) SetUpper(u *[16][2]uint64) {
	zero := *u == [16][2]uint64{}
	switch {
	case zero && len(e.Beyond) <= len(noUpper):
		e.Beyond = noUpper
		return
	case len(e.Beyond) < len(noUpper):
		e.Beyond = noUpper
	}
	e.Beyond = slices.Clone(e.Beyond)
	if e.Beyond[0] |= XsaveX87 | XsaveXMM | XsaveYMM; zero {
		e.Beyond[0] &^= XsaveYMM
	}
	for i, v := range u {
		at := e.Beyond[XsaveUpper-FxsaveSize+16*i:]
		le.PutUint64(at, v[0])
		le.PutUint64(at[8:], v[1])
	}
}

package x86

import "encoding/binary"

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

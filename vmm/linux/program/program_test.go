package program

import (
	"encoding/binary"
	"testing"

	"github.com/wherry/wherry/vmm/linux/space"
)

// header is the beginning of a program of one segment.
func header() []byte {
	b := make([]byte, 256)
	le := binary.LittleEndian
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], 3) // ET_DYN: position-independent
	le.PutUint16(b[18:], 62)
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], 0x1080)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 1)
	le.PutUint16(b[58:], 64)
	ph := b[64:]
	le.PutUint32(ph, 1)
	le.PutUint32(ph[4:], 5)
	le.PutUint64(ph[16:], 0x1000)
	le.PutUint64(ph[32:], 256)
	le.PutUint64(ph[40:], 5000)
	return b
}

func TestParsePositionIndependent(t *testing.T) {
	p, err := Parse(header())
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Segments) != 1 || p.Segments[0].At != pieBase+0x1000 || p.Entry != pieBase+0x1080 || p.End != pieBase+0x3000 || p.PHdr != pieBase+0x1040 {
		t.Errorf("%#x", p)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(header())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		end := uint64(space.UserMin)
		for _, s := range p.Segments {
			if s.At&^space.PageMask < end&^space.PageMask || s.At+s.Size < s.At || s.At+s.Size > space.UserEnd || s.Held > s.Size || s.Off+s.Held > uint64(len(b)) {
				t.Fatalf("%+v behind %#x", s, end)
			}
			end = s.At + s.Size
		}
	})
}

package avx

import (
	"testing"

	"github.com/wherry/wherry/vmm/x86"
)

// FuzzRestore: what is restored of an area that isn't refused, is saved as it was there, but for where it says that a part isn't.
func FuzzRestore(f *testing.F) {
	f.Add(make([]byte, x86.XsaveSize), uint8(7))
	area := make([]byte, x86.XsaveSize)
	area[x86.FxsaveSize], area[MXCSRAt+1], area[x86.XsaveUpper+20] = 7, 0x1f, 9
	f.Add(area, uint8(6))
	f.Fuzz(func(t *testing.T, area []byte, parts uint8) {
		if parts &= Parts; len(area) < AreaSize(parts) || Refuses(area) {
			return
		}
		area = area[:AreaSize(parts)]
		var state [x86.FxsaveSize]byte
		var upper [16][2]uint64
		Restore(area, parts, &state, &upper)
		saved := make([]byte, len(area))
		Save(saved, parts, &state, &upper)
		there := area[x86.FxsaveSize]
		for _, r := range ranges {
			if parts&r.parts != 0 && (there&r.parts == r.parts || r.from == MXCSRAt) && string(saved[r.from:r.to]) != string(area[r.from:r.to]) {
				t.Fatalf("bytes %d to %d are % x, restored % x", r.from, r.to, area[r.from:r.to], saved[r.from:r.to])
			}
		}
		if parts&there&x86.XsaveYMM != 0 && string(saved[x86.XsaveUpper:]) != string(area[x86.XsaveUpper:]) {
			t.Fatalf("upper halves are % x, restored % x", area[x86.XsaveUpper:], saved[x86.XsaveUpper:])
		}
		if parts&^there&x86.XsaveYMM != 0 && upper != [16][2]uint64{} {
			t.Fatalf("upper halves that aren't there are %x", upper)
		}
	})
}

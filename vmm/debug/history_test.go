package debug

import (
	"slices"
	"testing"
)

// Marks stay few, the first and the last stay, and the way back to a place is short against how long ago it was.
func TestMarksAreThin(t *testing.T) {
	places := []uint64{0}
	for at := uint64(markEvery); at < 2000*markEvery; at += markEvery {
		if places = append(places, at); len(places) > marksMax {
			i := needless(places)
			if i == 0 || i == len(places)-1 {
				t.Fatalf("mark %d of %d goes", i, len(places))
			}
			places = slices.Delete(places, i, i+1)
		}
		for i := 1; i < len(places); i++ {
			if gap, ago := places[i]-places[i-1], at-places[i-1]; gap > ago/3+2*markEvery {
				t.Fatalf("at %d: %d from one mark to the next, %d ago", at/markEvery, gap/markEvery, ago/markEvery)
			}
		}
	}
}

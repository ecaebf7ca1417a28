package repair

import "testing"

// However much is lost, parity costs no more than its share.
func TestTheBudgetIsKept(t *testing.T) {
	var b Budget
	spent, carried := 0, 0
	for i := range 1000 {
		b.Earn(100_000, 0.05)
		carried += 100_000
		spent += 1400 * b.Rows(0.2, 75, 1400, 6)
		if spent > carried/20 {
			t.Fatalf("%d bytes of parity for %d, after %d", spent, carried, i)
		}
	}
	if spent < carried/25 {
		t.Errorf("%d bytes of parity for %d: the budget isn't used", spent, carried)
	}
	if n := b.Rows(0, 75, 1400, 6); n != 0 {
		t.Errorf("%d rows where nothing is lost", n)
	}
}

func TestLossIsOfLate(t *testing.T) {
	var b Budget
	var arrived, lost uint64
	for range 100 {
		arrived, lost = arrived+90, lost+10
		b.Loss(0, arrived, lost)
	}
	if l := b.Loss(0, arrived, lost); l < 0.09 || l > 0.11 {
		t.Errorf("%v of the packets, a tenth is lost", l)
	}
	for range 200 {
		arrived += 100
		b.Loss(0, arrived, lost)
	}
	if l := b.Loss(0, arrived, lost); l > 0.001 {
		t.Errorf("%v, though nothing was lost for long", l)
	}
}

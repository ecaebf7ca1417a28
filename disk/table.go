package disk

// table finds the first slot of a key: open addressing with linear probing, four bytes a place, at most three quarters full. The keys
// stand in the slots, which its shard gives it.
type table struct {
	cells []int32 // slot + 1; 0 is free; a power of two of them
	used  int
	// seed is another one in each process, so that nobody can choose keys that crowd in one place.
	seed uint64
}

const tableCellsMin = 64

func (t *table) home(key uint64) int { return int(mix(key^t.seed) & uint64(len(t.cells)-1)) }

// cell returns the place of key, or the free place where it would stand.
func (t *table) cell(key uint64, keyAt func(int32) uint64) int {
	i := t.home(key)
	for t.cells[i] != 0 && keyAt(t.cells[i]-1) != key {
		i = (i + 1) & (len(t.cells) - 1)
	}
	return i
}

func (t *table) get(key uint64, keyAt func(int32) uint64) (int32, bool) {
	if t.used == 0 {
		return -1, false
	}
	slot := t.cells[t.cell(key, keyAt)] - 1
	return slot, slot >= 0
}

func (t *table) set(key uint64, slot int32, keyAt func(int32) uint64) {
	if 4*(t.used+1) > 3*len(t.cells) {
		t.grow(keyAt)
	}
	i := t.cell(key, keyAt)
	if t.cells[i] == 0 {
		t.used++
	}
	t.cells[i] = slot + 1
}

func (t *table) grow(keyAt func(int32) uint64) {
	old := t.cells
	t.cells = make([]int32, max(2*len(old), tableCellsMin))
	for _, c := range old {
		if c != 0 {
			t.cells[t.cell(keyAt(c-1), keyAt)] = c
		}
	}
}

// delete takes key out and moves up those behind it that would not be found any more.
func (t *table) delete(key uint64, keyAt func(int32) uint64) {
	mask := len(t.cells) - 1
	hole := t.cell(key, keyAt)
	for i := (hole + 1) & mask; t.cells[i] != 0; i = (i + 1) & mask {
		// It may move if its home isn't between the hole and its place.
		if home := t.home(keyAt(t.cells[i] - 1)); (i-home)&mask >= (i-hole)&mask {
			t.cells[hole] = t.cells[i]
			hole = i
		}
	}
	t.cells[hole] = 0
	t.used--
}

package phys

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func testImage(t *testing.T, pages int) (*Image, []byte) {
	t.Helper()
	contents := make([]byte, pages*PageSize)
	for i := range contents {
		contents[i] = byte(i>>PageShift + 1)
	}
	image, err := NewImage(contents)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := image.Close(); err != nil {
			t.Error(err)
		}
	})
	return image, contents
}

func testMemory(t *testing.T, o Options, specs ...Spec) *Memory {
	t.Helper()
	m := New(o)
	t.Cleanup(func() { _ = m.Close() })
	for _, spec := range specs {
		if _, err := m.Add(spec); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestSlotsThatDontFit(t *testing.T) {
	m := testMemory(t, Options{}, Spec{Base: 0x10000, Size: 0x4000})
	for _, bad := range []Spec{
		{Base: 0x12000, Size: 0x1000}, // overlaps
		{Base: 0xf000, Size: 0x2000},
		{Base: 0x20000, Size: 100},
		{Base: 0x20001, Size: 0x1000},
		{Base: 0x20000, Size: 0},
		{Base: addrMax - 0x1000, Size: 0x2000},
		{Base: ^Addr(0xfff), Size: 0x2000}, // wraps around
	} {
		if _, err := m.Add(bad); err == nil {
			t.Errorf("a slot of %#x at %#x was taken", bad.Size, bad.Base)
		}
	}
	if _, err := m.Add(Spec{Base: 0x14000, Size: 0x1000}); err != nil {
		t.Errorf("a neighbour: %v", err)
	}
}

func TestNothingOutsideIsReachable(t *testing.T) {
	image, _ := testImage(t, 1)
	m := testMemory(t, Options{}, Spec{Base: 0x1000, Size: 0x2000}, Spec{Base: 0x5000, Size: 0x1000, Image: image, ReadOnly: true})
	for _, a := range []Addr{0, 0xfff, 0x3000, 0x4fff, 0x6000, 1 << 45, ^Addr(0), ^Addr(0) - 7} {
		if _, err := m.Page(a, false); !errors.Is(err, ErrOutside) {
			t.Errorf("page at %#x: %v", a, err)
		}
	}
	if err := m.WriteAt(make([]byte, 16), 0x2ff8); !errors.Is(err, ErrOutside) {
		t.Errorf("a write over the end: %v", err)
	}
	if err := m.ReadAt(make([]byte, 64), ^Addr(0)-8); !errors.Is(err, ErrOutside) {
		t.Errorf("a read around the end of all addresses: %v", err)
	}
	if err := m.SetUint64(0x5000, 1); !errors.Is(err, ErrReadOnly) {
		t.Errorf("a write to read-only memory: %v", err)
	}
	if v, err := m.Uint64(0x5008); v != 0x0101010101010101 || err != nil {
		t.Errorf("read-only memory reads %#x, %v", v, err)
	}
}

func TestCopyOnWriteAndRestore(t *testing.T) {
	image, contents := testImage(t, 3)
	one := testMemory(t, Options{}, Spec{Size: 5 * PageSize, Image: image})
	other := testMemory(t, Options{}, Spec{Size: 5 * PageSize, Image: image})
	message := bytes.Repeat([]byte("x"), 2*PageSize)
	if err := one.WriteAt(message, PageSize+100); err != nil {
		t.Fatal(err)
	}
	if err := one.WriteAt(message[:1], 4*PageSize); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(contents))
	if err := other.ReadAt(got, 0); err != nil || !bytes.Equal(got, contents) {
		t.Error("a machine sees another's writes to the image that they share")
	}
	if dirty := slices.Collect(one.Slots()[0].Dirty().All()); !slices.Equal(dirty, []int{1, 2, 3, 4}) {
		t.Errorf("dirty pages %v", dirty)
	}
	if err := image.Close(); err == nil {
		t.Error("an image was closed that machines are restored from")
	}
	one.Restore()
	got = make([]byte, 5*PageSize)
	if err := one.ReadAt(got, 0); err != nil || !bytes.Equal(got, append(contents, make([]byte, 2*PageSize)...)) {
		t.Error("Restore left something of what was written")
	}
	if one.Slots()[0].Dirty().Count() != 0 || one.Metrics().Restored != 4 {
		t.Errorf("after Restore %d pages are dirty and %d restored", one.Slots()[0].Dirty().Count(), one.Metrics().Restored)
	}
}

func TestCodeHasANewGenerationWhenItIsWritten(t *testing.T) {
	m := testMemory(t, Options{}, Spec{Size: 2 * PageSize})
	s := m.Slots()[0]
	told := 0
	m.OnCode(func() { told++ })
	gen := s.Code(1)
	was := *gen
	_ = m.SetUint64(0, 1)
	if *gen != was || s.Writable(1) || !s.Writable(0) || told != 0 {
		t.Error("a write elsewhere has changed a page of code")
	}
	_ = m.SetUint64(PageSize, 1)
	if *gen == was || !s.Writable(1) || told != 1 {
		t.Error("a write to code left its generation")
	}
	was = *s.Code(1)
	m.Restore()
	if *gen == was || told != 2 {
		t.Error("Restore of code left its generation")
	}
}

func TestSecondChance(t *testing.T) {
	image, _ := testImage(t, 6)
	m := testMemory(t, Options{BudgetPages: 3}, Spec{Size: 6 * PageSize, Image: image})
	s := m.Slots()[0]
	touch := func(pages ...int) {
		for _, p := range pages {
			if _, err := m.Page(Addr(p)<<PageShift, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	resident := func(want ...int) {
		t.Helper()
		if got := slices.Collect(s.resident.All()); !slices.Equal(got, want) {
			t.Errorf("resident %v, want %v", got, want)
		}
	}
	touch(0, 1, 2, 3) // all were used: the hand clears them and takes the first
	resident(1, 2, 3)
	touch(1, 4) // 1 has its second chance, 2 doesn't
	resident(1, 3, 4)
	if err := m.SetUint64(3<<PageShift, 7); err != nil {
		t.Fatal(err)
	}
	touch(4, 5, 0, 2) // 3 is written and stays, clean pages go
	if !s.resident.Has(3) || m.Metrics().Resident != 3 {
		t.Error("a written page went while clean ones were there")
	}
}

// TestSecondChanceOfWrittenPages has the hand stop at the first page that wasn't used, so that those behind it keep their chances.
func TestSecondChanceOfWrittenPages(t *testing.T) {
	swap, err := os.Create(filepath.Join(t.TempDir(), "swap"))
	if err != nil {
		t.Fatal(err)
	}
	m := testMemory(t, Options{BudgetPages: 3, Swap: swap}, Spec{Size: 200 * PageSize})
	s := m.Slots()[0]
	for i, c := range []struct {
		page int
		want []int
	}{
		{0, []int{0}},
		{1, []int{0, 1}},
		{150, []int{0, 1, 150}},
		{2, []int{1, 2, 150}}, // all were used: the hand clears them, comes round and takes the first
		{1, []int{1, 2, 150}},
		{3, []int{1, 2, 3}}, // 1 and 2 have their second chances
		{4, []int{2, 3, 4}}, // from 150 on the hand comes to 1, which has none left
	} {
		if err := m.SetUint64(Addr(c.page)<<PageShift, 1); err != nil {
			t.Fatal(err)
		}
		if got := slices.Collect(s.resident.All()); !slices.Equal(got, c.want) {
			t.Errorf("step %d: resident %v, want %v", i, got, c.want)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := swap.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the swap store is open after Close: %v", err)
	}
}

func TestBudgetOfWrittenPages(t *testing.T) {
	m := testMemory(t, Options{BudgetPages: 2}, Spec{Size: 4 * PageSize})
	_ = m.SetUint64(0, 1)
	_ = m.SetUint64(PageSize, 2)
	if err := m.SetUint64(2*PageSize, 3); !errors.Is(err, ErrBudget) {
		t.Errorf("a third written page of two: %v", err)
	}
	if v, err := m.Uint64(PageSize); v != 2 || err != nil || m.Metrics().OverBudget != 1 {
		t.Errorf("after that: %d, %v, %+v", v, err, m.Metrics())
	}
}

// TestUnderPressure compares a memory with a small budget and a swap store to a slice of bytes.
func TestUnderPressure(t *testing.T) {
	swap, err := os.Create(filepath.Join(t.TempDir(), "swap"))
	if err != nil {
		t.Fatal(err)
	}
	defer swap.Close()
	image, contents := testImage(t, 20)
	m := testMemory(t, Options{BudgetPages: 5, Swap: swap}, Spec{Base: 0x10000, Size: 32 * PageSize, Image: image})
	initial := append(slices.Clone(contents), make([]byte, 12*PageSize)...)
	want := slices.Clone(initial)
	evicted := 0
	m.OnEvict(func(Addr) { evicted++ })
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		at, n := random.IntN(len(want)-9000), random.IntN(9000)
		switch p := make([]byte, n); random.IntN(40) {
		case 0:
			m.Restore()
			copy(want, initial)
		case 1, 2, 3, 4, 5, 6, 7, 8, 9:
			for i := range p {
				p[i] = byte(random.Uint32())
			}
			copy(want[at:], p)
			if err := m.WriteAt(p, 0x10000+Addr(at)); err != nil {
				t.Fatal(err)
			}
		default:
			if err := m.ReadAt(p, 0x10000+Addr(at)); err != nil || !bytes.Equal(p, want[at:at+n]) {
				t.Fatalf("%d bytes at %#x differ (%v)", n, at, err)
			}
		}
		if got := m.Metrics().Resident; got > 5 {
			t.Fatalf("%d pages are resident of 5", got)
		}
	}
	got := m.Metrics()
	if got.SwappedOut == 0 || got.SwappedIn == 0 || got.ReplacedClean == 0 || evicted == 0 {
		t.Errorf("nothing was replaced: %+v", got)
	}
	if info, _ := swap.Stat(); info.Size() > 32*PageSize {
		t.Errorf("the swap store has grown to %d bytes", info.Size())
	}
}

func TestTouchedPastTheMemory(t *testing.T) {
	m := testMemory(t, Options{BudgetPages: 4}, Spec{Size: 70 * PageSize})
	s := m.Slots()[0]
	copy(s.pageBytes(65), "written by a guest")
	m.HoldLater()
	m.Touched(s, []uint64{0b111, 0b100001}, []uint64{0, 0b10})
	if _, err := m.Page(50<<PageShift, false); err != nil || m.Metrics().Resident != 7 {
		t.Errorf("%d pages are resident before Hold (%v)", m.Metrics().Resident, err)
	}
	if err := m.Hold(); err != nil {
		t.Fatal(err)
	}
	if m.Metrics().Resident != 4 || !s.Dirty().Has(65) || !s.resident.Has(65) {
		t.Errorf("%d pages are resident of 4; %v is dirty", m.Metrics().Resident, s.Dirty().Has(65))
	}
}

func FuzzAccess(f *testing.F) {
	f.Add(uint64(0x1000), 10, true)
	f.Add(^uint64(0), 1, false)
	f.Add(uint64(0x2ffc), 8, true)
	f.Fuzz(func(t *testing.T, at uint64, n int, write bool) {
		m := testMemory(t, Options{BudgetPages: 1}, Spec{Base: 0x1000, Size: 0x2000})
		p := make([]byte, uint(n)%10000)
		err := m.ReadAt(p, Addr(at))
		if write {
			err = m.WriteAt(p, Addr(at))
		}
		inside := at >= 0x1000 && at <= 0x3000 && uint64(len(p)) <= 0x3000-at
		if len(p) > 0 && (err == nil) != inside && !errors.Is(err, ErrBudget) {
			t.Errorf("%d bytes at %#x: %v", len(p), at, err)
		}
	})
}

// TestLeaveWritten has pages written again and again: they count as written after Restore for some rounds, have the image's bytes all the same, and whoever keeps
// pointers for writing is told before they don't count.
func TestLeaveWritten(t *testing.T) {
	m := New(Options{})
	t.Cleanup(func() { _ = m.Close() })
	slot, err := m.Add(Spec{Base: 0, Size: 4 * leaveMax * PageSize})
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	m.OnRestore(func() { told++ })
	m.LeaveWritten()
	write := func(page int) {
		t.Helper()
		p, err := m.Page(Addr(page)<<PageShift, true)
		if err != nil {
			t.Fatal(err)
		}
		p[7] = 1
	}
	zero := func(page int) {
		t.Helper()
		if p, err := m.Page(Addr(page)<<PageShift, false); err != nil || p[7] != 0 {
			t.Errorf("page %d has %d after Restore, %v", page, p[7], err)
		}
	}
	for round := range leaveRounds {
		write(1)
		if round == 3 {
			write(2)
		}
		m.Restore()
		zero(1)
		zero(2)
		want := 2
		switch {
		case round < 3:
			want = 1
		case round == leaveRounds-1:
			want = 0
		}
		if got := slot.Dirty().Count(); got != want || told != round/(leaveRounds-1) {
			t.Errorf("after round %d %d pages count as written, want %d; told %d times", round, got, want, told)
		}
	}
	write(1)
	slot.Code(1)
	m.Restore()
	if slot.Dirty().Count() != 0 || told != 2 {
		t.Error("a page with code was left")
	}
	for page := range leaveMax + 1 {
		write(page)
	}
	m.Restore()
	zero(leaveMax)
	if slot.Dirty().Count() != 0 || told != 3 {
		t.Error("as many pages were left")
	}
}

package mmu

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/wherry/wherry/vmm/phys"
)

func testMemory(t testing.TB, size int) *phys.Memory {
	t.Helper()
	m := phys.New(phys.Options{})
	t.Cleanup(func() { _ = m.Close() })
	if _, err := m.Add(phys.Spec{Size: size}); err != nil {
		t.Fatal(err)
	}
	return m
}

func testBuilder(t testing.TB, m *phys.Memory) *Builder {
	t.Helper()
	b, err := NewBuilder(m, &Frames{Next: 0x100000, End: 0x140000})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFaultCodes has the codes that a processor pushes (Intel SDM volume 3, 4.7).
func TestFaultCodes(t *testing.T) {
	m := testMemory(t, 4<<20)
	b := testBuilder(t, m)
	for va, bits := range map[uint64]uint64{
		0x1000: User, 0x2000: User | Write | NoExec, 0x3000: Write, 0x4000: User | Write,
	} {
		if err := b.Map(va, 0x200000, 0x1000, bits); err != nil {
			t.Fatal(err)
		}
	}
	const supervisor = Access(0)
	noWP := Space{Root: b.Space().Root, NXE: true}
	for _, c := range []struct {
		name   string
		space  Space
		va     uint64
		access Access
		code   uint32 // 0: allowed
	}{
		{"read", b.Space(), 0x1234, Read, 0},
		{"write to read-only", b.Space(), 0x1000, Store, CodePresent | CodeWrite | CodeUser},
		{"execute", b.Space(), 0x1000, Execute, 0},
		{"execute data", b.Space(), 0x2fff, Execute, CodePresent | CodeUser | CodeFetch},
		{"write data", b.Space(), 0x2000, Store, 0},
		{"read a supervisor's", b.Space(), 0x3000, Read, CodePresent | CodeUser},
		{"a supervisor reads its own", b.Space(), 0x3000, supervisor, 0},
		{"a supervisor writes read-only", b.Space(), 0x1000, supervisor | CodeWrite, CodePresent | CodeWrite},
		{"the same without WP", noWP, 0x1000, supervisor | CodeWrite, 0},
		{"nothing there", b.Space(), 0x5000, Read, CodeUser},
		{"nothing there, no table either", b.Space(), 1 << 40, Store, CodeUser | CodeWrite},
		{"NX without NXE is reserved", Space{Root: b.Space().Root}, 0x2000, Read, CodePresent | CodeUser | CodeReserved},
	} {
		at, fault := Walk(m, c.space, c.va, c.access)
		switch {
		case c.code == 0 && (fault != nil || at.Addr != 0x200000+phys.Addr(c.va&0xfff)):
			t.Errorf("%s: %#x, %v", c.name, at.Addr, fault)
		case c.code != 0 && (fault == nil || fault.Code != c.code || fault.Addr != c.va):
			t.Errorf("%s: %v, want code %#x", c.name, fault, c.code)
		}
	}
	if _, fault := Walk(m, b.Space(), 1<<47, Read); fault == nil || !fault.NotCanonical {
		t.Errorf("an address that isn't canonical: %v", fault)
	}
	outside := Space{Root: 1 << 40}
	if _, fault := Walk(m, outside, 0, Read); !errors.Is(fault, phys.ErrOutside) {
		t.Errorf("tables outside of memory: %v", fault)
	}
}

// naive is the walk again, level by level in words, without a loop.
func naive(e [4]uint64, s Space, va uint64, access Access) (frame, size uint64, code uint32) {
	code = uint32(access)
	if !s.NXE {
		code &^= CodeFetch
	}
	last := 3
	write, user, exec := true, true, true
	for level := 0; level <= last; level++ {
		v := e[level]
		if v&1 == 0 {
			return 0, 0, code
		}
		large := v>>7&1 == 1 && (level == 1 || level == 2)
		bad := v>>46&63 != 0 || v>>63 == 1 && !s.NXE || level == 0 && v>>7&1 == 1
		if large && level == 2 && v>>13&0xff != 0 || large && level == 1 && v>>13&0x1ffff != 0 {
			bad = true
		}
		if bad {
			return 0, 0, code | 1 | 8
		}
		write = write && v>>1&1 == 1
		user = user && v>>2&1 == 1
		exec = exec && v>>63 == 0
		if large {
			last = level
		}
	}
	isUser, isWrite, isFetch := access&4 != 0, access&2 != 0, access&16 != 0
	if isUser && !user || isFetch && !exec || isWrite && !write && (isUser || s.WP) {
		return 0, 0, code | 1
	}
	size = []uint64{0, 1 << 30, 1 << 21, 1 << 12}[last]
	return e[last]&(1<<46-1)/size*size + va%size, size, 0
}

func FuzzWalk(f *testing.F) {
	f.Add(uint64(0x7fff12345678), uint64(0x1007), uint64(0x2007), uint64(0x3007), uint64(0x4007), uint8(7))
	f.Add(uint64(0x200000), uint64(0x1007), uint64(0x2007), uint64(0x8000000000200087), uint64(0), uint8(0x37))
	f.Add(uint64(0x40000000), uint64(0x1007), uint64(0x40000087), uint64(0), uint64(0), uint8(0x26))
	f.Add(uint64(0), uint64(0x1087), uint64(0x2007), uint64(0x3007), uint64(1<<50|7), uint8(0))
	f.Fuzz(func(t *testing.T, va, e0, e1, e2, e3 uint64, how uint8) {
		m := testMemory(t, 0x5000)
		va = uint64(int64(va<<16) >> 16)
		s := Space{Root: 0, WP: how&1 != 0, NXE: how&2 != 0}
		access := Access(how>>2) & (CodeUser | CodeWrite)
		if how&0x20 != 0 && access&CodeWrite == 0 {
			access |= CodeFetch
		}
		// Tables lie at 0x1000, 0x2000 and 0x3000, unless the entry is for a large page.
		entries := [4]uint64{e0, e1, e2, e3}
		for level := range 3 {
			if level == 0 || entries[level]&Large == 0 {
				entries[level] = entries[level]&^frameMask | uint64(level+1)<<12
			}
		}
		for level, e := range entries {
			if err := m.SetUint64(phys.Addr(level)<<12+phys.Addr(va>>(39-9*level)&511)*8, e); err != nil {
				t.Fatal(err)
			}
		}
		at, fault := Walk(m, s, va, access)
		want, size, code := naive(entries, s, va, access)
		switch {
		case fault != nil && (size != 0 || fault.Code != code):
			t.Fatalf("fault code %#x, want %#x (page size %#x)", fault.Code, code, size)
		case fault == nil && (size == 0 || uint64(at.Addr) != want || at.Size != size):
			t.Fatalf("%#x in a page of %#x, want %#x in %#x, code %#x", at.Addr, at.Size, want, size, code)
		}
		touched := false
		for level, e := range entries {
			now, _ := m.Uint64(phys.Addr(level)<<12 + phys.Addr(va>>(39-9*level)&511)*8)
			touched = touched || now != e
			if fault != nil && now != e {
				t.Fatalf("a walk that faulted changed an entry from %#x to %#x", e, now)
			}
			if now&^(Accessed|Dirty) != e&^(Accessed|Dirty) {
				t.Fatalf("an entry went from %#x to %#x", e, now)
			}
		}
	})
}

// TestBuilderAgainstMap changes mappings at random and compares what Walk finds to a Go map.
func TestBuilderAgainstMap(t *testing.T) {
	m := testMemory(t, 16<<20)
	b := testBuilder(t, m)
	type page struct {
		pa   phys.Addr
		bits uint64
	}
	const pages = 2048 // 8 MiB of virtual memory, from 0x40000000
	want := map[uint64]page{}
	random := rand.New(rand.NewPCG(3, 4))
	for step := range 400 {
		from := uint64(random.IntN(pages))
		n := min(uint64(1+random.IntN(700)), pages-from)
		va, bits := 0x40000000+from<<12, uint64(random.IntN(4))<<1|uint64(random.IntN(2))<<63
		if step%4 == 0 { // whole large pages
			from, n, va = from&^511, 512, 0x40000000+from&^511<<12
		}
		var err error
		switch random.IntN(3) {
		case 0:
			pa := phys.Addr(random.IntN(1000)) << 12
			if step%4 == 0 {
				pa &^= page2M - 1
			}
			err = b.Map(va, pa, n<<12, bits)
			for i := range n {
				want[from+i] = page{pa + phys.Addr(i)<<12, bits}
			}
		case 1:
			err = b.Unmap(va, n<<12)
			for i := range n {
				delete(want, from+i)
			}
		case 2:
			err = b.Protect(va, n<<12, bits)
			for i := range n {
				if p, ok := want[from+i]; ok {
					want[from+i] = page{p.pa, bits}
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			i := uint64(random.IntN(pages))
			at, fault := Walk(m, b.Space(), 0x40000000+i<<12, 0)
			p, ok := want[i]
			if ok != (fault == nil) || ok && (at.Addr != p.pa || at.Allowed != p.bits) {
				t.Fatalf("step %d, page %d: %#x with %#x, %v; want %v %+v", step, i, at.Addr, at.Allowed, fault, ok, p)
			}
		}
	}
	if err := b.Map(userEnd-0x1000, 0, 0x2000, User); err == nil {
		t.Error("mapped beyond the lower half")
	}
	few, _ := NewBuilder(m, &Frames{Next: 0x150000, End: 0x152000})
	if err := few.Map(0, 0, 0x1000, User); !errors.Is(err, ErrNoFrames) {
		t.Errorf("tables without frames: %v", err)
	}
}

func TestAccessedAndDirty(t *testing.T) {
	m := testMemory(t, 4<<20)
	b := testBuilder(t, m)
	if err := b.Map(0x1000, 0x200000, 0x1000, User|Write); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		access Access
		want   uint64
	}{{Read, Accessed}, {Store, Accessed | Dirty}} {
		if at, fault := Walk(m, b.Space(), 0x1000, c.access); fault != nil || at.Entry&(Accessed|Dirty) != c.want {
			t.Errorf("access %#x: entry %#x, %v", c.access, at.Entry, fault)
		}
	}
}

func TestTLB(t *testing.T) {
	image, err := phys.NewImage(bytes.Repeat([]byte{7}, 0x1000))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = image.Close() })
	m := testMemory(t, 4<<20)
	if _, err := m.Add(phys.Spec{Base: 8 << 20, Size: 0x1000, Image: image}); err != nil {
		t.Fatal(err)
	}
	b := testBuilder(t, m)
	if err := b.Map(0x1000, 8<<20, 0x1000, User|Write); err != nil {
		t.Fatal(err)
	}
	var tlb TLB
	tlb.Follow(m)
	load := func(access Access) *Entry {
		t.Helper()
		if _, fault := tlb.Load(m, b.Space(), 0x1000, access); fault != nil {
			t.Fatal(fault)
		}
		return tlb.Entry(0x1000)
	}
	if e := load(Read); !e.Reads(0x1000) || e.Writes(0x1000) || e.Page()[0] != 7 {
		t.Error("after a read there is no translation for reading alone")
	}
	if e := load(Store); !e.Writes(0x1000) {
		t.Error("after a write there is no translation for writing")
	}
	slot, index, _ := m.Locate(8 << 20)
	gen := slot.Code(index)
	was := *gen
	tlb.ForgetWriting(tlb.Entry(0x1000).Page())
	if tlb.Entry(0x1000).Writes(0x1000) {
		t.Error("a write to code would go unnoticed")
	}
	if e := load(Store); *gen == was || !e.Writes(0x1000) {
		t.Error("a write to code wasn't noted once")
	}
	m.OnRestore(tlb.ForgetWrites)
	for _, all := range []bool{false, true} {
		if all { // more writes than are listed
			for range TLBSize {
				tlb.ForgetWriting(tlb.Entry(0x1000).Page())
				load(Store)
			}
		}
		m.Restore()
		if e := tlb.Entry(0x1000); !e.Reads(0x1000) || e.Writes(0x1000) || slot.Dirty().Has(index) {
			t.Error("after Restore a read should need nothing, and a write should be noted")
		}
		if e := load(Store); !e.Writes(0x1000) || !slot.Dirty().Has(index) {
			t.Error("a write after Restore wasn't noted")
		}
	}
	tlb.Flush()
	if e := tlb.Entry(0x1000); e.Reads(0x1000) || e.Writes(0x1000) {
		t.Error("Flush left a translation")
	}
}

func TestVirtualAccessAcrossPages(t *testing.T) {
	m := testMemory(t, 4<<20)
	b := testBuilder(t, m)
	_ = b.Map(0x1000, 0x203000, 0x1000, User|Write)
	_ = b.Map(0x2000, 0x201000, 0x1000, User|Write)
	want := []byte("across two pages")
	got := make([]byte, len(want))
	if err := errors.Join(WriteVirtual(m, b.Space(), 0x1ff8, want), ReadVirtual(m, b.Space(), 0x1ff8, got)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	var fault *Fault
	if err := WriteVirtual(m, b.Space(), 0x2ff8, want); !errors.As(err, &fault) || fault.Addr != 0x3000 {
		t.Errorf("over the end: %v", err)
	}
}

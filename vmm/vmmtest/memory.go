package vmmtest

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
)

// testProcessors has many processors take turns.
func testProcessors(t *testing.T, open Open) {
	const count = 65
	g := NewGuest(t, open, sum)
	all := []vmm.VCPU{g.VCPU}
	for len(all) < count {
		all = append(all, g.NewProcessor())
	}
	for i, v := range all {
		v.Regs().RBX, v.Regs().R8 = uint64(i)+1, uint64(i)
	}
	for i, v := range all {
		exit, err := v.Run(limit)
		n := uint64(i) + 1
		if must(t, err); exit.Kind != vmm.ExitSyscall || v.Regs().RAX != n*(n+1)/2 || v.Regs().R8 != uint64(i) {
			t.Fatalf("processor %d: %+v with %+v", i, exit, *v.Regs())
		}
	}
	// Each has its own way into faults.
	for i, v := range all {
		v.Regs().RIP = SpareAt + uint64(i)
		exit, err := v.Run(limit)
		if must(t, err); exit.Kind != vmm.ExitPageFault || exit.Addr != SpareAt+uint64(i) {
			t.Fatalf("processor %d: %+v", i, exit)
		}
	}
}

// testThreads has processors run at the same time, where they may, and add to one word.
func testThreads(t *testing.T, open Open) {
	const count, rounds = 4, 20_000
	g := NewGuest(t, open, []byte{
		0xf0, 0x48, 0xff, 0x03, // 0: lock inc qword [rbx]
		0x48, 0xff, 0xce, // 4: dec rsi
		0x75, 0xf7, // 7: jne 0
		0x0f, 0x05,
	})
	var all []vmm.VCPU
	for range count {
		v := g.NewProcessor()
		v.Regs().RBX, v.Regs().RSI = DataAt, rounds
		all = append(all, v)
	}
	var threads sync.WaitGroup
	for _, v := range all {
		run := func() {
			if exit, err := v.Run(limit); err != nil || exit.Kind != vmm.ExitSyscall {
				t.Errorf("%+v, %v", exit, err)
			}
		}
		if g.Machine.Caps().Parallel {
			threads.Go(run)
		} else {
			run()
		}
	}
	threads.Wait()
	must(t, g.Machine.CollectDirty())
	if n, err := g.Machine.Phys().Uint64(DataPhys); err != nil || n != count*rounds {
		t.Errorf("%d were counted, want %d (%v)", n, count*rounds, err)
	}
}

// toucher writes AL to the first byte of RCX pages from RBX on, each 4096·RDX bytes behind the last.
var toucher = []byte{
	0x88, 0x03, // 0: mov [rbx], al
	0x48, 0x01, 0xd3, // 2: add rbx, rdx
	0xff, 0xce, // 5: dec esi
	0x75, 0xf7, // 7: jne 0
	0x0f, 0x05,
}

// testWritten has a guest write to pages of an image at random, and looks after each round that these and no others come back.
func testWritten(t *testing.T, open Open) {
	const pages, base, at = 200, phys.Addr(0x1000000), 0x3000000000
	contents := make([]byte, pages*phys.PageSize)
	for i := range contents {
		contents[i] = byte(i*7 + i>>12)
	}
	image, err := phys.NewImage(contents)
	must(t, err)
	t.Cleanup(func() { must(t, image.Close()) })
	g := NewGuest(t, open, toucher, phys.Spec{Base: base, Size: (pages + 64) * phys.PageSize, Image: image})
	must(t, g.Tables.Map(at, base, (pages+64)*phys.PageSize, mmu.User|mmu.Write))
	m := g.Machine.Phys()
	slot, _, err := m.Locate(base)
	must(t, err)
	must(t, g.Machine.CollectDirty())
	random := rand.New(rand.NewPCG(1, 1))
	for round := range 30 {
		first, count, step := random.IntN(60), 1+random.IntN(50), 1+random.IntN(4)
		r := g.Regs()
		r.RAX, r.RBX, r.RDX, r.RSI = 0xa5, at+uint64(first)*phys.PageSize, uint64(step)*phys.PageSize, uint64(count)
		g.Call()
		must(t, g.Machine.CollectDirty())
		for i := range count {
			page := first + i*step
			if !slot.Dirty().Has(page) {
				t.Fatalf("round %d: page %d was written and isn't known to be", round, page)
			}
			var b [1]byte
			if must(t, m.ReadAt(b[:], base+phys.Addr(page)<<phys.PageShift)); b[0] != 0xa5 {
				t.Fatalf("round %d: page %d has %#x", round, page, b[0])
			}
		}
		if round%3 == 1 {
			must(t, m.WriteAt([]byte("by the monitor"), base+phys.Addr(random.IntN(pages))<<phys.PageShift))
		}
		restoreGuest(g, slot)
		if got := slices.Clone(slot.Bytes()[:len(contents)]); !bytes.Equal(got, contents) || !zero(slot.Bytes()[len(contents):]) {
			t.Fatalf("round %d: something of what was written is left", round)
		}
	}
}

// restoreGuest is Restore with what the guest needs to run: its tables and code have no image.
func restoreGuest(g *Guest, slot *phys.Slot) {
	g.T.Helper()
	kept := slices.Clone(g.Machine.Phys().Slots()[0].Bytes())
	g.Machine.Phys().Restore()
	if slot.Dirty().Count() != 0 {
		g.T.Errorf("%d pages are written after Restore", slot.Dirty().Count())
	}
	must(g.T, g.Machine.Phys().WriteAt(kept[tablesPhys:tablesEnd], tablesPhys))
	must(g.T, g.Machine.Phys().WriteAt(kept[CodePhys:CodePhys+CodePages*phys.PageSize], CodePhys))
}

func zero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// testDemand maps pages as the guest asks for them: what becomes present needs no flush.
func testDemand(t *testing.T, open Open) {
	g := NewGuest(t, open, toucher)
	r := g.Regs()
	const pages = 20
	r.RAX, r.RBX, r.RDX, r.RSI = 7, SpareAt, phys.PageSize, pages
	for i := range uint64(pages) {
		exit := g.Want(vmm.ExitPageFault)
		if exit.Addr != SpareAt+i*phys.PageSize || r.RSI != pages-i || r.RIP != CodeAt {
			t.Fatalf("fault %d: %+v with %+v", i, exit, *r)
		}
		must(t, g.Tables.Map(exit.Addr, SparePhys+phys.Addr(i)*phys.PageSize, phys.PageSize, mmu.User|mmu.Write))
	}
	g.Want(vmm.ExitSyscall)
}

// reader loads RAX from RBX.
var reader = []byte{0x48, 0x8b, 0x03, 0x0f, 0x05}

// writer stores RAX at RBX.
var writer = []byte{0x48, 0x89, 0x03, 0x0f, 0x05}

func testFlush(t *testing.T, open Open) {
	g := NewGuest(t, open, reader)
	m, r := g.Machine.Phys(), g.Regs()
	const one, two = SparePhys, SparePhys + phys.PageSize
	must(t, m.SetUint64(one, 1))
	must(t, m.SetUint64(two, 2))
	call := func(want vmm.ExitKind) vmm.Exit {
		t.Helper()
		r.RIP, r.RBX = CodeAt, SpareAt
		return g.Want(want)
	}
	for range 3 {
		for i, to := range []phys.Addr{one, two} {
			must(t, g.Tables.Map(SpareAt, to, phys.PageSize, mmu.User|mmu.Write))
			must(t, g.Machine.Flush(one, 2*phys.PageSize))
			if call(vmm.ExitSyscall); r.RAX != uint64(i)+1 {
				t.Errorf("page %d is mapped, and the guest reads %d", i+1, r.RAX)
			}
		}
		must(t, g.Tables.Unmap(SpareAt, phys.PageSize))
		must(t, g.Machine.Flush(two, phys.PageSize))
		if exit := call(vmm.ExitPageFault); exit.Code != mmu.CodeUser {
			t.Errorf("a page that isn't mapped any more: %+v", exit)
		}
	}
	// Protection changes, too; the bytes stay.
	g.Code(writer...)
	must(t, g.Tables.Map(SpareAt, one, phys.PageSize, mmu.User|mmu.Write))
	r.RAX = 77
	call(vmm.ExitSyscall)
	must(t, g.Tables.Protect(SpareAt, phys.PageSize, mmu.User))
	must(t, g.Machine.Flush(one, phys.PageSize))
	if exit := call(vmm.ExitPageFault); exit.Code != mmu.CodeUser|mmu.CodeWrite|mmu.CodePresent {
		t.Errorf("a page that is read-only now: %+v", exit)
	}
	must(t, g.Tables.Protect(SpareAt, phys.PageSize, mmu.User|mmu.Write))
	must(t, g.Machine.Flush(one, phys.PageSize))
	r.RAX = 78
	call(vmm.ExitSyscall)
	if v, err := m.Uint64(one); err != nil || v != 78 {
		t.Errorf("memory has %d, want 78 (%v)", v, err)
	}
}

func testLargePages(t *testing.T, open Open) {
	const base, at, size = phys.Addr(0x2000000), 0x4000000000, 2 << 20
	g := NewGuest(t, open, reader, phys.Spec{Base: base, Size: 2 * size})
	m, r := g.Machine.Phys(), g.Regs()
	word := func(offset uint64, want uint64) {
		t.Helper()
		r.RIP, r.RBX = CodeAt, at+offset
		if g.Want(vmm.ExitSyscall); r.RAX != want {
			t.Errorf("at %#x the guest reads %d, want %d", offset, r.RAX, want)
		}
	}
	for i := range uint64(4) {
		must(t, m.SetUint64(base+phys.Addr(i)*size/2+8, i+1))
	}
	must(t, g.Tables.Map(at, base, size, mmu.User|mmu.Write))
	word(8, 1)
	word(size/2+8, 2)
	must(t, g.Tables.Map(at, base+size, size, mmu.User|mmu.Write))
	must(t, g.Machine.Flush(base, size))
	word(8, 3)
	word(size/2+8, 4)
	// A page of it goes elsewhere, and one is protected.
	must(t, g.Tables.Map(at+size/2, base, phys.PageSize, mmu.User|mmu.Write))
	must(t, g.Tables.Protect(at, phys.PageSize, mmu.User))
	must(t, g.Machine.Flush(base+size, size))
	word(8, 3)
	word(size/2+8, 1)
	g.Code(writer...)
	r.RBX = at + 16
	g.Want(vmm.ExitPageFault)
	g.Code(writer...)
	r.RBX, r.RAX = at+phys.PageSize, 9
	g.Want(vmm.ExitSyscall)
	if v, err := m.Uint64(base + size + phys.PageSize); err != nil || v != 9 {
		t.Errorf("memory has %d, want 9 (%v)", v, err)
	}
}

// testCode has guests write code that they run: their own, and another processor's.
func testCode(t *testing.T, open Open) {
	g := NewGuest(t, open, []byte{
		0x05, 0x00, 0x00, 0x00, 0x00, // 0: add eax, 0
		0xfe, 0x05, 0xf6, 0xff, 0xff, 0xff, // 5: inc byte [rip-10]: the immediate
		0xff, 0xce, // 11: dec esi
		0x75, 0xf1, // 13: jne 0
		0x0f, 0x05,
	})
	g.Regs().RSI = 10
	if g.Call(); g.Regs().RAX != 45 {
		t.Errorf("the sum is %d, want 45", g.Regs().RAX)
	}
	g.Code(
		0x88, 0x03, // 0: mov [rbx], al
		0x0f, 0x05,
		0xb0, 0x00, // 4: mov al, 0
		0x0f, 0x05,
	)
	other := g.NewProcessor()
	for i := range uint64(5) {
		g.Regs().RBX, g.Regs().RAX = CodeAt+5, i
		g.Call()
		other.Regs().RIP = CodeAt + 4
		exit, err := other.Run(limit)
		if must(t, err); exit.Kind != vmm.ExitSyscall || other.Regs().RAX&0xff != i {
			t.Fatalf("the other one's instruction has %d, want %d", other.Regs().RAX&0xff, i)
		}
	}
	// By the monitor.
	for i := range byte(5) {
		g.Code(0xb0, i, 0x0f, 0x05)
		if g.Call(); g.Regs().RAX&0xff != uint64(i) {
			t.Fatalf("what the monitor wrote as code gives %d, want %d", g.Regs().RAX&0xff, i)
		}
	}
}

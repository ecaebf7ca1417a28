package emu

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/emu/code"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
)

// visits calls a function in the next page RCX times and adds what it returns.
var visits = []byte{
	0xe8, 0xfb, 0x0f, 0x00, 0x00, // 0: call 0x1000
	0x48, 0x01, 0xc3, // 5: add rbx, rax
	0xff, 0xc9, // 8: dec ecx
	0x75, 0xf4, // 10: jne 0
	0x0f, 0x05, // 12: syscall
}

// returns is a function whose result is n.
func returns(n byte) []byte { return []byte{0xb8, n, 0, 0, 0, 0xc3} }

func visit(t *testing.T, c *VCPU, want uint64) {
	t.Helper()
	c.regs.RIP, c.regs.RBX, c.regs.RCX, c.regs.RSP = codeAt, 0, 100, dataAt+0x1000
	if exit := run(t, c, 0); exit.Kind != vmm.ExitSyscall || c.regs.RBX != 100*want {
		t.Errorf("%v with %d, want %d", exit.Kind, c.regs.RBX, 100*want)
	}
}

func needsTranslation(t testing.TB, m *Machine) {
	if m.store.off {
		t.Skip("nothing is translated here")
	}
}

// TestJumpsFollowThePageTables: after Flush, and in another processor's address space, a jump leads to what is there now.
func TestJumpsFollowThePageTables(t *testing.T) {
	m, c := newGuest(t, visits, phys.Options{})
	const second, other = codePhys + phys.PageSize, 0x300000
	for at, code := range map[phys.Addr][]byte{second: returns(1), other: returns(2)} {
		if err := m.memory.WriteAt(code, at); err != nil {
			t.Fatal(err)
		}
	}
	visit(t, c, 1)
	entry := tableEntry(t, m, c.space, codeAt+phys.PageSize)
	was, _ := m.memory.Uint64(entry)
	if err := m.memory.SetUint64(entry, other|mmu.Present|mmu.User|mmu.Write); err != nil {
		t.Fatal(err)
	}
	if err := m.Flush(0, 4<<20); err != nil {
		t.Fatal(err)
	}
	visit(t, c, 2)
	if err := m.memory.SetUint64(entry, was&^mmu.Present); err != nil {
		t.Fatal(err)
	}
	if err := m.Flush(0, 4<<20); err != nil {
		t.Fatal(err)
	}
	c.regs.RIP, c.regs.RCX = codeAt, 100
	if exit := run(t, c, 0); exit.Kind != vmm.ExitPageFault || exit.Addr != codeAt+phys.PageSize {
		t.Errorf("%+v where nothing is mapped", exit)
	}
	b, err := mmu.NewBuilder(m.memory, &mmu.Frames{Next: 0x180000, End: 0x190000})
	if err != nil {
		t.Fatal(err)
	}
	for va, pa := range map[uint64]phys.Addr{codeAt: codePhys, codeAt + phys.PageSize: other, dataAt: dataPhys} {
		if err := b.Map(va, pa, phys.PageSize, mmu.User|mmu.Write); err != nil {
			t.Fatal(err)
		}
	}
	system := c.system
	system.CR3 = uint64(b.Space().Root)
	if err := m.memory.SetUint64(entry, was); err != nil {
		t.Fatal(err)
	}
	v, err := m.NewVCPU()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Flush(0, 4<<20), v.SetSystem(system)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		visit(t, c, 1)
		visit(t, v.(*VCPU), 2)
	}
}

// tableEntry is where the entry of the last level for va is.
func tableEntry(t *testing.T, m *Machine, s mmu.Space, va uint64) phys.Addr {
	t.Helper()
	table := s.Root
	for shift := 39; ; shift -= 9 {
		at := table + phys.Addr(va>>shift&511)*8
		if shift == 12 {
			return at
		}
		e, err := m.memory.Uint64(at)
		if err != nil {
			t.Fatal(err)
		}
		table = phys.Addr(e &^ (phys.PageSize - 1) & (1<<46 - 1))
	}
}

// TestJumpsFollowRestore: what was written to code goes with Restore, as all that was written.
func TestJumpsFollowRestore(t *testing.T) {
	m, c := newGuest(t, nil, phys.Options{})
	image, err := phys.NewImage(append(append(visits, make([]byte, phys.PageSize-len(visits))...), returns(3)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = image.Close() })
	if _, err := m.memory.Add(phys.Spec{Base: 8 << 20, Size: 2 * phys.PageSize, Image: image}); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(2) {
		if err := m.memory.SetUint64(tableEntry(t, m, c.space, codeAt+i*phys.PageSize), 8<<20+i*phys.PageSize|mmu.Present|mmu.User|mmu.Write); err != nil {
			t.Fatal(err)
		}
	}
	_ = m.Flush(0, 16<<20)
	for range 3 {
		visit(t, c, 3)
		if err := m.memory.WriteAt(returns(4), 8<<20+phys.PageSize); err != nil {
			t.Fatal(err)
		}
		visit(t, c, 4)
		for _, s := range m.memory.Slots() { // but for the tables
			if s.Image == nil {
				s.Dirty().Reset()
			}
		}
		m.memory.Restore()
	}
}

// TestJumpsFollowRestoredTables: a jump leads to what page tables say that come back from the image.
func TestJumpsFollowRestoredTables(t *testing.T) {
	first, c := newGuest(t, visits, phys.Options{})
	const second, other = codePhys + phys.PageSize, 0x300000
	for at, code := range map[phys.Addr][]byte{second: returns(1), other: returns(2)} {
		if err := first.memory.WriteAt(code, at); err != nil {
			t.Fatal(err)
		}
	}
	image, err := first.memory.Freeze(first.memory.Slots()[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = image.Close() })
	memory := phys.New(phys.Options{})
	t.Cleanup(func() { _ = memory.Close() })
	if _, err := memory.Add(phys.Spec{Size: 4 << 20, Image: image}); err != nil {
		t.Fatal(err)
	}
	m, c := newProcessor(t, memory, mmu.OpenBuilder(memory, &mmu.Frames{}, c.space.Root), visits)
	for range 2 {
		visit(t, c, 1)
		if err := memory.SetUint64(tableEntry(t, m, c.space, codeAt+phys.PageSize), other|mmu.Present|mmu.User|mmu.Write); err != nil {
			t.Fatal(err)
		}
		if err := m.Flush(0, 4<<20); err != nil {
			t.Fatal(err)
		}
		visit(t, c, 2)
		memory.Restore()
	}
}

// TestCodeMemoryIsBounded: when it is full, it begins anew, and the guest sees nothing of it.
func TestCodeMemoryIsBounded(t *testing.T) {
	m, c := newGuest(t, visits, phys.Options{})
	needsTranslation(t, m)
	if err := m.memory.WriteAt(returns(5), codePhys+phys.PageSize); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		visit(t, c, 5)
		number := m.store.Number
		m.store.Memory.Fill()
		if err := m.memory.WriteAt(returns(5), codePhys+phys.PageSize); err != nil { // to be translated again
			t.Fatal(err)
		}
		visit(t, c, 5)
		if m.store.Number != number+1 || m.store.Memory.Used() > 100_000 {
			t.Errorf("memory %d has %d bytes in use after %d was full", m.store.Number, m.store.Memory.Used(), number)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err == nil && m.store.Memory != nil || strings.Contains(string(maps), "memfd:code") {
		t.Error("translated code is left behind after Close")
	}
}

// TestHostWithoutCodeMemory: where nobody may make code, guests are interpreted.
func TestHostWithoutCodeMemory(t *testing.T) {
	m, c := newGuest(t, sum, phys.Options{})
	m.store.NewMemory = func() (*code.Memory, error) { return nil, errors.Join(code.ErrNoMemory, errors.ErrUnsupported) }
	c.regs.RCX = 1000
	if exit := run(t, c, 0); exit.Kind != vmm.ExitSyscall || c.regs.RAX != 500500 || m.Caps().Translates {
		t.Errorf("%v with %d, %+v", exit.Kind, c.regs.RAX, m.Caps())
	}
}

// TestSignalsAndCollections runs a guest while the process is profiled, and collects garbage all the time.
func TestSignalsAndCollections(t *testing.T) {
	m, c := newGuest(t, sum, phys.Options{})
	needsTranslation(t, m)
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		t.Skip(err)
	}
	defer pprof.StopCPUProfile()
	stop := make(chan struct{})
	var work sync.WaitGroup
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 2 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					garbage(200)
					runtime.GC()
				}
			}
		})
	}
	const rounds = 2_000_000
	for runs := 0; runs < 20 || after.NumGC < before.NumGC+20; runs++ {
		c.regs.RIP, c.regs.RAX, c.regs.RCX = codeAt, 0, rounds
		if exit := run(t, c, 0); exit.Kind != vmm.ExitSyscall || c.regs.RAX != rounds*(rounds+1)/2 {
			t.Errorf("%v with %d", exit.Kind, c.regs.RAX)
			break
		}
		runtime.ReadMemStats(&after)
	}
	close(stop)
	work.Wait()
}

// garbage makes what has to be collected, on a stack that grows.
func garbage(depth int) int {
	p := make([]*[64]byte, 4)
	p[depth%4] = new([64]byte)
	if depth == 0 {
		_, _ = io.Discard.Write(p[0][:])
		return len(p)
	}
	return garbage(depth-1) + len(p)
}

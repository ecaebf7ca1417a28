package linux

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/emu"
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/phys"
)

const tinyBase = 0x400000

// tiny is an ELF program of code alone, in one page that it may read, write and execute.
func tiny(code ...byte) []byte {
	const headers = 64 + 56
	b := make([]byte, headers, headers+len(code))
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], 2)  // ET_EXEC
	le.PutUint16(b[18:], 62) // EM_X86_64
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], tinyBase+headers)
	le.PutUint64(b[32:], 64) // program headers
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 1)
	le.PutUint16(b[58:], 64) // of section headers, of which there are none
	ph := b[64:]
	le.PutUint32(ph, 1)     // PT_LOAD
	le.PutUint32(ph[4:], 7) // RWX
	le.PutUint64(ph[16:], tinyBase)
	le.PutUint64(ph[24:], tinyBase)
	le.PutUint64(ph[32:], uint64(headers+len(code)))
	le.PutUint64(ph[40:], 4096)
	le.PutUint64(ph[48:], 4096)
	return append(b, code...)
}

// Code of guests.
var (
	spin = []byte{0xeb, 0xfe}
	// storm writes one byte to standard output, for ever.
	storm = []byte{
		0xbf, 1, 0, 0, 0, // mov edi, 1
		0xbe, 0, 0, 0x40, 0, // mov esi, tinyBase
		0xba, 1, 0, 0, 0, // mov edx, 1
		0xb8, 1, 0, 0, 0, // mov eax, 1
		0x0f, 0x05, // syscall
		0xeb, 0xe8, // jmp to the beginning
	}
	// touch writes to each page from 256 MiB on, which mmap gave.
	touch = []byte{
		0xb8, 9, 0, 0, 0, // mov eax, 9: mmap
		0xbf, 0, 0, 0, 0x10, // mov edi, 0x10000000
		0xbe, 0, 0, 0, 0x40, // mov esi, 1 GiB
		0xba, 3, 0, 0, 0, // mov edx, 3
		0x41, 0xba, 0x32, 0, 0, 0, // mov r10d, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED
		0x41, 0xb8, 0xff, 0xff, 0xff, 0xff, // mov r8d, -1
		0x45, 0x31, 0xc9, // xor r9d, r9d
		0x0f, 0x05, // syscall
		0xc6, 0x00, 1, // mov byte [rax], 1
		0x48, 0x05, 0, 0x10, 0, 0, // add rax, 4096
		0xeb, 0xf5, // jmp to the mov
	}
	// bomb starts threads for ever, all of which do the same.
	bomb = []byte{
		0xb8, 56, 0, 0, 0, // mov eax, 56: clone
		0xbf, 0, 0x0f, 0x01, 0, // mov edi, CLONE_VM|FS|FILES|SIGHAND|THREAD
		0x31, 0xf6, // xor esi, esi
		0x31, 0xd2, 0x4d, 0x31, 0xd2, 0x4d, 0x31, 0xc0, // xor edx, edx; xor r10, r10; xor r8, r8
		0x0f, 0x05, // syscall
		0xeb, 0xe8, // jmp to the beginning
	}
)

func TestLimitsEndAProgramWithTheirName(t *testing.T) {
	onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
		for _, c := range []struct {
			name string
			code []byte
			o    Options
			want string
		}{
			{"cpu", spin, Options{Limits: Limits{CPU: 20 * time.Millisecond}}, "cpu"},
			{"wall", spin, Options{Limits: Limits{Wall: 20 * time.Millisecond}}, "wall"},
			{"output", storm, Options{Limits: Limits{Files: file.Limits{Output: 100}}}, "output"},
			{"memory", touch, Options{Memory: 8 << 20}, "memory"},
			{"threads", bomb, Options{Limits: Limits{Tasks: 20, CPU: 200 * time.Millisecond}}, "cpu"},
			{"instructions", spin, Options{Limits: Limits{Instructions: 100_000, Wall: time.Second}}, "instructions"},
		} {
			t.Run(c.name, func(t *testing.T) {
				m := newMachine()
				if c.name == "instructions" && !m.Caps().Deterministic {
					t.Skip("instructions aren't counted here")
				}
				var out bytes.Buffer
				c.o.Stdout = &out
				p, err := Load(m, tiny(c.code...), c.o)
				if err != nil {
					t.Fatal(err)
				}
				stop, err := p.Run(context.Background())
				if err != nil || stop.Kind != LimitPassed || stop.Limit != c.want {
					t.Errorf("%+v %v, wanted limit %q", stop, err, c.want)
				}
				if n := c.o.Limits.Files.Output; n > 0 && int64(out.Len()) != n {
					t.Errorf("%d bytes came out, of %d allowed", out.Len(), n)
				}
				if n := c.o.Limits.Tasks; n > 0 && p.Metrics().Tasks != n {
					t.Errorf("%d tasks, of %d allowed", p.Metrics().Tasks, n)
				}
			})
		}
	})
}

func TestContextEndsARun(t *testing.T) {
	onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
		p, err := Load(newMachine(), tiny(spin...), Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		go cancel()
		for range 2 { // the next Run ends at once
			if stop, err := p.Run(ctx); err != nil || stop.Kind != Stopped {
				t.Errorf("%+v %v", stop, err)
			}
		}
	})
}

func TestLoadSaysWhatItDoesNotTake(t *testing.T) {
	short := tiny(spin...)
	arm := tiny(spin...)
	le.PutUint16(arm[18:], 183)
	empty := tiny(spin...)
	le.PutUint32(empty[64:], 4) // a note
	outside := tiny(spin...)
	le.PutUint64(outside[64+16:], 1<<63)
	long := tiny(spin...)
	le.PutUint64(long[64+32:], 1<<40)
	dynamic := tiny([]byte("/lib64/ld-linux-x86-64.so.2\x00")...)
	le.PutUint32(dynamic[64:], 3) // PT_INTERP
	le.PutUint64(dynamic[64+8:], 120)
	le.PutUint64(dynamic[64+32:], 28)
	for want, b := range map[string][]byte{
		"not an ELF file": []byte("#!/bin/sh\n"), "reading the program": short[:40], "for EM_AARCH64": arm, "without a segment": empty,
		"where programs can't be": outside, "longer than the file": long, "needs /lib64/ld-linux-x86-64.so.2; link": dynamic,
	} {
		if _, err := Load(emu.New(phys.New(phys.Options{})), b, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, wanted %q", err, want)
		}
	}
}

// interesting are numbers that calls may get wrong.
var interesting = []uint64{
	0, 1, 2, 3, 4, 7, 8, 16, 100, 4096, 4097, 65536, 1 << 20, 1 << 31, 1<<31 - 1, 1 << 32, 1<<32 - 1, 1 << 40, 1 << 47, 1<<47 - 1, 1<<47 - 4096, 1 << 62, 1 << 63,
	1<<63 - 1, ^uint64(0), ^uint64(3), ^uint64(99), ^uint64(4095), tinyBase, tinyBase + 8, tinyBase + 2048, tinyBase + 4095, tinyBase + 4096,
	0x7fffff7ff000, 0x7fffffffe000, 0x7fffffffefff, 0x10000,
}

// abuse makes calls of any number with any arguments, as a program would, until there is no process left or all bytes are used.
func abuse(t testing.TB, p *Process, data []byte) {
	r := bytes.NewReader(data)
	pick := func() uint64 {
		b, err := r.ReadByte()
		if err != nil {
			return 0
		}
		if int(b) < 200 {
			return interesting[int(b)%len(interesting)]
		}
		var v [8]byte
		_, _ = r.Read(v[:1+b%8])
		return binary.LittleEndian.Uint64(v[:])
	}
	for r.Len() > 0 && p.end == nil && len(p.tasks) > 0 {
		first, _ := r.ReadByte()
		second, _ := r.ReadByte()
		task := p.tasks[int(second>>3)%len(p.tasks)]
		if task.Wait.Kind != ready {
			p.clock.Monotonic += int64(second) << 20
			p.clock.Pass()
			p.tellFiles()
			p.wakeDue()
			p.wakeFiles()
			continue
		}
		regs := task.registers()
		regs.RAX = uint64(first) | uint64(second&1)<<8
		if second&7 == 7 {
			regs.RAX = 9 + uint64(first)%3
		}
		switch abi.Call(regs.RAX) {
		case abi.SYS_EXIT, abi.SYS_EXIT_GROUP, abi.SYS_RT_SIGRETURN, abi.SYS_KILL, abi.SYS_TKILL, abi.SYS_TGKILL, abi.SYS_RT_SIGQUEUEINFO:
			if second>>3 > 1 { // they end most processes
				regs.RAX = uint64(abi.SYS_MREMAP)
			}
		}
		regs.RDI, regs.RSI, regs.RDX, regs.R10, regs.R8, regs.R9 = pick(), pick(), pick(), pick(), pick(), pick()
		p.systemCall(task)
		for _, other := range p.tasks {
			if p.end == nil {
				p.deliver(other)
			}
		}
		_ = p.space.Broken()
		if len(p.tasks) > p.options.Limits.Tasks || len(p.space.Areas()) > p.options.Limits.Areas+4 {
			t.Fatalf("%d tasks, %d areas", len(p.tasks), len(p.space.Areas()))
		}
	}
}

func abused(t testing.TB) *Process {
	m := emu.New(phys.New(phys.Options{}))
	t.Cleanup(func() { _ = m.Close() })
	p, err := Load(m, tiny(spin...), Options{
		Memory: 1 << 20, Limits: Limits{Tasks: 8, Areas: 64}, Time: Time{Virtual: true}, Args: []string{"/tmp", "/proc/self/exe", "/dev/zero"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func FuzzCalls(f *testing.F) {
	f.Add([]byte("\x09\x00\x00\x0d\x03\x22\x1a\x00"))
	f.Add([]byte{56, 0, 201, 0, 0x0f, 1, 0, 0, 0, 0, 202, 1, 28, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			t.Skip()
		}
		p := abused(t)
		abuse(t, p, data)
		if p.end != nil {
			return
		}
		s, err := p.Checkpoint()
		if err != nil {
			return // it has no memory left
		}
		b, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := new(State).UnmarshalBinary(b); err != nil {
			t.Errorf("a state of ours isn't read: %v", err)
		}
	})
}

func TestAbuse(t *testing.T) {
	n := 1500
	if os.Getenv("WHERRY_SOAK") != "" {
		n = 100_000
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range n {
		data := make([]byte, 2000)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		p := abused(t)
		abuse(t, p, data)
		_ = p.machine.Close()
	}
}

func FuzzState(f *testing.F) {
	p, err := Load(emu.New(phys.New(phys.Options{})), tiny(spin...), Options{Memory: 1 << 20, Time: Time{Virtual: true}})
	if err != nil {
		f.Fatal(err)
	}
	s, err := p.Checkpoint()
	if err != nil {
		f.Fatal(err)
	}
	b, err := s.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		var s State
		if s.UnmarshalBinary(data) != nil || s.Memory() > 1<<24 {
			return
		}
		memory := phys.New(phys.Options{})
		m := emu.New(memory)
		defer m.Close()
		for _, spec := range Slots(s.Memory()) {
			if _, err := memory.Add(spec); err != nil {
				t.Fatal(err)
			}
		}
		p, err := Resume(m, &s, Options{Limits: Limits{Instructions: 10_000, Wall: 100 * time.Millisecond}})
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		if stop, err := p.Run(ctx); err == nil && stop.Kind == 0 {
			t.Error("a run without a reason")
		}
	})
}

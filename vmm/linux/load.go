package linux

import (
	"fmt"
	"math/rand/v2"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/clock"
	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/linux/program"
	"github.com/wherry/wherry/vmm/linux/space"
	"github.com/wherry/wherry/vmm/x86"
)

// argsMax bounds the bytes of arguments and environment.
const argsMax = 1 << 20

// Load puts a static program into machine's memory, to which it adds two slots, ready to run.
func Load(machine vmm.Machine, bytes []byte, o Options) (*Process, error) {
	prog, err := program.Parse(bytes)
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	s, err := space.New(machine, o.Memory, o.Limits.Areas)
	if err != nil {
		return nil, err
	}
	p, err := newProcess(machine, s, prog.Bytes, o)
	if err != nil {
		return nil, err
	}
	p.clock = clock.New(o.Time.Virtual, o.Time.Start, p.counter(o.Time.Virtual))
	p.random = newRandom(o.Seed)
	if err := p.start(&prog); err != nil {
		return nil, err
	}
	return p, nil
}

func (o Options) withDefaults() Options {
	if len(o.Args) == 0 {
		o.Args = []string{"program"}
	}
	if o.Memory == 0 {
		o.Memory = defaultMemory
	}
	o.Memory = (o.Memory + pageMask) &^ pageMask
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	set(&o.Limits.Tasks, defaultTasks)
	set(&o.Limits.Areas, defaultAreas)
	if o.Slice.Instructions == 0 {
		o.Slice.Instructions = defaultSlice
	}
	if o.Slice.CPU == 0 {
		o.Slice.CPU = defaultCPU
	}
	return o
}

// newProcess makes what Load and Resume have in common.
func newProcess(machine vmm.Machine, s *space.Space, exe []byte, o Options) (*Process, error) {
	p := &Process{machine: machine, space: s, controls: controls(s.Root()), options: o, lastID: firstID, kick: kick{awake: make(chan struct{}, 1)}}
	p.cpus.max = cpusMax
	if !machine.Caps().Parallel {
		p.cpus.max = 1
	}
	p.counts = machine.Caps().Deterministic
	p.slices = rand.New(rand.NewPCG(o.Slice.Random, 0))
	image := o.Image
	if image == nil {
		var err error
		if image, err = file.NewImage(file.ImageOptions{Program: exe}); err != nil {
			return nil, err
		}
	}
	files, err := file.New(file.Options{
		Image: image, Limits: o.Limits.Files, Args: o.Args, Maps: p.maps, Status: p.status, Auxv: p.auxiliary,
		Random: func(b []byte) { p.random.fill(b) }, Stdout: o.Stdout, Stderr: o.Stderr, PID: firstID,
	})
	if err != nil {
		return nil, err
	}
	p.Files = files
	return p, nil
}

// start maps the program and its stack, and makes its first task.
func (p *Process) start(prog *program.Program) error {
	if _, e := p.space.AddSource(space.Source{Bytes: prog.Bytes, Name: "/proc/self/exe"}); e != 0 {
		return e
	}
	if err := p.mapVDSO(); err != nil {
		return err
	}
	for _, s := range prog.Segments {
		if err := p.mapSegment(s); err != nil {
			return err
		}
	}
	p.space.SetHeap(prog.End)
	stack := space.Area{Start: space.StackTop - space.StackSize, End: space.StackTop, Prot: abi.PROT_READ | abi.PROT_WRITE, Kind: space.Stack}
	if e := p.space.Put(stack); e != 0 {
		return fmt.Errorf("the program's stack: %w", e)
	}
	sp, err := p.pushArgs(prog)
	if err != nil {
		return err
	}
	t := &Task{extended: x86.NewExtended(), ran: true}
	t.ID = firstID
	t.Regs = x86.Regs{RIP: prog.Entry, RSP: sp, RFLAGS: x86.Fixed | x86.IF}
	copy(t.Name[:len(t.Name)-1], baseName(p.options.Args[0]))
	p.tasks = []*Task{t}
	return nil
}

func baseName(s string) string {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '/' {
			return s[i+1:]
		}
	}
	return s
}

// mapSegment makes areas of a segment: what the file has, and the zeros behind it. In the last page of the file's part the zeros are written, as
// the file goes on there with something else.
func (p *Process) mapSegment(s program.Segment) error {
	start, end := s.At&^pageMask, (s.At+s.Size+pageMask)&^pageMask
	held := start
	if s.Held > 0 {
		held = (s.At + s.Held + pageMask) &^ pageMask
		n := space.Area{Start: start, End: held, Offset: s.Off &^ pageMask, Prot: s.Prot, Source: 1}
		if e := p.space.Put(n); e != 0 {
			return fmt.Errorf("mapping the segment at %#x: %w", s.At, e)
		}
		if tail := held - (s.At + s.Held); tail > 0 && s.Prot&abi.PROT_WRITE != 0 {
			if e := p.space.CopyOut(s.At+s.Held, make([]byte, tail)); e != 0 {
				return fmt.Errorf("mapping the segment at %#x: %w", s.At, e)
			}
		}
	}
	if held < end {
		if e := p.space.Put(space.Area{Start: held, End: end, Prot: s.Prot}); e != 0 {
			return fmt.Errorf("mapping the segment at %#x: %w", s.At, e)
		}
	}
	return nil
}

// pushArgs lays arguments, environment and auxiliary vector on the stack (System V ABI for x86-64, 3.4.1) and returns the stack pointer.
func (p *Process) pushArgs(prog *program.Program) (uint64, error) {
	o := &p.options
	at := uint64(space.StackTop) - 8
	total := 0
	push := func(b []byte) uint64 {
		total += len(b)
		at -= uint64(len(b))
		if total <= argsMax {
			p.space.CopyOut(at, b)
		}
		return at
	}
	name := push([]byte(o.Args[0] + "\x00"))
	var argv, envp []uint64
	for _, s := range o.Args {
		argv = append(argv, push([]byte(s+"\x00")))
	}
	for _, s := range o.Env {
		envp = append(envp, push([]byte(s+"\x00")))
	}
	if total > argsMax {
		return 0, fmt.Errorf("%d bytes of arguments and environment; at most %d", total, argsMax)
	}
	platform := push([]byte("x86_64\x00"))
	var seed [16]byte
	p.random.fill(seed[:])
	random := push(seed[:])
	p.auxv = auxv(prog, name, platform, random)
	words := append([]uint64{uint64(len(argv))}, argv...)
	words = append(append(append(words, 0), envp...), 0)
	words = append(words, p.auxv...)
	at = (at - uint64(8*len(words))) &^ 15
	b := make([]byte, 0, 8*len(words))
	for _, w := range words {
		b = le.AppendUint64(b, w)
	}
	if e := p.space.CopyOut(at, b); e != 0 {
		return 0, fmt.Errorf("laying out the stack: %w", e)
	}
	return at, nil
}

// hwcap is CPUID 1's EDX of a processor with what every x86-64 has.
const hwcap = 0x178bfbff

func auxv(prog *program.Program, name, platform, random uint64) []uint64 {
	const phent = 56
	return []uint64{
		abi.AT_SYSINFO_EHDR, vdsoAt, abi.AT_HWCAP, hwcap, abi.AT_PAGESZ, pageSize, abi.AT_CLKTCK, 100, abi.AT_PHDR, prog.PHdr, abi.AT_PHENT, phent, abi.AT_PHNUM, uint64(prog.PHNum),
		abi.AT_BASE, 0, abi.AT_FLAGS, 0, abi.AT_ENTRY, prog.Entry, abi.AT_UID, 0, abi.AT_EUID, 0, abi.AT_GID, 0, abi.AT_EGID, 0, abi.AT_SECURE, 0,
		abi.AT_RANDOM, random, abi.AT_HWCAP2, 0, abi.AT_EXECFN, name, abi.AT_PLATFORM, platform, abi.AT_MINSIGSTKSZ, minFrame, abi.AT_NULL, 0,
	}
}

// minFrame is what a signal's frame may take, with the state of AVX-512.
const minFrame = 3632

// auxiliary is /proc/self/auxv.
func (p *Process) auxiliary() []byte {
	var b []byte
	for _, w := range p.auxv {
		b = le.AppendUint64(b, w)
	}
	return b
}

// maps is /proc/self/maps.
func (p *Process) maps() []byte {
	var b []byte
	for _, a := range p.space.Areas() {
		prot := []byte("---p")
		for i, bit := range []uint32{abi.PROT_READ, abi.PROT_WRITE, abi.PROT_EXEC} {
			if a.Prot&bit != 0 {
				prot[i] = "rwx"[i]
			}
		}
		name := p.space.Name(a)
		switch a.Kind {
		case space.Heap:
			name = "[heap]"
		case space.Stack:
			name = "[stack]"
		case space.Shared:
			prot[3] = 's'
		}
		b = fmt.Appendf(b, "%08x-%08x %s %08x 00:00 0", a.Start, a.End, prot, a.Offset)
		if name != "" {
			b = fmt.Appendf(b, "%26s%s", "", name)
		}
		b = append(b, '\n')
	}
	return b
}

// status is what /proc/self/status has of memory and threads.
func (p *Process) status() file.Status {
	s := file.Status{Resident: int64(p.space.Pages()) * pageSize, Threads: len(p.tasks)}
	for _, a := range p.space.Areas() {
		s.Size += int64(a.End - a.Start)
	}
	return s
}

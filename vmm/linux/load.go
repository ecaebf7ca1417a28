package linux

import (
	"fmt"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/clock"
	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/linux/program"
	"github.com/wherry/wherry/vmm/linux/space"
	"github.com/wherry/wherry/vmm/linux/turn"
	"github.com/wherry/wherry/vmm/x86"
)

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
	p.turns = turn.New(o.Slice, p.counts)
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

// pushArgs lays arguments, environment and auxiliary vector on the stack and returns the stack pointer.
func (p *Process) pushArgs(prog *program.Program) (uint64, error) {
	var seed [16]byte
	p.random.fill(seed[:])
	stack, err := program.NewStack(space.StackTop, prog, p.options.Args, p.options.Env, seed, vdsoAt)
	if err != nil {
		return 0, err
	}
	p.auxv = stack.Auxv
	if e := p.space.CopyOut(stack.Pointer, stack.Bytes); e != 0 {
		return 0, fmt.Errorf("laying out the stack: %w", e)
	}
	return stack.Pointer, nil
}

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

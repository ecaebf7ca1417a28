package snap

import (
	"bytes"
	"cmp"
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/phys"
)

// Maker makes a machine of one kind around a memory, which it owns from then on.
type Maker func(*phys.Memory) (vmm.Machine, error)

// Snapshot is a program that waits for input.
type Snapshot struct {
	kind  string // of the back end, as in vmm.Caps.Name
	slots []slot
	state *linux.State
	port  int         // that the program listens on, if it doesn't read
	files *file.Image // of an archive; nil: the program has none
}

// slot is a range of memory, and what it begins with.
type slot struct {
	base     phys.Addr
	size     int
	readOnly bool
	kept     bool
	image    *phys.Image
}

// Boot loads a program into a machine and lets it run until it waits for input. A program that ends before that is an *EndedError.
func Boot(ctx context.Context, m vmm.Machine, program []byte, o linux.Options) (*linux.Process, error) {
	o.Boundary = true
	p, err := linux.Load(m, program, o)
	if err != nil {
		return nil, err
	}
	stop, err := p.Run(ctx)
	switch {
	case err != nil:
		return nil, err
	case stop.Kind != linux.WantsInput:
		return nil, &EndedError{Stop: stop, forked: forked(p)}
	}
	return p, nil
}

// BootServer is Boot, and takes a program that listens, too: it is ready when all its tasks wait and port is one that it listens on. With port 0 that is any,
// and a program that reads standard input before is ready then; with another one nobody asks what it reads. A server has a connection by then, if it takes one: see Files.Attach.
func BootServer(ctx context.Context, m vmm.Machine, program []byte, o linux.Options, port int) (*linux.Process, error) {
	o.Boundary, o.Yield = port == 0, true
	p, err := linux.Load(m, program, o)
	if err != nil {
		return nil, err
	}
	for {
		stop, err := p.Run(ctx)
		switch {
		case err != nil:
			return nil, err
		case stop.Kind == linux.WantsInput && port == 0:
			return p, nil
		case waits(stop) && listens(p, port):
			accepts, err := connect(ctx, p, cmp.Or(port, p.Files.Port()))
			if err == nil && !accepts && forked(p) {
				err = &EndedError{stop, true, true}
			}
			return p, err
		case !waits(stop) || stop.Wake == math.MaxInt64 || !sleep(ctx, stop.Wake):
			return nil, &EndedError{stop, true, forked(p)}
		}
	}
}

// waits reports whether all tasks do.
func waits(s linux.Stop) bool { return s.Kind == linux.Idle || s.Kind == linux.WantsInput }

func listens(p *linux.Process, port int) bool {
	return port == 0 && p.Files.Port() != 0 || port != 0 && p.Files.Listening(port)
}

// sleep waits, and reports whether all of that time passed.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// EndedError says that a program ended where it was to wait for input.
type EndedError struct {
	Stop   linux.Stop
	server bool // it might have listened, too
	forked bool // it wanted another process
}

// ForkAdvice says what became of a program that wanted more than one process, and what to do about it.
const ForkAdvice = "wanted a process beside itself (fork), which there can't be: have it serve in one process, in the foreground; " +
	"nginx by `daemon off; master_process off;` in its configuration"

// Forked reports whether a program has tried to make another process.
func Forked(m *linux.Metrics) bool { return m.Unknown["fork"]+m.Unknown["vfork"] > 0 }

func forked(p *linux.Process) bool {
	m := p.Metrics()
	return Forked(&m)
}

func (e *EndedError) Error() string {
	if e.forked {
		return fmt.Sprintf("the program %s, and %s", e.Stop, ForkAdvice)
	}
	if !e.server {
		return fmt.Sprintf("the program %s before it read standard input", e.Stop)
	}
	return fmt.Sprintf("the program %s; it never reads, nor listens: have it read requests from standard input, or listen on a TCP port", e.Stop)
}

// Take makes a snapshot of a process that waits for input. The process can go on.
func Take(m vmm.Machine, p *linux.Process) (*Snapshot, error) {
	state, err := p.Checkpoint() // brings what is lazily loaded into memory
	if err == nil {
		err = m.CollectDirty()
	}
	if err != nil {
		return nil, err
	}
	s := &Snapshot{kind: m.Caps().Name, state: state}
	if image := p.Files.Image(); image.Origin() != nil {
		s.files = image
	}
	if !p.Files.Starved() {
		s.port = p.Files.Port()
	}
	for _, from := range m.Phys().Slots() {
		image, err := m.Phys().Freeze(from)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.slots = append(s.slots, slot{from.Base, from.Size, from.ReadOnly, from.Kept, image})
	}
	return s, nil
}

// Kind is the back end that s can start on.
func (s *Snapshot) Kind() string { return s.kind }

// Port is the first TCP port that the program listens on, 0 if it waits for standard input. A file doesn't keep it.
func (s *Snapshot) Port() int { return s.port }

// Files is how many files there are beside what is in memory, and the bytes in them.
func (s *Snapshot) Files() (count int, bytes int64) {
	if s.files == nil {
		return 0, 0
	}
	return s.files.Files()
}

// nodeSize is about what a file takes beside its bytes.
const nodeSize = 1 << 10

// Bytes is how much memory s has: the pages of its images that aren't zeros, and its files.
func (s *Snapshot) Bytes() int64 {
	var pages int64
	for _, slot := range s.slots {
		if slot.image != nil {
			for range slot.image.Pages {
				pages++
			}
		}
	}
	if s.files != nil {
		return pages*phys.PageSize + int64(len(s.files.Origin())) + int64(s.files.Nodes())*nodeSize
	}
	return pages * phys.PageSize
}

// Close lets go of s's images. It fails while there are instances.
func (s *Snapshot) Close() error {
	var errs []error
	for _, slot := range s.slots {
		if slot.image != nil {
			errs = append(errs, slot.image.Close())
		}
	}
	return errors.Join(errs...)
}

// Start makes an instance, whose calls end at a read of standard input that finds nothing (linux.Options.Boundary); one whose options say Yield
// is run by its Process, and has a Boundary if they say so. Of the options those count that aren't part of the snapshot: limits, output, trace. Without a Seed in them the random bytes that
// the program asks for are new in each instance and after each Reset; with one they are those of the snapshot, again and again.
func (s *Snapshot) Start(make Maker, o linux.Options) (*Instance, error) {
	i := &Instance{state: s.state}
	if o.Seed == ([32]byte{}) {
		var seed [32]byte
		if _, err := cryptorand.Read(seed[:]); err != nil {
			return nil, err
		}
		i.seeds = rand.NewChaCha8(seed)
	}
	o.Boundary = o.Boundary || !o.Yield
	if o.Stdout == nil {
		o.Stdout = &i.out
	}
	var err error
	if i.machine, i.process, err = s.Open(make, o); err != nil {
		return nil, err
	}
	i.reseed()
	return i, nil
}

// Open makes a machine and a process that goes on from s as if nothing had happened, with the random bytes of then. It is closed with its machine.
func (s *Snapshot) Open(make Maker, o linux.Options) (vmm.Machine, *linux.Process, error) {
	memory := phys.New(phys.Options{})
	for _, slot := range s.slots {
		if _, err := memory.Add(phys.Spec{Base: slot.base, Size: slot.size, ReadOnly: slot.readOnly, Kept: slot.kept, Image: slot.image}); err != nil {
			return nil, nil, errors.Join(err, memory.Close())
		}
	}
	m, err := make(memory)
	if err != nil {
		return nil, nil, errors.Join(err, memory.Close())
	}
	if kind := m.Caps().Name; kind != s.kind {
		return nil, nil, errors.Join(fmt.Errorf("a snapshot of machine %q can't start on machine %q; make one there", s.kind, kind), m.Close())
	}
	if o.Image == nil {
		o.Image = s.files
	}
	p, err := linux.Resume(m, s.state, o)
	if err != nil {
		return nil, nil, errors.Join(err, m.Close())
	}
	return m, p, nil
}

// Program is the file of the program in s.
func (s *Snapshot) Program() []byte { return s.state.Program() }

// Image is what the program came from: the ELF file, or the archive that has it.
func (s *Snapshot) Image() []byte {
	if s.files != nil {
		return s.files.Origin()
	}
	return s.Program()
}

// Size is about how much memory s takes, in bytes.
func (s *Snapshot) Size() (n int64) {
	for _, slot := range s.slots {
		n += int64(slot.image.Size())
	}
	return n
}

// Instance is a program that answers calls.
type Instance struct {
	machine vmm.Machine
	process *linux.Process
	state   *linux.State
	seeds   *rand.ChaCha8 // of the program's random bytes; nil where they are to be the same
	out     bytes.Buffer
}

// Call is what one call did.
type Call struct {
	Output []byte // what the program wrote to standard output; until the next Call
	Stop   linux.Stop
	CPU    time.Duration
}

// Answered reports whether the program waits for the next call, having read all of this one's input.
func (c Call) Answered() bool { return c.Stop.Kind == linux.WantsInput }

// Call gives the program input, for which its limits begin anew, and lets it run until it wants more than that, or ends.
func (i *Instance) Call(ctx context.Context, input []byte) (Call, error) {
	i.out.Reset()
	i.process.Renew()
	before := i.process.CPU()
	for {
		n := i.process.WriteStdin(input)
		input = input[n:]
		stop, err := i.process.Run(ctx)
		if err != nil {
			return Call{}, err
		}
		if stop.Kind != linux.WantsInput || len(input) == 0 || n == 0 { // none is taken by a program that has closed its input
			return Call{Output: i.out.Bytes(), Stop: stop, CPU: i.process.CPU() - before}, nil
		}
	}
}

// Reset takes i back to its snapshot, and returns how many pages that took.
func (i *Instance) Reset() (pages int, err error) {
	if err := i.machine.CollectDirty(); err != nil {
		return 0, err
	}
	for _, s := range i.machine.Phys().Slots() {
		if !s.Kept {
			pages += s.Dirty().Count()
		}
	}
	i.machine.Phys().Restore()
	if err := i.process.Restore(i.state); err != nil {
		return pages, err
	}
	i.reseed()
	return pages, nil
}

func (i *Instance) reseed() {
	if i.seeds == nil {
		return
	}
	var seed [32]byte
	_, _ = i.seeds.Read(seed[:]) // never fails
	i.process.Reseed(seed)
}

// Dirty is how much memory i has that differs from its snapshot, as far as the machine was asked: by Reset, or by CollectDirty.
func (i *Instance) Dirty() int64 {
	var pages int64
	for _, s := range i.machine.Phys().Slots() {
		pages += int64(s.Dirty().Count())
	}
	return pages * phys.PageSize
}

// Process is the program that runs in i.
func (i *Instance) Process() *linux.Process { return i.process }

// Machine is the machine that i runs on.
func (i *Instance) Machine() vmm.Machine { return i.machine }

// Close destroys i.
func (i *Instance) Close() error { return i.machine.Close() }

var _ io.WriterTo = (*Snapshot)(nil)

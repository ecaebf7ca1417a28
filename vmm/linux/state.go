package linux

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// State is a process at a checkpoint, but for the contents of its memory, which images of the machine's slots have. It doesn't change, and is good for any
// number of processes.
type State struct {
	numbers stateNumbers
	auxv    []uint64
	areas   areas
	sources []source
	tasks   []taskImage
	pending signalQueue
	actions [65]abi.Sigaction
	random  rand.ChaCha8
	files   *file.State
	free    []phys.Addr

	image *lazyImage
}

// lazyImage is the tree of files that programs have which were given none. It is made once for all processes of a state: its digest is over the program.
type lazyImage struct {
	once  sync.Once
	image *file.Image
	err   error
}

func (s *State) defaultImage() (*file.Image, error) {
	s.image.once.Do(func() { s.image.image, s.image.err = file.NewImage(file.ImageOptions{Program: s.program()}) })
	return s.image.image, s.image.err
}

// stateNumbers is what of a State is numbers, in the order of the snapshot file.
type stateNumbers struct {
	Memory                 int64 // Options.Memory
	TablesNext, TablesRoot phys.Addr
	PagesNext              phys.Addr
	PagesUsed              uint64
	Heap, Break            uint64
	Monotonic, RealOffset  int64
	CPU                    int64
	Order                  uint64
	LastID                 int32
	Virtual                bool
}

type taskImage struct {
	taskState
	pending  signalQueue
	extended x86.Extended
}

// Checkpoint keeps the process as it is between two Runs. The caller keeps its memory: an image of each of the machine's slots, made now.
func (p *Process) Checkpoint() (*State, error) {
	if p.end != nil {
		return nil, errDone
	}
	if err := p.load(); err != nil {
		return nil, err
	}
	s := &State{
		image: new(lazyImage),
		numbers: stateNumbers{
			Memory: p.options.Memory, TablesNext: p.tableFrames.Next, TablesRoot: p.tables.Space().Root, PagesNext: p.frames.next, PagesUsed: p.frames.used,
			Heap: p.memory.heap, Break: p.memory.brk, Monotonic: p.clock.monotonic, RealOffset: p.clock.realOffset, Virtual: p.clock.virtual,
			CPU: p.cpuTime, Order: p.order, LastID: p.lastID,
		},
		auxv: p.auxv, areas: slices.Clone(p.memory.areas), sources: slices.Clone(p.memory.sources), pending: p.pending, actions: p.actions,
		random: *p.random.ChaCha8, files: p.Files.Checkpoint(), free: slices.Clone(p.frames.free),
	}
	for _, t := range p.tasks {
		ext, err := p.extendedOf(t)
		if err != nil {
			return nil, err
		}
		n := taskImage{taskState: t.taskState, pending: t.pending, extended: ext}
		n.Regs = *t.registers()
		s.tasks = append(s.tasks, n)
	}
	return s, nil
}

// load brings what mappings of files have, so that nothing has to be brought from there after a Restore.
func (p *Process) load() error {
	for _, a := range p.memory.areas {
		if a.Source == 0 || a.Prot == abi.PROT_NONE {
			continue
		}
		if !p.populate(a.Start, min(a.End, p.sourceEnd(&a))) {
			return errNoMemory
		}
	}
	return nil
}

// sourceEnd is where a's source ends, in whole pages.
func (p *Process) sourceEnd(a *area) uint64 {
	size := uint64(len(p.memory.sources[a.Source].bytes))
	if a.Offset >= size {
		return a.Start
	}
	return a.Start + pages(size-a.Offset)
}

// Resume makes a process of s in machine, whose memory has the images of the machine that Checkpoint was called in: two slots, where Slots says. Arguments,
// environment, Memory and Seed of o aren't looked at, and Time only for whether it is virtual.
func Resume(machine vmm.Machine, s *State, o Options) (*Process, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	o.Memory = s.numbers.Memory
	o = o.withDefaults()
	if len(s.tasks) > o.Limits.Tasks || len(s.areas) > o.Limits.Areas {
		return nil, fmt.Errorf("a state of %d tasks and %d areas; raise the limits, %d and %d", len(s.tasks), len(s.areas), o.Limits.Tasks, o.Limits.Areas)
	}
	for _, spec := range Slots(o.Memory) {
		slot, _, err := machine.Phys().Locate(spec.Base)
		if err != nil || slot.Base != spec.Base || slot.Size != spec.Size || slot.Kept != spec.Kept {
			return nil, fmt.Errorf("the machine's memory has no slot of %d bytes at %#x; make it of the checkpoint's images", spec.Size, spec.Base)
		}
	}
	if o.Image == nil {
		image, err := s.defaultImage()
		if err != nil {
			return nil, err
		}
		o.Image = image
	}
	p, err := newProcess(machine, program{bytes: s.program()}, o)
	if err != nil {
		return nil, err
	}
	n := &s.numbers
	p.tableFrames = &mmu.Frames{Next: n.TablesNext, End: tablesBase + phys.Addr(tablesSize(o.Memory))}
	p.tables = mmu.OpenBuilder(machine.Phys(), p.tableFrames, n.TablesRoot)
	p.frames = &frames{next: n.PagesNext, end: pagesBase + phys.Addr(o.Memory), free: slices.Clone(s.free), used: n.PagesUsed}
	p.controls = controls(uint64(n.TablesRoot))
	p.newBits = own
	p.random = random{new(rand.ChaCha8)}
	p.auxv = s.auxv
	p.clock.virtual = n.Virtual
	if err := machine.Flush(tablesBase, uint64(tablesSize(o.Memory))); err != nil {
		return nil, err
	}
	return p, p.Restore(s)
}

// Slots are the slots that Load gives a machine for a program with so many bytes of memory. For Resume they have images.
func Slots(memory int64) []phys.Spec {
	return []phys.Spec{
		{Base: tablesBase, Size: int(tablesSize(memory)), Kept: true},
		{Base: pagesBase, Size: int(memory)},
	}
}

func (s *State) program() []byte {
	if len(s.sources) < 2 {
		return nil
	}
	return s.sources[1].bytes
}

// Memory is the size of the process's memory, for Slots.
func (s *State) Memory() int64 { return s.numbers.Memory }

var errNotResumed = errors.New("a process goes back to the state that it was resumed from; Resume one from the checkpoint and its images")

// Restore takes a process that Resume made back to s, the state that it was made from, after Machine.CollectDirty and phys.Memory.Restore have taken its
// memory back. Time goes on from the checkpoint's on the monotonic clock; what CLOCK_REALTIME says is the host's, unless time is virtual.
func (p *Process) Restore(s *State) error {
	if p.newBits == 0 {
		return errNotResumed
	}
	n := &s.numbers
	if n.TablesRoot != p.tables.Space().Root || n.Memory != p.options.Memory {
		return errNotResumed
	}
	if err := p.restoreTasks(s); err != nil {
		return err
	}
	if p.memory.changed != p.areasAt || p.state != s {
		p.memory.areas = append(p.memory.areas[:0], s.areas...)
		p.memory.sources = append(p.memory.sources[:0], s.sources...)
		p.areasAt = p.memory.changed
	}
	p.memory.heap, p.memory.brk = n.Heap, n.Break
	if p.actionsChanged > 0 || p.state != s {
		p.actions, p.actionsChanged = s.actions, 0
	}
	p.pending = s.pending
	*p.random.ChaCha8 = s.random
	p.clock.restore(n)
	p.cpuTime, p.cpuBase = n.CPU, n.CPU
	p.instructionsBase = p.counters.instructions
	p.order, p.lastID = n.Order, n.LastID
	p.current, p.turn, p.left, p.end, p.broken = nil, 0, 0, nil, nil
	if err := p.Files.Restore(s.files); err != nil {
		return err
	}
	p.version = p.Files.Version() - 1 // tasks that wait for files look again
	p.state = s
	p.counters.restores++
	return p.settle()
}

func (c *clock) restore(n *stateNumbers) {
	c.monotonic, c.realOffset = n.Monotonic, n.RealOffset
	if !c.virtual {
		c.offset = n.Monotonic - hostNow()
		c.realOffset = time.Now().UnixNano() - n.Monotonic
	}
}

// restoreTasks makes the tasks what they were. Those that didn't run since keep their processor's registers beyond the general ones.
func (p *Process) restoreTasks(s *State) error {
	if !p.sameTasks(s) {
		for _, t := range p.tasks {
			if t.cpu != nil {
				t.cpu.owner, t.cpu = nil, nil
			}
		}
		p.tasks = p.tasks[:0]
		for range s.tasks {
			p.tasks = append(p.tasks, &Task{ran: true})
		}
	}
	for i := range s.tasks {
		t, from := p.tasks[i], &s.tasks[i]
		t.taskState, t.pending = from.taskState, from.pending
		if t.cpu != nil {
			*t.cpu.v.Regs() = from.Regs
		}
		if !t.ran && p.state == s {
			continue
		}
		t.ran = false
		if t.cpu == nil {
			t.extended = from.extended
		} else if err := t.cpu.v.SetExtended(&from.extended); err != nil {
			return err
		}
	}
	return nil
}

func (p *Process) sameTasks(s *State) bool {
	if len(p.tasks) != len(s.tasks) {
		return false
	}
	for i, t := range p.tasks {
		if t.ID != s.tasks[i].ID {
			return false
		}
	}
	return true
}

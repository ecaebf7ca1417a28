package linux

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/clock"
	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/linux/signals"
	"github.com/wherry/wherry/vmm/linux/space"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// State is a process at a checkpoint, but for the contents of its memory, which images of the machine's slots have. It doesn't change, and is good for any
// number of processes.
type State struct {
	numbers stateNumbers
	space   *space.State
	auxv    []uint64
	tasks   []taskImage
	pending signals.Queue
	actions [65]abi.Sigaction
	random  rand.ChaCha8
	files   *file.State
	image   *lazyImage
}

// lazyImage is the tree of files that programs have which were given none. It is made once for all processes of a state: its digest is over the program.
// So is the check of the state, by the first Resume.
type lazyImage struct {
	checking sync.Once
	unfit    error

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
	Monotonic, RealOffset int64
	CPU                   int64
	Order                 uint64
	LastID                int32
	Turn                  int32 // the index of the task that ran last
	Virtual               bool
}

type taskImage struct {
	taskState
	pending  signals.Queue
	extended x86.Extended
}

// Checkpoint keeps the process as it is between two Runs. The caller keeps its memory: an image of each of the machine's slots, made now.
func (p *Process) Checkpoint() (*State, error) {
	if p.end != nil {
		return nil, errDone
	}
	sp, err := p.space.Checkpoint()
	if err != nil {
		return nil, err
	}
	s := &State{
		image: new(lazyImage),
		numbers: stateNumbers{
			Monotonic: p.clock.Monotonic, RealOffset: p.clock.RealOffset, Virtual: p.clock.Virtual, CPU: p.cpuTime, Order: p.order, LastID: p.lastID,
			Turn: int32(min(p.turn, len(p.tasks)-1)),
		},
		space: sp, auxv: p.auxv, pending: p.pending, actions: p.actions, random: *p.random.ChaCha8, files: p.Files.Checkpoint(),
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

// Resume makes a process of s in machine, whose memory has the images of the machine that Checkpoint was called in: two slots, where Slots says. Arguments,
// environment, Memory and Seed of o aren't looked at, and Time only for whether it is virtual.
func Resume(machine vmm.Machine, s *State, o Options) (*Process, error) {
	// Once: it sets what no process has right, and other processes may read s from then on.
	s.image.checking.Do(func() { s.image.unfit = s.check() })
	if s.image.unfit != nil {
		return nil, s.image.unfit
	}
	o.Memory = s.Memory()
	o = o.withDefaults()
	if len(s.tasks) > o.Limits.Tasks {
		return nil, fmt.Errorf("a state of %d tasks; raise the limit, %d", len(s.tasks), o.Limits.Tasks)
	}
	if o.Image == nil {
		var err error
		if o.Image, err = s.defaultImage(); err != nil {
			return nil, err
		}
	}
	sp, err := space.Open(machine, s.space, o.Limits.Areas)
	if err != nil {
		return nil, err
	}
	p, err := newProcess(machine, sp, s.program(), o)
	if err != nil {
		return nil, err
	}
	p.random = random{new(rand.ChaCha8)}
	p.auxv = s.auxv
	p.clock = clock.Clock{Virtual: s.numbers.Virtual, Counter: p.counter(s.numbers.Virtual)}
	return p, p.Restore(s)
}

// Slots are the slots that Load gives a machine for a program with so many bytes of memory. For Resume they have images.
func Slots(memory int64) []phys.Spec { return space.Slots(memory) }

func (s *State) program() []byte {
	if len(s.space.Sources) < 2 {
		return nil
	}
	return s.space.Sources[1].Bytes
}

// Memory is the size of the process's memory, for Slots.
func (s *State) Memory() int64 { return s.space.Numbers.Memory }

// Restore takes a process that Resume made back to s, the state that it was made from, after Machine.CollectDirty and phys.Memory.Restore have taken its
// memory back. Time goes on from the checkpoint's on the monotonic clock; what CLOCK_REALTIME says is the host's, unless time is virtual.
func (p *Process) Restore(s *State) error {
	n := &s.numbers
	if err := p.space.Restore(s.space); err != nil {
		return err
	}
	if err := p.restoreTasks(s); err != nil {
		return err
	}
	if p.actionsChanged > 0 || p.state != s {
		p.actions, p.actionsChanged = s.actions, 0
	}
	p.pending = s.pending
	*p.random.ChaCha8 = s.random
	p.clock.Restore(n.Monotonic, n.RealOffset)
	p.lookAtTime()
	p.cpuTime, p.cpuBase = n.CPU, n.CPU
	p.instructionsBase = p.counters.Instructions
	p.order, p.lastID = n.Order, n.LastID
	p.turn, p.left, p.end = int(n.Turn), p.turns.Next(), nil
	p.current = p.tasks[p.turn] // goes on first: it is the one that waits for input, as a rule
	if err := p.Files.Restore(s.files); err != nil {
		return err
	}
	p.version = p.Files.Version() - 1 // tasks that wait for files look again
	p.state = s
	p.counters.Restores++
	return nil
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

package linux

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/coder"
	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/linux/plain"
	"github.com/wherry/wherry/vmm/linux/signals"
	"github.com/wherry/wherry/vmm/linux/space"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// A State as bytes, all numbers little-endian, lists with their length (4 bytes) before them:
//
//	"wherry process 3\n" │ numbers │ actions │ auxv │ space's numbers │ areas │ free pages │ pending signals │ sources │ tasks │ random │ files
//
// A task is its taskState, its signals, and its registers beyond as a signal's frame has them. What is read may be anybody's: lengths have bounds, and check
// looks at the rest.

const stateMagic = "wherry process 2\n"

// Bounds of what a State has when it is read.
const (
	stateTasksMax = 4096
	stateAreasMax = 1 << 16
	stateFreeMax  = space.MemoryMax / pageSize
	stateAuxvMax  = 128
	stateBytesMax = 1 << 30 // of the files' part
	randomBytes   = 512
)

var errState = errors.New("not a checkpoint of a process, or a damaged one; make it again")

// MarshalBinary makes bytes of s for a snapshot file.
func (s *State) MarshalBinary() ([]byte, error) {
	w := coder.Writer{B: []byte(stateMagic)}
	w.Put(&s.numbers)
	w.Put(&s.actions)
	coder.PutList(&w, s.auxv)
	w.Put(&s.space.Numbers)
	coder.PutList(&w, s.space.Areas)
	coder.PutList(&w, s.space.Free)
	coder.PutList(&w, s.pending)
	w.Put(uint32(len(s.space.Sources)))
	for _, src := range s.space.Sources {
		w.PutBytes([]byte(src.Name))
		w.PutBytes(src.Bytes)
	}
	w.Put(uint32(len(s.tasks)))
	for i := range s.tasks {
		t := &s.tasks[i]
		w.Put(&t.taskState)
		coder.PutList(&w, t.pending)
		w.PutBytes(signals.EncodeExtended(&t.extended))
	}
	random := s.random
	for _, part := range []encoding.BinaryMarshaler{&random, s.files} {
		b, err := part.MarshalBinary()
		if err != nil {
			return nil, err
		}
		w.PutBytes(b)
	}
	return w.B, nil
}

// UnmarshalBinary reads what MarshalBinary made, or anybody.
func (s *State) UnmarshalBinary(b []byte) error {
	rest, ok := bytes.CutPrefix(b, []byte(stateMagic))
	if !ok {
		return errState
	}
	r := &coder.Reader{B: rest}
	n := State{files: new(file.State), space: new(space.State), image: new(lazyImage)}
	r.Get(&n.numbers)
	r.Get(&n.actions)
	n.auxv = coder.GetList[uint64](r, stateAuxvMax)
	r.Get(&n.space.Numbers)
	n.space.Areas = coder.GetList[space.Area](r, stateAreasMax)
	n.space.Free = coder.GetList[phys.Addr](r, stateFreeMax)
	n.pending = coder.GetList[abi.Siginfo](r, signals.Max)
	for range r.Count(space.SourcesMax) {
		name := r.Bytes(plain.PathMax)
		n.space.Sources = append(n.space.Sources, space.Source{Bytes: r.Bytes(space.SourceBytesMax), Name: string(name)})
	}
	for range r.Count(stateTasksMax) {
		var t taskImage
		r.Get(&t.taskState)
		t.pending = coder.GetList[abi.Siginfo](r, signals.Max)
		t.extended = signals.DecodeExtended(r.Bytes(signals.ExtendedMax))
		n.tasks = append(n.tasks, t)
	}
	random, files := r.Bytes(randomBytes), r.Bytes(stateBytesMax)
	if r.Err != nil || len(r.B) > 0 {
		return errState
	}
	n.random = *rand.NewChaCha8([32]byte{})
	if err := n.random.UnmarshalBinary(random); err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	if err := n.files.UnmarshalBinary(files); err != nil {
		return err
	}
	if err := n.check(); err != nil {
		return err
	}
	*s = n
	return nil
}

// check reports what of s no process has.
func (s *State) check() error {
	n := &s.numbers
	if err := s.space.Check(); err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	if len(s.tasks) == 0 || n.LastID < firstID || n.LastID > idMax || n.Monotonic < 0 || n.Turn < 0 || int(n.Turn) >= len(s.tasks) {
		return fmt.Errorf("%w: it has no tasks, or impossible numbers", errState)
	}
	return s.checkTasks()
}

func (s *State) checkTasks() error {
	ids := map[int32]bool{}
	queues := []signals.Queue{s.pending}
	for i := range s.tasks {
		t := &s.tasks[i]
		w := &t.Wait
		r := &t.Regs
		if ids[t.ID] || t.ID < firstID || t.ID > idMax || w.Kind > waitSignal || w.Kind != ready && (int(w.Call) >= abi.Calls || calls[w.Call].run == nil) ||
			!user(t.FS, 0) || !user(t.GS, 0) || t.Regs.RIP >= 1<<47 || t.CPU < 0 {
			return fmt.Errorf("%w: task %d", errState, t.ID)
		}
		ids[t.ID] = true
		t.Mask &^= signals.Never
		t.Saved &^= signals.Never
		r.RFLAGS = r.RFLAGS&restorable | x86.Fixed | x86.IF
		queues = append(queues, t.pending)
	}
	for _, q := range queues {
		for _, i := range q {
			if i.Signo < 1 || i.Signo > abi.SIGRTMAX {
				return fmt.Errorf("%w: signal %d", errState, i.Signo)
			}
		}
	}
	return nil
}

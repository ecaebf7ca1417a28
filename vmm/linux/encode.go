package linux

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/linux/plain"
	"github.com/wherry/wherry/vmm/linux/space"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// A State as bytes, all numbers little-endian, lists with their length (4 bytes) before them:
//
//	"wherry process 1\n" │ numbers │ actions │ auxv │ space's numbers │ areas │ free pages │ pending signals │ sources │ tasks │ random │ files
//
// A task is its taskState, its signals, and its registers beyond as a signal's frame has them. What is read may be anybody's: lengths have bounds, and check
// looks at the rest.

const stateMagic = "wherry process 1\n"

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
	w := writer{[]byte(stateMagic)}
	w.put(&s.numbers)
	w.put(&s.actions)
	putList(&w, s.auxv)
	w.put(&s.space.Numbers)
	putList(&w, s.space.Areas)
	putList(&w, s.space.Free)
	putList(&w, s.pending)
	w.put(uint32(len(s.space.Sources)))
	for _, src := range s.space.Sources {
		w.putBytes([]byte(src.Name))
		w.putBytes(src.Bytes)
	}
	w.put(uint32(len(s.tasks)))
	for i := range s.tasks {
		t := &s.tasks[i]
		w.put(&t.taskState)
		putList(&w, t.pending)
		w.putBytes(encodeExtended(&t.extended))
	}
	random := s.random
	for _, part := range []encoding.BinaryMarshaler{&random, s.files} {
		b, err := part.MarshalBinary()
		if err != nil {
			return nil, err
		}
		w.putBytes(b)
	}
	return w.b, nil
}

// UnmarshalBinary reads what MarshalBinary made, or anybody.
func (s *State) UnmarshalBinary(b []byte) error {
	rest, ok := bytes.CutPrefix(b, []byte(stateMagic))
	if !ok {
		return errState
	}
	r := &reader{b: rest}
	n := State{files: new(file.State), space: new(space.State)}
	r.get(&n.numbers)
	r.get(&n.actions)
	n.auxv = getList[uint64](r, stateAuxvMax)
	r.get(&n.space.Numbers)
	n.space.Areas = getList[space.Area](r, stateAreasMax)
	n.space.Free = getList[phys.Addr](r, stateFreeMax)
	n.pending = getList[abi.Siginfo](r, signalsMax)
	for range r.count(space.SourcesMax) {
		name := r.bytes(plain.PathMax)
		n.space.Sources = append(n.space.Sources, space.Source{Bytes: r.bytes(space.SourceBytesMax), Name: string(name)})
	}
	for range r.count(stateTasksMax) {
		var t taskImage
		r.get(&t.taskState)
		t.pending = getList[abi.Siginfo](r, signalsMax)
		t.extended = decodeExtended(r.bytes(abi.FxsaveSize + beyondMax))
		n.tasks = append(n.tasks, t)
	}
	random, files := r.bytes(randomBytes), r.bytes(stateBytesMax)
	if r.err != nil || len(r.b) > 0 {
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

// decodeExtended reads what encodeExtended made; less than that is a fresh state.
func decodeExtended(b []byte) x86.Extended {
	e := x86.NewExtended()
	if len(b) < abi.FxsaveSize {
		return e
	}
	getFxsave(b, &e)
	e.MXCSR &= mxcsrMask
	if len(b) > abi.FxsaveSize+xsaveHeader+magicSize {
		e.Beyond = bytes.Clone(b[abi.FxsaveSize : len(b)-magicSize])
	}
	return e
}

// check reports what of s no process has.
func (s *State) check() error {
	n := &s.numbers
	if err := s.space.Check(); err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	if len(s.tasks) == 0 || n.LastID < firstID || n.LastID > idMax || n.Monotonic < 0 {
		return fmt.Errorf("%w: it has no tasks, or impossible numbers", errState)
	}
	return s.checkTasks()
}

func (s *State) checkTasks() error {
	ids := map[int32]bool{}
	queues := []signalQueue{s.pending}
	for i := range s.tasks {
		t := &s.tasks[i]
		w := &t.Wait
		r := &t.Regs
		if ids[t.ID] || t.ID < firstID || t.ID > idMax || w.Kind > waitSignal || w.Kind != ready && (int(w.Call) >= abi.Calls || calls[w.Call].run == nil) ||
			!user(t.FS, 0) || !user(t.GS, 0) || t.Regs.RIP >= 1<<47 || t.CPU < 0 {
			return fmt.Errorf("%w: task %d", errState, t.ID)
		}
		ids[t.ID] = true
		t.Mask &^= never
		t.Saved &^= never
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

type writer struct{ b []byte }

// put appends numbers of fixed size.
func (w *writer) put(v any) {
	b, err := binary.Append(w.b, le, v)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	w.b = b
}

func (w *writer) putBytes(b []byte) {
	w.put(uint32(len(b)))
	w.b = append(w.b, b...)
}

func putList[S ~[]T, T any](w *writer, list S) {
	w.put(uint32(len(list)))
	w.put([]T(list))
}

// reader takes parts from the front of b, and nothing more after an error.
type reader struct {
	b   []byte
	err error
}

func (r *reader) get(v any) {
	if r.err != nil {
		return
	}
	n, err := binary.Decode(r.b, le, v)
	if err != nil {
		r.err = errState
		return
	}
	r.b = r.b[n:]
}

// count is a list's length.
func (r *reader) count(most int) int {
	var n uint32
	r.get(&n)
	if r.err != nil || uint64(n) > uint64(most) {
		r.err = errState
		return 0
	}
	return int(n)
}

func (r *reader) bytes(most int) []byte {
	n := r.count(most)
	if n > len(r.b) {
		r.err = errState
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func getList[T any](r *reader, most int) []T {
	n := r.count(most)
	var one T
	if n == 0 || n > len(r.b)/binary.Size(one) {
		if n != 0 {
			r.err = errState
		}
		return nil
	}
	list := make([]T, n)
	r.get(list)
	return list
}

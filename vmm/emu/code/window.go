package code

import (
	"github.com/wherry/wherry/vmm/emu/asm"
	"github.com/wherry/wherry/vmm/mmu"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// window is the part of the stack that a block accesses at distances from RSP that are known: it is looked up once, at the block's beginning, and then nothing
// of it can fault, so that flags needn't be saved. A block whose window lies in two pages is translated without one.
//
// It holds until the block ends: whoever does an instruction for it meanwhile (ExitStep) doesn't come back after the TLB has forgotten.
type window struct {
	none     bool  // there shall be none
	used     bool  // there is one
	from, to int64 // from RSP at the block's beginning
	write    bool
	accesses int
}

const (
	// windowMin is how many accesses make a window worth its check.
	windowMin = 2
	// windowMax bounds a window in bytes, so that most lie in one page.
	windowMax = phys.PageSize / 4
)

func (w *window) note(at int64, size uint8, write bool) {
	if w.accesses == 0 {
		w.from, w.to = at, at
	}
	w.from, w.to = min(w.from, at), max(w.to, at+int64(size))
	w.write = w.write || write
	w.accesses++
}

func (w *window) decide() { w.used = !w.none && w.accesses >= windowMin && w.to-w.from <= windowMax }

// Window is the part of the stack that a block's code looks up, or of size 0.
type Window struct {
	From  int64 // from RSP at the block's beginning
	Size  uint64
	Write bool
}

// Found reports whether w lies in one page that is in t, for code that begins with RSP sp.
func (w Window) Found(t *mmu.TLB, sp uint64) bool {
	va := sp + uint64(w.From)
	e := t.Entry(va)
	return va&(phys.PageSize-1)+w.Size <= phys.PageSize && e.Reads(va) && (!w.Write || e.Writes(va))
}

// Window is the one of the block that was translated last.
func (e *Emitter) Window() Window {
	if !e.window.used {
		return Window{}
	}
	return Window{e.window.from, uint64(e.window.to - e.window.from), e.window.write}
}

// check looks the window up. The flags are in memory.
func (e *Emitter) check() {
	w := &e.window
	if !w.used {
		return
	}
	sp := hostOf[sp]
	e.Emit(asm.Op(0x8d), 8, hostA, asm.M(sp, int32(w.from)), false) // LEA
	e.translate(w.to-w.from, w.write, &e.missed)
	e.Emit(asm.Op(0x2b), 8, hostA, asm.R(sp), false)                    // SUB
	e.Emit(asm.Op(0x8d), 8, hostA, asm.M(hostA, int32(-w.from)), false) // LEA
	e.store(asm.M(hostContext, e.at.Window), hostA)
}

// inWindow is the operand of size bytes at RSP+disp, if it is in the window. It uses hostA alone, and leaves the flags.
func (e *Emitter) inWindow(disp int64, size uint8, write bool) (asm.Operand, bool) {
	at := e.stack.delta + disp
	if !e.stack.known || at < -phys.PageSize || at > phys.PageSize {
		return asm.Operand{}, false
	}
	if w := &e.window; !w.used {
		w.note(at, size, write)
		return asm.Operand{}, false
	}
	e.load(hostA, asm.M(hostContext, e.at.Window))
	return asm.MX(hostA, hostOf[sp], 0, int32(disp)), true
}

// stackPointer is what is known of RSP while a block is translated.
type stackPointer struct {
	known bool
	delta int64 // from what it was at the block's beginning
	moved bool  // where the block jumps to its beginning
}

// loops notes that here the block begins again.
func (s *stackPointer) loops() { s.moved = s.moved || !s.known || s.delta != 0 }

// after is what is known behind in.
func (s *stackPointer) after(in *emitted) {
	switch {
	case in.Op == x86.PUSH && in.Size == 8:
		s.delta -= 8
	case in.Op == x86.POP && in.Size == 8 && !in.IsMem && popped(in) != sp:
		s.delta += 8
	case in.Op == x86.ADD && adjusts(in):
		s.delta += in.Imm
	case in.Op == x86.SUB && adjusts(in):
		s.delta -= in.Imm
	case writesSP(in):
		s.known = false
	}
}

func popped(in *emitted) uint8 {
	if in.Form == x86.FormM {
		return in.RM
	}
	return in.Reg
}

func adjusts(in *emitted) bool {
	return in.Form == x86.FormMI && !in.IsMem && in.RM == sp && in.Size == 8
}

// writesSP says that in may write RSP, for all that is known here.
func writesSP(in *emitted) bool {
	switch in.Op {
	case x86.PUSH, x86.POP, x86.CALL, x86.RET, x86.PUSHF, x86.POPF, x86.ENTER, x86.LEAVE, x86.PUSHSEG, x86.POPSEG:
		return true
	case x86.CMP, x86.TEST:
		return false
	case x86.SSE, x86.AVX:
		switch in.VecShape {
		case x86.VecGM, x86.MMXGQ:
			return in.Reg == sp
		case x86.VecEX, x86.MMXEP:
			return !in.IsMem && in.RM == sp
		}
		return false
	case x86.X87:
		return false
	}
	rm := !in.IsMem && in.RM == sp
	switch in.Form {
	case x86.FormMI, x86.FormM: // ModRM.reg is a part of the opcode
		return rm
	case x86.FormMR:
		return rm || in.Reg == sp && (in.Op == x86.XCHG || in.Op == x86.XADD)
	}
	return rm || in.Reg == sp || in.V == sp
}

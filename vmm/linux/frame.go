package linux

import (
	"errors"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/signals"
	"github.com/wherry/wherry/vmm/x86"
)

const (
	redZone = 128 // below the stack pointer, which functions use without moving it (System V ABI, 3.2.2)
	userCS  = 0x33
	userSS  = 0x2b
)

var errFrame = errors.New("the signal's frame can't be written")

// pushFrame lays a signal's frame on t's stack, or on its alternate one, and has t go on in the handler (arch/x86/kernel/signal.c, x64_setup_rt_frame).
func (p *Process) pushFrame(t *Task, act abi.Sigaction, info abi.Siginfo) error {
	if act.Flags&abi.SA_RESTORER == 0 {
		return errFrame
	}
	r := t.registers()
	ext, err := p.extendedOf(t)
	if err != nil {
		return err
	}
	sp := r.RSP - redZone
	on := t.onAlt(r.RSP)
	if act.Flags&abi.SA_ONSTACK != 0 && t.Alt.Size > 0 && !t.onAlt(r.RSP) {
		sp, on = t.Alt.SP+t.Alt.Size, true
	}
	fp := signals.EncodeExtended(&ext)
	fpAt := (sp - uint64(len(fp))) &^ 63
	at := (fpAt-abi.FrameSize)&^15 - 8
	if on && !t.onAltAfter(at) {
		return errFrame
	}
	mask := t.Mask
	if t.HasSaved {
		mask = t.Saved
	}
	b := make([]byte, abi.FrameSize)
	le.PutUint64(b[abi.FramePretcode:], act.Restorer)
	uc := b[abi.FrameUcontext:]
	le.PutUint64(uc[abi.UcontextFlags:], abi.UC_FP_XSTATE|abi.UC_SIGCONTEXT_SS|abi.UC_STRICT_RESTORE_SS)
	stack := abi.Stack{SP: t.Alt.SP, Size: t.Alt.Size, Flags: uint32(t.Alt.Flags)}
	if t.Alt.Size == 0 {
		stack.Flags = abi.SS_DISABLE
	} else if t.onAlt(r.RSP) {
		stack.Flags |= abi.SS_ONSTACK
	}
	stack.Put(uc[abi.UcontextStack:])
	sc := contextOf(r, t.Trap)
	sc.FPState, sc.Oldmask = fpAt, mask
	sc.Put(uc[abi.UcontextMcontext:])
	le.PutUint64(uc[abi.UcontextMask:], mask)
	info.Put(b[abi.FrameSiginfo:])
	if p.space.CopyOut(fpAt, fp) != 0 || p.space.CopyOut(at, b) != 0 {
		return errFrame
	}
	t.HasSaved = false
	t.Mask = (t.Mask | act.Mask) &^ signals.Never
	if act.Flags&abi.SA_NODEFER == 0 {
		t.Mask |= signals.Bit(info.Signo)
	}
	if t.Alt.Flags&abi.SS_AUTODISARM != 0 {
		t.Alt = altStack{}
	}
	r.RDI, r.RSI, r.RDX, r.RAX = uint64(info.Signo), at+abi.FrameSiginfo, at+abi.FrameUcontext, 0
	r.RSP, r.RIP = at, act.Handler
	r.RFLAGS &^= x86.DF | x86.TF
	return nil
}

// onAltAfter reports whether sp is still within the alternate stack.
func (t *Task) onAltAfter(sp uint64) bool { return sp > t.Alt.SP && sp-t.Alt.SP <= t.Alt.Size }

func contextOf(r *x86.Regs, last trap) abi.Sigcontext {
	return abi.Sigcontext{
		R8: r.R8, R9: r.R9, R10: r.R10, R11: r.R11, R12: r.R12, R13: r.R13, R14: r.R14, R15: r.R15,
		RDI: r.RDI, RSI: r.RSI, RBP: r.RBP, RBX: r.RBX, RDX: r.RDX, RAX: r.RAX, RCX: r.RCX, RSP: r.RSP, RIP: r.RIP, RFLAGS: uint64(r.RFLAGS),
		CS: userCS, SS: userSS, Err: last.Code, Trapno: last.Vector, CR2: last.CR2,
	}
}

// restorable are the flags that a program may have sigreturn set (FIX_EFLAGS).
const restorable = x86.Arithmetic | x86.DF | x86.TF | x86.AC

// callRtSigreturn goes back to where a signal's handler was called. All registers are the frame's, RCX and R11 as well.
func callRtSigreturn(p *Process, t *Task, _ *args) (uint64, abi.Errno) {
	r := t.registers()
	at := r.RSP - 8 // the handler's RET has taken pretcode
	b := make([]byte, abi.FrameSize)
	if p.space.CopyIn(b, at) != 0 {
		return p.badFrame(t)
	}
	uc := b[abi.FrameUcontext:]
	var sc abi.Sigcontext
	sc.Get(uc[abi.UcontextMcontext:])
	if sc.RIP >= 1<<47 { // Linux would return there and fault, too
		return p.badFrame(t)
	}
	if sc.FPState != 0 {
		ext, e := signals.ReadExtended(p.space, sc.FPState)
		if e != 0 || p.setExtendedOf(t, &ext) != nil {
			return p.badFrame(t)
		}
	} else {
		ext := x86.NewExtended()
		if p.setExtendedOf(t, &ext) != nil {
			return p.badFrame(t)
		}
	}
	*r = x86.Regs{
		R8: sc.R8, R9: sc.R9, R10: sc.R10, R11: sc.R11, R12: sc.R12, R13: sc.R13, R14: sc.R14, R15: sc.R15,
		RDI: sc.RDI, RSI: sc.RSI, RBP: sc.RBP, RBX: sc.RBX, RDX: sc.RDX, RAX: sc.RAX, RCX: sc.RCX, RSP: sc.RSP, RIP: sc.RIP,
		RFLAGS: x86.Flags(sc.RFLAGS)&restorable | r.RFLAGS&^restorable,
	}
	t.Mask = le.Uint64(uc[abi.UcontextMask:]) &^ signals.Never
	var stack abi.Stack
	stack.Get(uc[abi.UcontextStack:])
	if stack.Flags&abi.SS_DISABLE != 0 {
		t.Alt = altStack{}
	} else if stack.Size >= abi.MINSIGSTKSZ && !t.onAlt(r.RSP) {
		t.Alt = altStack{stack.SP, stack.Size, uint64(stack.Flags & abi.SS_AUTODISARM)}
	}
	return 0, returned
}

func (p *Process) badFrame(t *Task) (uint64, abi.Errno) {
	p.force(t, abi.Siginfo{Signo: abi.SIGSEGV, Code: abi.SI_KERNEL}, false, "the signal's frame can't be read")
	return 0, returned
}

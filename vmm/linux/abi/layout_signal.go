package abi

// SigactionSize is the size of a Sigaction.
const SigactionSize = 32

// Sigaction is struct kernel_sigaction: not what libc's sigaction takes, which is translated.
type Sigaction struct{ Handler, Flags, Restorer, Mask uint64 }

// Put writes the structure.
func (a *Sigaction) Put(b []byte) {
	le.PutUint64(b[0:], a.Handler)
	le.PutUint64(b[8:], a.Flags)
	le.PutUint64(b[16:], a.Restorer)
	le.PutUint64(b[24:], a.Mask)
}

// Get reads the structure.
func (a *Sigaction) Get(b []byte) {
	a.Handler, a.Flags, a.Restorer, a.Mask = le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint64(b[24:])
}

// StackSize is the size of a Stack.
const StackSize = 24

// Stack is stack_t, the alternate stack of signals.
type Stack struct {
	SP    uint64
	Flags uint32
	Size  uint64
}

// Put writes the structure.
func (s *Stack) Put(b []byte) {
	le.PutUint64(b[0:], s.SP)
	le.PutUint64(b[8:], uint64(s.Flags))
	le.PutUint64(b[16:], s.Size)
}

// Get reads the structure.
func (s *Stack) Get(b []byte) {
	s.SP, s.Flags, s.Size = le.Uint64(b), le.Uint32(b[8:]), le.Uint64(b[16:])
}

// SiginfoSize is the size of a Siginfo.
const SiginfoSize = 128

// Siginfo is siginfo_t. A fault has Addr, a signal that was sent has PID and UID, one that was queued has Value too.
type Siginfo struct {
	Signo       Signal
	Errno, Code int32
	Addr        uint64
	PID, UID    uint32
	Value       uint64
}

// fault says whether the union has the address form.
func (s *Siginfo) fault() bool {
	if s.Code <= 0 || s.Code == SI_KERNEL && s.Addr == 0 {
		return false
	}
	return s.Signo == SIGILL || s.Signo == SIGFPE || s.Signo == SIGSEGV || s.Signo == SIGBUS || s.Signo == SIGTRAP
}

// Put writes the structure.
func (s *Siginfo) Put(b []byte) {
	_ = b[SiginfoSize-1]
	clear(b[:SiginfoSize])
	le.PutUint32(b[0:], uint32(s.Signo))
	le.PutUint32(b[4:], uint32(s.Errno))
	le.PutUint32(b[8:], uint32(s.Code))
	if s.fault() {
		le.PutUint64(b[16:], s.Addr)
		return
	}
	le.PutUint32(b[16:], s.PID)
	le.PutUint32(b[20:], s.UID)
	le.PutUint64(b[24:], s.Value)
}

// Get reads the structure, as rt_sigqueueinfo needs it.
func (s *Siginfo) Get(b []byte) {
	_ = b[SiginfoSize-1]
	*s = Siginfo{Signo: Signal(le.Uint32(b)), Errno: int32(le.Uint32(b[4:])), Code: int32(le.Uint32(b[8:]))}
	if s.fault() {
		s.Addr = le.Uint64(b[16:])
		return
	}
	s.PID, s.UID, s.Value = le.Uint32(b[16:]), le.Uint32(b[20:]), le.Uint64(b[24:])
}

// A signal's frame, as arch/x86/kernel/signal_64.c lays it on the stack, from low to high addresses:
//
//	pretcode   8    the restorer's address, to which the handler returns
//	ucontext   304  flags, link, stack_t, sigcontext, mask
//	siginfo    128
//	(gap)
//	fpstate    512 for FXSAVE or more for XSAVE, aligned to 64; sigcontext.fpstate points at it
//
// The frame begins at an address that is 8 above a multiple of 16: as if the handler had been called.
const (
	FramePretcode = 0
	FrameUcontext = 8
	FrameSiginfo  = FrameUcontext + UcontextSize
	FrameSize     = FrameSiginfo + SiginfoSize

	UcontextSize     = UcontextMask + 8
	UcontextFlags    = 0
	UcontextLink     = 8
	UcontextStack    = 16
	UcontextMcontext = 40
	UcontextMask     = UcontextMcontext + SigcontextSize

	SigcontextSize = 256
)

// Flags of an ucontext (arch/x86/include/uapi/asm/ucontext.h).
const (
	UC_FP_XSTATE         = 0x1
	UC_SIGCONTEXT_SS     = 0x2
	UC_STRICT_RESTORE_SS = 0x4
)

// Words in the software reserved bytes of an FXSAVE image (arch/x86/include/uapi/asm/sigcontext.h) by which a program finds the XSAVE part.
const (
	FP_XSTATE_MAGIC1 = 0x46505853 // at byte 464 of the image
	FP_XSTATE_MAGIC2 = 0x46505845 // behind the XSAVE part

	FxsaveSize     = 512
	FxsaveSoftware = 464
)

// Sigcontext is struct sigcontext_64. Trapno and Err are the exception's vector and error code, CR2 the address of the last page fault.
type Sigcontext struct {
	R8, R9, R10, R11, R12, R13, R14, R15 uint64
	RDI, RSI, RBP, RBX, RDX, RAX, RCX    uint64
	RSP, RIP, RFLAGS                     uint64
	CS, GS, FS, SS                       uint16
	Err, Trapno, Oldmask, CR2, FPState   uint64
}

func (s *Sigcontext) words() [18]*uint64 {
	return [18]*uint64{
		&s.R8, &s.R9, &s.R10, &s.R11, &s.R12, &s.R13, &s.R14, &s.R15,
		&s.RDI, &s.RSI, &s.RBP, &s.RBX, &s.RDX, &s.RAX, &s.RCX, &s.RSP, &s.RIP, &s.RFLAGS,
	}
}

// Put writes the structure.
func (s *Sigcontext) Put(b []byte) {
	_ = b[SigcontextSize-1]
	clear(b[:SigcontextSize])
	for i, w := range s.words() {
		le.PutUint64(b[8*i:], *w)
	}
	for i, v := range [...]uint16{s.CS, s.GS, s.FS, s.SS} {
		le.PutUint16(b[144+2*i:], v)
	}
	for i, v := range [...]uint64{s.Err, s.Trapno, s.Oldmask, s.CR2, s.FPState} {
		le.PutUint64(b[152+8*i:], v)
	}
}

// Get reads the structure.
func (s *Sigcontext) Get(b []byte) {
	_ = b[SigcontextSize-1]
	for i, w := range s.words() {
		*w = le.Uint64(b[8*i:])
	}
	for i, p := range [...]*uint16{&s.CS, &s.GS, &s.FS, &s.SS} {
		*p = le.Uint16(b[144+2*i:])
	}
	for i, p := range [...]*uint64{&s.Err, &s.Trapno, &s.Oldmask, &s.CR2, &s.FPState} {
		*p = le.Uint64(b[152+8*i:])
	}
}

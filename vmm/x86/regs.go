package x86

// Regs are the general registers in the order of KVM's struct kvm_regs, so that a *Regs can point into what the kernel shares.
type Regs struct {
	RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11, R12, R13, R14, R15   uint64
	RIP                                    uint64
	RFLAGS                                 Flags
}

// Flags are the bits of RFLAGS (Intel SDM volume 1, 3.4.3).
type Flags uint64

const (
	CF    Flags = 1 << 0
	Fixed Flags = 1 << 1 // is always 1
	PF    Flags = 1 << 2
	AF    Flags = 1 << 4
	ZF    Flags = 1 << 6
	SF    Flags = 1 << 7
	TF    Flags = 1 << 8
	IF    Flags = 1 << 9
	DF    Flags = 1 << 10
	OF    Flags = 1 << 11
	AC    Flags = 1 << 18
	ID    Flags = 1 << 21

	// Arithmetic are the flags that arithmetic sets.
	Arithmetic = CF | PF | AF | ZF | SF | OF
)

// System is what programs in user mode don't change by themselves.
type System struct {
	CR0, CR2, CR3, CR4, EFER uint64
	FSBase, GSBase           uint64
}

// Bits of the control registers and of EFER that this monitor knows (Intel SDM volume 3, 2.5).
const (
	CR0PE   = 1 << 0
	CR0MP   = 1 << 1
	CR0ET   = 1 << 4
	CR0NE   = 1 << 5
	CR0WP   = 1 << 16
	CR0PG   = 1 << 31
	CR4PAE  = 1 << 5
	CR4FXSR = 1 << 9
	CR4XMM  = 1 << 10
	EFERSCE = 1 << 0
	EFERLME = 1 << 8
	EFERLMA = 1 << 10
	EFERNXE = 1 << 11
)

// Extended is the state of x87 and SSE in the layout of FXSAVE (Intel SDM volume 1, table 10-2), and what a back end has beyond it.
type Extended struct {
	FCW, FSW  uint16
	FTW       uint8 // abridged: bit i is 1 if register i (physical) isn't empty
	_         uint8
	FOP       uint16
	FIP, FDP  uint64
	MXCSR     uint32
	MXCSRMask uint32
	ST        [8]Slot80 // ST(0) first
	XMM       [16][2]uint64
	_         [96]byte
	// Beyond is the rest of an XSAVE area, from its header on, as long as the back end that made it needs. Another back end takes what it knows of it.
	Beyond []byte
}

// Slot80 is an 80-bit register as FXSAVE stores it.
type Slot80 struct {
	Mantissa     uint64
	SignExponent uint16
	_            [6]byte
}

// NewExtended is the state after FNINIT, with MXCSR as Linux gives it to programs.
func NewExtended() Extended { return Extended{FCW: 0x37f, MXCSR: 0x1f80, MXCSRMask: 0xffff} }

// The exceptions that guests see (Intel SDM volume 3, table 6-1).
const (
	DivideError       = 0
	DebugException    = 1
	Breakpoint        = 3
	Overflow          = 4
	InvalidOpcode     = 6
	GeneralProtection = 13
	PageFault         = 14
	FloatingPoint     = 16
	AlignmentCheck    = 17
	SIMDFloatingPoint = 19
)

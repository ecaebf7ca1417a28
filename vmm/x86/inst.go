package x86

// Inst is a decoded instruction.
type Inst struct {
	Op   Op
	Form Form
	Len  uint8
	Size uint8 // of the operands, in bytes: 1, 2, 4, 8, 16 of XMM registers, 32 of YMM registers
	From uint8 // of the source where it is smaller: MOVZX, MOVSX, and conversions
	Cond Cond  // of JCC, SETCC, CMOVCC
	Reg  uint8 // the register of ModRM.reg, or of the opcode
	RM   uint8 // the register of ModRM.rm, where Mem isn't used
	// IsMem says that the operand of ModRM.rm is in memory, at Mem.
	IsMem bool
	Lock  bool
	Rep   uint8 // 0, or the prefix 0xf2 or 0xf3 of a string instruction
	Mem   Mem
	Imm   int64
	// Vec and VecShape say which SSE or AVX instruction it is; then From is the size of its general register, or of numbers by VEX.W.
	Vec      Vector
	VecShape VecShape
	V        uint8 // the register of VEX.vvvv
	Wide     bool  // VEX.L: 256 bits
}

// Mem is an address: segment + base + index·scale + displacement, cut to 32 bits if Addr32.
type Mem struct {
	Base, Index uint8 // NoReg if there is none
	Shift       uint8 // log2 of scale
	Seg         Seg
	Addr32      bool
	RIP         bool // Disp counts from the next instruction
	Disp        int64
}

// NoReg is the register of an address that has none.
const NoReg = 0xff

// HighByte is added to the number of AX, CX, DX and BX for their bits 15 to 8.
const HighByte = 16

// Seg is a segment register whose base isn't 0 in 64-bit mode.
type Seg uint8

// The segments that have a base.
const (
	NoSeg Seg = iota
	FS
	GS
)

// Form says which operands an instruction has: the destination first.
type Form uint8

// In these, M is the operand of ModRM.rm (memory or a register), R a register, I an immediate.
const (
	FormNone Form = iota
	FormMR
	FormRM
	FormMI
	FormRMI
	FormMRI
	FormM
	FormR
	FormRI
	FormI
)

// Cond is a condition of jumps, by its number in the opcode. Odd ones negate the one before.
type Cond uint8

// The conditions.
const (
	CondO Cond = iota
	CondNO
	CondB
	CondAE
	CondE
	CondNE
	CondBE
	CondA
	CondS
	CondNS
	CondP
	CondNP
	CondL
	CondGE
	CondLE
	CondG
)

// Op is what an instruction does.
type Op uint8

// The first eight are in the order of their opcodes and of group 1; ROL and those after it in the order of group 2.
const (
	ADD Op = iota
	OR
	ADC
	SBB
	AND
	SUB
	XOR
	CMP
	ROL
	ROR
	RCL
	RCR
	SHL
	SHR
	SAL // the same as SHL
	SAR
	TEST
	NOT
	NEG
	MUL
	IMUL1 // RDX:RAX = RAX · M
	DIV
	IDIV
	IMUL // a product cut to the size
	INC
	DEC
	MOV
	MOVZX
	MOVSX
	LEA
	XCHG
	PUSH
	POP
	CBW // CBW, CWDE, CDQE
	CWD // CWD, CDQ, CQO
	SHLD
	SHRD
	BT
	BTS
	BTR
	BTC
	BSF
	BSR
	POPCNT
	BSWAP
	XADD
	CMPXCHG
	CMPXCHG16B // or 8B
	JMP        // FormI: relative; FormM: to where M says
	JCC
	JRCXZ
	LOOP
	LOOPE
	LOOPNE
	CALL
	RET
	SETCC
	CMOVCC
	LEAVE
	PUSHF
	POPF
	LAHF
	SAHF
	CLC
	STC
	CMC
	CLD
	STD
	MOVS
	STOS
	LODS
	SCAS
	CMPS
	XLAT
	NOP // with hints, prefetches and fences
	CPUID
	RDTSC
	SYSCALL
	HLT
	INT3
	UD2
	IN  // FormI: port Imm; FormNone: port DX
	OUT // the same
	SSE // Inst.Vec; MMX too
	X87 // Inst.Vec
	LDMXCSR
	STMXCSR
	FXSAVE
	FXRSTOR
	CRC32 // From is the size of the source
	ENTER // From is the nesting level
	RDTSCP
	INTN
	PRIVILEGED // whatever raises #GP in user mode
	STORESEG   // Reg is the segment register: 0 ES, CS, SS, DS, FS, GS
	LOADSEG
	PUSHSEG
	POPSEG
	CLFLUSH
	VERR
	VERW
	LAR // and LSL
	MOVBE
	ADCX
	ADOX
	TZCNT
	LZCNT
	ANDN
	BLSR // the three of the group are in its order
	BLSMSK
	BLSI
	BZHI
	BEXTR
	PEXT
	PDEP
	MULX
	SHLX
	SHRX
	SARX
	RORX
	AVX // Inst.Vec, and Inst.Wide; FMA and F16C too
	XSAVE
	XRSTOR
	XGETBV
)

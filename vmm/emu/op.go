package emu

import (
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// op is a step of a predecoded instruction. Most instructions are one or two.
type op struct {
	kind  kind
	size  uint8 // of the operands in bytes
	d, s  uint8 // registers of the file: destination and source
	base  uint8
	index uint8
	shift uint8
	seg   uint8
	from  uint8 // the size of the source of an extension
	cond  x86.Cond
	off   uint16 // of the instruction in its block
	next  uint16 // of the instruction after it
	imm   int64  // an immediate, or a displacement
	to    uint64 // where a jump goes
	do    func(*VCPU, *op) bool
	vec   *vecOp
}

// The register file has the 16 general registers, and behind them what lets all steps have one form.
const (
	regZero = 16 + iota // is always 0
	regFS               // bases of segments
	regGS
	regT0 // what was loaded
	regT1
	regT2
	regT3
	regCount = 32
	regMask  = regCount - 1
)

// The general registers that instructions use without naming them.
const (
	regAX = iota
	regCX
	regDX
	regBX
	regSP
	regBP
	regSI
	regDI
)

// kind is the case of VCPU.exec that does a step. The value of a source is always file[s]+imm: an immediate has regZero, a register 0.
type kind uint8

const (
	kindDo kind = iota // whatever is in op.do, which returns false if the instruction ends here
	kindLoad64
	kindLoad32
	kindStore64
	kindStore32
	kindMov64
	kindMov32
	kindLea64
	kindAdd64
	kindAdd32
	kindSub64
	kindSub32
	kindAnd64
	kindAnd32
	kindOr
	kindXor
	kindCmp
	kindTest
	kindCmpJump
	kindTestJump
	kindJump
	kindJcc
)

// block is a sequence of instructions that is entered at its beginning alone.
type block struct {
	decoded
	va      uint64
	pages   [2]codePage // twice the same one, mostly
	gens    [2]*uint32
	written [2]uint32 // what gens stood at when the block was decoded
	native  translation
}

// decoded is what the same code is in all machines that begin with the same image. It doesn't change.
type decoded struct {
	end   uint64 // of the instruction after it
	ops   []op
	count uint64 // of instructions
	exit  error  // why it ends where it ends: x86.ErrInvalid, x86.ErrUnsupported, or nil
}

// codePage is what a page with code is translated to.
type codePage struct {
	va uint64
	pa phys.Addr
}

func (b *block) fresh() bool { return *b.gens[0] == b.written[0] && *b.gens[1] == b.written[1] }

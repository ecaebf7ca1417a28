package code

import "github.com/wherry/wherry/vmm/emu/asm"

// Doors writes how code is entered, for an address that Enter is told, and returns where it is left.
func (e *Emitter) Doors(at uint64) (leave int) {
	e.Begin(at)
	move := func(opcode, vector uint32) {
		for r := range uint8(16) {
			if !homed(r) {
				e.Emit(asm.Op(opcode), 8, hostOf[r], asm.M(hostContext, e.at.File+8*int32(r)), false)
			}
			e.Emit(asm.Op(vector), 4, asm.Reg(r), asm.M(hostContext, e.at.XMM+16*int32(r)), false) // MOVUPS
		}
	}
	e.clearUpper()
	move(0x8b, 0x0f10)
	e.enterUpper()
	control := asm.M(hostContext, e.at.MXCSR)
	e.Emit(asm.Op(0x0fae), 4, 2, control, false)    // LDMXCSR
	e.Emit(asm.Op(0xff), 4, 4, asm.R(hostA), false) // JMP
	e.Align(16)
	leave = e.Len()
	move(0x89, 0x0f11)
	e.leaveUpper()
	e.Emit(asm.Op(0x0fae), 4, 3, control, false) // STMXCSR
	e.Emit(asm.Op(0xc7), 4, 0, e.stash(), false) // MOV
	e.Imm(mxcsrOfGo, 4)
	e.Emit(asm.Op(0x0fae), 4, 2, e.stash(), false)
	e.Raw(0xc3) // RET
	return leave
}

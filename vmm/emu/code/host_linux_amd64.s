#include "go_asm.h"
#include "textflag.h"

// func Enter(context unsafe.Pointer, door, code uint64)
//
// All general registers but SP may be changed: BP is in the frame, and the caller has R14 and X15 from where Go keeps them.
TEXT ·Enter(SB), NOSPLIT, $8-24
	MOVQ context+0(FP), R15
	ADDQ $const_Bias, R15
	MOVQ door+8(FP), DX
	MOVQ code+16(FP), AX
	CALL DX
	RET

// func serialize()
//
// IRET serializes, is allowed in user mode, and is cheaper in a virtual machine than CPUID. It takes RIP, CS, RFLAGS, RSP and SS from the frame.
TEXT ·serialize(SB), NOSPLIT, $40-0
	XORL BX, BX
	MOVW CS, BX
	MOVQ BX, 8(SP)
	PUSHFQ
	POPQ BX
	MOVQ BX, 16(SP)
	MOVQ SP, 24(SP)
	XORL BX, BX
	MOVW SS, BX
	MOVQ BX, 32(SP)
	BYTE $0x48; BYTE $0x8d; BYTE $0x05; LONG $6 // LEAQ 6(PC), AX: behind IRETQ
	MOVQ AX, 0(SP)
	IRETQ
	RET

// func cpuid(leaf, subleaf uint32) (eax, ebx, ecx uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-20
	MOVL leaf+0(FP), AX
	MOVL subleaf+4(FP), CX
	CPUID
	MOVL AX, eax+8(FP)
	MOVL BX, ebx+12(FP)
	MOVL CX, ecx+16(FP)
	RET

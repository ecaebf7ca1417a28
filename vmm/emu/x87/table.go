package x87

import "github.com/wherry/wherry/vmm/x86"

// Operands is what an instruction is about besides ST(0).
type Operands struct {
	I     uint8    // ST(i)
	Pops  uint8    // numbers that it takes off the stack
	Group x86.Cond // of arithmetic
	Which int      // of constants
	Whole bool     // memory has whole numbers; of FPUStore: FSTP1
}

// Registers are the instructions that are between registers alone, behind Begin.
var Registers = [...]func(*FPU, Operands){
	x86.FPULoad:             load,
	x86.FPUStore:            store,
	x86.FPUArithmetic:       arithmetic,
	x86.FPUTo:               to,
	x86.FPUCompare:          compare,
	x86.FPUCompareQuietly:   compareQuietly,
	x86.FPUExchange:         exchange,
	x86.FPUNegate:           sign(x86.Float80.Neg),
	x86.FPUAbsolute:         sign(x86.Float80.Abs),
	x86.FPUTest:             test,
	x86.FPUExamine:          examine,
	x86.FPUConstant:         constant,
	x86.FPURoot:             one((*x86.FloatEnv).Root80),
	x86.FPURound:            one((*x86.FloatEnv).Round80),
	x86.FPUScale:            scale,
	x86.FPUTurnDown:         turn(7),
	x86.FPUTurnUp:           turn(1),
	x86.FPUFree:             free,
	x86.FPUNoOperation:      nothing,
	x86.FPUExtract:          extract,
	x86.FPURemainder:        remainder(false),
	x86.FPURemainderNearest: remainder(true),
	x86.FPUPower:            one((*x86.FloatEnv).Power),
	x86.FPULogarithm:        two((*x86.FloatEnv).Logarithm),
	x86.FPULogarithm1:       two((*x86.FloatEnv).LogarithmOfMore),
	x86.FPUTangent:          tangent,
	x86.FPUArcTangent:       two((*x86.FloatEnv).ArcTangent),
	x86.FPUSine:             angle((*x86.FloatEnv).Sine),
	x86.FPUCosine:           angle((*x86.FloatEnv).Cosine),
	x86.FPUSineCosine:       sineCosine,
}

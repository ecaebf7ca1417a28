package emu

import "github.com/wherry/wherry/vmm/x86"

// vecQuick are steps, with registers and with memory, of the instructions that programs do most.
var vecQuick = map[x86.Vector][2]func(*VCPU, *op) bool{}

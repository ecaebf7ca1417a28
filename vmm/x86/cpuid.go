package x86

import "encoding/binary"

// The bits of CPUID for what is done here (Intel SDM volume 2, CPUID): x86-64-v3, and what later processors have beyond it without AVX-512.
const (
	// Leaf 1, EDX.
	cpuidFPU, cpuidTSC, cpuidCX8, cpuidCMOV = 1 << 0, 1 << 4, 1 << 8, 1 << 15
	cpuidCLFLUSH, cpuidMMX, cpuidFXSR       = 1 << 19, 1 << 23, 1 << 24
	cpuidSSE, cpuidSSE2                     = 1 << 25, 1 << 26
	// Leaf 1, ECX.
	cpuidSSE3, cpuidSSSE3, cpuidCX16     = 1 << 0, 1 << 9, 1 << 13
	cpuidSSE41, cpuidSSE42, cpuidPOPCNT  = 1 << 19, 1 << 20, 1 << 23
	cpuidPCLMULQDQ, cpuidMOVBE, cpuidAES = 1 << 1, 1 << 22, 1 << 25
	cpuidFMA, cpuidAVX, cpuidF16C        = 1 << 12, 1 << 28, 1 << 29
	cpuidXSAVE, cpuidOSXSAVE             = 1 << 26, 1 << 27
	cpuidHypervisor                      = 1 << 31
	// Leaf 7, EBX and EDX. ERMS and FSRM say that REP MOVSB and STOSB are quick.
	cpuidBMI1, cpuidAVX2, cpuidBMI2, cpuidERMS, cpuidADX, cpuidSHA = 1 << 3, 1 << 5, 1 << 8, 1 << 9, 1 << 19, 1 << 29
	cpuidFSRM                                                      = 1 << 4
	// Leaf 0x80000001, EDX and ECX.
	cpuidSyscall, cpuidNX, cpuidRDTSCP, cpuidLong = 1 << 11, 1 << 20, 1 << 27, 1 << 29
	cpuidLAHF, cpuidLZCNT, cpuidPREFETCHW         = 1 << 0, 1 << 5, 1 << 8
	// Leaf 0x80000007, EDX.
	cpuidInvariantTSC = 1 << 8

	cpuidVendor = "WherryEmulat"
	cpuidBrand  = "Wherry emulated x86-64-v3 processor"
	// cpuidLines is CLFLUSH's unit, in 8 bytes, and how many processors share what leaf 1 is about.
	cpuidLines = 64/8<<8 | 1<<16

	cpuidLast         = 13
	cpuidHypervisorAt = 0x40000000
	cpuidExtended     = 0x80000000
	cpuidExtendedLast = 0x80000008
	cpuidBrandAt      = 0x80000002
)

// cpuidCaches are the caches that leaf 4 tells of, by its subleaf: some programs size their buffers by them. They are those of a common server.
var cpuidCaches = [...][4]uint32{
	cache(1, 1, 48<<10, 12), // data
	cache(2, 1, 32<<10, 8),  // code
	cache(3, 2, 2<<20, 16),
	cache(3, 3, 32<<20, 16),
}

// cache is one of leaf 4's entries. kind is 1 for data, 2 for code, 3 for both.
func cache(kind, level, size, ways uint32) [4]uint32 {
	const line = 64
	return [4]uint32{kind | level<<5 | 1<<8, line - 1 | (ways-1)<<22, size/line/ways - 1, 0}
}

// Identify is what the emulator's CPUID has for a leaf: EAX, EBX, ECX, EDX. It tells of what the emulator does, and of no more; of leaves that there aren't it has zeros.
func Identify(leaf, subleaf uint32) (r [4]uint32) {
	switch {
	case leaf == 0:
		return [4]uint32{cpuidLast, word(cpuidVendor), word(cpuidVendor[8:]), word(cpuidVendor[4:])}
	case leaf == 1:
		return [4]uint32{
			0x600, cpuidLines, cpuidSSE3 | cpuidSSSE3 | cpuidCX16 | cpuidSSE41 | cpuidSSE42 | cpuidPOPCNT |
				cpuidPCLMULQDQ | cpuidMOVBE | cpuidAES | cpuidFMA | cpuidAVX | cpuidF16C | cpuidXSAVE | cpuidOSXSAVE | cpuidHypervisor,
			cpuidFPU | cpuidTSC | cpuidCX8 | cpuidCMOV | cpuidCLFLUSH | cpuidMMX | cpuidFXSR | cpuidSSE | cpuidSSE2,
		}
	case leaf == 4 && int(subleaf) < len(cpuidCaches):
		return cpuidCaches[subleaf]
	case leaf == 7 && subleaf == 0:
		return [4]uint32{0, cpuidBMI1 | cpuidAVX2 | cpuidBMI2 | cpuidERMS | cpuidADX | cpuidSHA, 0, cpuidFSRM}
	case leaf == cpuidLast && subleaf == 0: // which states there are, and how long the area of XSAVE is
		return [4]uint32{XsaveX87 | XsaveXMM | XsaveYMM, XsaveSize, XsaveSize}
	case leaf == cpuidLast && subleaf == 2: // of the upper halves of YMM registers
		return [4]uint32{XsaveSize - XsaveUpper, XsaveUpper}
	case leaf == cpuidHypervisorAt:
		return [4]uint32{cpuidHypervisorAt, word(cpuidVendor), word(cpuidVendor[4:]), word(cpuidVendor[8:])}
	case leaf == cpuidExtended:
		return [4]uint32{cpuidExtendedLast}
	case leaf == cpuidExtended+1:
		return [4]uint32{2: cpuidLAHF | cpuidLZCNT | cpuidPREFETCHW, 3: cpuidSyscall | cpuidNX | cpuidRDTSCP | cpuidLong}
	case leaf >= cpuidBrandAt && leaf < cpuidBrandAt+3:
		var brand [48]byte
		copy(brand[:], cpuidBrand)
		for i := range r {
			r[i] = binary.LittleEndian.Uint32(brand[int(leaf-cpuidBrandAt)*16+4*i:])
		}
	case leaf == cpuidExtended+7:
		return [4]uint32{3: cpuidInvariantTSC}
	case leaf == cpuidExtendedLast:
		return [4]uint32{46 | 48<<8} // bits of physical and virtual addresses
	}
	return r
}

// word is the first four bytes of s.
func word(s string) uint32 { return binary.LittleEndian.Uint32([]byte(s[:4])) }

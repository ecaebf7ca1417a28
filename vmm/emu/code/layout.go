package code

// Bias is how far behind the context that Enter is given its register points, so that distances to what is used most fit in a byte.
const Bias = 128

// Layout is where translated code finds things, from the register of the context.
type Layout struct {
	Count    int32    // instructions that are left, 4 bytes
	Exit     int32    // why it left, 4 bytes
	Block    int32    // which block it left, 4 bytes
	Flags    int32    // the guest's, as HostFlags has them, 4 bytes
	Other    int32    // those that aren't arithmetic, as x86.Flags has them
	Resume   int32    // where it goes on after ExitStep
	Jumps    int32    // the address of a table of JumpsSize Jumps
	RIP      int32    // where it left to
	File     int32    // the general registers
	Segments [3]int32 // bases, by x86.Seg
	Stash    int32    // a word for the emitter's own use
	XMM      int32
	Upper    int32 // the upper halves of YMM registers
	Changed  int32 // whether one may not be 0, 4 bytes
	MXCSR    int32 // the guest's; all its exceptions are masked
	TLB      int32 // an mmu.TLB
	Window   int32 // how far from the stack's addresses the host has them
}

// Why translated code comes back: Layout.Exit has it above ExitShift, and below a number.
const (
	ExitStep     = iota // the instruction with Inst.Step has to be done, then it goes on at Layout.Resume
	ExitLast            // so does the rest of the block
	ExitLink            // a way out of the block, by its number, isn't linked yet
	ExitIndirect        // the table of jumps doesn't have RIP
	ExitCount           // the block has more instructions than are left
	ExitWindow          // the block's part of the stack lies in two pages, or isn't in the TLB
	ExitShift    = 16
)

// Jump says where the code for an address is. That for va is at JumpOf(va).
type Jump struct{ VA, Code uint64 }

const (
	// JumpsSize is how many indirect jumps are found without Go.
	JumpsSize = 1 << jumpsBits
	jumpsBits = 13
	jumpBits  = 4 // log2 of a Jump's size
)

// JumpOf is where the jump to va is.
func JumpOf(va uint64) uint64 { return (va ^ va>>jumpsBits) % JumpsSize }

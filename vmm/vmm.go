package vmm

import (
	"fmt"
	"time"

	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
)

// Machine is one virtual machine: memory and virtual processors.
type Machine interface {
	// Phys is the memory. Slots that are added to it or removed from it are seen by guests after the next Flush.
	Phys() *phys.Memory
	// NewVCPU makes a virtual processor in 64-bit user mode, without page tables: SetSystem has to be called first. It lives as long as the
	// machine, so that of a thread that has ended is for the next one.
	NewVCPU() (VCPU, error)
	// CollectDirty has the memory know (phys.Memory.Touched) what guests wrote since the last call.
	CollectDirty() error
	// Flush makes changes of page tables and of slots visible that concern size bytes at a, before any VCPU runs again: a is where guest-physical pages are that
	// were mapped, not the tables. No size is everything, as after a Restore that changed page tables. Pages that become present, where none was, need no Flush.
	Flush(a phys.Addr, size uint64) error
	// Caps says what this back end can do on this host.
	Caps() Caps
	// Close destroys the machine. No VCPU is running.
	Close() error
}

// Caps is what differs between back ends and hosts.
type Caps struct {
	Name          string // "kvm" or "emulator"
	Deterministic bool   // the same program has the same exits after the same number of instructions
	Parallel      bool   // VCPUs run at the same time
	Ring0Native   bool   // privileged code isn't interpreted
	ShadowPaging  bool   // changes of present page-table entries need Flush, and it is slow
	Translates    bool   // an emulator makes the host's own code of the guest's
	CPUIDTrapped  bool   // the guest sees the features that CPUID was set to
	Debug         bool   // single steps and breakpoints end Run with ExitDebug
	HostCounter   bool   // RDTSC reads the host's time-stamp counter, by which the host keeps time
	ExitCost      time.Duration
}

// VCPU is a virtual processor. Its state can be read and changed between calls of Run.
type VCPU interface {
	// Regs points to the general registers, which Run reads when it begins and has written when it returns.
	Regs() *x86.Regs
	// System and SetSystem are the control registers and segment bases. A change of CR3 forgets all translations.
	System() (x86.System, error)
	SetSystem(x86.System) error
	// Extended and SetExtended are x87, SSE and what the back end has beyond.
	Extended() (x86.Extended, error)
	SetExtended(*x86.Extended) error
	// Run lets the guest go on until something happens. An error is the back end's own: the machine can't go on.
	Run(Budget) (Exit, error)
	// Kick makes Run return with ExitKicked soon, or the next one at once if none is running.
	Kick()
}

// Budget bounds a Run. A zero field is no bound.
type Budget struct {
	Instructions uint64        // of the emulator: exactly so many. Of KVM, where Caps.Debug: 1 is a step; more aren't counted
	CPU          time.Duration // of KVM: the thread's time, to a few milliseconds
	From         time.Duration // the thread's time (cputime.Thread) from which CPU counts; 0: that of the call
	Past         bool          // the instruction at RIP is executed even if it has a breakpoint (Stops)
}

// Stops are where programs stop for a debugger.
type Stops struct {
	Breakpoints []uint64 // addresses of instructions
	Watches     []Watch
}

// Watch is a range of memory.
type Watch struct {
	Addr, Size  uint64
	Read, Write bool // which accesses stop the program
}

// Stopper is a Machine that stops programs for a debugger. Nobody but the guest itself, while it runs, sees anything else in its memory than without.
type Stopper interface {
	// SetStops replaces what is set. Run then ends with ExitBreakpoint and ExitWatchpoint. A machine that isn't Deterministic takes watches of writes alone, and
	// sees those that change something.
	SetStops(Stops)
}

// Counter is a Stopper that counts instructions, which count as they do without stops.
type Counter interface {
	Stopper
	// CountFrom has processors that are made from now on count instructions from n, which the guest sees in its time-stamp counter.
	CountFrom(n uint64)
}

// ExitKind says why Run returned.
type ExitKind uint8

const (
	// ExitSyscall: the guest executed SYSCALL. RIP is behind it, also in RCX, and R11 has the flags.
	ExitSyscall ExitKind = iota + 1
	// ExitPageFault: an access that the page tables don't allow. Exit.Addr is its virtual address (CR2), Exit.Code the error code that the processor would
	// push, Exit.Fault what vmm/phys says where the tables allow it but there is no memory. RIP is at the instruction, nothing of which has happened.
	ExitPageFault
	// ExitException: Exit.Vector and Exit.Code. RIP is at the instruction, for Breakpoint and Overflow behind it.
	ExitException
	// ExitPort: IN or OUT of Exit.Size bytes at Exit.Port that the guest may use. RIP is behind it. The data of OUT are in Exit.Data; those of IN
	// go into RAX, by the caller.
	ExitPort
	// ExitDoorbell: OUT to DoorbellPort: Exit.Data is which bell.
	ExitDoorbell
	// ExitHalt: HLT, by privileged code.
	ExitHalt
	// ExitSpent: the budget is used up.
	ExitSpent
	// ExitKicked: somebody called Kick.
	ExitKicked
	// ExitDebug: a single step (TF) ended.
	ExitDebug
	// ExitUnsupported: the emulator doesn't know the instruction at RIP, whose bytes are in Exit.Bytes. On a real processor it may work.
	ExitUnsupported
	// ExitBreakpoint: RIP is at an instruction with a breakpoint, which isn't executed yet.
	ExitBreakpoint
	// ExitWatchpoint: the instruction before RIP accessed the watched range that begins at Exit.Addr.
	ExitWatchpoint
	// ExitShutdown: the guest's processor gave up (a triple fault).
	ExitShutdown
)

var kinds = [...]string{
	ExitSyscall: "system call", ExitPageFault: "page fault", ExitException: "exception", ExitPort: "port", ExitDoorbell: "doorbell", ExitHalt: "halt",
	ExitSpent: "budget spent", ExitKicked: "kicked", ExitDebug: "debug", ExitUnsupported: "unsupported instruction", ExitBreakpoint: "breakpoint",
	ExitWatchpoint: "watchpoint", ExitShutdown: "shutdown",
}

func (k ExitKind) String() string {
	if int(k) < len(kinds) && kinds[k] != "" {
		return kinds[k]
	}
	return fmt.Sprintf("exit %d", uint8(k))
}

// Guests ring and wait by OUT to these ports, which the I/O bitmap lets user mode use; all others raise #GP.
const (
	DoorbellPort = 0x510
	ConsolePort  = 0x511
)

// Exit is why Run returned.
type Exit struct {
	Kind   ExitKind
	Vector uint8  // of ExitException
	Size   uint8  // bytes, of ExitPort
	In     bool   // of ExitPort: IN, not OUT
	Port   uint16 // of ExitPort
	Code   uint32 // error code, of ExitPageFault and ExitException
	Data   uint32 // of ExitPort and ExitDoorbell
	Addr   uint64 // virtual, of ExitPageFault
	Fault  error  // of ExitPageFault: phys.ErrOutside, ErrReadOnly, ErrBudget, or nil
	Bytes  []byte // of ExitUnsupported: from RIP on, up to 15
}

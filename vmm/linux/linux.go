package linux

import (
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/clock"
	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/linux/signals"
	"github.com/wherry/wherry/vmm/linux/space"
	"github.com/wherry/wherry/vmm/linux/tally"
	"github.com/wherry/wherry/vmm/linux/trace"
	"github.com/wherry/wherry/vmm/linux/turn"
	"github.com/wherry/wherry/vmm/linux/vdso"
	"github.com/wherry/wherry/vmm/x86"
)

var le = binary.LittleEndian

// Options say how a program is started.
type Options struct {
	Args []string // argv; the first is the program's name. "program" alone when empty
	Env  []string // NAME=value
	// Image is the tree of files that the program sees. An empty one, with the program as /proc/self/exe, when nil.
	Image *file.Image
	// Memory is the size of the program's memory in bytes: pages beyond are ENOMEM, or kill it. 256 MiB when 0.
	Memory int64
	// Time is which time the program sees.
	Time Time
	// Limits end Run with their name.
	Limits Limits
	// Boundary has Run return WantsInput as soon as a task finds nothing on descriptor 0, even if others could go on: the end of a call. What they were about
	// is done in the next one, or forgotten by Restore.
	Boundary bool
	// Yield has Run return Idle, with when to call it again, rather than sleep until the first task wakes. Virtual time doesn't jump then.
	Yield bool
	// Heard has Run return Spoke when the program has sent something to the outside, so that who only waits for that lets it go on no further.
	Heard bool
	// Trace is told what happens, in order; nothing when nil.
	Trace func(trace.Event)
	// Slice is for how long a task runs when others are ready.
	Slice Slice
	// Seed is what the program's random bytes are made of: the same seed, the same bytes. Restore takes them back, too.
	Seed [32]byte
	// Stdout and Stderr take the program's output; io.Discard when nil. A Stdout that is a file.Outlet may have it wait.
	Stdout, Stderr io.Writer
}

// Time is how time passes for a program. The zero value is the host's clock.
type Time struct {
	// Virtual time begins at Start and passes with what the program executes: a nanosecond an instruction, or with the CPU time spent where
	// instructions aren't counted. When all tasks sleep it jumps to the first that is to wake.
	Virtual bool
	Start   time.Time
}

// Slice bounds how long a task runs while others are ready.
type Slice = turn.Slice

// Limits bound what a process may use. Zero is no limit, or the default where one is named.
type Limits struct {
	CPU          time.Duration // spent by Run since Load or Restore: "cpu"
	Wall         time.Duration // passed in one Run: "wall"
	Instructions uint64        // executed since Load or Restore, where they are counted: "instructions"
	Tasks        int           // alive at the same time: EAGAIN beyond. 256
	Areas        int           // of memory: ENOMEM beyond. 16,384
	Files        file.Limits   // of which Output ends Run, too: "output"
}

const (
	defaultMemory = 256 << 20
	defaultTasks  = 256
	defaultAreas  = 16384
)

// StopKind says why Run returned.
type StopKind uint8

const (
	// Exited: the program ended with Stop.Status.
	Exited StopKind = iota + 1
	// Killed: a signal that nothing handles ended the program.
	Killed
	// WantsInput: no task can go on before there is more on standard input.
	WantsInput
	// LimitPassed: Stop.Limit names the limit.
	LimitPassed
	// Idle: all tasks wait, at least one for files or sockets that only the caller can make ready, or, with Options.Yield, for a time.
	Idle
	// Deadlock: all tasks wait for each other.
	Deadlock
	// Stopped: the context is done.
	Stopped
	// Held: the debugger wanted it.
	Held
	// Spoke: with Options.Heard, the program has sent something to the outside.
	Spoke
)

var stopKinds = [...]string{
	Exited: "exited", Killed: "killed", WantsInput: "wants input", LimitPassed: "limit passed", Idle: "idle", Deadlock: "deadlock", Stopped: "stopped", Held: "held", Spoke: "spoke",
}

func (k StopKind) String() string { return stopKinds[k] }

// Stop is why Run returned.
type Stop struct {
	Kind   StopKind
	Status int        // of Exited
	Signal abi.Signal // of Killed
	Addr   uint64     // of Killed by a fault: the address that was accessed, or of the instruction
	RIP    uint64     // of Killed: where the task was
	Reason string     // of Killed: what the machine said, if that is more than the signal
	Limit  string     // of LimitPassed
	// Wake is, of WantsInput and Idle, when a task's sleep ends: Run then has something to do even if nothing came. At a Boundary it hasn't, ever.
	Wake time.Duration
}

// Process is a program that runs.
type Process struct {
	// Files are its descriptors, and the tree of files it sees.
	Files *file.Table

	machine  vmm.Machine
	space    *space.Space
	options  Options
	auxv     []uint64
	controls x86.System
	cpus     cpus
	counts   bool // processors count instructions
	turns    *turn.Turns
	kick     kick
	scratch  []byte

	tasks          []*Task // alive, in the order of their turns
	current        *Task   // that ran last
	turn           int     // its index
	left           int64   // of its slice
	lastID         int32
	order          uint64 // of the last wait for a futex
	actions        [65]abi.Sigaction
	actionsChanged uint64
	pending        signals.Queue // for whichever task doesn't block it
	clock          clock.Clock
	shown          vdso.Page // what the data page of the vDSO says
	random         random
	version        uint64 // of Files, when the tasks that wait for them were looked at last
	end            *Stop  // once it has exited or was killed
	debugger       Debugger
	held           bool          // by the debugger: Run returns
	began          time.Time     // the last Run
	threadTime     time.Duration // of the host's thread, when it was looked at last
	sampled        time.Time     // when that was
	counters       tally.Tally

	cpuTime, cpuBase int64  // nanoseconds it has run, and when the last Restore was
	instructionsBase uint64 // of the last Restore
	state            *State // that it was taken back to last
}

var errDone = errors.New("the program has ended; Restore it or Load it again")

// WriteStdin gives the program bytes to read from descriptor 0, and returns how many there was room for.
func (p *Process) WriteStdin(b []byte) int { return p.Files.WriteStdin(b) }

// SetBoundary says from now on what Options.Boundary said at the start.
func (p *Process) SetBoundary(on bool) { p.options.Boundary = on }

// CloseStdin ends them.
func (p *Process) CloseStdin() { p.Files.CloseStdin() }

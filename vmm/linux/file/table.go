package file

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/ledger"
	"github.com/wherry/wherry/vmm/linux/socket"
	"github.com/wherry/wherry/vmm/linux/tree"
)

// What the rooms below have, in the words of this one's callers.
type (
	Limits       = ledger.Limits
	Image        = tree.Image
	ImageOptions = tree.ImageOptions
	FileTime     = tree.FileTime
	Conn         = socket.Conn
)

// What the gate's address is.
const (
	GateAddress = socket.GateAddress
	GatePort    = socket.GatePort
)

// Options of a table.
type Options struct {
	Image          *Image
	Limits         Limits
	Args           []string      // /proc/self/cmdline
	Directory      string        // working directory; "/" when empty
	Auxv           func() []byte // /proc/self/auxv; empty when nil
	Maps           func() []byte // /proc/self/maps; empty when nil
	Status         func() Status // what /proc/self/status says of memory and threads
	Random         func([]byte)  // fills with random bytes, for /dev/urandom; zeros when nil. Its state is the caller's to take back
	Stdout, Stderr io.Writer     // io.Discard when nil
	PID            int           // 1 when 0
}

// Status is what /proc/self/status tells that this room can't know.
type Status struct {
	Size, Resident int64 // bytes that are mapped, and that have memory
	Limit          int64 // bytes that the process may have
	Threads        int
}

// Table is a process's descriptors and files.
type Table struct {
	o       Options
	ledger  *ledger.Ledger
	tree    *tree.Tree
	net     *socket.Net
	starved bool
	real    int64 // nanoseconds since 1970
	mono    int64 // nanoseconds since any point
	timerAt int64 // when the next timer is due on the monotonic clock; never too late, 0 when unknown

	base *State // the checkpoint that the ledger's log leads back to; nil before the first

	slots slots // descriptors and the timers among what they're of; kept as one

	one   [1][]byte // Read and Write as Readv and Writev
	chunk []byte    // copies between files
}

// slot is one descriptor: free when file is nil.
type slot struct {
	file    *openFile
	cloexec bool
}

// slots are the descriptors, and the timers.
type slots struct {
	kept   ledger.Mark
	fds    []slot
	timers []*timerfd

	thenFDs    []slot
	thenTimers []*timerfd
}

func (s *slots) Save() {
	s.thenFDs = append(s.thenFDs[:0], s.fds...)
	s.thenTimers = append(s.thenTimers[:0], s.timers...)
}

func (s *slots) Back() {
	clear(s.fds)
	s.fds = append(s.fds[:0], s.thenFDs...)
	s.timers = append(s.timers[:0], s.thenTimers...)
}

// New makes a table with descriptors 0, 1 and 2 on the standard streams.
func New(o Options) (*Table, error) {
	if o.Image == nil {
		return nil, errors.New("file: a table needs an image; NewImage(ImageOptions{}) makes an empty one")
	}
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	if o.Stderr == nil {
		o.Stderr = io.Discard
	}
	if o.PID == 0 {
		o.PID = 1
	}
	t := &Table{o: o, ledger: ledger.New(o.Limits, uint64(o.Image.Nodes()))}
	t.tree = tree.New(t.ledger, o.Image, (*descriptors)(t), o.Random)
	t.net = socket.New(t.ledger, t.tree)
	for i, flags := range [...]int{abi.O_RDONLY, abi.O_WRONLY, abi.O_WRONLY} {
		t.slots.fds = append(t.slots.fds, slot{file: t.newFile(&stream{kept: t.ledger.Made(), number: uint8(i)}, nil, flags)})
	}
	if o.Directory != "" {
		if e := t.Chdir(o.Directory); e != 0 {
			return nil, fmt.Errorf("file: working directory %s: %w; make it part of the image or one of its writable directories", o.Directory, e)
		}
	}
	return t, nil
}

// Image is the part of the tree that doesn't change.
func (t *Table) Image() *Image { return t.o.Image }

// Version changes whenever the readiness of anything may have changed: a call that was EAGAIN may do something now.
func (t *Table) Version() uint64 { return t.ledger.Version }

// Exceeded names the limit that the program passed and that ends it, "output", or is empty.
func (t *Table) Exceeded() string {
	if t.ledger.Now.Exceeded {
		return "output"
	}
	return ""
}

// RenewOutput has the limit of output begin anew, unless it was passed.
func (t *Table) RenewOutput() { t.ledger.Now.Output = 0 }

// SetNow says what time it is, in nanoseconds: since any fixed point, and since 1970. Timers that are due become readable.
func (t *Table) SetNow(monotonic, realtime int64) {
	stepped := realtime-t.real != monotonic-t.mono
	t.mono, t.real = monotonic, realtime
	t.tree.SetNow(realtime)
	if stepped {
		t.timerAt = 0
	}
	if t.timerAt <= t.mono && len(t.slots.timers) > 0 {
		t.ledger.Version++
		t.timerAt = 0
	}
}

// NextTimer is when, on the monotonic clock, the next armed timerfd is due.
func (t *Table) NextTimer() (ns int64, ok bool) {
	for _, f := range t.slots.timers {
		if at, armed := f.next(t); armed && (!ok || at < ns) {
			ns, ok = at, true
		}
	}
	if ok {
		t.timerAt = ns
	}
	return ns, ok
}

// descriptors are the Table's, for its tree.
type descriptors Table

// Node is what a descriptor is open on, nil for what has no name.
func (d *descriptors) Node(fd int) (*tree.Node, abi.Errno) {
	f, e := (*Table)(d).get(fd)
	if e != 0 {
		return nil, e
	}
	return f.node, 0
}

// Count is one more than the highest descriptor that ever was.
func (d *descriptors) Count() int { return len(d.slots.fds) }

// get is the open file behind a descriptor.
func (t *Table) get(fd int) (*openFile, abi.Errno) {
	if fd < 0 || fd >= len(t.slots.fds) || t.slots.fds[fd].file == nil {
		return nil, abi.EBADF
	}
	return t.slots.fds[fd].file, 0
}

// getOpen is get for the calls that do something with the file: EBADF for one of O_PATH.
func (t *Table) getOpen(fd int) (*openFile, abi.Errno) {
	f, e := t.get(fd)
	if e == 0 && f.now.flags&abi.O_PATH != 0 {
		return nil, abi.EBADF
	}
	return f, e
}

// free is the lowest free descriptor from low on.
func (t *Table) free(low int) (int, abi.Errno) {
	for fd := low; fd < t.ledger.Limits.Descriptors; fd++ {
		if fd >= len(t.slots.fds) || t.slots.fds[fd].file == nil {
			return fd, 0
		}
	}
	return 0, abi.EMFILE
}

// set puts a file, which it doesn't count, behind a free descriptor.
func (t *Table) set(fd int, f *openFile, cloexec bool) {
	t.ledger.Keep(&t.slots.kept, &t.slots)
	if fd >= len(t.slots.fds) {
		t.slots.fds = slices.Grow(t.slots.fds, fd+1-len(t.slots.fds))[:fd+1]
	}
	t.slots.fds[fd] = slot{file: f, cloexec: cloexec}
}

// install gives a new object a descriptor.
func (t *Table) install(o object, n *tree.Node, flags int) (int, abi.Errno) {
	fd, e := t.room()
	if e != 0 {
		return 0, e
	}
	t.set(fd, t.newFile(o, n, flags&^abi.O_CLOEXEC), flags&abi.O_CLOEXEC != 0)
	return fd, 0
}

// room says which descriptor a new file gets, and whether there may be one more file.
func (t *Table) room() (int, abi.Errno) {
	fd, e := t.free(0)
	if e == 0 && t.ledger.Now.Files >= t.ledger.Limits.Files {
		e = abi.ENFILE
	}
	return fd, e
}

package file

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
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
	limits  Limits
	version uint64
	starved bool
	real    int64 // nanoseconds since 1970
	mono    int64 // nanoseconds since any point
	timerAt int64 // when the next timer is due on the monotonic clock; never too late, 0 when unknown

	generation uint64   // counts checkpoints and restores; objects kept or made in this one aren't kept again
	log        []keeper // what was kept in this generation
	restored   uint64   // the first generation after base: what was made since isn't in it
	base       *State   // the checkpoint that the log leads back to; nil before the first

	slots        // descriptors and the lists of what needs finding; kept as one
	now   counts // copied whole by Checkpoint and Restore
	then  counts

	mounts []*node   // roots of the memory file systems, by the image's numbers
	outer  []*Conn   // connections that were made by Dial and not closed
	one    [1][]byte // Read and Write as Readv and Writev
	chunk  []byte    // copies between files
}

// counts are the process's numbers and whatever else is cheap to copy.
type counts struct {
	cwd       *node
	umask     uint32
	ino       uint64 // of the last file made
	files     int
	memory    int64
	nodes     int
	watches   int
	buffers   int64
	output    int64
	exceeded  bool
	ephemeral uint16 // the last port given to a socket that didn't say one
}

// slot is one descriptor: free when file is nil.
type slot struct {
	file    *openFile
	cloexec bool
}

// slots are the descriptors, and what is found by other ways than through them.
type slots struct {
	kept
	fds    []slot
	timers []*timerfd
	bound  []*socket

	thenFDs    []slot
	thenTimers []*timerfd
	thenBound  []*socket
}

func (s *slots) save() {
	s.thenFDs = append(s.thenFDs[:0], s.fds...)
	s.thenTimers = append(s.thenTimers[:0], s.timers...)
	s.thenBound = append(s.thenBound[:0], s.bound...)
}

func (s *slots) back() {
	clear(s.fds)
	s.fds = append(s.fds[:0], s.thenFDs...)
	s.timers = append(s.timers[:0], s.thenTimers...)
	s.bound = append(s.bound[:0], s.thenBound...)
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
	t := &Table{o: o, limits: o.Limits.withDefaults()}
	t.now = counts{umask: 0o022, ino: uint64(len(o.Image.nodes)), ephemeral: 32767}
	for i, at := range o.Image.mounts {
		root := t.newNode(nodeDir, at.now.mode)
		root.fs, root.now.parent, root.now.name, root.now.nlink = fsMemory+uint8(i), at.now.parent, at.now.name, 2
		t.mounts = append(t.mounts, root)
	}
	for i, flags := range [...]int{abi.O_RDONLY, abi.O_WRONLY, abi.O_WRONLY} {
		t.fds = append(t.fds, slot{file: t.newFile(&stream{kept: t.made(), number: uint8(i)}, nil, flags)})
	}
	t.now.cwd = o.Image.root
	if o.Directory != "" {
		if e := t.Chdir(o.Directory); e != 0 {
			return nil, fmt.Errorf("file: working directory %s: %w; make it part of the image or one of its writable directories", o.Directory, e)
		}
	}
	return t, nil
}

// Version changes whenever the readiness of anything may have changed: a call that was EAGAIN may do something now.
func (t *Table) Version() uint64 { return t.version }

// Exceeded names the limit that the program passed and that ends it, "output", or is empty.
func (t *Table) Exceeded() string {
	if t.now.exceeded {
		return "output"
	}
	return ""
}

// SetNow says what time it is, in nanoseconds: since any fixed point, and since 1970. Timers that are due become readable.
func (t *Table) SetNow(monotonic, realtime int64) {
	stepped := realtime-t.real != monotonic-t.mono
	t.mono, t.real = monotonic, realtime
	if stepped {
		t.timerAt = 0
	}
	if t.timerAt <= t.mono && len(t.timers) > 0 {
		t.version++
		t.timerAt = 0
	}
}

// NextTimer is when, on the monotonic clock, the next armed timerfd is due.
func (t *Table) NextTimer() (ns int64, ok bool) {
	for _, f := range t.timers {
		if at, armed := f.next(t); armed && (!ok || at < ns) {
			ns, ok = at, true
		}
	}
	if ok {
		t.timerAt = ns
	}
	return ns, ok
}

// get is the open file behind a descriptor.
func (t *Table) get(fd int) (*openFile, abi.Errno) {
	if fd < 0 || fd >= len(t.fds) || t.fds[fd].file == nil {
		return nil, abi.EBADF
	}
	return t.fds[fd].file, 0
}

// getNode is the file that a descriptor is of, for the calls that change or list it: EBADF for one of O_PATH.
func (t *Table) getOpen(fd int) (*openFile, abi.Errno) {
	f, e := t.get(fd)
	if e == 0 && f.now.flags&abi.O_PATH != 0 {
		return nil, abi.EBADF
	}
	return f, e
}

// free is the lowest free descriptor from low on.
func (t *Table) free(low int) (int, abi.Errno) {
	for fd := low; fd < t.limits.Descriptors; fd++ {
		if fd >= len(t.fds) || t.fds[fd].file == nil {
			return fd, 0
		}
	}
	return 0, abi.EMFILE
}

// set puts a file, which it doesn't count, behind a free descriptor.
func (t *Table) set(fd int, f *openFile, cloexec bool) {
	t.keep(&t.slots.kept, &t.slots)
	if fd >= len(t.fds) {
		t.fds = slices.Grow(t.fds, fd+1-len(t.fds))[:fd+1]
	}
	t.fds[fd] = slot{file: f, cloexec: cloexec}
}

// install gives a new object a descriptor.
func (t *Table) install(o object, n *node, flags int) (int, abi.Errno) {
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
	if e == 0 && t.now.files >= t.limits.Files {
		e = abi.ENFILE
	}
	return fd, e
}

package file

import "github.com/wherry/wherry/vmm/linux/abi"

// object is what an open file is of. A call that can't be done says so by the error that Linux has for it; one that can't go on now is EAGAIN.
type object interface {
	read(t *Table, f *openFile, v [][]byte) (int, abi.Errno)
	write(t *Table, f *openFile, v [][]byte) (int, abi.Errno)
	ready(t *Table, f *openFile) uint32           // POLL bits
	edges(t *Table, f *openFile) (in, out uint64) // change when something comes to read, and when there comes to be room
	stat(t *Table, f *openFile, s *abi.Stat)
	closed(t *Table, f *openFile) // the last descriptor of f is gone
}

// openFile is what open makes and dup shares: an offset and flags, and what they are of.
type openFile struct {
	kept
	object    object
	node      *node  // the file with a name or memory file that it's of, or nil
	path      string // by which it was opened, for /proc/self/fd
	content   []byte // of a file of /proc, made when it was opened
	now, then fileState
}

type fileState struct {
	off   int64
	flags int
	refs  int // descriptors
}

func (f *openFile) save() { f.then = f.now }
func (f *openFile) back() { f.now = f.then }

// newFile makes an open file with one reference.
func (t *Table) newFile(o object, n *node, flags int) *openFile {
	t.now.files++
	if n != nil {
		t.hold(n)
	}
	return &openFile{kept: t.made(), object: o, node: n, now: fileState{flags: flags, refs: 1}}
}

func (f *openFile) readable() bool {
	return f.now.flags&abi.O_PATH == 0 && (f.now.flags&abi.O_ACCMODE == abi.O_RDONLY || f.now.flags&abi.O_ACCMODE == abi.O_RDWR)
}

func (f *openFile) writable() bool {
	return f.now.flags&abi.O_PATH == 0 && (f.now.flags&abi.O_ACCMODE == abi.O_WRONLY || f.now.flags&abi.O_ACCMODE == abi.O_RDWR)
}

// release takes one reference away.
func (t *Table) release(f *openFile) {
	t.keep(&f.kept, f)
	if f.now.refs--; f.now.refs > 0 {
		return
	}
	t.now.files--
	f.object.closed(t, f)
	if f.node != nil {
		t.drop(f.node)
	}
	t.version++ // epoll instances lose it
}

// regular says whether the file has an offset and bytes that stay.
func (f *openFile) regular() bool {
	return f.node != nil && f.object == object(f.node) && f.node.kind == nodeFile
}

package tree

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/ledger"
)

// Tree is a process's files.
type Tree struct {
	ledger      *ledger.Ledger
	image       *Image
	descriptors Descriptors
	random      func([]byte)
	real        int64   // nanoseconds since 1970
	mounts      []*Node // roots of the memory file systems, by the image's numbers
	now, then   place
}

// place is what the process has of the tree besides files; kept by Save, whatever has changed.
type place struct {
	cwd   *Node
	umask uint32
}

// Descriptors are the process's, as /proc/self/fd shows them and paths begin at them.
type Descriptors interface {
	Node(fd int) (*Node, abi.Errno) // what it's open on, nil for what has no name; EBADF
	Count() int                     // all are below
}

// New makes a tree whose memory file systems are empty. random fills with random bytes, for /dev/urandom; zeros when nil.
func New(l *ledger.Ledger, image *Image, d Descriptors, random func([]byte)) *Tree {
	t := &Tree{ledger: l, image: image, descriptors: d, random: random, now: place{cwd: image.root, umask: 0o022}}
	for i, at := range image.mounts {
		root := t.newNode(KindDir, at.now.mode)
		root.fs, root.now.parent, root.now.name, root.now.nlink = fsMemory+uint8(i), at.now.parent, at.now.name, 2
		t.mounts = append(t.mounts, root)
		if i >= image.seeded {
			t.seed(root, at)
		}
	}
	return t
}

// SetNow says what time it is, in nanoseconds since 1970.
func (t *Tree) SetNow(real int64) { t.real = real }

// Save and Back keep and put back the working directory and the umask; the rest is in the ledger's log.
func (t *Tree) Save() { t.then = t.now }

// Back is to be called after the ledger's Undo.
func (t *Tree) Back() { t.now = t.then }

// Chdir makes a directory the working directory.
func (t *Tree) Chdir(n *Node) abi.Errno {
	if n == nil || n.Kind != KindDir {
		return abi.ENOTDIR
	}
	t.Hold(n)
	t.Drop(t.now.cwd)
	t.now.cwd = n
	return 0
}

// Cwd is the working directory.
func (t *Tree) Cwd() *Node { return t.now.cwd }

// Umask gives the mask of permissions that new files don't get.
func (t *Tree) Umask() uint32 { return t.now.umask }

// SetUmask is umask.
func (t *Tree) SetUmask(mask uint32) (old uint32) {
	old = t.now.umask
	t.now.umask = mask & 0o777
	return old
}

package tree

import (
	"maps"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/ledger"
)

// Kind is what a Node is.
type Kind uint8

// What there is in a tree.
const (
	KindFile Kind = iota + 1
	KindDir
	KindLink
	KindDevice     // of the image; Special says which
	KindProc       // of the image: a file that is made when it's opened; Special says which
	KindDescriptor // a link of /proc/self/fd; Special is the descriptor; made when it's looked up, and never kept
	KindSocket     // the name of a bound socket
)

// The file systems, as st_dev tells them apart.
const (
	fsImage = iota
	fsProc
	fsDevices
	fsMemory // and one for each writable directory
)

// devFiles is the st_dev of fsImage; fsProc and so on come after it. Pipes, sockets and things without a name have lower ones.
const devFiles = 8

// Node is a file, directory or link: of the image, immutable, or in a memory file system.
type Node struct {
	Ino     uint64
	Kind    Kind
	Image   bool   // it's of the image
	Special int    // of KindDevice, KindProc, KindDescriptor
	Target  string // of a link

	kept      ledger.Mark
	fs        uint8
	mount     uint8  // of the image: one more than the memory file system that is here
	data      []byte // of a file of the image
	now, then inode
}

// inode is what can change.
type inode struct {
	mode                uint32 // permissions
	uid, gid            uint32
	nlink               uint32
	opens               int // open files, and the working directory: the bytes of a file without a name are there till the last of them goes
	atime, mtime, ctime int64
	seals               uint8

	parent *Node            // of a directory
	name   string           // of a directory
	names  map[string]entry // in a directory
	cookie int64            // of the entry that was made last: getdents goes on by it whatever comes and goes

	bytes int64 // the file's size
	pages map[int64]*Page
}

type entry struct {
	node   *Node
	cookie int64
}

// cookieMax is never reached but by a State that says so: then new entries share a number, and getdents may leave some out.
const cookieMax = 1 << 62

// Page is 4 KiB of a memory file. It's written in place by the Tree that made it, in the generation in which it did; others copy it.
type Page struct {
	owner *Tree
	kept  ledger.Mark
	b     [PageSize]byte
}

// NewPage makes a page of a state.
func NewPage(b [PageSize]byte) *Page { return &Page{b: b} }

// Bytes are the page's; not to be changed.
func (p *Page) Bytes() []byte { return p.b[:] }

// Save keeps what can change.
func (n *Node) Save() {
	n.then = n.now
	n.then.names, n.then.pages = maps.Clone(n.now.names), maps.Clone(n.now.pages)
}

// Back leaves the kept maps to now: the next save makes new ones.
func (n *Node) Back() { n.now = n.then }

// newNode makes a node that has no name yet.
func (t *Tree) newNode(kind Kind, mode uint32) *Node {
	t.ledger.Now.Nodes++
	n := &Node{kept: t.ledger.Made(), Ino: t.ledger.Ino(), Kind: kind, fs: fsMemory, now: inode{mode: mode & 0o7777, atime: t.real, mtime: t.real, ctime: t.real}}
	if kind == KindDir {
		n.now.names = map[string]entry{}
	}
	return n
}

// Hold and Drop count what keeps a node without a name: open files and the working directory.
func (t *Tree) Hold(n *Node) {
	if !n.Image {
		t.ledger.Keep(&n.kept, n)
		n.now.opens++
	}
}

// Drop frees a file that nobody can reach any more.
func (t *Tree) Drop(n *Node) {
	if !n.Image {
		t.ledger.Keep(&n.kept, n)
		n.now.opens--
		t.reap(n)
	}
}

// reap frees a file that nobody can reach any more.
func (t *Tree) reap(n *Node) {
	if n.now.nlink > 0 || n.now.opens > 0 {
		return
	}
	t.ledger.Now.Nodes--
	t.ledger.Now.Memory -= int64(len(n.now.pages)) * PageSize
	n.now.pages = nil
}

// Size is st_size.
func (n *Node) Size() int64 {
	switch {
	case n.Kind == KindLink:
		return int64(len(n.Target))
	case n.Kind == KindDir:
		return int64(len(n.now.names)+2) * 20 // BOGO_DIRENT_SIZE of mm/shmem.c
	case n.Image:
		return int64(len(n.data))
	}
	return n.now.bytes
}

var modeOf = map[Kind]uint32{
	KindFile: abi.S_IFREG, KindDir: abi.S_IFDIR, KindLink: abi.S_IFLNK, KindDevice: abi.S_IFCHR,
	KindProc: abi.S_IFREG, KindDescriptor: abi.S_IFLNK, KindSocket: abi.S_IFSOCK,
}

var direntKind = map[Kind]byte{
	KindFile: abi.DT_REG, KindDir: abi.DT_DIR, KindLink: abi.DT_LNK, KindDevice: abi.DT_CHR,
	KindProc: abi.DT_REG, KindDescriptor: abi.DT_LNK, KindSocket: abi.DT_SOCK,
}

// Stat fills in what stat says.
func (n *Node) Stat(s *abi.Stat) {
	*s = abi.Stat{
		Dev: devFiles + uint64(n.fs), Ino: n.Ino, Nlink: uint64(n.now.nlink), Mode: modeOf[n.Kind] | n.now.mode, UID: n.now.uid, GID: n.now.gid, Size: n.Size(), Blksize: PageSize,
		Atime: n.now.atime, Mtime: n.now.mtime, Ctime: n.now.ctime,
	}
	switch {
	case n.Kind == KindDevice:
		s.Rdev = devices[n.Special].number
	case n.Image && n.Kind == KindFile:
		s.Blocks = (s.Size + 511) / 512
	case n.Kind == KindFile:
		s.Blocks = int64(len(n.now.pages)) * (PageSize / 512)
	}
}

// touch notes a change of a node's bytes or names.
func (t *Tree) touch(n *Node) {
	t.ledger.Keep(&n.kept, n)
	n.now.mtime, n.now.ctime = t.real, t.real
}

// link gives a node a name in a directory of a memory file system.
func (t *Tree) link(dir *Node, name string, n *Node) {
	t.touch(dir)
	t.ledger.Keep(&n.kept, n)
	if dir.now.cookie < cookieMax {
		dir.now.cookie++
	}
	dir.now.names[name] = entry{node: n, cookie: dir.now.cookie}
	n.now.nlink++
	n.now.ctime = t.real
	if n.Kind == KindDir {
		n.now.nlink = 2 + n.subdirectories()
		n.now.parent, n.now.name = dir, name
		dir.now.nlink++
	}
}

// unlink takes a node's name away.
func (t *Tree) unlink(dir *Node, name string) {
	n := dir.now.names[name].node
	t.touch(dir)
	t.ledger.Keep(&n.kept, n)
	delete(dir.now.names, name)
	n.now.ctime = t.real
	if n.Kind == KindDir {
		n.now.nlink = 0
		dir.now.nlink--
	} else {
		n.now.nlink--
	}
	t.reap(n)
}

func (n *Node) subdirectories() (count uint32) {
	for _, e := range n.now.names {
		if e.node.Kind == KindDir {
			count++
		}
	}
	return count
}

// Linked says whether the file has a name.
func (n *Node) Linked() bool { return n.now.nlink > 0 }

// Names is how many names a directory has.
func (n *Node) Names() int { return len(n.now.names) }

// Dirent is the kind that getdents tells.
func (n *Node) Dirent() byte { return direntKind[n.Kind] }

package file

import (
	"maps"

	"github.com/wherry/wherry/vmm/linux/abi"
)

type nodeKind uint8

const (
	nodeFile nodeKind = iota + 1
	nodeDir
	nodeLink
	nodeDevice     // of the image; special says which
	nodeProc       // of the image: a file that is made when it's opened; special says which
	nodeDescriptor // a link of /proc/self/fd; special is the descriptor; made when it's looked up, and never kept
	nodeSocket     // the name of a bound socket
)

// The file systems, as st_dev tells them apart.
const (
	fsImage = iota
	fsProc
	fsDevices
	fsMemory // and one for each writable directory
)

const (
	devImage     = 1
	devPipes     = 2
	devAnonymous = 3
	devSockets   = 4
	devFiles     = 8 // fsImage, fsProc, ... from here on
)

// node is a file, directory or link: of the image, immutable, or in a memory file system.
type node struct {
	kept
	ino       uint64
	kind      nodeKind
	image     bool
	fs        uint8
	mount     uint8 // of the image: one more than the memory file system that is here
	special   int
	socket    *socket // that is bound here
	data      []byte  // of a file of the image
	target    string  // of a link
	now, then inode
}

// inode is what can change.
type inode struct {
	mode                uint32 // permissions
	nlink               uint32
	opens               int // open files, and the working directory: the bytes of a file without a name are there till the last of them goes
	atime, mtime, ctime int64
	seals               uint8

	parent *node            // of a directory
	name   string           // of a directory
	names  map[string]entry // in a directory
	cookie int64            // of the entry that was made last: getdents goes on by it whatever comes and goes

	bytes int64 // the file's size
	pages map[int64]*page
}

type entry struct {
	node   *node
	cookie int64
}

// cookieMax is never reached but by a State that says so: then new entries share a number, and getdents may leave some out.
const cookieMax = 1 << 62

// page is 4 KiB of a memory file. It's written in place by the Table that made it, in the generation in which it did; others copy it.
type page struct {
	owner      *Table
	generation uint64
	b          [pageSize]byte
}

func (n *node) save() {
	n.then = n.now
	n.then.names, n.then.pages = maps.Clone(n.now.names), maps.Clone(n.now.pages)
}

// back leaves the kept maps to now: the next save makes new ones.
func (n *node) back() { n.now = n.then }

func (t *Table) newIno() uint64 {
	t.now.ino++
	return t.now.ino
}

// newNode makes a node that has no name yet.
func (t *Table) newNode(kind nodeKind, mode uint32) *node {
	t.now.nodes++
	n := &node{kept: t.made(), ino: t.newIno(), kind: kind, fs: fsMemory, now: inode{mode: mode & 0o7777, atime: t.real, mtime: t.real, ctime: t.real}}
	if kind == nodeDir {
		n.now.names = map[string]entry{}
	}
	return n
}

// hold and drop count what keeps a node without a name.
func (t *Table) hold(n *node) {
	if !n.image {
		t.keep(&n.kept, n)
		n.now.opens++
	}
}

func (t *Table) drop(n *node) {
	if !n.image {
		t.keep(&n.kept, n)
		n.now.opens--
		t.reap(n)
	}
}

// reap frees a file that nobody can reach any more.
func (t *Table) reap(n *node) {
	if n.now.nlink > 0 || n.now.opens > 0 {
		return
	}
	t.now.nodes--
	t.now.memory -= int64(len(n.now.pages)) * pageSize
	n.now.pages = nil
}

func (n *node) size() int64 {
	switch {
	case n.kind == nodeLink:
		return int64(len(n.target))
	case n.kind == nodeDir:
		return int64(len(n.now.names)+2) * 20 // BOGO_DIRENT_SIZE of mm/shmem.c
	case n.image:
		return int64(len(n.data))
	}
	return n.now.bytes
}

var modeOf = map[nodeKind]uint32{
	nodeFile: abi.S_IFREG, nodeDir: abi.S_IFDIR, nodeLink: abi.S_IFLNK, nodeDevice: abi.S_IFCHR,
	nodeProc: abi.S_IFREG, nodeDescriptor: abi.S_IFLNK, nodeSocket: abi.S_IFSOCK,
}

var direntKind = map[nodeKind]byte{
	nodeFile: abi.DT_REG, nodeDir: abi.DT_DIR, nodeLink: abi.DT_LNK, nodeDevice: abi.DT_CHR,
	nodeProc: abi.DT_REG, nodeDescriptor: abi.DT_LNK, nodeSocket: abi.DT_SOCK,
}

func (n *node) stat(_ *Table, _ *openFile, s *abi.Stat) {
	*s = abi.Stat{
		Dev: devFiles + uint64(n.fs), Ino: n.ino, Nlink: uint64(n.now.nlink), Mode: modeOf[n.kind] | n.now.mode, Size: n.size(), Blksize: pageSize,
		Atime: n.now.atime, Mtime: n.now.mtime, Ctime: n.now.ctime,
	}
	switch {
	case n.kind == nodeDevice:
		s.Rdev = devices[n.special].number
	case n.image && n.kind == nodeFile:
		s.Blocks = (s.Size + 511) / 512
	case n.kind == nodeFile:
		s.Blocks = int64(len(n.now.pages)) * (pageSize / 512)
	}
}

// touch notes a change of a node's bytes or names.
func (t *Table) touch(n *node) {
	t.keep(&n.kept, n)
	n.now.mtime, n.now.ctime = t.real, t.real
}

// link gives a node a name in a directory of a memory file system.
func (t *Table) link(dir *node, name string, n *node) {
	t.touch(dir)
	t.keep(&n.kept, n)
	if dir.now.cookie < cookieMax {
		dir.now.cookie++
	}
	dir.now.names[name] = entry{node: n, cookie: dir.now.cookie}
	n.now.nlink++
	n.now.ctime = t.real
	if n.kind == nodeDir {
		n.now.nlink = 2 + n.subdirectories()
		n.now.parent, n.now.name = dir, name
		dir.now.nlink++
	}
}

// unlink takes a node's name away.
func (t *Table) unlink(dir *node, name string) {
	n := dir.now.names[name].node
	t.touch(dir)
	t.keep(&n.kept, n)
	delete(dir.now.names, name)
	n.now.ctime = t.real
	if n.kind == nodeDir {
		n.now.nlink = 0
		dir.now.nlink--
	} else {
		n.now.nlink--
	}
	t.reap(n)
}

func (n *node) subdirectories() (count uint32) {
	for _, e := range n.now.names {
		if e.node.kind == nodeDir {
			count++
		}
	}
	return count
}

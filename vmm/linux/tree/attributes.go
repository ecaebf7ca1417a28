package tree

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// Statfs fills in what statfs says; n is nil for what has no name.
func (t *Tree) Statfs(n *Node, s *abi.Statfs) {
	*s = abi.Statfs{Bsize: PageSize, Frsize: PageSize, Namelen: NameMax}
	switch {
	case n == nil:
		s.Type = abi.PIPEFS_MAGIC
	case n.fs == fsProc:
		s.Type = abi.PROC_SUPER_MAGIC
	case n.Image:
		s.Type, s.Flags = abi.SQUASHFS_MAGIC, 1 // ST_RDONLY
	default:
		s.Type = abi.TMPFS_MAGIC
		s.Blocks = uint64(t.ledger.Limits.Memory / PageSize)
		s.Bfree = uint64(max(t.ledger.Limits.Memory-t.ledger.Now.Memory, 0) / PageSize)
		s.Bavail = s.Bfree
		s.Files, s.Ffree = uint64(t.ledger.Limits.Nodes), uint64(max(t.ledger.Limits.Nodes-t.ledger.Now.Nodes, 0))
	}
}

// Chmod is fchmod.
func (t *Tree) Chmod(n *Node, mode uint32) abi.Errno {
	switch {
	case n == nil:
		return 0 // of a pipe or socket: nobody asks for it
	case n.Image:
		return abi.EROFS
	case n.Kind == KindLink:
		return abi.EOPNOTSUPP
	}
	t.ledger.Keep(&n.kept, n)
	n.now.mode, n.now.ctime = mode&0o7777, t.real
	return 0
}

// Chown is fchown. Owners are kept and told, and bind nobody; n is nil for what has no name.
func (t *Tree) Chown(n *Node, uid, gid uint32) abi.Errno {
	const unchanged = ^uint32(0)
	switch {
	case n == nil:
		return 0
	case n.Image:
		return abi.EROFS
	}
	t.ledger.Keep(&n.kept, n)
	if uid != unchanged {
		n.now.uid = uid
	}
	if gid != unchanged {
		n.now.gid = gid
	}
	n.now.ctime = t.real
	return 0
}

// FileTime is one of utimensat's two times: nanoseconds since 1970, now, or unchanged.
type FileTime struct {
	Nanoseconds int64
	Now, Omit   bool
}

func (f FileTime) set(to *int64, now int64) {
	switch {
	case f.Now:
		*to = now
	case !f.Omit:
		*to = f.Nanoseconds
	}
}

// Access is faccessat: the program is root, and may all but write to the image and run what nobody may run.
func (n *Node) Access(mode int) abi.Errno {
	switch {
	case n == nil:
		return 0
	case mode&abi.W_OK != 0 && n.Image && n.Kind != KindDevice:
		return abi.EROFS
	case mode&abi.X_OK != 0 && n.Kind != KindDir && n.now.mode&0o111 == 0:
		return abi.EACCES
	}
	return 0
}

// SetTimes is utimensat; n is nil for what has no name.
func (t *Tree) SetTimes(n *Node, access, modification FileTime) abi.Errno {
	switch {
	case n == nil:
		return 0
	case n.Image:
		return abi.EROFS
	}
	t.ledger.Keep(&n.kept, n)
	access.set(&n.now.atime, t.real)
	modification.set(&n.now.mtime, t.real)
	n.now.ctime = t.real
	return 0
}

// Child is an entry of a directory. Cookies rise in the order in which entries were made.
type Child struct {
	Name   string
	Node   *Node
	Cookie int64
}

// Children are a directory's entries behind a cookie, in order.
func (t *Tree) Children(dir *Node, after int64) (list []Child) {
	if dir.Image && dir.Special == procDescriptors {
		for fd := range t.descriptors.Count() {
			if _, e := t.descriptors.Node(fd); e == 0 && int64(fd) >= after {
				list = append(list, Child{strconv.Itoa(fd), t.descriptorLink(fd), int64(fd) + 1})
			}
		}
		return list
	}
	for name, e := range dir.now.names {
		if e.cookie > after {
			n := e.node
			if n.mount > 0 {
				n = t.mounts[n.mount-1]
			}
			list = append(list, Child{name, n, e.cookie})
		}
	}
	slices.SortFunc(list, func(a, b Child) int { return cmp.Compare(a.Cookie, b.Cookie) })
	return list
}

package file

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// Stat is newfstatat and, with another encoding, statx. Unknown flags are EINVAL.
func (t *Table) Stat(dir int, path string, flags int, s *abi.Stat) abi.Errno {
	const known = abi.AT_EMPTY_PATH | abi.AT_SYMLINK_NOFOLLOW | abi.AT_NO_AUTOMOUNT | abi.AT_STATX_FORCE_SYNC | abi.AT_STATX_DONT_SYNC
	if flags&^known != 0 {
		return abi.EINVAL
	}
	w, e := t.existOrOpen(dir, path, flags)
	switch {
	case e != 0:
		return e
	case w.file != nil:
		w.file.object.stat(t, w.file, s)
	default:
		w.node.stat(t, nil, s)
	}
	return 0
}

// Fstat is fstat.
func (t *Table) Fstat(fd int, s *abi.Stat) abi.Errno {
	f, e := t.get(fd)
	if e == 0 {
		f.object.stat(t, f, s)
	}
	return e
}

// Statfs is statfs.
func (t *Table) Statfs(path string, s *abi.Statfs) abi.Errno {
	w, e := t.exist(abi.AT_FDCWD, path, true)
	if e == 0 {
		t.statfs(w.node, s)
	}
	return e
}

// Fstatfs is fstatfs.
func (t *Table) Fstatfs(fd int, s *abi.Statfs) abi.Errno {
	f, e := t.get(fd)
	if e == 0 {
		t.statfs(f.node, s)
	}
	return e
}

func (t *Table) statfs(n *node, s *abi.Statfs) {
	*s = abi.Statfs{Bsize: pageSize, Frsize: pageSize, Namelen: nameMax}
	switch {
	case n == nil:
		s.Type = abi.PIPEFS_MAGIC
	case n.fs == fsProc:
		s.Type = abi.PROC_SUPER_MAGIC
	case n.image:
		s.Type, s.Flags = abi.SQUASHFS_MAGIC, 1 // ST_RDONLY
	default:
		s.Type = abi.TMPFS_MAGIC
		s.Blocks = uint64(t.limits.Memory / pageSize)
		s.Bfree = uint64(max(t.limits.Memory-t.now.memory, 0) / pageSize)
		s.Bavail = s.Bfree
		s.Files, s.Ffree = uint64(t.limits.Nodes), uint64(max(t.limits.Nodes-t.now.nodes, 0))
	}
}

// Access is faccessat2: the program is root, and may all but write to the image and run what nobody may run.
func (t *Table) Access(dir int, path string, mode, flags int) abi.Errno {
	if mode&^7 != 0 || flags&^(abi.AT_EACCESS|abi.AT_SYMLINK_NOFOLLOW|abi.AT_EMPTY_PATH) != 0 {
		return abi.EINVAL
	}
	w, e := t.existOrOpen(dir, path, flags)
	switch {
	case e != 0:
		return e
	case w.node == nil:
		return 0
	case mode&abi.W_OK != 0 && w.node.image && w.node.kind != nodeDevice:
		return abi.EROFS
	case mode&abi.X_OK != 0 && w.node.kind != nodeDir && w.node.now.mode&0o111 == 0:
		return abi.EACCES
	}
	return 0
}

// Chmod is fchmodat2. Permissions are kept and told, and bind nobody: the program is root.
func (t *Table) Chmod(dir int, path string, mode uint32, flags int) abi.Errno {
	if flags&^(abi.AT_SYMLINK_NOFOLLOW|abi.AT_EMPTY_PATH) != 0 {
		return abi.EINVAL
	}
	w, e := t.existOrOpen(dir, path, flags)
	if e != 0 {
		return e
	}
	return t.chmod(w.node, mode)
}

// Fchmod is fchmod.
func (t *Table) Fchmod(fd int, mode uint32) abi.Errno {
	f, e := t.getOpen(fd)
	if e != 0 {
		return e
	}
	return t.chmod(f.node, mode)
}

func (t *Table) chmod(n *node, mode uint32) abi.Errno {
	switch {
	case n == nil:
		return 0 // of a pipe or socket: nobody asks for it
	case n.image:
		return abi.EROFS
	case n.kind == nodeLink:
		return abi.EOPNOTSUPP
	}
	t.keep(&n.kept, n)
	n.now.mode, n.now.ctime = mode&0o7777, t.real
	return 0
}

// Chown is fchownat: users aren't kept, so root can give a file to root, and to nobody else.
func (t *Table) Chown(dir int, path string, uid, gid uint32, flags int) abi.Errno {
	if flags&^(abi.AT_SYMLINK_NOFOLLOW|abi.AT_EMPTY_PATH) != 0 {
		return abi.EINVAL
	}
	w, e := t.existOrOpen(dir, path, flags)
	if e != 0 {
		return e
	}
	return chown(w.node, uid, gid)
}

// Fchown is fchown.
func (t *Table) Fchown(fd int, uid, gid uint32) abi.Errno {
	f, e := t.getOpen(fd)
	if e != 0 {
		return e
	}
	return chown(f.node, uid, gid)
}

func chown(n *node, uid, gid uint32) abi.Errno {
	const unchanged = ^uint32(0)
	switch {
	case n != nil && n.image:
		return abi.EROFS
	case uid != 0 && uid != unchanged || gid != 0 && gid != unchanged:
		return abi.EPERM
	}
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

// Utimens is utimensat. A null path, which is futimens, is an empty one with AT_EMPTY_PATH.
func (t *Table) Utimens(dir int, path string, access, modification FileTime, flags int) abi.Errno {
	if flags&^(abi.AT_SYMLINK_NOFOLLOW|abi.AT_EMPTY_PATH) != 0 {
		return abi.EINVAL
	}
	if access.Omit && modification.Omit {
		return 0
	}
	w, e := t.existOrOpen(dir, path, flags)
	switch {
	case e != 0:
		return e
	case w.node == nil:
		return 0
	case w.node.image:
		return abi.EROFS
	}
	t.keep(&w.node.kept, w.node)
	access.set(&w.node.now.atime, t.real)
	modification.set(&w.node.now.mtime, t.real)
	w.node.now.ctime = t.real
	return 0
}

// direntsDots is where a directory's own entries begin: "." and ".." are before them.
const direntsDots = 2

// Getdents is getdents64. An entry's offset is one more than its number, and those come in the order in which they were made: whatever is made or
// removed meanwhile, no other entry comes twice or not at all.
func (t *Table) Getdents(fd int, p []byte) (int, abi.Errno) {
	f, e := t.getOpen(fd)
	switch {
	case e != 0:
		return 0, e
	case f.node == nil || f.node.kind != nodeDir:
		return 0, abi.ENOTDIR
	case f.node.now.nlink == 0:
		return 0, abi.ENOENT
	}
	n := 0
	put := func(name string, node *node, next int64) bool {
		if abi.DirentSize(name) > len(p)-n {
			return false
		}
		n += abi.PutDirent(p[n:], node.ino, next, direntKind[node.kind], name)
		t.keep(&f.kept, f)
		f.now.off = next
		return true
	}
	ok := true
	if f.now.off == 0 {
		ok = put(".", f.node, 1)
	}
	if ok && f.now.off == 1 {
		ok = put("..", t.parent(f.node), direntsDots)
	}
	if ok && f.now.off >= direntsDots {
		for _, c := range t.children(f.node, f.now.off-direntsDots) {
			if ok = put(c.name, c.node, c.cookie+direntsDots); !ok {
				break
			}
		}
	}
	if !ok && n == 0 {
		return 0, abi.EINVAL
	}
	return n, 0
}

type child struct {
	name   string
	node   *node
	cookie int64
}

// children are a directory's entries behind a cookie, in order.
func (t *Table) children(dir *node, after int64) (list []child) {
	if dir.image && dir.special == procDescriptors {
		for fd := range t.fds {
			if t.fds[fd].file != nil && int64(fd) >= after {
				list = append(list, child{strconv.Itoa(fd), t.descriptorLink(fd), int64(fd) + 1})
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
			list = append(list, child{name, n, e.cookie})
		}
	}
	slices.SortFunc(list, func(a, b child) int { return cmp.Compare(a.cookie, b.cookie) })
	return list
}

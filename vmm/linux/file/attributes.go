package file

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/tree"
)

// Stat is newfstatat and, with another encoding, statx. Unknown flags are EINVAL.
func (t *Table) Stat(dir int, path string, flags int, s *abi.Stat) abi.Errno {
	const known = abi.AT_EMPTY_PATH | abi.AT_SYMLINK_NOFOLLOW | abi.AT_NO_AUTOMOUNT | abi.AT_STATX_FORCE_SYNC | abi.AT_STATX_DONT_SYNC
	if flags&^known != 0 {
		return abi.EINVAL
	}
	w, e := t.tree.At(dir, path, flags)
	switch {
	case e != 0:
		return e
	case w.Node == nil:
		return t.Fstat(w.FD, s)
	}
	w.Node.Stat(s)
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
	w, e := t.tree.Exist(abi.AT_FDCWD, path, true)
	if e == 0 {
		t.tree.Statfs(w.Node, s)
	}
	return e
}

// Fstatfs is fstatfs.
func (t *Table) Fstatfs(fd int, s *abi.Statfs) abi.Errno {
	f, e := t.get(fd)
	if e == 0 {
		t.tree.Statfs(f.node, s)
	}
	return e
}

// Access is faccessat2: the program is root, and may all but write to the image and run what nobody may run.
func (t *Table) Access(dir int, path string, mode, flags int) abi.Errno {
	if mode&^7 != 0 || flags&^(abi.AT_EACCESS|abi.AT_SYMLINK_NOFOLLOW|abi.AT_EMPTY_PATH) != 0 {
		return abi.EINVAL
	}
	w, e := t.tree.At(dir, path, flags)
	if e != 0 {
		return e
	}
	return w.Node.Access(mode)
}

// Chmod is fchmodat2. Permissions are kept and told, and bind nobody: the program is root.
func (t *Table) Chmod(dir int, path string, mode uint32, flags int) abi.Errno {
	if flags&^(abi.AT_SYMLINK_NOFOLLOW|abi.AT_EMPTY_PATH) != 0 {
		return abi.EINVAL
	}
	w, e := t.tree.At(dir, path, flags)
	if e != 0 {
		return e
	}
	return t.tree.Chmod(w.Node, mode)
}

// Fchmod is fchmod.
func (t *Table) Fchmod(fd int, mode uint32) abi.Errno {
	f, e := t.getOpen(fd)
	if e != 0 {
		return e
	}
	return t.tree.Chmod(f.node, mode)
}

// Chown is fchownat. Owners are kept and told, and bind nobody.
func (t *Table) Chown(dir int, path string, uid, gid uint32, flags int) abi.Errno {
	if flags&^(abi.AT_SYMLINK_NOFOLLOW|abi.AT_EMPTY_PATH) != 0 {
		return abi.EINVAL
	}
	w, e := t.tree.At(dir, path, flags)
	if e != 0 {
		return e
	}
	return t.tree.Chown(w.Node, uid, gid)
}

// Fchown is fchown.
func (t *Table) Fchown(fd int, uid, gid uint32) abi.Errno {
	f, e := t.getOpen(fd)
	if e != 0 {
		return e
	}
	return t.tree.Chown(f.node, uid, gid)
}

// Utimens is utimensat. A null path, which is futimens, is an empty one with AT_EMPTY_PATH.
func (t *Table) Utimens(dir int, path string, access, modification FileTime, flags int) abi.Errno {
	if flags&^(abi.AT_SYMLINK_NOFOLLOW|abi.AT_EMPTY_PATH) != 0 {
		return abi.EINVAL
	}
	if access.Omit && modification.Omit {
		return 0
	}
	w, e := t.tree.At(dir, path, flags)
	if e != 0 {
		return e
	}
	return t.tree.SetTimes(w.Node, access, modification)
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
	case f.node == nil || f.node.Kind != tree.KindDir:
		return 0, abi.ENOTDIR
	case !f.node.Linked():
		return 0, abi.ENOENT
	}
	n := 0
	put := func(name string, node *tree.Node, next int64) bool {
		if abi.DirentSize(name) > len(p)-n {
			return false
		}
		n += abi.PutDirent(p[n:], node.Ino, next, node.Dirent(), name)
		t.ledger.Keep(&f.kept, f)
		f.now.off = next
		return true
	}
	ok := true
	if f.now.off == 0 {
		ok = put(".", f.node, 1)
	}
	if ok && f.now.off == 1 {
		ok = put("..", t.tree.Parent(f.node), direntsDots)
	}
	if ok && f.now.off >= direntsDots {
		for _, c := range t.tree.Children(f.node, f.now.off-direntsDots) {
			if ok = put(c.Name, c.Node, c.Cookie+direntsDots); !ok {
				break
			}
		}
	}
	if !ok && n == 0 {
		return 0, abi.EINVAL
	}
	return n, 0
}

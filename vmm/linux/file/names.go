package file

import (
	"strings"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// fresh finds where a name is to be made that isn't there (fs/namei.c filename_create). slash says whether the path may end with one.
func (t *Table) fresh(dir int, path string, slash bool) (found, abi.Errno) {
	w, e := t.walk(dir, path, endName)
	switch {
	case e != 0:
		return w, e
	case w.last != lastNormal, w.node != nil:
		return w, abi.EEXIST
	case w.slash && !slash:
		return w, abi.ENOENT
	}
	return w, t.newName(w)
}

// Mkdir is mkdirat.
func (t *Table) Mkdir(dir int, path string, mode uint32) abi.Errno {
	w, e := t.fresh(dir, path, true)
	if e != 0 {
		return e
	}
	if t.depth(w.parent) >= depthMax {
		return abi.ENAMETOOLONG
	}
	n := t.newNode(nodeDir, mode&^t.now.umask)
	n.fs = w.parent.fs
	t.link(w.parent, w.name, n)
	return 0
}

// depth is how many directories of memory file systems are above n, and n.
func (t *Table) depth(n *node) (depth int) {
	for ; !n.image; n = t.parent(n) {
		depth++
	}
	return depth
}

// height is how many directories are in one another below n.
func (n *node) height() (deepest int) {
	for _, e := range n.now.names {
		if e.node.kind == nodeDir {
			deepest = max(deepest, 1+e.node.height())
		}
	}
	return deepest
}

// Mknod is mknodat: regular files only.
func (t *Table) Mknod(dir int, path string, mode uint32) abi.Errno {
	w, e := t.fresh(dir, path, false)
	switch {
	case e != 0:
		return e
	case mode&abi.S_IFMT != 0 && mode&abi.S_IFMT != abi.S_IFREG:
		return abi.EPERM
	}
	n := t.newNode(nodeFile, mode&^t.now.umask)
	n.fs = w.parent.fs
	t.link(w.parent, w.name, n)
	return 0
}

// Symlink is symlinkat.
func (t *Table) Symlink(target string, dir int, path string) abi.Errno {
	switch {
	case target == "":
		return abi.ENOENT
	case len(target) >= pathMax:
		return abi.ENAMETOOLONG
	case strings.IndexByte(target, 0) >= 0:
		return abi.EINVAL
	}
	w, e := t.fresh(dir, path, false)
	if e != 0 {
		return e
	}
	n := t.newNode(nodeLink, 0o777)
	n.fs, n.target = w.parent.fs, target
	t.link(w.parent, w.name, n)
	return 0
}

// Link is linkat.
func (t *Table) Link(fromDir int, from string, toDir int, to string, flags int) abi.Errno {
	if flags&^(abi.AT_SYMLINK_FOLLOW|abi.AT_EMPTY_PATH) != 0 {
		return abi.EINVAL
	}
	old, e := t.existOrOpen(fromDir, from, flags&abi.AT_EMPTY_PATH|(^flags&abi.AT_SYMLINK_FOLLOW)/abi.AT_SYMLINK_FOLLOW*abi.AT_SYMLINK_NOFOLLOW)
	if e != 0 {
		return e
	}
	w, e := t.walk(toDir, to, endName)
	switch {
	case e != 0:
		return e
	case w.last != lastNormal || w.node != nil:
		return abi.EEXIST
	case w.slash:
		return abi.ENOENT
	case old.node == nil || old.node.fs != w.parent.fs || old.node.image != w.parent.image:
		return abi.EXDEV
	case w.parent.image:
		return abi.EROFS
	case old.node.kind == nodeDir:
		return abi.EPERM
	case old.node.now.nlink == 0 || w.parent.now.nlink == 0:
		return abi.ENOENT
	case old.node.now.nlink >= nlinkMax:
		return abi.EMLINK
	}
	t.link(w.parent, w.name, old.node)
	return 0
}

// Unlink is unlinkat.
func (t *Table) Unlink(dir int, path string, flags int) abi.Errno {
	if flags&^abi.AT_REMOVEDIR != 0 {
		return abi.EINVAL
	}
	remove := flags&abi.AT_REMOVEDIR != 0
	w, e := t.walk(dir, path, endName)
	if e != 0 {
		return e
	}
	switch {
	case w.last != lastNormal && !remove:
		return abi.EISDIR
	case w.last == lastDotDot:
		return abi.ENOTEMPTY
	case w.last == lastDot:
		return abi.EINVAL
	case w.last == lastRoot:
		return abi.EBUSY
	case w.parent.image:
		return abi.EROFS
	case w.node == nil:
		return abi.ENOENT
	case w.node.kind != nodeDir && (remove || w.slash):
		return abi.ENOTDIR
	case remove && len(w.node.now.names) > 0:
		return abi.ENOTEMPTY
	case !remove && w.node.kind == nodeDir:
		return abi.EISDIR
	}
	t.unlink(w.parent, w.name)
	return 0
}

// Rename is renameat2, without RENAME_EXCHANGE and RENAME_WHITEOUT.
func (t *Table) Rename(fromDir int, from string, toDir int, to string, flags int) abi.Errno {
	if flags&^abi.RENAME_NOREPLACE != 0 {
		return abi.EINVAL
	}
	old, e := t.walk(fromDir, from, endName)
	if e != 0 {
		return e
	}
	w, e := t.walk(toDir, to, endName)
	if e != 0 {
		return e
	}
	switch {
	case old.parent.fs != w.parent.fs || old.parent.image != w.parent.image:
		return abi.EXDEV
	case old.last != lastNormal || w.last != lastNormal && flags&abi.RENAME_NOREPLACE == 0:
		return abi.EBUSY
	case w.last != lastNormal:
		return abi.EEXIST
	case w.parent.image:
		return abi.EROFS
	case old.node == nil:
		return abi.ENOENT
	case w.node != nil && flags&abi.RENAME_NOREPLACE != 0:
		return abi.EEXIST
	case old.node.kind != nodeDir && (old.slash || w.slash):
		return abi.ENOTDIR
	}
	if e := t.mayMove(old, w); e != 0 {
		return e
	}
	if old.node == w.node {
		return 0 // two names of one file: nothing happens (rename(2))
	}
	t.hold(old.node)
	if w.node != nil {
		t.unlink(w.parent, w.name)
	}
	t.unlink(old.parent, old.name)
	t.link(w.parent, w.name, old.node)
	t.drop(old.node)
	return 0
}

// mayMove checks a rename that isn't wrong at the first glance.
func (t *Table) mayMove(old, w found) abi.Errno {
	if old.node.kind == nodeDir {
		for up := w.parent; !up.image; up = t.parent(up) {
			if up == old.node {
				return abi.EINVAL // into itself
			}
		}
	}
	for up := old.parent; !up.image; up = t.parent(up) {
		if up == w.node {
			return abi.ENOTEMPTY // over what it's in
		}
	}
	if w.parent.now.nlink == 0 {
		return abi.ENOENT
	}
	if n := w.node; n != nil && n != old.node {
		switch {
		case old.node.kind == nodeDir && n.kind != nodeDir:
			return abi.ENOTDIR
		case old.node.kind != nodeDir && n.kind == nodeDir:
			return abi.EISDIR
		case n.kind == nodeDir && len(n.now.names) > 0:
			return abi.ENOTEMPTY
		}
	}
	if old.node.kind == nodeDir && t.depth(w.parent)+1+old.node.height() > depthMax {
		return abi.ENAMETOOLONG
	}
	return 0
}

// Readlink is readlinkat; the caller cuts it to the program's buffer.
func (t *Table) Readlink(dir int, path string) (string, abi.Errno) {
	w, e := found{}, abi.Errno(0)
	if path == "" && dir != abi.AT_FDCWD {
		w, e = t.existOrOpen(dir, path, abi.AT_EMPTY_PATH)
	} else {
		w, e = t.exist(dir, path, false)
	}
	switch {
	case e != 0:
		return "", e
	case w.node == nil:
		return "", abi.EINVAL
	case w.node.kind == nodeDescriptor:
		f, e := t.get(w.node.special)
		if e != 0 {
			return "", abi.ENOENT
		}
		return t.describe(f), 0
	case w.node.kind != nodeLink && path == "":
		return "", abi.ENOENT
	case w.node.kind != nodeLink:
		return "", abi.EINVAL
	}
	return w.node.target, 0
}

// Chdir is chdir.
func (t *Table) Chdir(path string) abi.Errno {
	w, e := t.exist(abi.AT_FDCWD, path, true)
	if e != 0 {
		return e
	}
	return t.chdir(w.node)
}

// Fchdir is fchdir.
func (t *Table) Fchdir(fd int) abi.Errno {
	f, e := t.get(fd)
	if e != 0 {
		return e
	}
	return t.chdir(f.node)
}

func (t *Table) chdir(n *node) abi.Errno {
	if n == nil || n.kind != nodeDir {
		return abi.ENOTDIR
	}
	t.hold(n)
	t.drop(t.now.cwd)
	t.now.cwd = n
	return 0
}

// Getcwd is getcwd.
func (t *Table) Getcwd() (string, abi.Errno) { return t.pathOf(t.now.cwd) }

// Umask is umask.
func (t *Table) Umask(mask uint32) uint32 {
	old := t.now.umask
	t.now.umask = mask & 0o777
	return old
}

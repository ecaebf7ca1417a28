package tree

import (
	"strings"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// fresh finds where a name is to be made that isn't there (fs/namei.c filename_create). slash says whether the path may end with one.
func (t *Tree) fresh(dir int, path string, slash bool) (Found, abi.Errno) {
	w, e := t.walk(dir, path, endName)
	switch {
	case e != 0:
		return w, e
	case w.last != lastNormal, w.Node != nil:
		return w, abi.EEXIST
	case w.slash && !slash:
		return w, abi.ENOENT
	}
	return w, t.newName(w)
}

// Mkdir is mkdirat.
func (t *Tree) Mkdir(dir int, path string, mode uint32) abi.Errno {
	w, e := t.fresh(dir, path, true)
	if e != 0 {
		return e
	}
	if t.depth(w.parent) >= depthMax {
		return abi.ENAMETOOLONG
	}
	n := t.newNode(KindDir, mode&^t.now.umask)
	n.fs = w.parent.fs
	t.link(w.parent, w.name, n)
	return 0
}

// depth is how many directories of memory file systems are above n, and n.
func (t *Tree) depth(n *Node) (depth int) {
	for ; !n.Image; n = t.Parent(n) {
		depth++
	}
	return depth
}

// height is how many directories are in one another below n.
func (n *Node) height() (deepest int) {
	for _, e := range n.now.names {
		if e.node.Kind == KindDir {
			deepest = max(deepest, 1+e.node.height())
		}
	}
	return deepest
}

// Mknod is mknodat: regular files only.
func (t *Tree) Mknod(dir int, path string, mode uint32) abi.Errno {
	w, e := t.fresh(dir, path, false)
	switch {
	case e != 0:
		return e
	case mode&abi.S_IFMT != 0 && mode&abi.S_IFMT != abi.S_IFREG:
		return abi.EPERM
	}
	n := t.newNode(KindFile, mode&^t.now.umask)
	n.fs = w.parent.fs
	t.link(w.parent, w.name, n)
	return 0
}

// Symlink is symlinkat.
func (t *Tree) Symlink(target string, dir int, path string) abi.Errno {
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
	n := t.newNode(KindLink, 0o777)
	n.fs, n.Target = w.parent.fs, target
	t.link(w.parent, w.name, n)
	return 0
}

// Link is linkat.
func (t *Tree) Link(fromDir int, from string, toDir int, to string, flags int) abi.Errno {
	if flags&^(abi.AT_SYMLINK_FOLLOW|abi.AT_EMPTY_PATH) != 0 {
		return abi.EINVAL
	}
	old, e := t.At(fromDir, from, flags&abi.AT_EMPTY_PATH|(^flags&abi.AT_SYMLINK_FOLLOW)/abi.AT_SYMLINK_FOLLOW*abi.AT_SYMLINK_NOFOLLOW)
	if e != 0 {
		return e
	}
	w, e := t.walk(toDir, to, endName)
	switch {
	case e != 0:
		return e
	case w.last != lastNormal || w.Node != nil:
		return abi.EEXIST
	case w.slash:
		return abi.ENOENT
	case old.Node == nil || old.Node.fs != w.parent.fs || old.Node.Image != w.parent.Image:
		return abi.EXDEV
	case w.parent.Image:
		return abi.EROFS
	case old.Node.Kind == KindDir:
		return abi.EPERM
	case old.Node.now.nlink == 0 || w.parent.now.nlink == 0:
		return abi.ENOENT
	case old.Node.now.nlink >= nlinkMax:
		return abi.EMLINK
	}
	t.link(w.parent, w.name, old.Node)
	return 0
}

// Unlink is unlinkat.
func (t *Tree) Unlink(dir int, path string, flags int) abi.Errno {
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
	case w.parent.Image:
		return abi.EROFS
	case w.Node == nil:
		return abi.ENOENT
	case w.Node.Kind != KindDir && (remove || w.slash):
		return abi.ENOTDIR
	case remove && len(w.Node.now.names) > 0:
		return abi.ENOTEMPTY
	case !remove && w.Node.Kind == KindDir:
		return abi.EISDIR
	}
	t.unlink(w.parent, w.name)
	return 0
}

// Rename is renameat2, without RENAME_EXCHANGE and RENAME_WHITEOUT.
func (t *Tree) Rename(fromDir int, from string, toDir int, to string, flags int) abi.Errno {
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
	case old.parent.fs != w.parent.fs || old.parent.Image != w.parent.Image:
		return abi.EXDEV
	case old.last != lastNormal || w.last != lastNormal && flags&abi.RENAME_NOREPLACE == 0:
		return abi.EBUSY
	case w.last != lastNormal:
		return abi.EEXIST
	case w.parent.Image:
		return abi.EROFS
	case old.Node == nil:
		return abi.ENOENT
	case w.Node != nil && flags&abi.RENAME_NOREPLACE != 0:
		return abi.EEXIST
	case old.Node.Kind != KindDir && (old.slash || w.slash):
		return abi.ENOTDIR
	}
	if e := t.mayMove(old, w); e != 0 {
		return e
	}
	if old.Node == w.Node {
		return 0 // two names of one file: nothing happens (rename(2))
	}
	t.Hold(old.Node)
	if w.Node != nil {
		t.unlink(w.parent, w.name)
	}
	t.unlink(old.parent, old.name)
	t.link(w.parent, w.name, old.Node)
	t.Drop(old.Node)
	return 0
}

// mayMove checks a rename that isn't wrong at the first glance.
func (t *Tree) mayMove(old, w Found) abi.Errno {
	if old.Node.Kind == KindDir {
		for up := w.parent; !up.Image; up = t.Parent(up) {
			if up == old.Node {
				return abi.EINVAL // into itself
			}
		}
	}
	for up := old.parent; !up.Image; up = t.Parent(up) {
		if up == w.Node {
			return abi.ENOTEMPTY // over what it's in
		}
	}
	if w.parent.now.nlink == 0 {
		return abi.ENOENT
	}
	if n := w.Node; n != nil && n != old.Node {
		switch {
		case old.Node.Kind == KindDir && n.Kind != KindDir:
			return abi.ENOTDIR
		case old.Node.Kind != KindDir && n.Kind == KindDir:
			return abi.EISDIR
		case n.Kind == KindDir && len(n.now.names) > 0:
			return abi.ENOTEMPTY
		}
	}
	if old.Node.Kind == KindDir && t.depth(w.parent)+1+old.Node.height() > depthMax {
		return abi.ENAMETOOLONG
	}
	return 0
}

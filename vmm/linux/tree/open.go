package tree

import "github.com/wherry/wherry/vmm/linux/abi"

// FindToOpen walks to what open with these flags opens or makes.
func (t *Tree) FindToOpen(dir int, path string, flags int) (Found, abi.Errno) {
	return t.walk(dir, path, openEnd(flags))
}

// openEnd is what open does at the path's end (fs/namei.c open_last_lookups).
func openEnd(flags int) (end walkEnd) {
	if flags&abi.O_CREAT != 0 {
		end = endName
	}
	if flags&abi.O_NOFOLLOW == 0 && (flags&abi.O_CREAT == 0 || flags&abi.O_EXCL == 0) {
		end |= endFollow
	}
	return end
}

// Open finds or makes the file, and empties it where that's asked.
func (t *Tree) Open(w Found, flags int, mode uint32) (*Node, abi.Errno) {
	switch {
	case flags&abi.O_CREAT != 0 && w.last == lastNormal && w.slash && flags&abi.O_DIRECTORY == 0:
		return nil, abi.EISDIR
	case w.Node == nil && flags&abi.O_CREAT == 0:
		return nil, abi.ENOENT
	case w.Node != nil && flags&abi.O_CREAT != 0 && flags&abi.O_EXCL != 0:
		return nil, abi.EEXIST
	}
	return t.openNode(w, flags, mode&^t.now.umask)
}

func (t *Tree) openNode(w Found, flags int, mode uint32) (*Node, abi.Errno) {
	n, write := w.Node, flags&abi.O_ACCMODE != abi.O_RDONLY
	if n == nil {
		if e := t.newName(w); e != 0 {
			return nil, e
		}
		n = t.newNode(KindFile, mode)
		n.fs = w.parent.fs
		t.link(w.parent, w.name, n)
		return n, 0
	}
	if flags&abi.O_TMPFILE == abi.O_TMPFILE {
		return t.temporary(n, mode)
	}
	switch {
	case n.Kind == KindLink && flags&abi.O_PATH == 0:
		return nil, abi.ELOOP // O_NOFOLLOW
	case flags&abi.O_DIRECTORY != 0 && n.Kind != KindDir:
		return nil, abi.ENOTDIR
	case flags&abi.O_PATH != 0:
		return n, 0
	case n.Kind == KindDir && (write || flags&abi.O_CREAT != 0):
		return nil, abi.EISDIR
	case n.Kind == KindSocket:
		return nil, abi.ENXIO
	case n.Image && n.Kind == KindProc && write:
		return nil, abi.EACCES
	case n.Image && n.Kind == KindFile && (write || flags&abi.O_TRUNC != 0):
		return nil, abi.EROFS
	case n.Kind == KindDir && flags&abi.O_TRUNC != 0:
		return nil, abi.EISDIR
	}
	if n.Kind == KindFile && flags&abi.O_TRUNC != 0 {
		return n, t.Resize(n, 0)
	}
	return n, 0
}

// temporary makes a file without a name.
func (t *Tree) temporary(dir *Node, mode uint32) (*Node, abi.Errno) {
	switch {
	case dir.Kind != KindDir:
		return nil, abi.ENOTDIR
	case dir.Image:
		return nil, abi.EROFS
	case t.ledger.Now.Nodes >= t.ledger.Limits.Nodes:
		return nil, abi.ENOSPC
	}
	n := t.newNode(KindFile, mode)
	n.fs = dir.fs
	return n, 0
}

// newName says whether a name can be made where a path leads.
func (t *Tree) newName(w Found) abi.Errno {
	switch {
	case w.parent.Image:
		return abi.EROFS
	case w.parent.now.nlink == 0:
		return abi.ENOENT // the directory was removed
	case t.ledger.Now.Nodes >= t.ledger.Limits.Nodes:
		return abi.ENOSPC
	}
	return 0
}

// PathTo is what /proc/self/fd says of a file that was opened by path.
func (t *Tree) PathTo(w Found, path string) string {
	dir, e := "", abi.Errno(0)
	if w.parent != nil && w.last == lastNormal {
		if dir, e = t.PathOf(w.parent); e == 0 {
			if dir == "/" {
				dir = ""
			}
			return dir + "/" + w.name
		}
	}
	return path
}

// Unnamed makes a memory file that never has a name; sealed says that it can't be sealed.
func (t *Tree) Unnamed(sealed bool) (*Node, abi.Errno) {
	if t.ledger.Now.Nodes >= t.ledger.Limits.Nodes {
		return nil, abi.ENOSPC
	}
	n := t.newNode(KindFile, 0o777)
	if sealed {
		n.now.seals = abi.F_SEAL_SEAL
	}
	return n, 0
}

// MakeSocket makes the name of a socket, and gives its inode number: EADDRINUSE when there's something.
func (t *Tree) MakeSocket(path string) (ino uint64, e abi.Errno) {
	w, e := t.fresh(abi.AT_FDCWD, path, false)
	switch {
	case e == abi.EEXIST:
		return 0, abi.EADDRINUSE
	case e != 0:
		return 0, e
	}
	n := t.newNode(KindSocket, 0o777&^t.now.umask)
	n.fs = w.parent.fs
	t.link(w.parent, w.name, n)
	return n.Ino, 0
}

// FindSocket is the inode number that MakeSocket gave for a path: ECONNREFUSED when that's no socket.
func (t *Tree) FindSocket(path string) (ino uint64, e abi.Errno) {
	w, e := t.Exist(abi.AT_FDCWD, path, true)
	switch {
	case e != 0:
		return 0, e
	case w.Node == nil || w.Node.Kind != KindSocket:
		return 0, abi.ECONNREFUSED
	}
	return w.Node.Ino, 0
}

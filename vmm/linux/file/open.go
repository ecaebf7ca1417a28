package file

import "github.com/wherry/wherry/vmm/linux/abi"

// openFlags are those that stay with the open file, for F_GETFL.
const openFlags = abi.O_ACCMODE | abi.O_APPEND | abi.O_NONBLOCK | abi.O_DSYNC | abi.O_SYNC | abi.O_DIRECT | abi.O_NOATIME | abi.O_DIRECTORY | abi.O_NOFOLLOW

// Open is openat. dir is a descriptor or AT_FDCWD, here and in all other calls with a path.
func (t *Table) Open(dir int, path string, flags int, mode uint32) (int, abi.Errno) {
	if e := checkOpen(&flags); e != 0 {
		return 0, e
	}
	fd, e := t.room()
	if e != 0 {
		return 0, e
	}
	exclusive := flags&abi.O_CREAT != 0 && flags&abi.O_EXCL != 0
	w, e := t.walk(dir, path, openEnd(flags))
	if e != 0 {
		return 0, e
	}
	if w.file != nil {
		return t.reopen(fd, w.file, flags)
	}
	switch {
	case flags&abi.O_CREAT != 0 && w.last == lastNormal && w.slash && flags&abi.O_DIRECTORY == 0:
		return 0, abi.EISDIR
	case w.node == nil && flags&abi.O_CREAT == 0:
		return 0, abi.ENOENT
	case w.node != nil && exclusive:
		return 0, abi.EEXIST
	}
	n, e := t.openNode(w, &flags, mode&^t.now.umask)
	if e != 0 {
		return 0, e
	}
	f := t.newFile(n, n, flags&openFlags|abi.O_LARGEFILE)
	if flags&abi.O_PATH != 0 {
		f.now.flags = flags & (abi.O_PATH | abi.O_DIRECTORY | abi.O_NOFOLLOW)
	} else if n.kind == nodeProc {
		f.content = system[n.special].make(t)
		f.content = f.content[:min(len(f.content), procSizeMax)]
	}
	f.path = t.fullPath(w, path)
	t.set(fd, f, flags&abi.O_CLOEXEC != 0)
	return fd, 0
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

// checkOpen refuses what can't go together (fs/open.c build_open_flags).
func checkOpen(flags *int) abi.Errno {
	if *flags&abi.O_PATH != 0 {
		*flags &= abi.O_PATH | abi.O_DIRECTORY | abi.O_NOFOLLOW | abi.O_CLOEXEC
	}
	temporary := *flags&abi.O_TMPFILE == abi.O_TMPFILE
	switch {
	case *flags&(abi.O_DIRECTORY|abi.O_CREAT) == abi.O_DIRECTORY|abi.O_CREAT:
		return abi.EINVAL
	case *flags&(abi.O_TMPFILE&^abi.O_DIRECTORY) != 0 && !temporary:
		return abi.EINVAL
	case temporary && *flags&abi.O_ACCMODE == abi.O_RDONLY:
		return abi.EINVAL
	}
	return 0
}

// openNode finds or makes the file, and empties it where that's asked.
func (t *Table) openNode(w found, flags *int, mode uint32) (*node, abi.Errno) {
	n, write := w.node, *flags&abi.O_ACCMODE != abi.O_RDONLY
	if n == nil {
		if e := t.newName(w); e != 0 {
			return nil, e
		}
		n = t.newNode(nodeFile, mode)
		n.fs = w.parent.fs
		t.link(w.parent, w.name, n)
		return n, 0
	}
	if *flags&abi.O_TMPFILE == abi.O_TMPFILE {
		return t.temporary(n, mode)
	}
	switch {
	case n.kind == nodeLink && *flags&abi.O_PATH == 0:
		return nil, abi.ELOOP // O_NOFOLLOW
	case *flags&abi.O_DIRECTORY != 0 && n.kind != nodeDir:
		return nil, abi.ENOTDIR
	case *flags&abi.O_PATH != 0:
		return n, 0
	case n.kind == nodeDir && (write || *flags&abi.O_CREAT != 0):
		return nil, abi.EISDIR
	case n.kind == nodeSocket:
		return nil, abi.ENXIO
	case n.image && n.kind == nodeProc && write:
		return nil, abi.EACCES
	case n.image && n.kind == nodeFile && (write || *flags&abi.O_TRUNC != 0):
		return nil, abi.EROFS
	case n.kind == nodeDir && *flags&abi.O_TRUNC != 0:
		return nil, abi.EISDIR
	}
	if n.kind == nodeFile && *flags&abi.O_TRUNC != 0 {
		return n, t.resize(n, 0)
	}
	return n, 0
}

// temporary makes a file without a name.
func (t *Table) temporary(dir *node, mode uint32) (*node, abi.Errno) {
	switch {
	case dir.kind != nodeDir:
		return nil, abi.ENOTDIR
	case dir.image:
		return nil, abi.EROFS
	case t.now.nodes >= t.limits.Nodes:
		return nil, abi.ENOSPC
	}
	n := t.newNode(nodeFile, mode)
	n.fs = dir.fs
	return n, 0
}

// newName says whether a name can be made where a path leads.
func (t *Table) newName(w found) abi.Errno {
	switch {
	case w.parent.image:
		return abi.EROFS
	case w.parent.now.nlink == 0:
		return abi.ENOENT // the directory was removed
	case t.now.nodes >= t.limits.Nodes:
		return abi.ENOSPC
	}
	return 0
}

// reopen opens what a link of /proc/self/fd leads to once more.
func (t *Table) reopen(fd int, of *openFile, flags int) (int, abi.Errno) {
	switch o := of.object.(type) {
	case *node:
		if flags&(abi.O_CREAT|abi.O_EXCL) == abi.O_CREAT|abi.O_EXCL {
			return 0, abi.EEXIST
		}
		n, e := t.openNode(found{node: o}, &flags, 0)
		if e != 0 {
			return 0, e
		}
		f := t.newFile(n, n, flags&openFlags|abi.O_LARGEFILE)
		f.path, f.content = of.path, of.content
		if flags&abi.O_PATH != 0 {
			f.now.flags = flags & (abi.O_PATH | abi.O_DIRECTORY | abi.O_NOFOLLOW)
		}
		t.set(fd, f, flags&abi.O_CLOEXEC != 0)
		return fd, 0
	case *pipe, *stream:
		if flags&abi.O_DIRECTORY != 0 {
			return 0, abi.ENOTDIR
		}
		f := t.newFile(o, nil, flags&openFlags)
		if p, ok := o.(*pipe); ok {
			p.opened(t, f)
		}
		t.set(fd, f, flags&abi.O_CLOEXEC != 0)
		return fd, 0
	}
	return 0, abi.ENXIO
}

// fullPath is what /proc/self/fd says of a file that was opened by path.
func (t *Table) fullPath(w found, path string) string {
	dir, e := "", abi.Errno(0)
	if w.parent != nil && w.last == lastNormal {
		if dir, e = t.pathOf(w.parent); e == 0 {
			if dir == "/" {
				dir = ""
			}
			return dir + "/" + w.name
		}
	}
	return path
}

// Memfd is memfd_create.
func (t *Table) Memfd(name string, flags int) (int, abi.Errno) {
	if flags&^(abi.MFD_CLOEXEC|abi.MFD_ALLOW_SEALING) != 0 || len(name) > nameMax-len("memfd:") {
		return 0, abi.EINVAL
	}
	fd, e := t.room()
	if e != 0 {
		return 0, e
	}
	if t.now.nodes >= t.limits.Nodes {
		return 0, abi.ENOSPC
	}
	n := t.newNode(nodeFile, 0o777)
	if flags&abi.MFD_ALLOW_SEALING == 0 {
		n.now.seals = abi.F_SEAL_SEAL
	}
	f := t.newFile(n, n, abi.O_RDWR|abi.O_LARGEFILE)
	f.path = "/memfd:" + name
	t.set(fd, f, flags&abi.MFD_CLOEXEC != 0)
	return fd, 0
}

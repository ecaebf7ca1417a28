package file

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/tree"
)

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
	w, e := t.tree.FindToOpen(dir, path, flags)
	if e != 0 {
		return 0, e
	}
	if w.Through {
		return t.reopen(fd, t.slots.fds[w.FD].file, flags)
	}
	n, e := t.tree.Open(w, flags, mode)
	if e != 0 {
		return 0, e
	}
	f := t.newFile(treeFile{n}, n, flags&openFlags|abi.O_LARGEFILE)
	if flags&abi.O_PATH != 0 {
		f.now.flags = flags & (abi.O_PATH | abi.O_DIRECTORY | abi.O_NOFOLLOW)
	} else if n.Kind == tree.KindProc {
		f.content = system[n.Special].make(t)
		f.content = f.content[:min(len(f.content), procSizeMax)]
	}
	f.path = t.tree.PathTo(w, path)
	t.set(fd, f, flags&abi.O_CLOEXEC != 0)
	return fd, 0
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

// reopen opens what a link of /proc/self/fd leads to once more.
func (t *Table) reopen(fd int, of *openFile, flags int) (int, abi.Errno) {
	switch o := of.object.(type) {
	case treeFile:
		n, e := t.tree.Open(tree.Found{Node: o.Node}, flags, 0)
		if e != 0 {
			return 0, e
		}
		f := t.newFile(treeFile{n}, n, flags&openFlags|abi.O_LARGEFILE)
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

// Memfd is memfd_create.
func (t *Table) Memfd(name string, flags int) (int, abi.Errno) {
	if flags&^(abi.MFD_CLOEXEC|abi.MFD_ALLOW_SEALING) != 0 || len(name) > tree.NameMax-len("memfd:") {
		return 0, abi.EINVAL
	}
	fd, e := t.room()
	if e != 0 {
		return 0, e
	}
	n, e := t.tree.Unnamed(flags&abi.MFD_ALLOW_SEALING == 0)
	if e != 0 {
		return 0, e
	}
	f := t.newFile(treeFile{n}, n, abi.O_RDWR|abi.O_LARGEFILE)
	f.path = "/memfd:" + name
	t.set(fd, f, flags&abi.MFD_CLOEXEC != 0)
	return fd, 0
}

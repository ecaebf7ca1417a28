package file

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/tree"
)

// Mkdir is mkdirat.
func (t *Table) Mkdir(dir int, path string, mode uint32) abi.Errno {
	return t.tree.Mkdir(dir, path, mode)
}

// Mknod is mknodat: regular files only.
func (t *Table) Mknod(dir int, path string, mode uint32) abi.Errno {
	return t.tree.Mknod(dir, path, mode)
}

// Symlink is symlinkat.
func (t *Table) Symlink(target string, dir int, path string) abi.Errno {
	return t.tree.Symlink(target, dir, path)
}

// Link is linkat.
func (t *Table) Link(fromDir int, from string, toDir int, to string, flags int) abi.Errno {
	return t.tree.Link(fromDir, from, toDir, to, flags)
}

// Unlink is unlinkat.
func (t *Table) Unlink(dir int, path string, flags int) abi.Errno {
	return t.tree.Unlink(dir, path, flags)
}

// Rename is renameat2, without RENAME_EXCHANGE and RENAME_WHITEOUT.
func (t *Table) Rename(fromDir int, from string, toDir int, to string, flags int) abi.Errno {
	return t.tree.Rename(fromDir, from, toDir, to, flags)
}

// Readlink is readlinkat; the caller cuts it to the program's buffer.
func (t *Table) Readlink(dir int, path string) (string, abi.Errno) {
	w, e := tree.Found{}, abi.Errno(0)
	if path == "" && dir != abi.AT_FDCWD {
		w, e = t.tree.At(dir, path, abi.AT_EMPTY_PATH)
	} else {
		w, e = t.tree.Exist(dir, path, false)
	}
	switch {
	case e != 0:
		return "", e
	case w.Node == nil:
		return "", abi.EINVAL
	case w.Node.Kind == tree.KindDescriptor:
		f, e := t.get(w.Node.Special)
		if e != 0 {
			return "", abi.ENOENT
		}
		return t.describe(f), 0
	case w.Node.Kind != tree.KindLink && path == "":
		return "", abi.ENOENT
	case w.Node.Kind != tree.KindLink:
		return "", abi.EINVAL
	}
	return w.Node.Target, 0
}

// Chdir is chdir.
func (t *Table) Chdir(path string) abi.Errno {
	w, e := t.tree.Exist(abi.AT_FDCWD, path, true)
	if e != 0 {
		return e
	}
	return t.tree.Chdir(w.Node)
}

// Fchdir is fchdir.
func (t *Table) Fchdir(fd int) abi.Errno {
	f, e := t.get(fd)
	if e != 0 {
		return e
	}
	return t.tree.Chdir(f.node)
}

// Getcwd is getcwd.
func (t *Table) Getcwd() (string, abi.Errno) { return t.tree.PathOf(t.tree.Cwd()) }

// Umask is umask.
func (t *Table) Umask(mask uint32) uint32 { return t.tree.SetUmask(mask) }

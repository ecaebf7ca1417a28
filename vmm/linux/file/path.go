package file

import (
	"strconv"
	"strings"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// The last component of a path (enum LAST_* of include/linux/namei.h): only a normal one can be made, removed and renamed.
type lastKind uint8

const (
	lastNormal lastKind = iota
	lastRoot
	lastDot
	lastDotDot
)

// found is where a path leads.
type found struct {
	parent *node // the directory that has, or would have, the name
	name   string
	node   *node     // nil when there's none
	file   *openFile // that a link of /proc/self/fd leads to
	last   lastKind
	slash  bool // the path ends with a slash
}

// start is the directory from which a path goes.
func (t *Table) start(dir int, path string) (*node, abi.Errno) {
	if strings.HasPrefix(path, "/") {
		return t.o.Image.root, 0
	}
	if dir == abi.AT_FDCWD {
		return t.now.cwd, 0
	}
	f, e := t.get(dir)
	if e != 0 {
		return nil, e
	}
	if f.node == nil || f.node.kind != nodeDir {
		return nil, abi.ENOTDIR
	}
	return f.node, 0
}

// walkEnd says what walk does at a path's end.
type walkEnd uint8

const (
	endFollow walkEnd = 1 << iota // a link is followed
	endName                       // only the name is wanted: a slash behind it says nothing of what's there, and follows no link
)

// walk goes along a path (fs/namei.c link_path_walk). A name that isn't there at the end is no error.
func (t *Table) walk(dir int, path string, end walkEnd) (found, abi.Errno) {
	if e := checkPath(path); e != 0 {
		return found{}, e
	}
	at, e := t.start(dir, path)
	if e != 0 {
		return found{}, e
	}
	for links := 0; ; {
		path = strings.TrimLeft(path, "/")
		if path == "" {
			return found{node: at, parent: at, last: lastRoot}, 0
		}
		name, rest := path, ""
		if i := strings.IndexByte(path, '/'); i >= 0 {
			name, rest = path[:i], path[i:]
		}
		last := strings.TrimLeft(rest, "/") == ""
		if at.kind != nodeDir {
			return found{}, abi.ENOTDIR
		}
		if name == "." || name == ".." {
			kind := lastDot
			if name == ".." {
				at, kind = t.parent(at), lastDotDot
			}
			if last {
				return found{node: at, parent: at, last: kind}, 0
			}
			path = rest
			continue
		}
		if len(name) > nameMax {
			return found{}, abi.ENAMETOOLONG
		}
		child := t.lookup(at, name)
		switch {
		case child == nil && last:
			return found{parent: at, name: name, slash: rest != ""}, 0
		case child == nil:
			return found{}, abi.ENOENT
		case (child.kind == nodeLink || child.kind == nodeDescriptor) && (!last || end.follows(rest)):
			if links++; links > linksMax {
				return found{}, abi.ELOOP
			}
			if child.kind == nodeDescriptor {
				w, next, e := t.throughDescriptor(found{parent: at, name: name}, child.special, rest)
				if e != 0 || w.file != nil {
					return w, e
				}
				at, path = next, "."+rest
				continue
			}
			if child.target[0] == '/' {
				at = t.o.Image.root
			}
			path = child.target + rest
			continue
		case last && rest != "" && end&endName == 0 && child.kind != nodeDir:
			return found{}, abi.ENOTDIR
		case last:
			return found{parent: at, name: name, node: child, slash: rest != ""}, 0
		}
		at, path = child, rest
	}
}

func checkPath(path string) abi.Errno {
	switch {
	case path == "":
		return abi.ENOENT
	case len(path) >= pathMax:
		return abi.ENAMETOOLONG
	case strings.IndexByte(path, 0) >= 0:
		return abi.EINVAL // no program can say that: it's where the caller's string should have ended
	}
	return 0
}

// follows says whether a link at a path's end is followed, rest being the slashes behind it.
func (w walkEnd) follows(rest string) bool {
	if rest != "" {
		return w&endName == 0
	}
	return w&endFollow != 0
}

// throughDescriptor follows a link of /proc/self/fd: to the open file at the path's end, and through a directory elsewhere.
func (t *Table) throughDescriptor(w found, fd int, rest string) (found, *node, abi.Errno) {
	f, e := t.get(fd)
	switch {
	case e != 0:
		return found{}, nil, abi.ENOENT
	case rest == "":
		w.node, w.file = f.node, f
		return w, nil, 0
	case f.node == nil:
		return found{}, nil, abi.ENOTDIR
	}
	return found{}, f.node, 0
}

// exist is walk for the calls that want something to be there.
func (t *Table) exist(dir int, path string, follow bool) (found, abi.Errno) {
	end := walkEnd(0)
	if follow {
		end = endFollow
	}
	w, e := t.walk(dir, path, end)
	if e == 0 && w.node == nil && w.file == nil {
		e = abi.ENOENT
	}
	return w, e
}

// existOrOpen is exist for the calls that take AT_EMPTY_PATH: an empty path is dir itself.
func (t *Table) existOrOpen(dir int, path string, flags int) (found, abi.Errno) {
	if path != "" || flags&abi.AT_EMPTY_PATH == 0 {
		return t.exist(dir, path, flags&abi.AT_SYMLINK_NOFOLLOW == 0)
	}
	if dir == abi.AT_FDCWD {
		return found{node: t.now.cwd}, 0
	}
	f, e := t.get(dir)
	if e != 0 {
		return found{}, e
	}
	return found{node: f.node, file: f}, 0
}

func (t *Table) parent(n *node) *node {
	if n.now.parent == nil {
		return n // the root; a directory that was removed keeps its parent
	}
	return n.now.parent
}

func (t *Table) lookup(dir *node, name string) *node {
	if dir.image && dir.special == procDescriptors {
		fd, err := strconv.Atoi(name)
		if _, e := t.get(fd); err != nil || e != 0 || strconv.Itoa(fd) != name {
			return nil
		}
		return t.descriptorLink(fd)
	}
	n := dir.now.names[name].node
	if n != nil && n.mount > 0 {
		return t.mounts[n.mount-1]
	}
	return n
}

// pathOf is a directory's path from the root.
func (t *Table) pathOf(n *node) (string, abi.Errno) {
	path := ""
	for n != t.o.Image.root {
		if n.now.nlink == 0 {
			return "", abi.ENOENT // it was removed
		}
		path = "/" + n.now.name + path
		n = t.parent(n)
	}
	if path == "" {
		return "/", 0
	}
	return path, 0
}

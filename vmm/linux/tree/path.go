package tree

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

// Found is where a path leads.
type Found struct {
	Node    *Node // nil when there's none
	Through bool  // a link of /proc/self/fd led here, to what descriptor FD is open on
	FD      int

	parent *Node // the directory that has, or would have, the name
	name   string
	last   lastKind
	slash  bool // the path ends with a slash
}

// start is the directory from which a path goes.
func (t *Tree) start(dir int, path string) (*Node, abi.Errno) {
	if strings.HasPrefix(path, "/") {
		return t.image.root, 0
	}
	if dir == abi.AT_FDCWD {
		return t.now.cwd, 0
	}
	n, e := t.descriptors.Node(dir)
	if e != 0 {
		return nil, e
	}
	if n == nil || n.Kind != KindDir {
		return nil, abi.ENOTDIR
	}
	return n, 0
}

// walkEnd says what walk does at a path's end.
type walkEnd uint8

const (
	endFollow walkEnd = 1 << iota // a link is followed
	endName                       // only the name is wanted: a slash behind it says nothing of what's there, and follows no link
)

// walk goes along a path (fs/namei.c link_path_walk). A name that isn't there at the end is no error.
func (t *Tree) walk(dir int, path string, end walkEnd) (Found, abi.Errno) {
	if e := checkPath(path); e != 0 {
		return Found{}, e
	}
	at, e := t.start(dir, path)
	if e != 0 {
		return Found{}, e
	}
	for links := 0; ; {
		path = strings.TrimLeft(path, "/")
		if path == "" {
			return Found{Node: at, parent: at, last: lastRoot}, 0
		}
		name, rest := path, ""
		if i := strings.IndexByte(path, '/'); i >= 0 {
			name, rest = path[:i], path[i:]
		}
		last := strings.TrimLeft(rest, "/") == ""
		if at.Kind != KindDir {
			return Found{}, abi.ENOTDIR
		}
		if name == "." || name == ".." {
			kind := lastDot
			if name == ".." {
				at, kind = t.Parent(at), lastDotDot
			}
			if last {
				return Found{Node: at, parent: at, last: kind}, 0
			}
			path = rest
			continue
		}
		if len(name) > NameMax {
			return Found{}, abi.ENAMETOOLONG
		}
		child := t.lookup(at, name)
		switch {
		case child == nil && last:
			return Found{parent: at, name: name, slash: rest != ""}, 0
		case child == nil:
			return Found{}, abi.ENOENT
		case (child.Kind == KindLink || child.Kind == KindDescriptor) && (!last || end.follows(rest)):
			if links++; links > linksMax {
				return Found{}, abi.ELOOP
			}
			if child.Kind == KindDescriptor {
				w, next, e := t.throughDescriptor(Found{parent: at, name: name}, child.Special, rest)
				if e != 0 || w.Through {
					return w, e
				}
				at, path = next, "."+rest
				continue
			}
			if child.Target[0] == '/' {
				at = t.image.root
			}
			path = child.Target + rest
			continue
		case last && rest != "" && end&endName == 0 && child.Kind != KindDir:
			return Found{}, abi.ENOTDIR
		case last:
			return Found{parent: at, name: name, Node: child, slash: rest != ""}, 0
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
func (t *Tree) throughDescriptor(w Found, fd int, rest string) (Found, *Node, abi.Errno) {
	n, e := t.descriptors.Node(fd)
	switch {
	case e != 0:
		return Found{}, nil, abi.ENOENT
	case rest == "":
		w.Node, w.Through, w.FD = n, true, fd
		return w, nil, 0
	case n == nil:
		return Found{}, nil, abi.ENOTDIR
	}
	return Found{}, n, 0
}

// Exist finds what is there, or ENOENT. dir is a descriptor or AT_FDCWD, here and in all calls with a path.
func (t *Tree) Exist(dir int, path string, follow bool) (Found, abi.Errno) {
	end := walkEnd(0)
	if follow {
		end = endFollow
	}
	w, e := t.walk(dir, path, end)
	if e == 0 && w.Node == nil && !w.Through {
		e = abi.ENOENT
	}
	return w, e
}

// At is Exist for the calls that take AT_EMPTY_PATH and AT_SYMLINK_NOFOLLOW: an empty path may be dir itself.
func (t *Tree) At(dir int, path string, flags int) (Found, abi.Errno) {
	if path != "" || flags&abi.AT_EMPTY_PATH == 0 {
		return t.Exist(dir, path, flags&abi.AT_SYMLINK_NOFOLLOW == 0)
	}
	if dir == abi.AT_FDCWD {
		return Found{Node: t.now.cwd}, 0
	}
	n, e := t.descriptors.Node(dir)
	if e != 0 {
		return Found{}, e
	}
	return Found{Node: n, Through: true, FD: dir}, 0
}

// Parent is the directory that a directory is in.
func (t *Tree) Parent(n *Node) *Node {
	if n.now.parent == nil {
		return n // the root; a directory that was removed keeps its parent
	}
	return n.now.parent
}

func (t *Tree) lookup(dir *Node, name string) *Node {
	if dir.Image && dir.Special == procDescriptors {
		fd, err := strconv.Atoi(name)
		if _, e := t.descriptors.Node(fd); err != nil || e != 0 || strconv.Itoa(fd) != name {
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

// PathOf is a directory's path from the root.
func (t *Tree) PathOf(n *Node) (string, abi.Errno) {
	path := ""
	for n != t.image.root {
		if n.now.nlink == 0 {
			return "", abi.ENOENT // it was removed
		}
		path = "/" + n.now.name + path
		n = t.Parent(n)
	}
	if path == "" {
		return "/", 0
	}
	return path, 0
}

package tree

import (
	"cmp"
	"fmt"
)

// standing are directories that a root file system has for what programs write, whether the caller's tree has them or not.
var standing = [...]string{"/run", "/var/cache", "/var/lib", "/var/log", "/var/run", "/var/spool", "/var/tmp"}

// mountSpare has programs write where a root file system has nothing to read: each directory without a file below it, and not in another one, has a memory
// file system, which begins with the directories that are there.
func (m *Image) mountSpare() error {
	for _, name := range standing {
		_, _ = m.directory(name) // where a link or a file is, that stays
	}
	m.seeded = len(m.mounts)
	_, spare, _ := m.spare(m.root)
	if n := len(m.mounts) + len(spare); n > mountsMax {
		return fmt.Errorf("file: %d directories of the image have no file below them, more than %d, and each would be writable; leave out those that the program doesn't write to, or put a file into each", n, mountsMax)
	}
	directories := 0
	for _, n := range spare {
		_, below, height := m.spare(n)
		directories += 1 + len(below)
		if height > spareDepthMax {
			return fmt.Errorf("file: the empty directories in %s are more than %d deep; leave them out of the image", m.pathOf(n), spareDepthMax)
		}
		mode := n.now.mode
		if err := m.mount(m.pathOf(n)); err != nil {
			return err
		}
		n.now.mode = cmp.Or(mode, n.now.mode)
	}
	if directories > spareMax {
		return fmt.Errorf("file: %d directories of the image are empty, more than %d; leave out those that the program doesn't write to, or put a file into each", directories, spareMax)
	}
	return nil
}

// spare says whether a directory has no file below it. If it has, list is the highest directories below it that have none, else all below it.
func (m *Image) spare(dir *Node) (all bool, list []*Node, height int) {
	all = true
	var every []*Node
	for _, c := range dir.sorted() {
		if c.Node.Kind != KindDir || c.Node.fs != fsImage || c.Node.mount > 0 {
			all = false
			continue
		}
		spare, below, h := m.spare(c.Node)
		height = max(height, h+1)
		every = append(append(every, c.Node), below...)
		if spare {
			list = append(list, c.Node)
		} else {
			all = false
			list = append(list, below...)
		}
	}
	if all {
		list = every
	}
	return all, list, height
}

func (m *Image) pathOf(n *Node) (path string) {
	for ; n != m.root; n = n.now.parent {
		path = "/" + n.now.name + path
	}
	return path
}

// seed makes the directories that an image has where dir is now.
func (t *Tree) seed(dir, from *Node) {
	for _, c := range from.sorted() {
		n := t.newNode(KindDir, c.Node.now.mode)
		n.fs = dir.fs
		t.link(dir, c.Name, n)
		t.seed(n, c.Node)
	}
	dir.now.atime, dir.now.mtime, dir.now.ctime = from.now.atime, from.now.mtime, from.now.ctime
}

package tree

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// ImageOptions say what is in a read-only image.
type ImageOptions struct {
	Files    fs.FS    // the tree from "/" on; nil is an empty one. It's read whole, once
	Program  []byte   // what /proc/self/exe is; kept, not copied
	Path     string   // where the program is in the tree; "/program" when empty
	Writable []string // directories with a memory file system of their own, besides /tmp and /dev/shm; each begins empty
	Root     bool     // Files is a whole root file system: what is writable follows from it (mountSpare), and names with the same Sys are one file
	Origin   []byte   // what Files was made of, for who asks the image; kept, not copied
}

// Image is the part of the tree of files that doesn't change: immutable, shared by any number of tables.
type Image struct {
	root   *Node
	nodes  []*Node // by number, from 1 on
	mounts []*Node // directories on which a Tree has a memory file system
	seeded int     // the first of mounts that begin with the image's directories; the others begin empty
	digest [sha256.Size]byte
	files  int   // regular files of the caller's tree
	bytes  int64 // in them
	origin []byte
	path   string // of the program
	sum    hash.Hash
	linked map[any]*Node // while it's made: files by what their fs.FileInfo says by Sys
}

// NewImage reads a tree. Its errors name the file, or the limit that it passes. made are the paths of files whose bytes are made when they're opened: nodes
// of KindProc, of which Special is the number in the list. hosts is what /etc/hosts says, unless the caller's tree has one.
func NewImage(o ImageOptions, made []string, hosts string) (*Image, error) {
	m := &Image{sum: sha256.New(), origin: o.Origin}
	if o.Root {
		m.linked = map[any]*Node{}
	}
	m.root = m.add(nil, "", &Node{Kind: KindDir, now: inode{mode: 0o755}})
	if o.Files != nil {
		if err := fs.WalkDir(o.Files, ".", func(name string, d fs.DirEntry, err error) error { return m.read(o.Files, name, d, err) }); err != nil {
			return nil, err
		}
	}
	m.addHosts(hosts)
	m.seeded = math.MaxInt
	if o.Path == "" {
		o.Path = "/program"
	}
	m.path = path.Clean("/" + o.Path)
	dir, err := m.directory(path.Dir(m.path))
	if err != nil {
		return nil, err
	}
	if o.Program != nil {
		m.add(dir, path.Base(m.path), &Node{Kind: KindFile, data: o.Program, now: inode{mode: 0o755}})
	}
	if err := m.addSystem(m.path, made); err != nil {
		return nil, err
	}
	writable := append([]string{"/tmp", "/dev/shm"}, o.Writable...)
	for _, name := range writable {
		if at := m.root.now.names[name[1:]].node; o.Root && at != nil && at.Kind == KindLink {
			continue // to where it leads
		}
		if err := m.mount(path.Clean("/" + name)); err != nil {
			return nil, err
		}
	}
	if o.Root {
		if err := m.mountSpare(); err != nil {
			return nil, err
		}
	}
	m.sum.Sum(m.digest[:0])
	m.sum, m.linked = nil, nil
	return m, nil
}

// Digest is the SHA-256 of all that's in it.
func (m *Image) Digest() [sha256.Size]byte { return m.digest }

// Nodes is how many there are; their inode numbers are 1 to that.
func (m *Image) Nodes() int { return len(m.nodes) }

// Writable is how many directories have a memory file system of their own.
func (m *Image) Writable() int { return len(m.mounts) }

// Files are how many regular files the caller's tree had, and the bytes in them.
func (m *Image) Files() (count int, bytes int64) { return m.files, m.bytes }

// Path is where the program is.
func (m *Image) Path() string { return m.path }

// Origin is what NewImage was given for it.
func (m *Image) Origin() []byte { return m.origin }

// read takes one file of the caller's tree.
func (m *Image) read(files fs.FS, name string, d fs.DirEntry, err error) error {
	if err != nil || name == "." {
		return err
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	dir, err := m.directory("/" + path.Dir(name))
	if err != nil {
		return err
	}
	n := &Node{now: inode{mode: uint32(info.Mode().Perm()), mtime: info.ModTime().UnixNano()}}
	if info.ModTime().IsZero() {
		n.now.mtime = 0
	}
	n.now.atime, n.now.ctime = n.now.mtime, n.now.mtime
	switch mode := info.Mode(); {
	case mode.IsDir():
		n.Kind = KindDir
	case mode.IsRegular():
		if id := info.Sys(); m.linked != nil && id != nil {
			if first := m.linked[id]; first != nil {
				m.alias(dir, path.Base(name), first)
				return nil
			}
			m.linked[id] = n
		}
		n.Kind = KindFile
		m.files++
		if m.bytes += info.Size(); m.bytes > imageBytesMax {
			return fmt.Errorf("file: %s makes the image larger than %d MiB; leave out what the program doesn't read", name, imageBytesMax>>20)
		}
		if n.data, err = fs.ReadFile(files, name); err != nil {
			return err
		}
	case mode&fs.ModeSymlink != 0:
		n.Kind = KindLink
		if n.Target, err = fs.ReadLink(files, name); err != nil {
			return err
		}
		if n.Target == "" || len(n.Target) >= pathMax {
			return fmt.Errorf("file: %s is a link to nowhere; leave it out of the image", name)
		}
	default:
		return fmt.Errorf("file: %s is neither a file, a directory nor a link; leave it out of the image", name)
	}
	if m.add(dir, path.Base(name), n) == nil {
		return fmt.Errorf("file: the image has more than %d files; leave out what the program doesn't read", imageFilesMax)
	}
	return nil
}

// add puts a node under a name, in the place of what was there, and gives it its number.
func (m *Image) add(dir *Node, name string, n *Node) *Node {
	if len(m.nodes) >= imageFilesMax {
		return nil
	}
	m.nodes = append(m.nodes, n)
	n.Image, n.Ino, n.now.nlink = true, uint64(len(m.nodes)), 1
	if n.Kind == KindDir {
		n.now.names, n.now.nlink, n.now.name = map[string]entry{}, 2, name
	}
	if dir != nil {
		n.fs = max(n.fs, dir.fs)
		if n.Kind == KindDir {
			n.now.parent = dir
			dir.now.nlink++
		}
		dir.now.cookie++
		dir.now.names[name] = entry{node: n, cookie: dir.now.cookie}
	}
	var b []byte
	for _, v := range [...]uint64{uint64(n.Kind), uint64(n.now.mode), uint64(n.Special), uint64(len(name)), uint64(len(n.Target)), uint64(len(n.data))} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	if dir != nil {
		b = binary.LittleEndian.AppendUint64(b, dir.Ino)
	}
	m.sum.Write(append(append(b, name...), n.Target...))
	m.sum.Write(n.data)
	return n
}

// alias gives a file one more name.
func (m *Image) alias(dir *Node, name string, n *Node) {
	n.now.nlink++
	dir.now.cookie++
	dir.now.names[name] = entry{node: n, cookie: dir.now.cookie}
	m.sum.Write(append(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, n.Ino), dir.Ino), name...))
}

// directory finds or makes a directory of the image.
func (m *Image) directory(name string) (*Node, error) {
	at := m.root
	for _, part := range strings.Split(name, "/") {
		if part == "" || part == "." {
			continue
		}
		next := at.now.names[part].node
		if next == nil {
			if next = m.add(at, part, &Node{Kind: KindDir, now: inode{mode: 0o755}}); next == nil {
				return nil, fmt.Errorf("file: the image has more than %d files; leave out what the program doesn't read", imageFilesMax)
			}
		}
		if next.Kind != KindDir {
			return nil, fmt.Errorf("file: %s leads through %s, which is no directory of the image", name, part)
		}
		at = next
	}
	return at, nil
}

// mount notes that a directory has a memory file system.
func (m *Image) mount(name string) error {
	n, err := m.directory(name)
	switch {
	case err != nil:
		return err
	case slices.Contains(m.mounts, n):
		return nil
	case n == m.root:
		return fmt.Errorf("file: the root can't be writable; name the directories below it that are")
	case len(m.mounts) == mountsMax:
		return fmt.Errorf("file: more than %d writable directories; name one above them", mountsMax)
	}
	for up := n; up != m.root; up = up.now.parent {
		if up.mount > 0 {
			return fmt.Errorf("file: %s is in a writable directory already; leave it out", name)
		}
	}
	n.now.mode = 0o1777 &^ abi.S_IFMT
	m.mounts = append(m.mounts, n)
	n.mount = uint8(len(m.mounts))
	m.sum.Write([]byte("mount" + name))
	return nil
}

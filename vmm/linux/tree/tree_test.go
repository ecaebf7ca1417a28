package tree

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/ledger"
)

// open is descriptors for a tree: those that are nil have no name.
type open map[int]*Node

func (o open) Node(fd int) (*Node, abi.Errno) {
	n, ok := o[fd]
	if !ok {
		return nil, abi.EBADF
	}
	return n, 0
}

func (o open) Count() int { return 10 }

func newTree(t testing.TB, l ledger.Limits) (*Tree, *ledger.Ledger, open) {
	t.Helper()
	m, err := NewImage(ImageOptions{Files: fstest.MapFS{"etc/hosts": {Data: []byte("localhost")}}, Program: []byte("ELF")}, []string{"/proc/made"}, "")
	if err != nil {
		t.Fatal(err)
	}
	book, o := ledger.New(l, uint64(m.Nodes())), open{}
	return New(book, m, o, nil), book, o
}

func (t *Tree) make(path string) *Node {
	w, e := t.FindToOpen(abi.AT_FDCWD, path, abi.O_CREAT|abi.O_RDWR)
	if e == 0 {
		var n *Node
		if n, e = t.Open(w, abi.O_CREAT|abi.O_RDWR, 0o644); e == 0 {
			return n
		}
	}
	panic(path + ": " + e.Name())
}

func (t *Tree) content(n *Node) string {
	p := make([]byte, 10000)
	k, _ := t.ReadAt(n, [][]byte{p}, 0)
	return string(p[:k])
}

// list is all that's below /tmp.
func (t *Tree) list() (names []string) {
	var below func(dir *Node, path string)
	below = func(dir *Node, path string) {
		for _, c := range t.Children(dir, 0) {
			names = append(names, path+c.Name+" "+t.content(c.Node)+c.Node.Target)
			below(c.Node, path+c.Name+"/")
		}
	}
	w, _ := t.Exist(abi.AT_FDCWD, "/tmp", true)
	below(w.Node, "")
	return names
}

// TestImage shows which images there are, and whose digest is whose.
func TestImage(t *testing.T) {
	var many []string
	for i := range mountsMax {
		many = append(many, fmt.Sprint("/d", i))
	}
	for want, o := range map[string]ImageOptions{
		"root":      {Writable: []string{"/"}},
		"already":   {Writable: []string{"/tmp/below"}},
		"more than": {Writable: many},
		"nowhere":   {Files: fstest.MapFS{"link": {Mode: 0o777 | fs.ModeSymlink}}},
		"no direct": {Files: fstest.MapFS{"program": {}}, Path: "/program/x"},
	} {
		if _, err := NewImage(o, nil, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	digest := func(o ImageOptions, made ...string) [32]byte {
		m, err := NewImage(o, made, "")
		if err != nil {
			t.Fatal(err)
		}
		return m.Digest()
	}
	one := ImageOptions{Program: []byte("1")}
	first := digest(one)
	if again := digest(one); first != again || first == digest(ImageOptions{Program: []byte("2")}) || first == digest(one, "/proc/made") ||
		first == digest(ImageOptions{Program: []byte("1"), Writable: []string{"/data"}}) {
		t.Error("images are mixed up")
	}
}

// TestDescriptors shows paths that begin at descriptors, and go through /proc/self/fd.
func TestDescriptors(t *testing.T) {
	tree, _, o := newTree(t, ledger.Limits{})
	tree.Mkdir(abi.AT_FDCWD, "/tmp/d", 0o700)
	f := tree.make("/tmp/d/f")
	w, _ := tree.Exist(abi.AT_FDCWD, "/tmp/d", true)
	o[3], o[4], o[5] = w.Node, f, nil
	for _, c := range []struct {
		dir  int
		path string
		want *Node
		e    abi.Errno
	}{
		{3, "f", f, 0},
		{4, "f", nil, abi.ENOTDIR},
		{6, "f", nil, abi.EBADF},
		{6, "/tmp/d/f", f, 0},
		{abi.AT_FDCWD, "/proc/self/fd/3/f", f, 0},
		{abi.AT_FDCWD, "/proc/self/fd/4", f, 0},
		{abi.AT_FDCWD, "/proc/self/fd/5", nil, 0},
		{abi.AT_FDCWD, "/proc/self/fd/5/x", nil, abi.ENOTDIR},
		{abi.AT_FDCWD, "/proc/self/fd/6", nil, abi.ENOENT},
		{abi.AT_FDCWD, "/proc/self/fd/03", nil, abi.ENOENT},
	} {
		w, e := tree.Exist(c.dir, c.path, true)
		if e != c.e || w.Node != c.want || c.path == "/proc/self/fd/5" && (!w.Through || w.FD != 5) {
			t.Errorf("%s from %d: %+v, %s; want %v, %s", c.path, c.dir, w, e.Name(), c.want, c.e.Name())
		}
	}
	if w, e := tree.At(5, "", abi.AT_EMPTY_PATH); e != 0 || !w.Through || w.FD != 5 {
		t.Errorf("the descriptor itself: %+v, %v", w, e)
	}
}

// TestDepth shows that directories can't be in one another without end, by making or by moving.
func TestDepth(t *testing.T) {
	tree, _, _ := newTree(t, ledger.Limits{})
	chdir := func(path string) {
		w, _ := tree.Exist(abi.AT_FDCWD, path, true)
		tree.Chdir(w.Node)
	}
	chdir("/tmp")
	n := 0
	for ; tree.Mkdir(abi.AT_FDCWD, "d", 0o700) == 0; n++ {
		chdir("d")
	}
	if e := tree.Mkdir(abi.AT_FDCWD, "d", 0o700); e != abi.ENAMETOOLONG || n != depthMax-1 {
		t.Errorf("%s after %d", e.Name(), n)
	}
	tree.Mkdir(abi.AT_FDCWD, "/tmp/tree", 0o700)
	if e := tree.Rename(abi.AT_FDCWD, "/tmp/tree", abi.AT_FDCWD, "tree", 0); e != abi.ENAMETOOLONG {
		t.Errorf("moved: %s", e.Name())
	}
}

// TestUndo shows that names, bytes, the working directory and what is counted are again as they were.
func TestUndo(t *testing.T) {
	tree, book, _ := newTree(t, ledger.Limits{})
	tree.Mkdir(abi.AT_FDCWD, "/tmp/d", 0o700)
	tree.Symlink("d", abi.AT_FDCWD, "/tmp/link")
	f := tree.make("/tmp/d/f")
	tree.WriteAt(f, [][]byte{bytes.Repeat([]byte("before "), 1000)}, 0)
	book.Checkpoint()
	tree.Save()
	want, counts, cwd := tree.list(), book.Now, tree.Cwd()
	for range 3 {
		tree.WriteAt(f, [][]byte{[]byte("after")}, 4000)
		tree.Resize(f, 4500)
		tree.Rename(abi.AT_FDCWD, "/tmp/d/f", abi.AT_FDCWD, "/tmp/f", 0)
		tree.Unlink(abi.AT_FDCWD, "/tmp/link", 0)
		tree.Unlink(abi.AT_FDCWD, "/tmp/d", abi.AT_REMOVEDIR)
		tree.WriteAt(tree.make("/tmp/new"), [][]byte{[]byte("new")}, 0)
		w, _ := tree.Exist(abi.AT_FDCWD, "/tmp", true)
		tree.Chdir(w.Node)
		tree.SetUmask(0)
		if slices.Equal(tree.list(), want) {
			t.Fatal("nothing changed")
		}
		book.Undo()
		tree.Back()
		if got := tree.list(); !slices.Equal(got, want) || book.Now != counts || tree.Cwd() != cwd || tree.Umask() != 0o022 {
			t.Fatalf("%q, %+v; want %q, %+v", got, book.Now, want, counts)
		}
	}
}

// TestGraph shows that another tree takes what a graph wrote, and that the pages, which both then have, stay as they are.
func TestGraph(t *testing.T) {
	tree, _, _ := newTree(t, ledger.Limits{})
	f := tree.make("/tmp/f")
	tree.WriteAt(f, [][]byte{[]byte("bytes")}, 0)
	tree.Link(abi.AT_FDCWD, "/tmp/f", abi.AT_FDCWD, "/tmp/g", 0)
	ino, _ := tree.MakeSocket("/tmp/s")
	g, c := tree.Graph(), ledger.NewWriter()
	g.Make(c, &ledger.Limits{})
	g.Code(c)
	other, book, _ := newTree(t, ledger.Limits{})
	read, counts := other.ReadGraph(g.Pages), ledger.Counts{}
	r := ledger.NewReader(c.Bytes())
	read.Make(r, &book.Limits)
	read.Code(r)
	for _, err := range []error{r.End(), read.Check(&counts), read.CheckHeld()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	other.Take(read)
	if !slices.Equal(other.list(), tree.list()) || counts.Memory != PageSize {
		t.Errorf("%q, %+v; want %q", other.list(), counts, tree.list())
	}
	if got, e := other.FindSocket("/tmp/s"); got != ino || e != 0 {
		t.Errorf("the socket is %d, %v; want %d", got, e, ino)
	}
	w, _ := other.Exist(abi.AT_FDCWD, "/tmp/g", true)
	other.WriteAt(w.Node, [][]byte{[]byte("other")}, 0)
	if tree.content(f) != "bytes" || other.content(w.Node) != "other" {
		t.Errorf("one has %q, the other %q", tree.content(f), other.content(w.Node))
	}
}

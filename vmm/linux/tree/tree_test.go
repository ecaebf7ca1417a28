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

// TestRoot shows where a root file system can be written, and what it has that it didn't bring.
func TestRoot(t *testing.T) {
	m, err := NewImage(ImageOptions{Root: true, Path: "/bin/p", Files: fstest.MapFS{
		"bin/p":               {Data: []byte("ELF"), Mode: 0o755},
		"etc/hosts":           {},
		"etc/passwd":          {Data: []byte("root:")},
		"srv/www/index.html":  {Data: []byte("<h1>")},
		"srv/uploads/a/b":     {Mode: fs.ModeDir | 0o750},
		"var/run":             {Data: []byte("/run"), Mode: fs.ModeSymlink | 0o777},
		"var/lib/store/empty": {Mode: fs.ModeDir | 0o700},
		"var/lib/other/file":  {Data: []byte("1")},
		"tmp":                 {Data: []byte("var/tmp"), Mode: fs.ModeSymlink | 0o777},
	}}, nil, "the gate")
	if err != nil {
		t.Fatal(err)
	}
	book, o := ledger.New(ledger.Limits{}, uint64(m.Nodes())), open{}
	tree := New(book, m, o, nil)
	for path, want := range map[string]abi.Errno{
		"/srv/uploads/x": 0, "/srv/uploads/a/b/x": 0, "/srv/www/x": abi.EROFS, "/srv/x": abi.EROFS, "/x": abi.EROFS, "/bin/x": abi.EROFS, "/etc/x": abi.EROFS,
		"/run/x": 0, "/var/run/y": 0, "/var/log/x": 0, "/var/lib/x": abi.EROFS, "/var/lib/store/empty/x": 0, "/var/lib/other/x": abi.EROFS, "/var/x": abi.EROFS, "/tmp/x": 0, "/var/tmp/y": 0,
	} {
		w, e := tree.FindToOpen(abi.AT_FDCWD, path, abi.O_CREAT|abi.O_RDWR)
		if e == 0 {
			_, e = tree.Open(w, abi.O_CREAT|abi.O_RDWR, 0o644)
		}
		if e != want {
			t.Errorf("making %s: %v, want %v", path, e, want)
		}
	}
	for path, want := range map[string]string{"/etc/hosts": "the gate", "/etc/passwd": "root:", "/etc/group": users[1][1], "/run/y": ""} {
		if w, e := tree.Exist(abi.AT_FDCWD, path, true); e != 0 || tree.content(w.Node) != want {
			t.Errorf("%s: %v", path, e)
		}
	}
	w, _ := tree.Exist(abi.AT_FDCWD, "/srv/uploads/a/b", true)
	if w.Node.now.mode != 0o750 || w.Node.Image {
		t.Errorf("a directory that can be written has the mode %o", w.Node.now.mode)
	}
	if n, bytes := m.Files(); n != 5 || bytes != 13 {
		t.Errorf("%d files, %d bytes", n, bytes)
	}
}

// An image with more empty directories than there can be memory file systems is refused with what to do.
func TestRootWithMuchToWrite(t *testing.T) {
	for want, files := range map[string]func(fstest.MapFS){
		"have no file below them, more than 240": func(m fstest.MapFS) {
			for i := range mountsMax {
				m[fmt.Sprintf("d/%d/empty", i)] = &fstest.MapFile{Mode: fs.ModeDir}
				m[fmt.Sprintf("d/%d/file", i)] = &fstest.MapFile{}
			}
		},
		" directories of the image are empty, more than 1024": func(m fstest.MapFS) {
			for i := range spareMax {
				m[fmt.Sprintf("d/%d", i)] = &fstest.MapFile{Mode: fs.ModeDir}
			}
		},
		"are more than 64 deep": func(m fstest.MapFS) { m[strings.Repeat("d/", spareDepthMax+1)+"d"] = &fstest.MapFile{Mode: fs.ModeDir} },
	} {
		m := fstest.MapFS{}
		files(m)
		if _, err := NewImage(ImageOptions{Root: true, Files: m}, nil, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

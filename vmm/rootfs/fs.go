package rootfs

import (
	"bytes"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// FS is a root file system.
type FS struct {
	root  *node
	nodes int
}

var (
	_ fs.ReadFileFS = (*FS)(nil)
	_ fs.ReadDirFS  = (*FS)(nil)
	_ fs.ReadLinkFS = (*FS)(nil)
)

// node is a file, a directory or a link.
type node struct {
	mode     fs.FileMode
	modified time.Time
	data     []byte           // of a file
	target   string           // of a link
	names    map[string]*node // of a directory
}

// valid is fs.ValidPath for names that needn't be UTF-8: on Linux they are bytes.
func valid(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == ".." || part == "." && name != "." {
			return false
		}
	}
	return true
}

// find is at, for the names of fs.FS.
func (f *FS) find(op, name string) (*node, error) {
	if !valid(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n := f.at(name)
	if n == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

// Open implements fs.FS. Links aren't followed.
func (f *FS) Open(name string) (fs.File, error) {
	n, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	entries := f.entries(n)
	return &open{info: info{path.Base(name), n}, Reader: bytes.NewReader(n.data), entries: entries}, nil
}

// ReadFile implements fs.ReadFileFS. The bytes are the archive's.
func (f *FS) ReadFile(name string) ([]byte, error) {
	n, err := f.find("read", name)
	if err == nil && !n.mode.IsRegular() {
		err = &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return nil, err
	}
	return n.data, nil
}

// ReadDir implements fs.ReadDirFS.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := f.find("readdir", name)
	if err == nil && !n.mode.IsDir() {
		err = &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return nil, err
	}
	return f.entries(n), nil
}

func (f *FS) entries(n *node) (list []fs.DirEntry) {
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		list = append(list, fs.FileInfoToDirEntry(info{name, n.names[name]}))
	}
	return list
}

// ReadLink implements fs.ReadLinkFS.
func (f *FS) ReadLink(name string) (string, error) {
	n, err := f.find("readlink", name)
	if err == nil && n.mode&fs.ModeSymlink == 0 {
		err = &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return "", err
	}
	return n.target, nil
}

// Lstat implements fs.ReadLinkFS.
func (f *FS) Lstat(name string) (fs.FileInfo, error) {
	n, err := f.find("lstat", name)
	if err != nil {
		return nil, err
	}
	return info{path.Base(name), n}, nil
}

// info tells of a name. Names of one file have the same Sys.
type info struct {
	name string
	*node
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return int64(len(i.data)) }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return i.modified }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return i.node }

// open is an open file or directory.
type open struct {
	info
	*bytes.Reader
	entries []fs.DirEntry // not read yet
}

func (o *open) Stat() (fs.FileInfo, error) { return o.info, nil }
func (o *open) Size() int64                { return o.info.Size() }
func (o *open) Close() error               { return nil }

// Read implements fs.File.
func (o *open) Read(p []byte) (int, error) {
	if !o.mode.IsRegular() {
		return 0, &fs.PathError{Op: "read", Path: o.name, Err: fs.ErrInvalid}
	}
	return o.Reader.Read(p)
}

// ReadDir implements fs.ReadDirFile.
func (o *open) ReadDir(n int) ([]fs.DirEntry, error) {
	if !o.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: o.name, Err: fs.ErrInvalid}
	}
	if n <= 0 {
		n = len(o.entries)
	} else if len(o.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(o.entries))
	list := o.entries[:n:n]
	o.entries = o.entries[n:]
	return list, nil
}

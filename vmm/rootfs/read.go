package rootfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

const (
	// SizeMax is how many bytes an image may have.
	SizeMax = 256 << 20
	// EntriesMax is how many entries an archive may have. An image has 65,536 files with those of the system.
	EntriesMax = 65000

	depthMax  = 128  // directories in one another
	nameMax   = 255  // NAME_MAX
	pathMax   = 4095 // PATH_MAX, without the 0 at its end
	magicAt   = 257  // in a header: "ustar" of POSIX and GNU
	magic     = "ustar"
	recordLen = 512
)

// errUnreadable says what to do about an archive that isn't one.
const errUnreadable = "make it anew with tar or docker export"

// IsArchive says whether what begins so is an archive: the first 512 bytes are enough.
func IsArchive(beginning []byte) bool {
	return len(beginning) >= recordLen && string(beginning[magicAt:][:len(magic)]) == magic
}

// IsProgram says whether what begins so is an ELF file.
func IsProgram(beginning []byte) bool { return bytes.HasPrefix(beginning, []byte("\x7fELF")) }

// Read reads an archive, which is kept.
func Read(archive []byte) (*FS, error) {
	if len(archive) > SizeMax {
		return nil, tooLarge("the archive")
	}
	f := &FS{root: &node{mode: fs.ModeDir | 0o755, names: map[string]*node{}}}
	from := bytes.NewReader(archive)
	entries := tar.NewReader(from)
	for n := 0; ; n++ {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) && !ended(archive[:len(archive)-from.Len()]) {
			err = io.ErrUnexpectedEOF
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, fmt.Errorf("entry %d of the archive can't be read: %w; %s", n+1, err, errUnreadable)
		}
		if n >= EntriesMax {
			return nil, fmt.Errorf("the archive has more than %d entries; leave out what the program doesn't read", EntriesMax)
		}
		at := len(archive) - from.Len() // where the entry's content begins
		if err := f.take(h, archive[at:]); err != nil {
			return nil, err
		}
	}
	if layers(f) {
		return nil, errors.New("this is an image of layers, as docker save writes; take what docker export writes: docker export $(docker create IMAGE) > rootfs.tar")
	}
	return f, nil
}

// ended says whether what was read of an archive has its end, two records of zeros: one that was cut between entries hasn't.
func ended(read []byte) bool {
	return len(read) >= 2*recordLen && len(bytes.Trim(read[len(read)-2*recordLen:], "\x00")) == 0
}

// take adds an entry, of which rest begins with the content.
func (f *FS) take(h *tar.Header, rest []byte) error {
	name := path.Clean("/" + h.Name)[1:] // no .. leads above the root
	if h.Typeflag == tar.TypeXGlobalHeader || system(name) {
		return nil
	}
	if err := checkName(h.Name, name); err != nil {
		return err
	}
	n := &node{mode: fs.FileMode(h.Mode).Perm(), modified: times(h.ModTime)}
	switch h.Typeflag {
	case tar.TypeReg, 0, tar.TypeCont: // 0: the header of V7's tar
		if sparse(h) {
			return fmt.Errorf("%q is a sparse file; make the archive without --sparse", name)
		}
		if h.Size > int64(len(rest)) {
			return fmt.Errorf("the archive ends within %q; %s", name, errUnreadable)
		}
		n.data = rest[:h.Size:h.Size]
	case tar.TypeDir:
		n.mode |= fs.ModeDir
		n.names = map[string]*node{}
	case tar.TypeSymlink:
		n.mode |= fs.ModeSymlink
		if n.target = h.Linkname; n.target == "" || len(n.target) > pathMax || strings.Contains(n.target, "\x00") {
			return fmt.Errorf("%q is a link to nowhere; leave it out", name)
		}
	case tar.TypeLink:
		if n = f.at(path.Clean("/" + h.Linkname)[1:]); n == nil || n.mode.IsDir() {
			return fmt.Errorf("%q is a hard link to %q, which isn't a file before it in the archive; %s", name, h.Linkname, errUnreadable)
		}
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return fmt.Errorf("%q is a device or a FIFO; leave it out: /dev is made for each program", name)
	case tar.TypeGNUSparse:
		return fmt.Errorf("%q is a sparse file; make the archive without --sparse", name)
	default:
		return fmt.Errorf("%q is of a kind of entry, %q, that isn't known here; %s", name, h.Typeflag, errUnreadable)
	}
	return f.put(name, n)
}

// system says whether a name is in a directory that isn't the archive's.
func system(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return first == "dev" || first == "proc" || first == "sys"
}

func checkName(said, name string) error {
	switch {
	case len(name) > pathMax:
		return fmt.Errorf("%.80q… has more than %d bytes; give it a shorter name", name, pathMax)
	case strings.Contains(said, "\x00"):
		return fmt.Errorf("%.80q has a NUL in its name; give it another one", said)
	case strings.Count(name, "/") >= depthMax:
		return fmt.Errorf("%.80q… is more than %d directories deep; move it up", name, depthMax)
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > nameMax {
			return fmt.Errorf("%.80q… has more than %d bytes; give it a shorter name", part, nameMax)
		}
	}
	return nil
}

// sparse says whether the reader would make holes, by any of GNU tar's ways in PAX records.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// times are those that file systems have: others are 1970.
func times(t time.Time) time.Time {
	if s := t.Unix(); s < 0 || s > 1<<33 {
		return time.Unix(0, 0)
	}
	return t
}

// put gives a node a name, in the place of what has it. The directories that it is in are made where they aren't there.
func (f *FS) put(name string, n *node) error {
	if name == "" {
		if n.mode.IsDir() {
			f.root.mode, f.root.modified = n.mode, n.modified
			return nil
		}
		return fmt.Errorf("the archive has something other than a directory for its root; %s", errUnreadable)
	}
	dir := f.root
	parts := strings.Split(name, "/")
	for i, part := range parts[:len(parts)-1] {
		next := dir.names[part]
		if next == nil {
			if f.nodes++; f.nodes > EntriesMax {
				return fmt.Errorf("the archive has more than %d files and directories; leave out what the program doesn't read", EntriesMax)
			}
			next = &node{mode: fs.ModeDir | 0o755, names: map[string]*node{}, modified: time.Unix(0, 0)}
			dir.names[part] = next
		}
		if !next.mode.IsDir() {
			return fmt.Errorf("%q leads through %q, which is no directory of the archive; name it by where it is", name, strings.Join(parts[:i+1], "/"))
		}
		dir = next
	}
	last := parts[len(parts)-1]
	switch old := dir.names[last]; {
	case old == nil:
		if f.nodes++; f.nodes > EntriesMax {
			return fmt.Errorf("the archive has more than %d files and directories; leave out what the program doesn't read", EntriesMax)
		}
	case old.mode.IsDir() && n.mode.IsDir():
		old.mode, old.modified = n.mode, n.modified
		return nil
	case old.mode.IsDir() && len(old.names) > 0:
		return fmt.Errorf("%q is a directory with files in it, and a file later in the archive; leave one of them out", name)
	}
	dir.names[last] = n
	return nil
}

// at is what has a name, not through links; nil if nothing has.
func (f *FS) at(name string) *node {
	n := f.root
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." {
			continue
		}
		if n = n.names[part]; n == nil {
			return nil
		}
	}
	return n
}

// layers says whether this is what docker save writes, or an OCI layout.
func layers(f *FS) bool {
	manifest, layout := f.at("manifest.json"), f.at("oci-layout")
	if layout != nil && f.at("index.json") != nil {
		return true
	}
	return manifest != nil && slices.ContainsFunc([]string{"blobs", "repositories"}, func(name string) bool { return f.at(name) != nil })
}

func tooLarge(what string) error {
	return fmt.Errorf("%s has more than %d MiB; leave out what the program doesn't read", what, SizeMax>>20)
}

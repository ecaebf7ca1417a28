package rootfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Make is the image of what a configuration or a command names: a file, which is an ELF file or an archive and is read by read; a directory, which is packed; or an ELF
// file and the directory of its files. What is wrong with files is a *FilesError.
func Make(image, files string, read func(name string) ([]byte, error)) ([]byte, error) {
	if files == "" {
		if info, err := os.Stat(image); err == nil && info.IsDir() {
			return Pack(image, nil)
		}
		return read(image)
	}
	program, err := read(image)
	if err != nil {
		return nil, err
	}
	if !IsProgram(program) {
		return nil, errors.New("it is no ELF file, which is what goes with files; an archive has its files in it")
	}
	data, err := Pack(files, program)
	if err != nil {
		return nil, &FilesError{files, err}
	}
	return data, nil
}

// FilesError is what is wrong with the directory of a program's files.
type FilesError struct {
	Dir string
	Err error
}

func (e *FilesError) Error() string { return "its files, " + e.Dir + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *FilesError) Unwrap() error { return e.Err }

// Pack makes an archive of a directory, and of program as /program, if it isn't nil.
func Pack(dir string, program []byte) ([]byte, error) {
	p := &packer{}
	p.out = tar.NewWriter(&p.archive)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, reason(err)
	}
	defer root.Close()
	if p.archive, err = room(root, len(program)); err != nil {
		return nil, err
	}
	if program != nil {
		if err := p.put(&tar.Header{Typeflag: tar.TypeReg, Name: ProgramPath[1:], Mode: 0o755, Size: int64(len(program))}, bytes.NewReader(program)); err != nil {
			return nil, err
		}
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", name, reason(err))
		}
		if program != nil && name == ProgramPath[1:] {
			return fmt.Errorf("%s has the name that the program gets; give it another one", name)
		}
		if err := p.add(root, name, d); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err == nil {
		err = p.out.Close()
	}
	if err == nil && p.archive.Len() > SizeMax {
		err = tooLarge("the image")
	}
	if err != nil {
		return nil, err
	}
	return p.archive.Bytes(), nil
}

// room is memory for about what there is, so that it needn't grow. What passes the limits is refused before anything is read.
func room(root *os.Root, program int) (b bytes.Buffer, err error) {
	const each = 2 * recordLen // a header, and what fills the last record
	size, entries := int64(program)+each, 0
	err = fs.WalkDir(root.FS(), ".", func(_ string, d fs.DirEntry, err error) error {
		if entries++; entries > EntriesMax {
			return errTooMany
		}
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		if size += each; size > SizeMax {
			return tooLarge("the image")
		}
		return nil // what is wrong with a file is said when it is read
	})
	b.Grow(int(min(size, SizeMax)) + each)
	return b, err
}

var errTooMany = fmt.Errorf("there are more than %d files; leave out what the program doesn't read", EntriesMax)

// packer writes an archive.
type packer struct {
	archive bytes.Buffer
	out     *tar.Writer
	entries int
}

// add takes what is in the directory, in the order of its names.
func (p *packer) add(root *os.Root, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return reason(err)
	}
	h := &tar.Header{Name: name, Mode: int64(info.Mode().Perm())}
	switch mode := info.Mode(); {
	case mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
		return p.put(h, nil)
	case mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Mode = tar.TypeSymlink, 0o777
		if h.Linkname, err = root.Readlink(name); err != nil {
			return reason(err)
		}
		return p.put(h, nil)
	case !mode.IsRegular():
		return errors.New("it is neither a file, a directory nor a link; take it out")
	}
	h.Typeflag, h.Size, h.ModTime = tar.TypeReg, info.Size(), info.ModTime().Truncate(time.Second)
	f, err := root.Open(name)
	if err != nil {
		return reason(err)
	}
	defer f.Close()
	if err := p.put(h, f); err != nil {
		return err
	}
	if n, _ := f.Read(make([]byte, 1)); n > 0 {
		return errChanged
	}
	return nil
}

var errChanged = errors.New("it changed while it was read; try again")

// put writes an entry with h.Size bytes of content.
func (p *packer) put(h *tar.Header, content io.Reader) error {
	if p.entries++; p.entries > EntriesMax {
		return errTooMany
	}
	if int64(p.archive.Len())+h.Size > SizeMax {
		return tooLarge("the image")
	}
	if h.ModTime.IsZero() {
		h.ModTime = time.Unix(0, 0)
	}
	if err := p.out.WriteHeader(h); err != nil {
		return fmt.Errorf("%w; give it another name", err)
	}
	if h.Size == 0 {
		return nil
	}
	if _, err := io.CopyN(p.out, content, h.Size); errors.Is(err, io.EOF) {
		return errChanged
	} else if err != nil {
		return reason(err)
	}
	return nil
}

// reason is an error without the name, which stands before it already.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

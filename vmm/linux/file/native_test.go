//go:build linux && amd64

package file

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/wherry/wherry/vmm/linux/abi"
)

func newTable(t testing.TB, o Options) *Table {
	t.Helper()
	if o.Image == nil {
		m, err := NewImage(ImageOptions{Program: []byte("program")})
		if err != nil {
			t.Fatal(err)
		}
		o.Image = m
	}
	table, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// both is the same world twice: a Table, and the kernel that the test runs on.
type both struct {
	*rapid.T
	table  *Table
	fds    [][2]int // a descriptor in the Table and one of the kernel's
	dirs   [2]int
	opened int

	allocated bool // SEEK_DATA tells here of pages that only fallocate made, and of the kernel's not before they're written
}

func (b *both) compare(what string, got abi.Errno, err error) bool {
	b.Helper()
	want := abi.Errno(0)
	if err != nil {
		var e syscall.Errno
		if !errors.As(err, &e) {
			b.Fatalf("%s: %v", what, err)
		}
		want = abi.Errno(e)
	}
	if got != want {
		b.Fatalf("%s: %s, and %s on this kernel", what, got.Name(), want.Name())
	}
	return got == 0
}

func (b *both) equal(what string, got, want any) {
	b.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.Fatalf("%s: %v, and %v on this kernel", what, got, want)
	}
}

var somePaths = rapid.SampledFrom([]string{
	"a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/f", "l", "m", "l/a", "d/", "a/", "a/b", ".", "..", "d/.", "d/..", "d/../a", "l/", "loop", "new/", "",
	"./a", "d//e",
	"./d/e/../../b", "x\xff",
})

func (b *both) path() string { return somePaths.Draw(b.T, "path") }

func (b *both) fd() [2]int {
	if len(b.fds) == 0 {
		return [2]int{999, 999}
	}
	return rapid.SampledFrom(b.fds).Draw(b.T, "fd")
}

func (b *both) add(got, want int) { b.fds = append(b.fds, [2]int{got, want}) }

func (b *both) close() {
	for _, fd := range b.fds {
		unix.Close(fd[1])
	}
}

var someFlags = rapid.SampledFrom([]int{
	0, unix.O_RDWR, unix.O_WRONLY, unix.O_CREAT, unix.O_CREAT | unix.O_RDWR, unix.O_CREAT | unix.O_EXCL | unix.O_RDWR, unix.O_TRUNC | unix.O_RDWR,
	unix.O_DIRECTORY, unix.O_NOFOLLOW, unix.O_PATH, unix.O_PATH | unix.O_NOFOLLOW, unix.O_APPEND | unix.O_RDWR, unix.O_CREAT | unix.O_DIRECTORY,
	unix.O_TMPFILE | unix.O_RDWR, unix.O_TMPFILE, unix.O_CREAT | unix.O_NOFOLLOW | unix.O_WRONLY, unix.O_PATH | unix.O_DIRECTORY, unix.O_RDWR | unix.O_DIRECTORY,
	unix.O_CREAT | unix.O_TRUNC | unix.O_WRONLY | unix.O_APPEND,
})

func (b *both) open() {
	path, flags := b.path(), someFlags.Draw(b.T, "flags")
	if len(b.fds) > 30 {
		return
	}
	got, e := b.table.Open(b.dirs[0], path, flags, 0o666)
	want, err := unix.Openat(b.dirs[1], path, flags, 0o666)
	if b.compare(fmt.Sprintf("open %q %#x", path, flags), e, err) {
		b.add(got, want)
		fl, _ := b.table.Fcntl(got, abi.F_GETFL, 0)
		real, _ := unix.FcntlInt(uintptr(want), unix.F_GETFL, 0)
		const temporary = unix.O_TMPFILE &^ unix.O_DIRECTORY // which F_GETFL tells too, and nobody looks for
		b.equal("F_GETFL", fl&^temporary, real&^temporary)
	}
}

func (b *both) names() {
	path, other := b.path(), b.path()
	switch op := rapid.IntRange(0, 8).Draw(b.T, "operation"); op {
	case 0, 1:
		b.compare("mkdir "+path, b.table.Mkdir(b.dirs[0], path, 0o755), unix.Mkdirat(b.dirs[1], path, 0o755))
	case 2:
		b.compare(fmt.Sprintf("unlink %q", path), b.table.Unlink(b.dirs[0], path, 0), unix.Unlinkat(b.dirs[1], path, 0))
	case 3:
		b.compare(fmt.Sprintf("rmdir %q", path), b.table.Unlink(b.dirs[0], path, abi.AT_REMOVEDIR), unix.Unlinkat(b.dirs[1], path, unix.AT_REMOVEDIR))
	case 4, 5:
		flags := rapid.SampledFrom([]int{0, 0, unix.RENAME_NOREPLACE}).Draw(b.T, "flags")
		b.compare(fmt.Sprintf("rename %q %q %d", path, other, flags), b.table.Rename(b.dirs[0], path, b.dirs[0], other, flags),
			unix.Renameat2(b.dirs[1], path, b.dirs[1], other, uint(flags)))
	case 6:
		b.compare(fmt.Sprintf("symlink %q %q", path, other), b.table.Symlink(path, b.dirs[0], other), unix.Symlinkat(path, b.dirs[1], other))
	case 7:
		flags := rapid.SampledFrom([]int{0, unix.AT_SYMLINK_FOLLOW}).Draw(b.T, "flags")
		b.compare(fmt.Sprintf("link %q %q %d", path, other, flags), b.table.Link(b.dirs[0], path, b.dirs[0], other, flags),
			unix.Linkat(b.dirs[1], path, b.dirs[1], other, flags))
	case 8:
		b.compare("chmod "+path, b.table.Chmod(b.dirs[0], path, 0o640, 0), unix.Fchmodat(b.dirs[1], path, 0o640, 0))
	}
}

func (b *both) look() {
	path := b.path()
	flags := rapid.SampledFrom([]int{0, unix.AT_SYMLINK_NOFOLLOW}).Draw(b.T, "flags")
	var got abi.Stat
	var want unix.Stat_t
	if b.compare(fmt.Sprintf("stat %q %d", path, flags), b.table.Stat(b.dirs[0], path, flags, &got), unix.Fstatat(b.dirs[1], path, &want, flags)) {
		b.equalStat(path, &got, &want)
	}
	mode := rapid.IntRange(0, 7).Draw(b.T, "mode")
	b.compare(fmt.Sprintf("access %q %d", path, mode), b.table.Access(b.dirs[0], path, mode, 0), unix.Faccessat(b.dirs[1], path, uint32(mode), 0))
	target, e := b.table.Readlink(b.dirs[0], path)
	buffer := make([]byte, 300)
	n, err := unix.Readlinkat(b.dirs[1], path, buffer)
	if b.compare(fmt.Sprintf("readlink %q", path), e, err) {
		b.equal("readlink", target, string(buffer[:n]))
	}
}

func (b *both) equalStat(what string, got *abi.Stat, want *unix.Stat_t) {
	b.equal(what+" mode", fmt.Sprintf("%o", got.Mode), fmt.Sprintf("%o", want.Mode))
	b.equal(what+" links", got.Nlink, want.Nlink)
	b.equal(what+" size", got.Size, want.Size)
	if got.Mode&abi.S_IFMT == abi.S_IFREG {
		b.equal(what+" blocks", got.Blocks, want.Blocks)
	}
}

func (b *both) bytes() {
	fd := b.fd()
	off := int64(rapid.SampledFrom([]int{0, 1, 5, 4090, 4096, 8192, 10000, -1}).Draw(b.T, "offset"))
	n := rapid.SampledFrom([]int{0, 1, 10, 4096, 9000}).Draw(b.T, "length")
	data := bytes.Repeat([]byte{byte(b.opened + 1)}, n)
	b.opened++
	x, y := make([]byte, n), make([]byte, n)
	var got, want int
	var e abi.Errno
	var err error
	op := rapid.SampledFrom([]string{"read", "pread", "write", "pwrite", "seek", "truncate", "fallocate", "punch", "fsync"}).Draw(b.T, "operation")
	what := fmt.Sprintf("%s %v %d %d", op, fd, off, n)
	switch op {
	case "read":
		got, e = b.table.Readv(fd[0], [][]byte{x[:n/2], x[n/2:]})
		want, err = unix.Readv(fd[1], [][]byte{y[:n/2], y[n/2:]})
	case "pread":
		got, e = b.table.Pread(fd[0], x, off)
		want, err = unix.Pread(fd[1], y, off)
	case "write":
		got, e = b.table.Writev(fd[0], [][]byte{data[:n/3], data[n/3:]})
		want, err = unix.Writev(fd[1], [][]byte{data[:n/3], data[n/3:]})
	case "pwrite":
		got, e = b.table.Pwrite(fd[0], data, off)
		want, err = unix.Pwrite(fd[1], data, off)
	case "seek":
		whence := rapid.IntRange(-1, 5).Draw(b.T, "whence")
		if b.allocated && whence >= unix.SEEK_DATA {
			return
		}
		var g, w int64
		g, e = b.table.Seek(fd[0], off, whence)
		w, err = unix.Seek(fd[1], off, whence)
		var s unix.Stat_t
		if unix.Fstat(fd[1], &s); s.Mode&unix.S_IFMT == unix.S_IFDIR {
			return // where directories end is each file system's own affair
		}
		got, want, what = int(g), int(w), fmt.Sprint(what, " whence ", whence)
	case "truncate":
		e, err = b.table.Ftruncate(fd[0], off), unix.Ftruncate(fd[1], off)
	case "fallocate":
		b.allocated = true
		mode := rapid.SampledFrom([]int{0, unix.FALLOC_FL_KEEP_SIZE}).Draw(b.T, "mode")
		e, err = b.table.Fallocate(fd[0], mode, off, int64(n)), unix.Fallocate(fd[1], uint32(mode), off, int64(n))
	case "punch":
		mode := unix.FALLOC_FL_KEEP_SIZE | unix.FALLOC_FL_PUNCH_HOLE
		e, err = b.table.Fallocate(fd[0], mode, off, int64(n)), unix.Fallocate(fd[1], uint32(mode), off, int64(n))
	case "fsync":
		e, err = b.table.Fsync(fd[0]), unix.Fsync(fd[1])
	}
	if b.compare(what, e, err) {
		b.equal(what, got, want)
		if !bytes.Equal(x, y) {
			b.Fatalf("%s: other bytes than on this kernel", what)
		}
	}
	var g abi.Stat
	var w unix.Stat_t
	if b.compare("fstat", b.table.Fstat(fd[0], &g), unix.Fstat(fd[1], &w)) {
		b.equalStat("fstat after "+what, &g, &w)
	}
}

func (b *both) descriptors() {
	fd := b.fd()
	switch rapid.IntRange(0, 3).Draw(b.T, "operation") {
	case 0:
		if len(b.fds) > 30 {
			return
		}
		got, e := b.table.Dup(fd[0])
		want, err := unix.Dup(fd[1])
		if b.compare("dup", e, err) {
			b.add(got, want)
		}
	case 1:
		if b.compare("close", b.table.Close(fd[0]), unix.Close(fd[1])) {
			b.fds = slices.DeleteFunc(b.fds, func(o [2]int) bool { return o == fd })
		}
	case 2:
		flags := rapid.SampledFrom([]int{0, unix.O_APPEND, unix.O_NONBLOCK}).Draw(b.T, "flags")
		_, e := b.table.Fcntl(fd[0], abi.F_SETFL, uint64(flags))
		_, err := unix.FcntlInt(uintptr(fd[1]), unix.F_SETFL, flags)
		b.compare("F_SETFL", e, err)
	case 3:
		b.directory(fd)
	}
}

// directory compares the names of a directory, in whatever order.
func (b *both) directory(fd [2]int) {
	b.table.Seek(fd[0], 0, 0)
	unix.Seek(fd[1], 0, 0)
	names := func(read func([]byte) (int, error)) (list []string, err error) {
		buffer := make([]byte, 256)
		for {
			n, err := read(buffer)
			if n <= 0 || err != nil {
				slices.Sort(list)
				return list, err
			}
			for p := buffer[:n]; len(p) > 0; p = p[int(p[16])|int(p[17])<<8:] {
				name, _, _ := bytes.Cut(p[19:], []byte{0})
				list = append(list, fmt.Sprintf("%s %d", name, p[18]))
			}
		}
	}
	last := abi.Errno(0)
	got, _ := names(func(p []byte) (n int, err error) {
		if n, last = b.table.Getdents(fd[0], p); last != 0 {
			err = last
		}
		return n, err
	})
	want, err := names(func(p []byte) (int, error) { return unix.Getdents(fd[1], p) })
	if b.compare("getdents", last, err) {
		b.equal("getdents", got, want)
	}
}

// checkpoints may come anywhere, and change nothing.
func (b *both) checkpoint() {
	s := b.table.Checkpoint()
	switch rapid.IntRange(0, 2).Draw(b.T, "kind") {
	case 0:
		b.table.Open(abi.AT_FDCWD, "/tmp/only-here", abi.O_CREAT|abi.O_RDWR, 0o600)
		for _, fd := range b.fds {
			b.table.Write(fd[0], []byte("only here"))
			b.table.Ftruncate(fd[0], 3)
			b.table.Close(fd[0])
		}
		b.table.Unlink(b.dirs[0], "a", 0)
		b.table.Rename(b.dirs[0], "b", b.dirs[0], "c", 0)
		if err := b.table.Restore(s); err != nil {
			b.Fatal(err)
		}
	case 1:
		data, _ := s.MarshalBinary()
		var read State
		if err := read.UnmarshalBinary(data); err != nil {
			b.Fatal(err)
		}
		other, err := New(b.table.o)
		if err != nil {
			b.Fatal(err)
		}
		if err := other.Restore(&read); err != nil {
			b.Fatal(err)
		}
		b.table = other
	}
}

// TestFilesLikeTheKernel does the same in a Table and on a tmpfs of the kernel that the test runs on.
func TestFilesLikeTheKernel(t *testing.T) {
	var fs unix.Statfs_t
	if unix.Statfs("/dev/shm", &fs) != nil || fs.Type != unix.TMPFS_MAGIC || os.Getuid() != 0 {
		t.Skip("needs root and a tmpfs on /dev/shm to compare with")
	}
	old := unix.Umask(0o022)
	defer unix.Umask(old)
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp("/dev/shm", "files")
		if err != nil {
			r.Fatal(err)
		}
		defer os.RemoveAll(dir)
		b := &both{T: r, table: newTable(t, Options{})}
		defer b.close()
		// Some directories more, so that ".." and links to it lead to places that look the same on both sides.
		in := "/1/2/3/4/5/6"
		for i := 2; i <= len(in); i += 2 {
			if e, err := b.table.Mkdir(abi.AT_FDCWD, "/tmp"+in[:i], 0o755), os.Mkdir(dir+in[:i], 0o755); e != 0 || err != nil {
				r.Fatal(e, err)
			}
		}
		b.dirs[0], _ = b.table.Open(abi.AT_FDCWD, "/tmp"+in, abi.O_DIRECTORY, 0)
		if b.dirs[1], err = unix.Open(dir+in, unix.O_DIRECTORY, 0); err != nil {
			r.Fatal(err)
		}
		defer unix.Close(b.dirs[1])
		r.Repeat(map[string]func(*rapid.T){
			"open": func(*rapid.T) { b.open() }, "open again": func(*rapid.T) { b.open() },
			"names": func(*rapid.T) { b.names() }, "more names": func(*rapid.T) { b.names() },
			"look": func(*rapid.T) { b.look() }, "bytes": func(*rapid.T) { b.bytes() }, "more bytes": func(*rapid.T) { b.bytes() },
			"descriptors": func(*rapid.T) { b.descriptors() }, "checkpoint": func(*rapid.T) { b.checkpoint() },
		})
	})
}

package plain

import (
	"time"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/file"
)

// cwd is the directory of the calls that name none.
const cwd = abi.AT_FDCWD

var names = map[abi.Call]Call{
	abi.SYS_OPEN:   {func(p Process, a *Args) (uint64, abi.Errno) { return p.open(cwd, a[0], a[1], a[2]) }, "sxx"},
	abi.SYS_OPENAT: {func(p Process, a *Args) (uint64, abi.Errno) { return p.open(fd(a[0]), a[1], a[2], a[3]) }, "fsxx"},
	abi.SYS_CREAT: {func(p Process, a *Args) (uint64, abi.Errno) {
		return p.open(cwd, a[0], abi.O_CREAT|abi.O_WRONLY|abi.O_TRUNC, a[1])
	}, "sx"},
	abi.SYS_STAT: {func(p Process, a *Args) (uint64, abi.Errno) { return p.stat(cwd, a[0], a[1], 0) }, "sx"},
	abi.SYS_LSTAT: {func(p Process, a *Args) (uint64, abi.Errno) {
		return p.stat(cwd, a[0], a[1], abi.AT_SYMLINK_NOFOLLOW)
	}, "sx"},
	abi.SYS_FSTAT:      {callFstat, "dx"},
	abi.SYS_NEWFSTATAT: {func(p Process, a *Args) (uint64, abi.Errno) { return p.stat(fd(a[0]), a[1], a[2], fd(a[3])) }, "fsxx"},
	abi.SYS_STATX:      {callStatx, "fsxxx"},
	abi.SYS_STATFS:     {callStatfs, "sx"},
	abi.SYS_FSTATFS:    {callFstatfs, "dx"},
	abi.SYS_GETDENTS64: {callGetdents, "dxd"},
	abi.SYS_ACCESS:     {func(p Process, a *Args) (uint64, abi.Errno) { return p.access(cwd, a[0], a[1], 0) }, "sx"},
	abi.SYS_FACCESSAT:  {func(p Process, a *Args) (uint64, abi.Errno) { return p.access(fd(a[0]), a[1], a[2], 0) }, "fsx"},
	abi.SYS_FACCESSAT2: {func(p Process, a *Args) (uint64, abi.Errno) {
		return p.access(fd(a[0]), a[1], a[2], fd(a[3]))
	}, "fsxx"},
	abi.SYS_READLINK:   {func(p Process, a *Args) (uint64, abi.Errno) { return p.readlink(cwd, a[0], a[1], a[2]) }, "sxd"},
	abi.SYS_READLINKAT: {func(p Process, a *Args) (uint64, abi.Errno) { return p.readlink(fd(a[0]), a[1], a[2], a[3]) }, "fsxd"},
	abi.SYS_MKDIR:      {func(p Process, a *Args) (uint64, abi.Errno) { return p.mkdir(cwd, a[0], a[1]) }, "sx"},
	abi.SYS_MKDIRAT:    {func(p Process, a *Args) (uint64, abi.Errno) { return p.mkdir(fd(a[0]), a[1], a[2]) }, "fsx"},
	abi.SYS_MKNODAT:    {callMknodat, "fsxx"},
	abi.SYS_MKNOD: {func(p Process, a *Args) (uint64, abi.Errno) {
		at := int64(cwd)
		return callMknodat(p, &Args{uint64(at), a[0], a[1], a[2]})
	}, "sxx"},
	abi.SYS_UNLINK:   {func(p Process, a *Args) (uint64, abi.Errno) { return p.unlink(cwd, a[0], 0) }, "s"},
	abi.SYS_RMDIR:    {func(p Process, a *Args) (uint64, abi.Errno) { return p.unlink(cwd, a[0], abi.AT_REMOVEDIR) }, "s"},
	abi.SYS_UNLINKAT: {func(p Process, a *Args) (uint64, abi.Errno) { return p.unlink(fd(a[0]), a[1], fd(a[2])) }, "fsx"},
	abi.SYS_RENAME:   {func(p Process, a *Args) (uint64, abi.Errno) { return p.rename(cwd, a[0], cwd, a[1], 0) }, "ss"},
	abi.SYS_RENAMEAT: {func(p Process, a *Args) (uint64, abi.Errno) {
		return p.rename(fd(a[0]), a[1], fd(a[2]), a[3], 0)
	}, "fsfs"},
	abi.SYS_RENAMEAT2: {func(p Process, a *Args) (uint64, abi.Errno) {
		return p.rename(fd(a[0]), a[1], fd(a[2]), a[3], fd(a[4]))
	}, "fsfsx"},
	abi.SYS_SYMLINK:   {func(p Process, a *Args) (uint64, abi.Errno) { return p.symlink(a[0], cwd, a[1]) }, "ss"},
	abi.SYS_SYMLINKAT: {func(p Process, a *Args) (uint64, abi.Errno) { return p.symlink(a[0], fd(a[1]), a[2]) }, "sfs"},
	abi.SYS_LINK:      {func(p Process, a *Args) (uint64, abi.Errno) { return p.link(cwd, a[0], cwd, a[1], 0) }, "ss"},
	abi.SYS_LINKAT: {func(p Process, a *Args) (uint64, abi.Errno) {
		return p.link(fd(a[0]), a[1], fd(a[2]), a[3], fd(a[4]))
	}, "fsfsx"},
	abi.SYS_CHDIR:  {callChdir, "s"},
	abi.SYS_FCHDIR: {func(p Process, a *Args) (uint64, abi.Errno) { return 0, p.Files.Fchdir(fd(a[0])) }, "d"},
	abi.SYS_GETCWD: {callGetcwd, "xd"},
	abi.SYS_UMASK:  {func(p Process, a *Args) (uint64, abi.Errno) { return uint64(p.Files.Umask(uint32(a[0]))), 0 }, "x"},
	abi.SYS_CHMOD:  {func(p Process, a *Args) (uint64, abi.Errno) { return p.chmod(cwd, a[0], a[1]) }, "sx"},
	abi.SYS_FCHMODAT2: {func(p Process, a *Args) (uint64, abi.Errno) {
		name, e := p.path(a[1])
		if e != 0 {
			return 0, e
		}
		return 0, p.Files.Chmod(fd(a[0]), name, uint32(a[2]), fd(a[3]))
	}, "fsxx"},
	abi.SYS_FCHMODAT: {func(p Process, a *Args) (uint64, abi.Errno) { return p.chmod(fd(a[0]), a[1], a[2]) }, "fsx"},
	abi.SYS_FCHMOD: {func(p Process, a *Args) (uint64, abi.Errno) {
		return 0, p.Files.Fchmod(fd(a[0]), uint32(a[1]))
	}, "dx"},
	abi.SYS_CHOWN: {func(p Process, a *Args) (uint64, abi.Errno) { return p.chown(cwd, a[0], a[1], a[2], 0) }, "sdd"},
	abi.SYS_LCHOWN: {func(p Process, a *Args) (uint64, abi.Errno) {
		return p.chown(cwd, a[0], a[1], a[2], abi.AT_SYMLINK_NOFOLLOW)
	}, "sdd"},
	abi.SYS_FCHOWNAT: {func(p Process, a *Args) (uint64, abi.Errno) {
		return p.chown(fd(a[0]), a[1], a[2], a[3], fd(a[4]))
	}, "fsddx"},
	abi.SYS_FCHOWN: {func(p Process, a *Args) (uint64, abi.Errno) {
		return 0, p.Files.Fchown(fd(a[0]), uint32(a[1]), uint32(a[2]))
	}, "ddd"},
	abi.SYS_TRUNCATE:  {callTruncate, "sl"},
	abi.SYS_UTIMENSAT: {callUtimensat, "fsxx"},
}

func (p Process) path(va uint64) (string, abi.Errno) { return p.Space.Text(va, PathMax-1) }

func (p Process) open(dir int, at, flags, mode uint64) (uint64, abi.Errno) {
	name, e := p.path(at)
	if e != 0 {
		return 0, e
	}
	return number(p.Files.Open(dir, name, int(int32(flags)), uint32(mode)))
}

func (p Process) putStat(va uint64, s *abi.Stat, e abi.Errno) (uint64, abi.Errno) {
	if e != 0 {
		return 0, e
	}
	var b [abi.StatSize]byte
	s.Put(b[:])
	return 0, p.Space.CopyOut(va, b[:])
}

func (p Process) stat(dir int, at, to uint64, flags int) (uint64, abi.Errno) {
	name, e := p.path(at)
	if e != 0 {
		return 0, e
	}
	var s abi.Stat
	return p.putStat(to, &s, p.Files.Stat(dir, name, flags, &s))
}

func callFstat(p Process, a *Args) (uint64, abi.Errno) {
	var s abi.Stat
	return p.putStat(a[1], &s, p.Files.Fstat(fd(a[0]), &s))
}

func callStatx(p Process, a *Args) (uint64, abi.Errno) {
	name, e := p.path(a[1])
	if e != 0 {
		return 0, e
	}
	var s abi.Stat
	if e := p.Files.Stat(fd(a[0]), name, fd(a[2]), &s); e != 0 {
		return 0, e
	}
	var b [abi.StatxSize]byte
	s.PutStatx(b[:])
	return 0, p.Space.CopyOut(a[4], b[:])
}

func callStatfs(p Process, a *Args) (uint64, abi.Errno) {
	name, e := p.path(a[0])
	if e != 0 {
		return 0, e
	}
	var s abi.Statfs
	return p.putStatfs(a[1], &s, p.Files.Statfs(name, &s))
}

func callFstatfs(p Process, a *Args) (uint64, abi.Errno) {
	var s abi.Statfs
	return p.putStatfs(a[1], &s, p.Files.Fstatfs(fd(a[0]), &s))
}

func (p Process) putStatfs(va uint64, s *abi.Statfs, e abi.Errno) (uint64, abi.Errno) {
	if e != 0 {
		return 0, e
	}
	var b [abi.StatfsSize]byte
	s.Put(b[:])
	return 0, p.Space.CopyOut(va, b[:])
}

func callGetdents(p Process, a *Args) (uint64, abi.Errno) {
	n := p.Space.Reach(a[1], min(a[2], ChunkMax), abi.PROT_WRITE)
	if n == 0 {
		return 0, abi.EFAULT
	}
	b := make([]byte, n)
	got, e := p.Files.Getdents(fd(a[0]), b)
	if e != 0 {
		return 0, e
	}
	return uint64(got), p.Space.CopyOut(a[1], b[:got])
}

func (p Process) access(dir int, at, mode uint64, flags int) (uint64, abi.Errno) {
	name, e := p.path(at)
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Access(dir, name, int(int32(mode)), flags)
}

func (p Process) readlink(dir int, at, to, size uint64) (uint64, abi.Errno) {
	if int32(size) <= 0 {
		return 0, abi.EINVAL
	}
	name, e := p.path(at)
	if e != 0 {
		return 0, e
	}
	s, e := p.Files.Readlink(dir, name)
	if e != 0 {
		return 0, e
	}
	n := min(uint64(len(s)), size)
	return n, p.Space.CopyOut(to, []byte(s[:n]))
}

func (p Process) mkdir(dir int, at, mode uint64) (uint64, abi.Errno) {
	name, e := p.path(at)
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Mkdir(dir, name, uint32(mode))
}

func callMknodat(p Process, a *Args) (uint64, abi.Errno) {
	name, e := p.path(a[1])
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Mknod(fd(a[0]), name, uint32(a[2]))
}

func (p Process) unlink(dir int, at uint64, flags int) (uint64, abi.Errno) {
	name, e := p.path(at)
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Unlink(dir, name, flags)
}

func (p Process) two(x, y uint64) (a, b string, e abi.Errno) {
	if a, e = p.path(x); e != 0 {
		return a, b, e
	}
	b, e = p.path(y)
	return a, b, e
}

func (p Process) rename(fromDir int, from uint64, toDir int, to uint64, flags int) (uint64, abi.Errno) {
	a, b, e := p.two(from, to)
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Rename(fromDir, a, toDir, b, flags)
}

func (p Process) symlink(target uint64, dir int, at uint64) (uint64, abi.Errno) {
	a, b, e := p.two(target, at)
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Symlink(a, dir, b)
}

func (p Process) link(fromDir int, from uint64, toDir int, to uint64, flags int) (uint64, abi.Errno) {
	a, b, e := p.two(from, to)
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Link(fromDir, a, toDir, b, flags)
}

func callChdir(p Process, a *Args) (uint64, abi.Errno) {
	name, e := p.path(a[0])
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Chdir(name)
}

func callGetcwd(p Process, a *Args) (uint64, abi.Errno) {
	s, e := p.Files.Getcwd()
	if e != 0 {
		return 0, e
	}
	b := append([]byte(s), 0)
	if uint64(len(b)) > a[1] {
		return 0, abi.ERANGE
	}
	return uint64(len(b)), p.Space.CopyOut(a[0], b)
}

func (p Process) chmod(dir int, at, mode uint64) (uint64, abi.Errno) {
	name, e := p.path(at)
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Chmod(dir, name, uint32(mode), 0)
}

func (p Process) chown(dir int, at, uid, gid uint64, flags int) (uint64, abi.Errno) {
	name, e := p.path(at)
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Chown(dir, name, uint32(uid), uint32(gid), flags)
}

func callTruncate(p Process, a *Args) (uint64, abi.Errno) {
	name, e := p.path(a[0])
	if e != 0 {
		return 0, e
	}
	return 0, p.Files.Truncate(name, int64(a[1]))
}

func callUtimensat(p Process, a *Args) (uint64, abi.Errno) {
	name, flags := "", fd(a[3])
	if a[1] == 0 {
		flags |= abi.AT_EMPTY_PATH
	} else {
		var e abi.Errno
		if name, e = p.path(a[1]); e != 0 {
			return 0, e
		}
	}
	times := [2]file.FileTime{{Now: true}, {Now: true}}
	if a[2] != 0 {
		var b [2 * abi.TimespecSize]byte
		if e := p.Space.CopyIn(b[:], a[2]); e != 0 {
			return 0, e
		}
		for i := range times {
			var e abi.Errno
			if times[i], e = fileTime(b[i*abi.TimespecSize:]); e != 0 {
				return 0, e
			}
		}
	}
	return 0, p.Files.Utimens(fd(a[0]), name, times[0], times[1], flags)
}

func fileTime(b []byte) (file.FileTime, abi.Errno) {
	switch ns := le.Uint64(b[8:]); {
	case ns == abi.UTIME_NOW:
		return file.FileTime{Now: true}, 0
	case ns == abi.UTIME_OMIT:
		return file.FileTime{Omit: true}, 0
	case ns >= uint64(time.Second):
		return file.FileTime{}, abi.EINVAL
	}
	const most = 1 << 33 // seconds that fit as nanoseconds, either way
	s := min(max(int64(le.Uint64(b)), -most), most)
	return file.FileTime{Nanoseconds: s*int64(time.Second) + int64(le.Uint64(b[8:]))}, 0
}

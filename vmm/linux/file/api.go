package file

import (
	"io"
	"io/fs"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// ImageOptions say what is in a read-only image.
type ImageOptions struct {
	Files    fs.FS    // the tree from "/" on; nil is an empty one. It's read whole, once
	Program  []byte   // what /proc/self/exe is; kept, not copied
	Path     string   // where the program is in the tree; "/program" when empty
	Writable []string // directories with a memory file system of their own, besides /tmp and /dev/shm; each begins empty
}

// Image is the part of the tree of files that doesn't change: immutable, shared by any number of tables.
type Image struct{}

// NewImage reads a tree. Its errors name the file, and the limit that it passes.
func NewImage(o ImageOptions) (*Image, error) { return nil, nil }

// Limits bound what a process can have. Zero takes the default.
type Limits struct {
	Descriptors int   // numbers of descriptors, RLIMIT_NOFILE: EMFILE. 1,024
	Files       int   // open files, pipes and sockets, whether a descriptor or a message holds them: ENFILE. 4,096
	Memory      int64 // bytes in memory file systems and memfds: ENOSPC. 64 MiB
	Nodes       int   // files, directories and links in memory file systems: ENOSPC. 16,384
	Watches     int   // descriptors in all epoll instances: ENOSPC. 8,192
	Buffers     int64 // bytes in pipes and sockets: what is written beyond is EAGAIN. 16 MiB
	Stdin       int   // bytes given to WriteStdin and not read yet. 1 MiB
	Output      int64 // bytes written to stdout and stderr together: EIO beyond, and Exceeded. No limit when 0
}

// Options of a table.
type Options struct {
	Image          *Image
	Limits         Limits
	Args           []string      // /proc/self/cmdline
	Directory      string        // working directory; "/" when empty
	Auxv           func() []byte // /proc/self/auxv; empty when nil
	Maps           func() []byte // /proc/self/maps; empty when nil
	Status         func() Status // what /proc/self/status says of memory and threads
	Random         func([]byte)  // fills with random bytes: /dev/urandom; zeros when nil. Its state is the caller's to take back
	Stdout, Stderr io.Writer     // io.Discard when nil
	PID            int           // 1 when 0
}

// Status is what /proc/self/status tells that this room can't know.
type Status struct {
	Size, Resident int64 // bytes
	Threads        int
}

// Table is a process's descriptors and files.
type Table struct{}

// New makes a table with descriptors 0, 1 and 2 on the standard streams.
func New(o Options) (*Table, error) { return nil, nil }

// SetNow says what time it is, in nanoseconds: since any fixed point, and since 1970. Timers that are due become readable.
func (t *Table) SetNow(monotonic, realtime int64) {}

// NextTimer is when, on the monotonic clock, the next armed timerfd that somebody may wait for is due.
func (t *Table) NextTimer() (ns int64, ok bool) { return 0, false }

// Version changes whenever the readiness of anything may have changed: a call that was EAGAIN may do something now.
func (t *Table) Version() uint64 { return 0 }

// WriteStdin appends to what descriptor 0 reads, and returns how much there was room for.
func (t *Table) WriteStdin(p []byte) int { return 0 }

// CloseStdin ends descriptor 0's bytes.
func (t *Table) CloseStdin() {}

// Starved says that the program read descriptor 0, or looked whether it's readable, and found nothing since the last WriteStdin: it wants input.
func (t *Table) Starved() bool { return false }

// Exceeded names the limit that the program passed and that ends it, "output", or is empty.
func (t *Table) Exceeded() string { return "" }

// Blocking says whether the program wants to wait where fd says EAGAIN: O_NONBLOCK isn't set.
func (t *Table) Blocking(fd int) bool { return false }

// Snapshot copies bytes of a regular file, for a private mapping. It's shorter than n at the file's end. ENODEV for what can't be mapped, EACCES for
// what isn't open for reading.
func (t *Table) Snapshot(fd int, off int64, n int) ([]byte, abi.Errno) { return nil, abi.ENOSYS }

// Descriptors

func (t *Table) Close(fd int) abi.Errno                             { return abi.ENOSYS }
func (t *Table) CloseRange(first, last uint32, flags int) abi.Errno { return abi.ENOSYS }
func (t *Table) Dup(fd int) (int, abi.Errno)                        { return 0, abi.ENOSYS }
func (t *Table) Dup2(fd, to int) (int, abi.Errno)                   { return 0, abi.ENOSYS }
func (t *Table) Dup3(fd, to, flags int) (int, abi.Errno)            { return 0, abi.ENOSYS }

// Fcntl does all but F_GETLK, for which it's 0 and the caller writes F_UNLCK: there's nobody else who could hold a lock.
func (t *Table) Fcntl(fd, cmd int, arg uint64) (uint64, abi.Errno) { return 0, abi.ENOSYS }

// Ioctl gives back what the caller writes where arg points to, for FIONREAD; for FIONBIO value is what it read there.
func (t *Table) Ioctl(fd int, request uint32, value uint32) (uint32, abi.Errno) { return 0, abi.ENOSYS }
func (t *Table) Flock(fd, op int) abi.Errno                                     { return abi.ENOSYS }

// Bytes

func (t *Table) Read(fd int, p []byte) (int, abi.Errno)                 { return 0, abi.ENOSYS }
func (t *Table) Readv(fd int, v [][]byte) (int, abi.Errno)              { return 0, abi.ENOSYS }
func (t *Table) Pread(fd int, p []byte, off int64) (int, abi.Errno)     { return 0, abi.ENOSYS }
func (t *Table) Preadv(fd int, v [][]byte, off int64) (int, abi.Errno)  { return 0, abi.ENOSYS }
func (t *Table) Write(fd int, p []byte) (int, abi.Errno)                { return 0, abi.ENOSYS }
func (t *Table) Writev(fd int, v [][]byte) (int, abi.Errno)             { return 0, abi.ENOSYS }
func (t *Table) Pwrite(fd int, p []byte, off int64) (int, abi.Errno)    { return 0, abi.ENOSYS }
func (t *Table) Pwritev(fd int, v [][]byte, off int64) (int, abi.Errno) { return 0, abi.ENOSYS }
func (t *Table) Seek(fd int, off int64, whence int) (int64, abi.Errno)  { return 0, abi.ENOSYS }
func (t *Table) Ftruncate(fd int, size int64) abi.Errno                 { return abi.ENOSYS }
func (t *Table) Truncate(path string, size int64) abi.Errno             { return abi.ENOSYS }
func (t *Table) Fallocate(fd, mode int, off, n int64) abi.Errno         { return abi.ENOSYS }
func (t *Table) Fsync(fd int) abi.Errno                                 { return abi.ENOSYS }

// Sendfile, CopyFileRange and Splice use and move the file's own offset where the pointer is nil.
func (t *Table) Sendfile(out, in int, off *int64, n int) (int, abi.Errno) { return 0, abi.ENOSYS }
func (t *Table) CopyFileRange(in int, inOff *int64, out int, outOff *int64, n int) (int, abi.Errno) {
	return 0, abi.ENOSYS
}
func (t *Table) Splice(in int, inOff *int64, out int, outOff *int64, n, flags int) (int, abi.Errno) {
	return 0, abi.ENOSYS
}

// Names. dir is a descriptor or AT_FDCWD.

func (t *Table) Open(dir int, path string, flags int, mode uint32) (int, abi.Errno) {
	return 0, abi.ENOSYS
}

// Getdents writes struct linux_dirent64s into p.
func (t *Table) Getdents(fd int, p []byte) (int, abi.Errno) { return 0, abi.ENOSYS }

// Stat is newfstatat and, with other encoding, statx; flags are AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, AT_NO_AUTOMOUNT and AT_STATX_*.
func (t *Table) Stat(dir int, path string, flags int, s *abi.Stat) abi.Errno { return abi.ENOSYS }
func (t *Table) Fstat(fd int, s *abi.Stat) abi.Errno                         { return abi.ENOSYS }
func (t *Table) Statfs(path string, s *abi.Statfs) abi.Errno                 { return abi.ENOSYS }
func (t *Table) Fstatfs(fd int, s *abi.Statfs) abi.Errno                     { return abi.ENOSYS }
func (t *Table) Access(dir int, path string, mode, flags int) abi.Errno      { return abi.ENOSYS }
func (t *Table) Readlink(dir int, path string) (string, abi.Errno)           { return "", abi.ENOSYS }
func (t *Table) Mkdir(dir int, path string, mode uint32) abi.Errno           { return abi.ENOSYS }
func (t *Table) Mknod(dir int, path string, mode uint32) abi.Errno           { return abi.ENOSYS }
func (t *Table) Unlink(dir int, path string, flags int) abi.Errno            { return abi.ENOSYS }
func (t *Table) Rename(fromDir int, from string, toDir int, to string, flags int) abi.Errno {
	return abi.ENOSYS
}
func (t *Table) Symlink(target string, dir int, path string) abi.Errno { return abi.ENOSYS }
func (t *Table) Link(fromDir int, from string, toDir int, to string, flags int) abi.Errno {
	return abi.ENOSYS
}
func (t *Table) Chdir(path string) abi.Errno                                  { return abi.ENOSYS }
func (t *Table) Fchdir(fd int) abi.Errno                                      { return abi.ENOSYS }
func (t *Table) Getcwd() (string, abi.Errno)                                  { return "", abi.ENOSYS }
func (t *Table) Umask(mask uint32) uint32                                     { return 0 }
func (t *Table) Chmod(dir int, path string, mode uint32, flags int) abi.Errno { return abi.ENOSYS }
func (t *Table) Fchmod(fd int, mode uint32) abi.Errno                         { return abi.ENOSYS }

// Chown lets root give a file to root, and nobody else: users aren't kept.
func (t *Table) Chown(dir int, path string, uid, gid uint32, flags int) abi.Errno { return abi.ENOSYS }
func (t *Table) Fchown(fd int, uid, gid uint32) abi.Errno                         { return abi.ENOSYS }

// FileTime is one of utimensat's two times: nanoseconds since 1970, now, or unchanged.
type FileTime struct {
	Nanoseconds int64
	Now, Omit   bool
}

// Utimens with an empty path and AT_EMPTY_PATH is futimens, which the system call has as a null pointer.
func (t *Table) Utimens(dir int, path string, access, modification FileTime, flags int) abi.Errno {
	return abi.ENOSYS
}

// Things without a name

func (t *Table) Memfd(name string, flags int) (int, abi.Errno)      { return 0, abi.ENOSYS }
func (t *Table) Pipe(flags int) (r, w int, e abi.Errno)             { return 0, 0, abi.ENOSYS }
func (t *Table) Eventfd(initial uint32, flags int) (int, abi.Errno) { return 0, abi.ENOSYS }
func (t *Table) Timerfd(clock, flags int) (int, abi.Errno)          { return 0, abi.ENOSYS }
func (t *Table) TimerfdSettime(fd, flags int, new abi.Itimerspec) (old abi.Itimerspec, e abi.Errno) {
	return old, abi.ENOSYS
}
func (t *Table) TimerfdGettime(fd int) (abi.Itimerspec, abi.Errno) {
	return abi.Itimerspec{}, abi.ENOSYS
}

// Readiness

func (t *Table) EpollCreate(flags int) (int, abi.Errno)                  { return 0, abi.ENOSYS }
func (t *Table) EpollCtl(ep, op, fd int, event abi.EpollEvent) abi.Errno { return abi.ENOSYS }

// EpollWait fills events with what is ready now; 0 when nothing is.
func (t *Table) EpollWait(ep int, events []abi.EpollEvent) (int, abi.Errno) { return 0, abi.ENOSYS }

// Poll fills in Revents and returns how many have some.
func (t *Table) Poll(fds []abi.PollFD) int { return 0 }

// Select changes the sets, bitmaps of n bits or nil, to what is ready now.
func (t *Table) Select(n int, read, write, except []uint64) (int, abi.Errno) { return 0, abi.ENOSYS }

// Sockets. Addresses are struct sockaddr as bytes.

func (t *Table) Socket(family, kind, protocol int) (int, abi.Errno) { return 0, abi.ENOSYS }
func (t *Table) Socketpair(family, kind, protocol int) (a, b int, e abi.Errno) {
	return 0, 0, abi.ENOSYS
}
func (t *Table) Bind(fd int, address []byte) abi.Errno                     { return abi.ENOSYS }
func (t *Table) Listen(fd, backlog int) abi.Errno                          { return abi.ENOSYS }
func (t *Table) Accept(fd, flags int) (conn int, peer []byte, e abi.Errno) { return 0, nil, abi.ENOSYS }
func (t *Table) Connect(fd int, address []byte) abi.Errno                  { return abi.ENOSYS }
func (t *Table) Getsockname(fd int) ([]byte, abi.Errno)                    { return nil, abi.ENOSYS }
func (t *Table) Getpeername(fd int) ([]byte, abi.Errno)                    { return nil, abi.ENOSYS }
func (t *Table) Setsockopt(fd, level, name int, value []byte) abi.Errno    { return abi.ENOSYS }
func (t *Table) Getsockopt(fd, level, name int) ([]byte, abi.Errno)        { return nil, abi.ENOSYS }
func (t *Table) Shutdown(fd, how int) abi.Errno                            { return abi.ENOSYS }
func (t *Table) Send(fd int, v [][]byte, flags int) (int, abi.Errno)       { return 0, abi.ENOSYS }
func (t *Table) Recv(fd int, v [][]byte, flags int) (int, abi.Errno)       { return 0, abi.ENOSYS }

// Conn is a connection from outside to what listens in the guest. Nothing blocks: EAGAIN when there's nothing to read or no room.
type Conn struct{}

// Dial connects to the guest's listening TCP socket: ECONNREFUSED when nobody listens on port, EAGAIN when its queue is full.
func (t *Table) Dial(port int) (*Conn, abi.Errno) { return nil, abi.ENOSYS }

// Listening says whether something listens on the TCP port.
func (t *Table) Listening(port int) bool { return false }

// Read is 0 at the end; ECONNRESET after a reset.
func (c *Conn) Read(p []byte) (int, abi.Errno)  { return 0, abi.ENOSYS }
func (c *Conn) Write(p []byte) (int, abi.Errno) { return 0, abi.ENOSYS }
func (c *Conn) CloseWrite()                     {}
func (c *Conn) Close()                          {}

// State is a checkpoint: immutable, good for any Table of the same Image and limits.
type State struct{}

// Checkpoint keeps everything: descriptors, their offsets, memory files, queues, timers.
func (t *Table) Checkpoint() *State { return nil }

// Restore puts everything back to s. Connections made by Dial since are closed. An error, which only a State from outside can cause, leaves the
// Table unchanged.
func (t *Table) Restore(s *State) error { return nil }

// MarshalBinary makes bytes of it for a snapshot file.
func (s *State) MarshalBinary() ([]byte, error) { return nil, nil }

// UnmarshalBinary reads bytes of MarshalBinary, which may be anybody's: it checks and bounds all. What depends on the Image is checked by Restore.
func (s *State) UnmarshalBinary(b []byte) error { return nil }

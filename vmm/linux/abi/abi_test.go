//go:build linux && amd64

package abi

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestNames compares names and numbers with those that another table has.
func TestNames(t *testing.T) {
	for n := 1; n < len(errors); n++ {
		e := Errno(n)
		if want := unix.ErrnoName(syscall.Errno(n)); want != "" && e.Name() != want && (want != "ENOTSUP" || e != EOPNOTSUPP) {
			t.Errorf("error %d is %s, want %s", n, e.Name(), want)
		}
	}
	for n := 1; n < len(signals); n++ {
		if s := Signal(n); s.String() != unix.SignalName(syscall.Signal(n)) {
			t.Errorf("signal %d is %s, want %s", n, s, unix.SignalName(syscall.Signal(n)))
		}
	}
	for call, want := range map[Call]string{
		0: "read", 56: "clone", 231: "exit_group", 262: "newfstatat", 334: "rseq", 435: "clone3", 400: "syscall_400", 9999: "syscall_9999",
	} {
		if call.String() != want {
			t.Errorf("call %d is %s, want %s", call, call, want)
		}
	}
	if EAGAIN.Result() != ^uint64(10) {
		t.Errorf("EAGAIN is %#x in rax", EAGAIN.Result())
	}
}

// TestConstants compares every constant with the C compiler's headers.
func TestConstants(t *testing.T) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc and the kernel's headers")
	}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	conf := types.Config{Error: func(error) {}} // imports aren't looked at
	p, _ := conf.Check("abi", fset, files, nil)
	var c bytes.Buffer
	c.WriteString(headers)
	checked := 0
	for _, name := range p.Scope().Names() {
		k, ok := p.Scope().Lookup(name).(*types.Const)
		if !ok || k.Val().Kind() != constant.Int || !strings.Contains(name, "_") || strings.HasPrefix(name, "SYS_") {
			continue
		}
		checked++
		value := k.Val().ExactString()
		// A name that the headers don't have is one of the kernel's own; the others must agree.
		const check = "#ifdef %[1]s\n_Static_assert((unsigned long)(%[1]s) == (unsigned long)(%[2]sUL) || (unsigned)(%[1]s) == (unsigned)(%[2]sL), %[1]q);\n#endif\n"
		fmt.Fprintf(&c, check, name, value)
	}
	if checked < 300 {
		t.Fatalf("%d constants found", checked)
	}
	cmd := exec.Command(gcc, "-x", "c", "-fsyntax-only", "-D_GNU_SOURCE", "-")
	cmd.Stdin = &c
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

const headers = `
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <signal.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <asm/prctl.h>
#include <asm/ucontext.h>
#undef O_LARGEFILE // 0 in libc for x86-64, not in the kernel
#undef MADV_GUARD_INSTALL
#undef SIGRTMIN    // libc keeps two signals for itself
#undef SIGRTMAX
`

// TestLayouts compares the structures with Go's own of this kernel.
func TestLayouts(t *testing.T) {
	same := func(name string, got []byte, want unsafe.Pointer, size uintptr) {
		t.Helper()
		if w := unsafe.Slice((*byte)(want), size); !bytes.Equal(got, w) {
			t.Errorf("%s is\n% x, want\n% x", name, got, w)
		}
	}
	b := make([]byte, StatSize)
	(&Stat{Dev: 1, Ino: 2, Nlink: 3, Mode: 4, UID: 5, GID: 6, Rdev: 7, Size: 8, Blksize: 9, Blocks: 10, Atime: 11e9 + 1, Mtime: 12e9 + 2, Ctime: -1}).Put(b)
	st := unix.Stat_t{
		Dev: 1, Ino: 2, Nlink: 3, Mode: 4, Uid: 5, Gid: 6, Rdev: 7, Size: 8, Blksize: 9, Blocks: 10,
		Atim: unix.Timespec{Sec: 11, Nsec: 1}, Mtim: unix.Timespec{Sec: 12, Nsec: 2}, Ctim: unix.Timespec{Sec: -1, Nsec: 999999999},
	}
	same("stat", b, unsafe.Pointer(&st), unsafe.Sizeof(st))

	b = make([]byte, StatxSize)
	(&Stat{
		Dev: Device(8, 1), Ino: 2, Nlink: 3, Mode: 4, UID: 5, GID: 6, Rdev: Device(300, 70000), Size: 8, Blksize: 9, Blocks: 10,
		Atime: 11e9 + 1, Mtime: 12e9 + 2, Ctime: 13e9,
	}).PutStatx(b)
	sx := unix.Statx_t{
		Mask: unix.STATX_BASIC_STATS, Ino: 2, Nlink: 3, Mode: 4, Uid: 5, Gid: 6, Size: 8, Blksize: 9, Blocks: 10,
		Dev_major: 8, Dev_minor: 1, Rdev_major: 300, Rdev_minor: 70000,
		Atime: unix.StatxTimestamp{Sec: 11, Nsec: 1}, Mtime: unix.StatxTimestamp{Sec: 12, Nsec: 2}, Ctime: unix.StatxTimestamp{Sec: 13},
	}
	same("statx", b, unsafe.Pointer(&sx), unsafe.Sizeof(sx))

	b = make([]byte, StatfsSize)
	(&Statfs{Type: 1, Bsize: 2, Blocks: 3, Bfree: 4, Bavail: 5, Files: 6, Ffree: 7, Namelen: 8, Frsize: 9, Flags: 10}).Put(b)
	sf := unix.Statfs_t{Type: 1, Bsize: 2, Blocks: 3, Bfree: 4, Bavail: 5, Files: 6, Ffree: 7, Namelen: 8, Frsize: 9, Flags: 10}
	same("statfs", b, unsafe.Pointer(&sf), unsafe.Sizeof(sf))

	b = make([]byte, SysinfoSize)
	(&Sysinfo{Uptime: 1, Totalram: 2, Freeram: 3, Sharedram: 4, Buffered: 5, Procs: 6}).Put(b)
	si := unix.Sysinfo_t{Uptime: 1, Totalram: 2, Freeram: 3, Sharedram: 4, Bufferram: 5, Procs: 6, Unit: 1}
	same("sysinfo", b, unsafe.Pointer(&si), unsafe.Sizeof(si))

	b = make([]byte, RusageSize)
	(&Rusage{Utime: 1e9 + 2000, Stime: 3e9, Maxrss: 4, Minflt: 5, Majflt: 6, Nvcsw: 7, Nivcsw: 8}).Put(b)
	ru := unix.Rusage{Utime: unix.Timeval{Sec: 1, Usec: 2}, Stime: unix.Timeval{Sec: 3}, Maxrss: 4, Minflt: 5, Majflt: 6, Nvcsw: 7, Nivcsw: 8}
	same("rusage", b, unsafe.Pointer(&ru), unsafe.Sizeof(ru))

	b = make([]byte, EpollEventSize)
	(&EpollEvent{Events: 1, Data: 2 | 3<<32}).Put(b)
	ev := unix.EpollEvent{Events: 1, Fd: 2, Pad: 3}
	same("epoll_event", b, unsafe.Pointer(&ev), unsafe.Sizeof(ev))

	b = make([]byte, PollFDSize)
	(&PollFD{FD: 1, Events: 2, Revents: 3}).Put(b)
	pf := unix.PollFd{Fd: 1, Events: 2, Revents: 3}
	same("pollfd", b, unsafe.Pointer(&pf), unsafe.Sizeof(pf))

	b = make([]byte, ItimerspecSize)
	(&Itimerspec{Interval: 1e9 + 2, Value: 3e9 + 4}).Put(b)
	it := unix.ItimerSpec{Interval: unix.Timespec{Sec: 1, Nsec: 2}, Value: unix.Timespec{Sec: 3, Nsec: 4}}
	same("itimerspec", b, unsafe.Pointer(&it), unsafe.Sizeof(it))

	b = make([]byte, UtsnameSize)
	(&Utsname{Sysname: "Linux", Machine: "x86_64"}).Put(b)
	var un unix.Utsname
	copy(un.Sysname[:], "Linux")
	copy(un.Machine[:], "x86_64")
	same("utsname", b, unsafe.Pointer(&un), unsafe.Sizeof(un))
}

// TestRoundTrips shows that what programs hand in and get back is the same both ways.
func TestRoundTrips(t *testing.T) {
	b := make([]byte, 256)
	context := Sigcontext{R8: 1, R15: 2, RDI: 3, RAX: 4, RSP: 5, RIP: 6, RFLAGS: 7, CS: 8, SS: 9, Err: 10, Trapno: 11, Oldmask: 12, CR2: 13, FPState: 14}
	var back Sigcontext
	context.Put(b)
	if back.Get(b); back != context {
		t.Errorf("sigcontext %+v became %+v", context, back)
	}
	for _, info := range []Siginfo{
		{Signo: SIGSEGV, Code: SEGV_ACCERR, Addr: 0x1234},
		{Signo: SIGURG, Code: SI_TKILL, PID: 3, UID: 4},
		{Signo: 40, Code: SI_QUEUE, PID: 1, Value: 9},
	} {
		var other Siginfo
		info.Put(b)
		if other.Get(b); other != info {
			t.Errorf("siginfo %+v became %+v", info, other)
		}
	}
	if _, e := GetTimespec(append(b[:0:0], bytes.Repeat([]byte{0xff}, 16)...)); e != EINVAL {
		t.Errorf("a negative time is %v", e)
	}
}

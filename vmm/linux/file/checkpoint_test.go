package file

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/wherry/wherry/vmm/linux/abi"
)

func must[T any](t testing.TB) func(T, abi.Errno) T {
	return func(v T, e abi.Errno) T {
		t.Helper()
		if e != 0 {
			t.Fatal(e)
		}
		return v
	}
}

// busy is a table with one of each thing.
func busy(t testing.TB) *Table {
	t.Helper()
	table := newTable(t, Options{Args: []string{"program"}})
	table.SetNow(1000, 1e18)
	fd := must[int](t)(table.Open(abi.AT_FDCWD, "/tmp/a", abi.O_CREAT|abi.O_RDWR, 0o644))
	table.Write(fd, bytes.Repeat([]byte("x"), 5000))
	table.Mkdir(abi.AT_FDCWD, "/tmp/d", 0o755)
	table.Symlink("../a", abi.AT_FDCWD, "/tmp/d/l")
	gone := must[int](t)(table.Open(abi.AT_FDCWD, "/tmp/gone", abi.O_CREAT|abi.O_RDWR, 0o644))
	table.Write(gone, []byte("without a name"))
	table.Unlink(abi.AT_FDCWD, "/tmp/gone", 0)
	r, w, _ := table.Pipe(0)
	table.Write(w, []byte("in the pipe"))
	ep := must[int](t)(table.EpollCreate(0))
	table.EpollCtl(ep, abi.EPOLL_CTL_ADD, r, abi.EpollEvent{Events: abi.EPOLLIN, Data: 7})
	must[int](t)(table.Eventfd(3, 0))
	timer := must[int](t)(table.Timerfd(abi.CLOCK_MONOTONIC, 0))
	table.TimerfdSettime(timer, 0, abi.Itimerspec{Value: 500, Interval: 100})
	server := must[int](t)(table.Socket(abi.AF_INET, abi.SOCK_STREAM, 0))
	table.Bind(server, []byte{2, 0, 0x1f, 0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	table.Listen(server, 10)
	a, b, _ := table.Socketpair(abi.AF_UNIX, abi.SOCK_STREAM, 0)
	table.Write(a, []byte("to b"))
	table.Dup(b)
	c := must[*Conn](t)(table.Dial(8080))
	c.Write([]byte("hello"))
	must[int](t)(table.Open(abi.AT_FDCWD, "/proc/self/cmdline", 0, 0))
	return table
}

// TestRestoreInAnother shows that a process goes on elsewhere, from bytes, with all that it had.
func TestRestoreInAnother(t *testing.T) {
	table := busy(t)
	data, err := table.Checkpoint().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var s State
	if err := s.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	other := newTable(t, Options{Args: []string{"program"}})
	if err := other.Restore(&s); err != nil {
		t.Fatal(err)
	}
	other.SetNow(1600, 1e18)
	p := make([]byte, 100)
	for fd, want := range map[int]string{5: "in the pipe", 13: "to b"} {
		n, e := other.Read(fd, p)
		if string(p[:n]) != want {
			t.Errorf("descriptor %d has %q, %v; want %q", fd, p[:n], e, want)
		}
	}
	n, e := other.Pread(4, p, 0)
	if string(p[:n]) != "without a name" {
		t.Errorf("the file without a name has %q, %v", p[:n], e)
	}
	if n, e := other.Read(9, p); n != 8 || p[0] != 2 {
		t.Errorf("the timer was due %d times, %v; want 2", p[0], e)
	}
	conn, _, e := other.Accept(10, 0)
	if n, _ = other.Read(conn, p); e != 0 || string(p[:n]) != "hello" {
		t.Errorf("the connection has %q, %v", p[:n], e)
	}
	if n, e = other.Read(conn, p); n != 0 || e != 0 {
		t.Errorf("whoever dialled isn't there any more, and the guest reads %d, %v; want the end", n, e)
	}
	var st abi.Stat
	if e := other.Stat(abi.AT_FDCWD, "/tmp/d/l", 0, &st); e != 0 || st.Size != 5000 {
		t.Errorf("the file behind a link has %d bytes, %v", st.Size, e)
	}
	if err := newTable(t, Options{Image: must2(NewImage(ImageOptions{Program: []byte("another")}))}).Restore(&s); err == nil {
		t.Error("a state goes on with another program")
	}
	if err := newTable(t, Options{Limits: Limits{Memory: 4096}}).Restore(&s); err == nil {
		t.Error("a state goes on with less memory than it has")
	}
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestRestoreTakesAllBack changes everything that a checkpoint has and looks whether what's left is the same, byte for byte.
func TestRestoreTakesAllBack(t *testing.T) {
	table := busy(t)
	s := table.Checkpoint()
	want, _ := s.MarshalBinary()
	for range 3 {
		p := make([]byte, 8)
		for fd := range 20 {
			table.Write(fd, []byte("changed!"))
			table.Read(fd, p)
			table.Pwrite(fd, p, 3)
			table.Ftruncate(fd, 100)
			table.Fchmod(fd, 0o600)
			table.Fcntl(fd, abi.F_SETFL, abi.O_NONBLOCK)
			table.EpollCtl(7, abi.EPOLL_CTL_ADD, fd, abi.EpollEvent{Events: abi.EPOLLIN | abi.EPOLLOUT})
		}
		table.EpollWait(7, make([]abi.EpollEvent, 5))
		table.Rename(abi.AT_FDCWD, "/tmp/a", abi.AT_FDCWD, "/tmp/d/b", 0)
		table.Unlink(abi.AT_FDCWD, "/tmp/d/l", 0)
		table.Chdir("/tmp/d")
		table.Umask(0)
		table.WriteStdin([]byte("more"))
		table.Accept(10, 0)
		must[*Conn](t)(table.Dial(8080)).Write([]byte("late"))
		table.Open(abi.AT_FDCWD, "/tmp/new", abi.O_CREAT|abi.O_RDWR, 0o600)
		table.CloseRange(0, 100, 0)
		if err := table.Restore(s); err != nil {
			t.Fatal(err)
		}
	}
	// What was put back is written down anew, and read into another table, where the numbers come from the same objects in the same order.
	got, _ := table.Checkpoint().MarshalBinary()
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of state after it was restored, %d before, and they differ", len(got), len(want))
	}
}

func TestConnectionAfterRestore(t *testing.T) {
	table := busy(t)
	s := table.Checkpoint()
	c := must[*Conn](t)(table.Dial(8080))
	if err := table.Restore(s); err != nil {
		t.Fatal(err)
	}
	if _, e := c.Read(make([]byte, 1)); e != abi.ECONNRESET {
		t.Errorf("a connection that the guest no longer knows says %v", e)
	}
}

// FuzzState gives bytes to a table and, when it takes them, does something with all that it then has.
func FuzzState(f *testing.F) {
	table := busy(f)
	data, _ := table.Checkpoint().MarshalBinary()
	f.Add(data)
	small, _ := newTable(f, Options{}).Checkpoint().MarshalBinary()
	f.Add(small)
	m := table.o.Image
	f.Fuzz(func(t *testing.T, data []byte) {
		var s State
		if s.UnmarshalBinary(data) != nil {
			return
		}
		s.digest = m.Digest()
		other := newTable(t, Options{Image: m})
		if other.Restore(&s) != nil {
			return
		}
		use(other)
		again := other.Checkpoint()
		if err := newTable(t, Options{Image: m}).Restore(again); err != nil {
			t.Fatalf("a state that was taken can't be taken again: %v", err)
		}
		use(other)
		if err := other.Restore(again); err != nil {
			t.Fatal(err)
		}
		use(other)
	})
}

// use calls most of what there is.
func use(t *Table) {
	p := make([]byte, 5000)
	var st abi.Stat
	t.SetNow(t.mono+1000, t.real+1000)
	t.NextTimer()
	for fd := range min(len(t.slots.fds), 40) {
		t.Fstat(fd, &st)
		t.Seek(fd, 0, abi.SEEK_DATA)
		t.Pread(fd, p, 10)
		t.Read(fd, p)
		t.Write(fd, p)
		t.Ftruncate(fd, 10000)
		t.Getdents(fd, p)
		t.EpollWait(fd, make([]abi.EpollEvent, 3))
		t.EpollCtl(fd, abi.EPOLL_CTL_ADD, fd+1, abi.EpollEvent{Events: abi.EPOLLIN | abi.EPOLLET})
		t.Accept(fd, 0)
		t.Getsockname(fd)
		t.Getsockopt(fd, abi.SOL_SOCKET, abi.SO_REUSEADDR)
		t.Listen(fd, 3)
		t.Shutdown(fd, 1)
		t.Fchdir(fd)
		t.TimerfdGettime(fd)
		t.Poll([]abi.PollFD{{FD: int32(fd), Events: 0xffff}})
	}
	t.Getcwd()
	for _, dir := range []string{"/", "/tmp", "/proc/self/fd", "."} {
		fd, _ := t.Open(abi.AT_FDCWD, dir, abi.O_DIRECTORY, 0)
		t.Getdents(fd, p)
		t.Close(fd)
	}
	t.Mkdir(abi.AT_FDCWD, "/tmp/dir", 0o700)
	t.Rename(abi.AT_FDCWD, "/tmp/d", abi.AT_FDCWD, "/tmp/dir/d", 0)
	t.Dial(8080)
	for fd := range min(len(t.slots.fds), 40) {
		if fd%2 == 0 {
			t.Close(fd)
		}
	}
}

// FuzzPath walks anything through the tree: by opening, removing, renaming.
func FuzzPath(f *testing.F) {
	for _, p := range []string{"/tmp/../proc/self/fd/0/..", "/dev/fd//1", "a/./b", "/proc/thread-self/exe", "l/l/l", strings.Repeat("../", 300), "/tmp/x/../x"} {
		f.Add(p, "/tmp/target")
	}
	m := must2(NewImage(ImageOptions{Files: fstest.MapFS{"etc/hosts": {Data: []byte("127.0.0.1 localhost\n")}}}))
	f.Fuzz(func(t *testing.T, a, b string) {
		table := newTable(t, Options{Image: m, Directory: "/tmp"})
		var st abi.Stat
		table.Symlink(b, abi.AT_FDCWD, "l")
		table.Mkdir(abi.AT_FDCWD, a, 0o700)
		table.Open(abi.AT_FDCWD, a, abi.O_CREAT|abi.O_RDWR, 0o600)
		table.Rename(abi.AT_FDCWD, a, abi.AT_FDCWD, b, 0)
		table.Link(abi.AT_FDCWD, b, abi.AT_FDCWD, a, 0)
		table.Stat(abi.AT_FDCWD, a, 0, &st)
		table.Readlink(abi.AT_FDCWD, b)
		if table.Chdir(b) == 0 {
			if dir, e := table.Getcwd(); e == 0 && table.Stat(abi.AT_FDCWD, dir, 0, &st) != 0 {
				t.Errorf("the working directory %q isn't there", dir)
			}
		}
		table.Unlink(abi.AT_FDCWD, a, abi.AT_REMOVEDIR)
		s := table.Checkpoint()
		if err := newTable(t, Options{Image: m}).Restore(s); err != nil {
			t.Errorf("after %q and %q: %v", a, b, err)
		}
	})
}

// BenchmarkRestore is what a request costs a process that reads its request, writes its answer and moves a file's offset: it has to be below 1 µs.
func BenchmarkRestore(b *testing.B) {
	table := newTable(b, Options{Stdout: io.Discard})
	fd := must[int](b)(table.Open(abi.AT_FDCWD, "/program", 0, 0))
	s := table.Checkpoint()
	request, p := make([]byte, 300), make([]byte, 512)
	step := func(restore bool) {
		table.WriteStdin(request)
		table.Read(0, p)
		table.Write(1, p[:200])
		table.Read(fd, p)
		if restore {
			table.Restore(s)
		} else {
			table.Seek(fd, 0, 0)
		}
	}
	b.Run("with", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			step(true)
		}
	})
	b.Run("without", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			step(false)
		}
	})
}

// TestGateInAFile has a connection to the gate in a checkpoint: who read it isn't there any more.
func TestGateInAFile(t *testing.T) {
	table := newTable(t, Options{})
	table.Gate(true)
	fd := must[int](t)(table.Socket(abi.AF_INET, abi.SOCK_STREAM, 0))
	if e := table.Connect(fd, []byte{abi.AF_INET, 0, 0, 80, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}); e != 0 {
		t.Fatal(e)
	}
	table.Called().Write([]byte("answer"))
	s := table.Checkpoint()
	other := newTable(t, Options{})
	other.Gate(true)
	if err := other.Restore(s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"answer", ""} {
		p := make([]byte, 100)
		if n, e := other.Read(fd, p); e != 0 || string(p[:n]) != want {
			t.Errorf("read %q, %v; want %q", p[:n], e, want)
		}
	}
	if other.Called() != nil {
		t.Error("somebody waits at the gate")
	}
}

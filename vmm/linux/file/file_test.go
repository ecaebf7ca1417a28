package file

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/wherry/wherry/vmm/linux/abi"
)

func image(t testing.TB) *Image {
	t.Helper()
	return must2(NewImage(ImageOptions{
		Files: fstest.MapFS{
			"etc/hosts":           {Data: []byte("127.0.0.1 localhost\n"), Mode: 0o644},
			"usr/share/zone/Rome": {Data: []byte("TZif"), Mode: 0o644},
			"proc/own":            {Data: []byte("hidden")},
		},
		Program: []byte("\x7fELF"), Path: "/app/server", Writable: []string{"/data"},
	}))
}

func readAll(t *Table, path string) string {
	fd, e := t.Open(abi.AT_FDCWD, path, abi.O_RDONLY, 0)
	if e != 0 {
		return e.Name()
	}
	defer t.Close(fd)
	p := make([]byte, 8192)
	n, e := t.Read(fd, p)
	if e != 0 {
		return e.Name()
	}
	return string(p[:n])
}

// TestTree shows what a program finds where.
func TestTree(t *testing.T) {
	table := newTable(t, Options{
		Image: image(t), Args: []string{"/app/server", "-v"}, Maps: func() []byte { return []byte("00400000-") }, Auxv: func() []byte { return []byte("aux") },
		Random: func(p []byte) { copy(p, bytes.Repeat([]byte("r"), len(p))) }, Directory: "/data",
	})
	for path, want := range map[string]string{
		"/etc/hosts": "127.0.0.1 localhost\n", "/proc/self/exe": "\x7fELF", "/app/server": "\x7fELF", "/proc/self/cmdline": "/app/server\x00-v\x00",
		"/proc/self/maps": "00400000-", "/proc/self/auxv": "aux", "/proc/own": "ENOENT", "/dev/null": "", "/etc/nothing": "ENOENT", "/etc/hosts/x": "ENOTDIR",
		"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size": "2097152\n", "/proc/sys/net/core/somaxconn": "128\n", "/proc/thread-self/comm": "server\n",
		"/dev/fd/0": "EAGAIN", "/usr/share/zone/../zone/Rome": "TZif", "/etc": "EISDIR",
		"/dev/zero": strings.Repeat("\x00", 8192), "/dev/urandom": strings.Repeat("r", 8192),
	} {
		if got := readAll(table, path); got != want {
			t.Errorf("%s has %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]abi.Errno{
		"/etc/new": abi.EROFS, "/new": abi.EROFS, "/proc/new": abi.EROFS, "/data/new": 0, "/tmp/new": 0, "/dev/shm/new": 0, "here": 0,
	} {
		if _, e := table.Open(abi.AT_FDCWD, path, abi.O_CREAT|abi.O_RDWR, 0o600); e != want {
			t.Errorf("making %s: %s, want %s", path, e.Name(), want.Name())
		}
	}
	fd, _ := table.Open(abi.AT_FDCWD, "/data/here", abi.O_RDONLY, 0)
	if link, e := table.Readlink(abi.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd)); link != "/data/here" || e != 0 {
		t.Errorf("the link of the descriptor says %q, %v", link, e)
	}
	if e := table.Rename(abi.AT_FDCWD, "/data/new", abi.AT_FDCWD, "/tmp/other", 0); e != abi.EXDEV {
		t.Errorf("renaming to another file system: %v", e)
	}
	full, _ := table.Open(abi.AT_FDCWD, "/dev/full", abi.O_WRONLY, 0)
	if _, e := table.Write(full, []byte("x")); e != abi.ENOSPC {
		t.Errorf("/dev/full: %v", e)
	}
}

// TestStreams shows what the caller sees of a program that reads and writes.
func TestStreams(t *testing.T) {
	var out, err bytes.Buffer
	table := newTable(t, Options{Stdout: &out, Stderr: &err, Limits: Limits{Output: 12}})
	p := make([]byte, 10)
	if table.Poll([]abi.PollFD{{FD: 0}}); table.Starved() {
		t.Error("asking whether descriptor 0 is open is taken for wanting input")
	}
	if _, e := table.Read(0, p); e != abi.EAGAIN || !table.Starved() || !table.Blocking(0) {
		t.Errorf("reading nothing: %v, starved %v", e, table.Starved())
	}
	version := table.Version()
	if n := table.WriteStdin([]byte("request")); n != 7 || table.Starved() || table.Version() == version {
		t.Errorf("took %d bytes, starved %v, version %d after %d", n, table.Starved(), table.Version(), version)
	}
	table.CloseStdin()
	n, _ := table.Read(0, p)
	if end, e := table.Read(0, p[n:]); string(p[:n]) != "request" || end != 0 || e != 0 || table.Starved() {
		t.Errorf("read %q, then %d, %v", p[:n], end, e)
	}
	table.Write(1, []byte("answer"))
	table.Write(2, []byte("log"))
	if table.Exceeded() != "" {
		t.Error("a limit that wasn't passed")
	}
	if n, e := table.Write(1, []byte("too long")); n != 3 || e != 0 || table.Exceeded() != "output" {
		t.Errorf("wrote %d, %v, exceeded %q", n, e, table.Exceeded())
	}
	if _, e := table.Write(2, []byte("x")); e != abi.EIO || out.String() != "answertoo" || err.String() != "log" {
		t.Errorf("after the limit: %v, %q, %q", e, &out, &err)
	}
}

// TestLimits shows that a program which takes all that it can get is told so, and by which error.
func TestLimits(t *testing.T) {
	l := Limits{Descriptors: 20, Files: 30, Memory: 64 << 10, Nodes: 50, Watches: 4, Buffers: 10000, Stdin: 5}
	until := func(f func(*Table, int) abi.Errno) (int, abi.Errno) {
		table := newTable(t, Options{Limits: l})
		for i := range 10000 {
			if e := f(table, i); e != 0 {
				return i, e
			}
		}
		return 10000, 0
	}
	for name, c := range map[string]struct {
		do   func(*Table, int) abi.Errno
		want abi.Errno
		most int
	}{
		"descriptors": {func(t *Table, _ int) abi.Errno { _, e := t.Dup(0); return e }, abi.EMFILE, 17},
		"high":        {func(t *Table, _ int) abi.Errno { _, e := t.Dup2(0, 20); return e }, abi.EBADF, 0},
		"nodes":       {func(t *Table, i int) abi.Errno { return t.Mkdir(abi.AT_FDCWD, fmt.Sprint("/tmp/", i), 0o700) }, abi.ENOSPC, 50},
		"name": {func(t *Table, i int) abi.Errno {
			return t.Mkdir(abi.AT_FDCWD, "/tmp/"+strings.Repeat("n", 250+i), 0o700)
		}, abi.ENAMETOOLONG, 6},
		"path": {func(t *Table, _ int) abi.Errno { return t.Mkdir(abi.AT_FDCWD, strings.Repeat("/tmp/..", 1000), 0o700) }, abi.ENAMETOOLONG, 0},
		"loop": {func(t *Table, i int) abi.Errno {
			t.Symlink("l", abi.AT_FDCWD, "/tmp/l")
			_, e := t.Open(abi.AT_FDCWD, "/tmp/l", 0, 0)
			return e
		}, abi.ELOOP, 0},
		"bytes": {func(t *Table, i int) abi.Errno {
			fd, _ := t.Open(abi.AT_FDCWD, "/tmp/f", abi.O_CREAT|abi.O_WRONLY|abi.O_APPEND, 0o600)
			_, e := t.Write(fd, make([]byte, 4096))
			t.Close(fd)
			return e
		}, abi.ENOSPC, 16},
		"pipes": {func(t *Table, _ int) abi.Errno {
			_, w, e := t.Pipe(0)
			_, we := t.Write(w, make([]byte, 3000))
			return e | we
		}, abi.EAGAIN, 3},
		"watches": {func(t *Table, i int) abi.Errno {
			if i == 0 {
				t.EpollCreate(0)
			}
			r, _, _ := t.Pipe(0)
			return t.EpollCtl(3, abi.EPOLL_CTL_ADD, r, abi.EpollEvent{Events: abi.EPOLLIN})
		}, abi.ENOSPC, 4},
	} {
		if n, e := until(c.do); e != c.want || n > c.most {
			t.Errorf("%s: %s after %d, want %s after %d at most", name, e.Name(), n, c.want.Name(), c.most)
		}
	}
	if n := newTable(t, Options{Limits: l}).WriteStdin([]byte("too much")); n != 5 {
		t.Errorf("stdin took %d bytes", n)
	}
}

// TestMemoryComesBack shows that what is removed can be used again.
func TestMemoryComesBack(t *testing.T) {
	table := newTable(t, Options{Limits: Limits{Memory: 64 << 10, Files: 10, Nodes: 4}})
	for i := range 100 {
		fd, e := table.Open(abi.AT_FDCWD, "/tmp/f", abi.O_CREAT|abi.O_RDWR, 0o600)
		if n, we := table.Write(fd, make([]byte, 60<<10)); e != 0 || we != 0 || n != 60<<10 {
			t.Fatalf("time %d: %v, %d, %v", i, e, n, we)
		}
		table.Unlink(abi.AT_FDCWD, "/tmp/f", 0)
		table.Close(fd)
		r, w, e := table.Pipe(0)
		if e != 0 {
			t.Fatal(e)
		}
		table.Write(w, make([]byte, 60<<10))
		table.Close(r)
		table.Close(w)
		if i == 50 {
			table.Checkpoint()
		}
	}
	if table.ledger.Now.Memory != 0 || table.ledger.Now.Buffers != 0 || table.ledger.Now.Files != 3 {
		t.Errorf("%d bytes, %d in buffers, %d files are left", table.ledger.Now.Memory, table.ledger.Now.Buffers, table.ledger.Now.Files)
	}
}

// TestTimer shows when a timer is due, and that it's told once.
func TestTimer(t *testing.T) {
	table := newTable(t, Options{})
	table.SetNow(1000, 5000)
	fd := must[int](t)(table.Timerfd(abi.CLOCK_MONOTONIC, 0))
	wall := must[int](t)(table.Timerfd(abi.CLOCK_REALTIME, 0))
	ep := must[int](t)(table.EpollCreate(0))
	table.EpollCtl(ep, abi.EPOLL_CTL_ADD, fd, abi.EpollEvent{Events: abi.EPOLLIN | abi.EPOLLET})
	if _, ok := table.NextTimer(); ok {
		t.Error("a timer that isn't armed is due")
	}
	table.TimerfdSettime(fd, 0, abi.Itimerspec{Value: 100, Interval: 30})
	table.TimerfdSettime(wall, abi.TFD_TIMER_ABSTIME, abi.Itimerspec{Value: 5050})
	if at, ok := table.NextTimer(); !ok || at != 1050 {
		t.Errorf("the next timer is due at %d, %v; want 1050", at, ok)
	}
	events := make([]abi.EpollEvent, 4)
	for _, step := range []struct {
		mono int64
		told int
		next int64
	}{{1099, 0, 1100}, {1100, 1, 1130}, {1110, 0, 1130}, {1135, 1, 1160}, {1170, 1, 1190}} {
		version := table.Version()
		table.SetNow(step.mono, 4000+step.mono)
		if n, _ := table.EpollWait(ep, events); n != step.told {
			t.Errorf("at %d epoll tells %d, want %d", step.mono, n, step.told)
		}
		if at, _ := table.NextTimer(); at != step.next {
			t.Errorf("at %d the next is due at %d, want %d", step.mono, at, step.next)
		}
		if step.told > 0 && table.Version() == version {
			t.Errorf("at %d the version hasn't changed", step.mono)
		}
	}
	p := make([]byte, 8)
	if n, e := table.Read(fd, p); n != 8 || e != 0 || p[0] != 3 {
		t.Errorf("the timer was due %d times, %v; want 3", p[0], e)
	}
	if _, e := table.Read(fd, p); e != abi.EAGAIN {
		t.Errorf("read again: %v", e)
	}
	if left, _ := table.TimerfdGettime(fd); left != (abi.Itimerspec{Value: 20, Interval: 30}) {
		t.Errorf("left: %+v", left)
	}
}

// TestServer shows a guest that listens, and both who come from outside and from inside.
func TestServer(t *testing.T) {
	table := newTable(t, Options{})
	if _, e := table.Dial(8080); e != abi.ECONNREFUSED {
		t.Errorf("nobody listens: %v", e)
	}
	server := must[int](t)(table.Socket(abi.AF_INET6, abi.SOCK_STREAM|abi.SOCK_NONBLOCK, 0))
	at := make([]byte, 28)
	at[0], at[2], at[3] = abi.AF_INET6, 0x1f, 0x90
	if e := table.Bind(server, at) | table.Listen(server, 2); e != 0 || !table.Listening(8080) {
		t.Fatalf("listen: %v", e)
	}
	second := must[int](t)(table.Socket(abi.AF_INET, abi.SOCK_STREAM, 0))
	if e := table.Bind(second, []byte{2, 0, 0x1f, 0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}); e != abi.EADDRINUSE {
		t.Errorf("a second one on the port: %v", e)
	}
	c := must[*Conn](t)(table.Dial(8080))
	c.Write([]byte("GET /"))
	c.CloseWrite()
	conn, peer, e := table.Accept(server, abi.SOCK_CLOEXEC)
	if e != 0 || len(peer) != 28 {
		t.Fatalf("accept: % x, %v", peer, e)
	}
	p := make([]byte, 100)
	n, _ := table.Recv(conn, [][]byte{p}, abi.MSG_PEEK)
	if n, _ = table.Read(conn, p[:n]); string(p[:n]) != "GET /" {
		t.Errorf("the guest read %q", p[:n])
	}
	if n, e = table.Read(conn, p); n != 0 || e != 0 {
		t.Errorf("at the end: %d, %v", n, e)
	}
	if _, e := c.Read(p); e != abi.EAGAIN {
		t.Errorf("no answer yet: %v", e)
	}
	table.Write(conn, []byte("200"))
	table.Close(conn)
	if n, _ = c.Read(p); string(p[:n]) != "200" {
		t.Errorf("the answer is %q", p[:n])
	}
	if n, e = c.Read(p); n != 0 || e != 0 {
		t.Errorf("behind the answer: %d, %v", n, e)
	}
	client := must[int](t)(table.Socket(abi.AF_INET6, abi.SOCK_STREAM, 0))
	at[23] = 1 // ::1
	if e := table.Connect(client, at); e != 0 {
		t.Errorf("from inside: %v", e)
	}
	other := must[int](t)(table.Socket(abi.AF_INET, abi.SOCK_STREAM, 0))
	if e := table.Connect(other, []byte{2, 0, 0, 80, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0}); e != abi.ENETUNREACH {
		t.Errorf("to the world: %v", e)
	}
	for range 10 {
		_, e = table.Dial(8080)
	}
	if e != abi.EAGAIN {
		t.Errorf("more than the queue holds: %v", e)
	}
	table.Close(server)
	if _, e = table.Dial(8080); e != abi.ECONNREFUSED {
		t.Errorf("after it closed: %v", e)
	}
}

// TestUnixServer shows a socket with a path.
func TestUnixServer(t *testing.T) {
	table := newTable(t, Options{})
	a := append([]byte{1, 0}, "/tmp/s\x00"...)
	server := must[int](t)(table.Socket(abi.AF_UNIX, abi.SOCK_STREAM, 0))
	if e := table.Bind(server, a) | table.Listen(server, 1); e != 0 {
		t.Fatal(e)
	}
	client := must[int](t)(table.Socket(abi.AF_UNIX, abi.SOCK_STREAM, 0))
	if e := table.Connect(client, a); e != 0 {
		t.Fatal(e)
	}
	conn, _, e := table.Accept(server, 0)
	if e != 0 {
		t.Fatal(e)
	}
	table.Write(client, []byte("hi"))
	p := make([]byte, 10)
	if n, _ := table.Read(conn, p); string(p[:n]) != "hi" {
		t.Errorf("read %q", p[:n])
	}
	if name, _ := table.Getpeername(client); !slices.Equal(name, a) {
		t.Errorf("the peer is %q", name)
	}
	table.Close(server)
	if e := table.Connect(must[int](t)(table.Socket(abi.AF_UNIX, abi.SOCK_STREAM, 0)), a); e != abi.ECONNREFUSED {
		t.Errorf("after it closed: %v", e)
	}
}

// TestCopies shows sendfile, copy_file_range and splice, with a reader that takes little.
func TestCopies(t *testing.T) {
	table := newTable(t, Options{Stdout: io.Discard})
	a := must[int](t)(table.Open(abi.AT_FDCWD, "/tmp/a", abi.O_CREAT|abi.O_RDWR, 0o600))
	b := must[int](t)(table.Open(abi.AT_FDCWD, "/tmp/b", abi.O_CREAT|abi.O_RDWR, 0o600))
	data := bytes.Repeat([]byte("0123456789"), 20000)
	table.Write(a, data)
	off := int64(5)
	if n, e := table.CopyFileRange(a, &off, b, nil, 1<<40, 0); n != len(data)-5 || e != 0 || off != int64(len(data)) {
		t.Errorf("copied %d, %v, to %d", n, e, off)
	}
	got, _ := table.Snapshot(b, 0, 1<<30)
	if !bytes.Equal(got, data[5:]) {
		t.Error("other bytes")
	}
	r, w, _ := table.Pipe(0)
	off = 0
	if n, e := table.Sendfile(w, a, &off, len(data)); n != pipeSize || e != 0 || off != pipeSize {
		t.Errorf("sent %d, %v, to %d", n, e, off)
	}
	if n, e := table.Splice(r, nil, b, new(int64), 1000, 0); n != 1000 || e != 0 {
		t.Errorf("spliced %d, %v", n, e)
	}
	if left, _ := table.Ioctl(r, abi.FIONREAD, 0); left != pipeSize-1000 {
		t.Errorf("%d bytes are left in the pipe", left)
	}
}

// TestSelect shows the bitmaps of select.
func TestSelect(t *testing.T) {
	table := newTable(t, Options{})
	r, w, _ := table.Pipe(0)
	read, write := []uint64{1<<r | 1}, []uint64{1 << w}
	if n, e := table.Select(w+1, read, write, nil); n != 1 || e != 0 || read[0] != 0 || write[0] != 1<<w {
		t.Errorf("%d, %v, %b, %b", n, e, read[0], write[0])
	}
	table.Write(w, []byte("x"))
	read[0] = 1 << r
	if n, _ := table.Select(w+1, read, nil, nil); n != 1 || read[0] != 1<<r {
		t.Errorf("%d, %b", n, read[0])
	}
	if _, e := table.Select(100, []uint64{1 << 50}, nil, nil); e != abi.EBADF {
		t.Errorf("a closed one: %v", e)
	}
}

// TestChown shows that owners are kept and told, also by a state, and that the image's don't change.
func TestChown(t *testing.T) {
	const unchanged = ^uint32(0)
	table := newTable(t, Options{Image: image(t)})
	fd := must[int](t)(table.Open(abi.AT_FDCWD, "/tmp/a", abi.O_CREAT|abi.O_RDWR, 0o644))
	before := table.Checkpoint()
	for _, e := range []abi.Errno{table.Chown(abi.AT_FDCWD, "/tmp/a", 65534, unchanged, 0), table.Fchown(fd, unchanged, 7)} {
		if e != 0 {
			t.Error(e)
		}
	}
	owner := func(table *Table, want [2]uint32) {
		t.Helper()
		var s abi.Stat
		if e := table.Stat(abi.AT_FDCWD, "/tmp/a", 0, &s); e != 0 || s.UID != want[0] || s.GID != want[1] {
			t.Errorf("the owner is %d, the group %d, %v; want %v", s.UID, s.GID, e, want)
		}
	}
	owner(table, [2]uint32{65534, 7})
	other := newTable(t, Options{Image: table.Image()})
	if err := other.Restore(table.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	owner(other, [2]uint32{65534, 7})
	if err := table.Restore(before); err != nil {
		t.Fatal(err)
	}
	owner(table, [2]uint32{0, 0})
	if e := table.Chown(abi.AT_FDCWD, "/etc/hosts", 1, 1, 0); e != abi.EROFS {
		t.Errorf("chown in the image: %v", e)
	}
}

// TestMapsTheImage shows that what is mapped of an image's file is the image's own bytes, and of another file a copy.
func TestMapsTheImage(t *testing.T) {
	table := newTable(t, Options{Image: image(t)})
	mapped := func(path string) []byte {
		fd := must[int](t)(table.Open(abi.AT_FDCWD, path, abi.O_RDONLY, 0))
		return must[[]byte](t)(table.Snapshot(fd, 2, 4096))
	}
	a, b := mapped("/etc/hosts"), mapped("/etc/hosts")
	if string(a) != "7.0.0.1 localhost\n" || &a[0] != &b[0] || cap(a) != len(a) {
		t.Errorf("%q, the same bytes: %v", a, &a[0] == &b[0])
	}
	fd := must[int](t)(table.Open(abi.AT_FDCWD, "/tmp/a", abi.O_CREAT|abi.O_RDWR, 0o644))
	must[int](t)(table.Write(fd, []byte("abcd")))
	c, d := mapped("/tmp/a"), mapped("/tmp/a")
	if string(c) != "cd" || &c[0] == &d[0] {
		t.Errorf("%q, the same bytes: %v", c, &c[0] == &d[0])
	}
}

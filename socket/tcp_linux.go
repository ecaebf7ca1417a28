//go:build linux

package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// tcp is a TCP connection as a System.
type tcp struct {
	conn              *net.TCPConn
	raw               syscall.RawConn
	in, out           transfer
	canRead, canWrite func(fd uintptr) (done bool) // in.read and out.write, bound once
	canWritev         func(fd uintptr) (done bool)
	canSendFile       func(fd uintptr) (done bool)
}

// transfer is the call under way in one direction.
type transfer struct {
	p     []byte
	parts net.Buffers
	flags uintptr // of send
	file  int     // to send from, at *at up to end
	at    *int64
	end   int64
	n     int
	errno syscall.Errno
}

var _ System = (*tcp)(nil)

// Of returns c as a System, if it is TCP, and c itself if not.
func Of(c net.Conn) io.ReadWriter {
	conn, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return c // it is closed, and will say so
	}
	s := &tcp{conn: conn, raw: raw}
	s.canRead, s.canWrite, s.canWritev, s.canSendFile = s.in.read, s.out.write, s.out.writev, s.out.sendFile
	return s
}

// Read is net.Conn's.
func (s *tcp) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.in.p = p
	err := s.raw.Read(s.canRead)
	s.in.p = nil
	if err != nil || s.in.errno != 0 {
		return 0, s.failed("read", err, s.in.errno)
	}
	if s.in.n == 0 {
		return 0, io.EOF
	}
	return s.in.n, nil
}

func (t *transfer) read(fd uintptr) (done bool) {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(t.p))), uintptr(len(t.p)))
		if errno == syscall.EINTR {
			continue
		}
		t.n, t.errno = int(n), errno
		return errno != syscall.EAGAIN
	}
}

// Write is net.Conn's.
func (s *tcp) Write(p []byte) (int, error) { return s.send(p, 0) }

// Hold implements System.
func (s *tcp) Hold(p []byte) (int, error) { return s.send(p, syscall.MSG_MORE) }

func (s *tcp) send(p []byte, flags uintptr) (int, error) {
	s.out.p, s.out.flags, s.out.n, s.out.errno = p, flags, 0, 0
	err := s.raw.Write(s.canWrite)
	s.out.p = nil
	if err != nil || s.out.errno != 0 {
		return s.out.n, s.failed("write", err, s.out.errno)
	}
	return s.out.n, nil
}

func (t *transfer) write(fd uintptr) (done bool) {
	for len(t.p) > 0 {
		var n uintptr
		var errno syscall.Errno
		p, size := unsafe.Pointer(unsafe.SliceData(t.p)), uintptr(len(t.p))
		if t.flags == 0 {
			n, _, errno = syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(p), size)
		} else {
			n, _, errno = syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(p), size, t.flags|syscall.MSG_NOSIGNAL, 0, 0)
		}
		if errno == syscall.EINTR {
			continue
		}
		if t.errno = errno; errno != 0 {
			return errno != syscall.EAGAIN
		}
		t.n, t.p = t.n+int(n), t.p[n:]
	}
	return true
}

// Writev implements System.
func (s *tcp) Writev(parts *net.Buffers) (int, error) {
	s.out.parts, s.out.n, s.out.errno = *parts, 0, 0
	err := s.raw.Write(s.canWritev)
	*parts, s.out.parts = s.out.parts, nil
	if err != nil || s.out.errno != 0 {
		return s.out.n, s.failed("writev", err, s.out.errno)
	}
	return s.out.n, nil
}

const (
	vectorMax = 16
	// vectorBytes bounds one call, in which the scheduler can't stop the thread.
	vectorBytes = 256 << 10
)

func (t *transfer) writev(fd uintptr) (done bool) {
	for len(t.parts) > 0 {
		var vector [vectorMax]syscall.Iovec
		count, left := 0, vectorBytes
		for _, p := range t.parts[:min(len(t.parts), vectorMax)] {
			if len(p) > 0 && left > 0 {
				vector[count].Base = unsafe.SliceData(p)
				vector[count].SetLen(min(len(p), left))
				left -= min(len(p), left)
				count++
			}
		}
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&vector)), uintptr(count))
		if errno == syscall.EINTR {
			continue
		}
		if t.errno = errno; errno != 0 {
			return errno != syscall.EAGAIN
		}
		t.n += int(n)
		t.consume(int(n))
	}
	return true
}

// consume takes the first n bytes off parts.
func (t *transfer) consume(n int) {
	for len(t.parts) > 0 && n >= len(t.parts[0]) {
		n -= len(t.parts[0])
		t.parts = t.parts[1:]
	}
	if n > 0 {
		t.parts[0] = t.parts[0][n:]
	}
}

// SendFile implements System. It does tell the scheduler: the file may have to be read from a disk.
func (s *tcp) SendFile(f *os.File, at *int64, end int64) error {
	s.out.file, s.out.at, s.out.end, s.out.errno = int(f.Fd()), at, end, 0
	err := s.raw.Write(s.canSendFile)
	runtime.KeepAlive(f)
	s.out.at = nil
	switch {
	case err != nil || s.out.errno != 0:
		return s.failed("sendfile", err, s.out.errno)
	case *at < end:
		return ErrShortFile
	}
	return nil
}

func (t *transfer) sendFile(fd uintptr) (done bool) {
	for *t.at < t.end {
		n, err := syscall.Sendfile(int(fd), t.file, t.at, int(min(t.end-*t.at, 1<<30)))
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			t.errno, _ = err.(syscall.Errno)
			return err != syscall.EAGAIN
		}
		t.errno = 0
		if n == 0 {
			return true
		}
	}
	return true
}

// failed is the error of an operation as net.Conn has it: either the poller's, or the system's.
func (s *tcp) failed(op string, err error, errno syscall.Errno) error {
	if err == nil {
		err = os.NewSyscallError(op, errno)
	}
	var of *net.OpError
	if errors.As(err, &of) {
		err = of.Err // of the operation raw-read or raw-write
	}
	return &net.OpError{Op: op, Net: "tcp", Source: s.conn.LocalAddr(), Addr: s.conn.RemoteAddr(), Err: err}
}

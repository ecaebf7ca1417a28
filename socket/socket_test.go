package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// pair returns the two ends of a connection over loopback.
func pair(t *testing.T) (ours, theirs *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		s.Close()
	})
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

// What goes wrong is told in the words of net.Conn.
func TestErrorsAreThoseOfNetConn(t *testing.T) {
	big := make([]byte, 32<<20) // more than the system takes
	for name, test := range map[string]func(ours, theirs *net.TCPConn, as io.ReadWriter) error{
		"end": func(_, theirs *net.TCPConn, as io.ReadWriter) error {
			theirs.Close()
			_, err := as.Read(make([]byte, 8))
			return err
		},
		"reset": func(_, theirs *net.TCPConn, as io.ReadWriter) error {
			_ = theirs.SetLinger(0)
			theirs.Close()
			_, err := as.Read(make([]byte, 8))
			return err
		},
		"deadline of reading": func(ours, _ *net.TCPConn, as io.ReadWriter) error {
			_ = ours.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			_, err := as.Read(make([]byte, 8))
			return err
		},
		"deadline of writing": func(ours, _ *net.TCPConn, as io.ReadWriter) error {
			_ = ours.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			n, err := as.Write(big)
			if n == 0 || n == len(big) {
				return errors.New("took nothing, or all")
			}
			return err
		},
		"write after the end": func(ours, _ *net.TCPConn, as io.ReadWriter) error {
			_ = ours.CloseWrite()
			_, err := as.Write([]byte("x"))
			return err
		},
		"closed": func(ours, _ *net.TCPConn, as io.ReadWriter) error {
			ours.Close()
			_, err := as.Read(make([]byte, 8))
			_, werr := as.Write([]byte("x"))
			return errors.Join(err, werr)
		},
	} {
		var said [2]string
		var is [2][3]bool
		for i := range said {
			ours, theirs := pair(t)
			var as io.ReadWriter = ours
			if i == 1 {
				as = Of(ours)
			}
			err := test(ours, theirs, as)
			if err == nil {
				t.Fatalf("%s: no error", name)
			}
			is[i] = [3]bool{errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed)}
			ports := strings.NewReplacer(ours.LocalAddr().String(), "OURS", ours.RemoteAddr().String(), "THEIRS")
			said[i] = ports.Replace(err.Error())
		}
		if said[0] != said[1] || is[0] != is[1] {
			t.Errorf("%s: net.Conn says %q %v, we say %q %v", name, said[0], is[0], said[1], is[1])
		}
	}
}

func TestAllArrivesInOrder(t *testing.T) {
	ours, theirs := pair(t)
	s, ok := Of(ours).(System)
	if !ok {
		t.Skip("no System here")
	}
	var want bytes.Buffer
	var parts net.Buffers
	for i := range 40 { // more than one call takes, of all sizes
		part := bytes.Repeat([]byte{byte('a' + i)}, i*i*i*3)
		parts = append(parts, part)
		want.Write(part)
	}
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content := bytes.Repeat([]byte("0123456789"), 1<<20)
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	const from, to = 12345, 9 << 20
	want.WriteString("before the file")
	want.Write(content[from:to])
	size := want.Len()
	got := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(theirs) // what is missing shows
		got <- all
	}()
	if n, err := s.Writev(&parts); err != nil || len(parts) > 0 || n != size-len("before the file")-(to-from) {
		t.Errorf("%d bytes, %d parts left, %v", n, len(parts), err)
	}
	if n, err := s.Hold([]byte("before the file")); n != len("before the file") || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	at := int64(from)
	if err := s.SendFile(f, &at, to); err != nil || at != to {
		t.Errorf("at %d, %v", at, err)
	}
	if err := s.SendFile(f, &at, int64(len(content))+1); !errors.Is(err, ErrShortFile) {
		t.Errorf("a file that is too short: %v", err)
	}
	want.Write(content[to:])
	ours.Close()
	if all := <-got; !bytes.Equal(all, want.Bytes()) {
		t.Errorf("%d bytes arrived, want %d, or others", len(all), want.Len())
	}
}

func TestOthersStayAsTheyAre(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if Of(a) != io.ReadWriter(a) {
		t.Error("a pipe became something else")
	}
}

package socket

import (
	"bytes"
	"testing"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/ledger"
)

// paths are names of sockets, by inode number.
type paths map[string]uint64

func (p paths) MakeSocket(path string) (uint64, abi.Errno) {
	if p[path] != 0 {
		return 0, abi.EADDRINUSE
	}
	p[path] = uint64(1000 + len(p))
	return p[path], 0
}

func (p paths) FindSocket(path string) (uint64, abi.Errno) {
	if p[path] == 0 {
		return 0, abi.ENOENT
	}
	return p[path], 0
}

func newNet(l ledger.Limits) (*Net, *ledger.Ledger) {
	book := ledger.New(l, 0)
	return New(book, paths{}), book
}

// port is a struct sockaddr_in of the loopback.
func port(n byte) []byte {
	return []byte{abi.AF_INET, 0, 0x1f, n, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}
}

func unix(path string) []byte { return append([]byte{abi.AF_UNIX, 0}, path...) }

func (n *Net) server(t *testing.T, at []byte, backlog int) *Socket {
	t.Helper()
	s := n.Socket(int(at[0]))
	if e := n.Bind(s, at); e != 0 {
		t.Fatal(e)
	}
	if e := n.Listen(s, backlog); e != 0 {
		t.Fatal(e)
	}
	return s
}

func (n *Net) text(s *Socket) string {
	p := make([]byte, 100)
	k, e := n.Recv(s, [][]byte{p}, 0)
	if e != 0 {
		return e.Name()
	}
	return string(p[:k])
}

// TestNames shows who is found under which name, and for how long.
func TestNames(t *testing.T) {
	n, _ := newNet(ledger.Limits{})
	for _, at := range [][]byte{port(0x90), unix("/run/s\x00"), unix("\x00abstract")} {
		client := n.Socket(int(at[0]))
		want := abi.ECONNREFUSED
		if string(at[2:]) == "/run/s\x00" {
			want = abi.ENOENT
		}
		if e := n.Connect(client, at); e != want {
			t.Errorf("%q before anybody listens: %s", at, e.Name())
		}
		server := n.server(t, at, 5)
		if e := n.Bind(n.Socket(int(at[0])), at); e != abi.EADDRINUSE {
			t.Errorf("%q a second time: %s", at, e.Name())
		}
		if e := server.Waiting(); e != abi.EAGAIN {
			t.Errorf("%q has somebody waiting: %s", at, e.Name())
		}
		if e := n.Connect(client, at); e != 0 || server.Waiting() != 0 || server.Ready()&abi.POLLIN == 0 {
			t.Fatalf("%q: %s", at, e.Name())
		}
		conn, _ := n.Accept(server)
		n.Send(client, [][]byte{[]byte("to "), []byte("you")}, 0)
		if got := n.text(conn); got != "to you" || n.text(conn) != "EAGAIN" {
			t.Errorf("%q brought %q", at, got)
		}
		if peer, e := client.Remote(); e != 0 || !bytes.Equal(peer, at) || !bytes.Equal(server.Local(), at) {
			t.Errorf("%q is told as %q and %q, %s", at, peer, server.Local(), e.Name())
		}
		n.Close(server)
		if e := n.Connect(n.Socket(int(at[0])), at); e != abi.ECONNREFUSED {
			t.Errorf("%q after it closed: %s", at, e.Name())
		}
	}
	if e := n.Connect(n.Socket(abi.AF_INET), []byte{abi.AF_INET, 0, 0, 80, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0}); e != abi.ENETUNREACH {
		t.Errorf("to the world: %s", e.Name())
	}
}

// TestBounds shows what a queue, a backlog and all buffers take.
func TestBounds(t *testing.T) {
	n, book := newNet(ledger.Limits{Buffers: bufferSize + 1000, Files: 5})
	a, b := n.Pair()
	c, d := n.Pair()
	if k, e := n.Send(a, [][]byte{make([]byte, 1<<20)}, 0); k != bufferSize || e != 0 || a.Ready()&abi.POLLOUT != 0 {
		t.Errorf("one queue took %d, %v", k, e)
	}
	if k, e := n.Send(c, [][]byte{make([]byte, 5000)}, 0); k != 1000 || e != 0 {
		t.Errorf("all queues took %d more, %v", k, e)
	}
	if _, e := n.Send(c, [][]byte{{1}}, 0); e != abi.EAGAIN || d.Len() != 1000 {
		t.Errorf("and one byte more: %v", e)
	}
	if n.Close(b); book.Now.Buffers != 1000 {
		t.Errorf("%d bytes are held after one end closed", book.Now.Buffers)
	}
	if _, e := n.Send(a, [][]byte{{1}}, 0); e != abi.EPIPE {
		t.Errorf("to a closed end: %v", e)
	}
	n.server(t, port(0x90), 1)
	for i, want := range []abi.Errno{0, 0, abi.EAGAIN} {
		if _, e := n.Dial(0x1f90); e != want {
			t.Errorf("connection %d: %s", i, e.Name())
		}
	}
	n.server(t, port(0x91), 100)
	for want := abi.Errno(0); want == 0; {
		if book.Now.Files == 5 {
			want = abi.ENFILE
		}
		if _, e := n.Dial(0x1f91); e != want {
			t.Errorf("with %d files: %s", book.Now.Files, e.Name())
		}
	}
}

// TestUndo shows a connection, its bytes and its options after they were taken back, and what becomes of who dialled since.
func TestUndo(t *testing.T) {
	n, book := newNet(ledger.Limits{})
	server := n.server(t, port(0x90), 5)
	early, _ := n.Dial(0x1f90)
	early.Write([]byte("early"))
	a, b := n.Pair()
	n.Send(a, [][]byte{[]byte("before")}, 0)
	value := []byte{1, 0, 0, 0}
	book.Checkpoint()
	counts := book.Now
	for range 3 {
		late, e := n.Dial(0x1f90)
		if e != 0 {
			t.Fatal(e)
		}
		if got := n.text(b); got != "before" {
			t.Errorf("read %q", got)
		}
		n.SetOption(b, abi.SOL_SOCKET, abi.SO_KEEPALIVE, value)
		n.Shutdown(a, abi.SHUT_WR)
		n.Accept(server)
		n.Close(server)
		n.server(t, port(0x91), 5)
		book.Undo()
		n.Forget()
		if _, e := late.Read(make([]byte, 1)); e != abi.ECONNRESET {
			t.Errorf("who dialled since reads %s", e.Name())
		}
		if got, _ := n.Option(b, abi.SOL_SOCKET, abi.SO_KEEPALIVE, 1); !bytes.Equal(got, make([]byte, 4)) {
			t.Errorf("the option is % x", got)
		}
		if book.Now != counts || !n.Listening(0x1f90) || n.Listening(0x1f91) || b.Len() != len("before") {
			t.Errorf("%+v, %d bytes; want %+v", book.Now, b.Len(), counts)
		}
	}
	conn, _ := n.Accept(server)
	if got := n.text(conn); got != "early" {
		t.Errorf("the early connection has %q", got)
	}
}

// TestGraph shows that another network takes what a graph wrote, and ends connections with the outside.
func TestGraph(t *testing.T) {
	n, book := newNet(ledger.Limits{})
	server := n.server(t, port(0x90), 5)
	c, _ := n.Dial(0x1f90)
	c.Write([]byte("hello"))
	g, w := n.Graph(), ledger.NewWriter()
	g.Add(server)
	g.Make(w, &book.Limits)
	g.Code(w)
	g.Ref(w, &server)
	other, book := newNet(ledger.Limits{})
	read, r, counts := &Graph{}, ledger.NewReader(w.Bytes()), ledger.Counts{}
	read.Make(r, &book.Limits)
	read.Code(r)
	var again *Socket
	read.Ref(r, &again)
	if r.End() != nil || again == nil {
		t.Fatal(r.End())
	}
	if err := read.Check(&counts, map[*Socket]bool{again: true}); err != nil || counts.Files != 1 || counts.Buffers != 5 {
		t.Fatalf("%v, %+v", err, counts)
	}
	book.Now = counts
	other.Take(read)
	if !other.Listening(0x1f90) {
		t.Error("nobody listens")
	}
	conn, _ := other.Accept(again)
	if got := other.text(conn); got != "hello" || other.text(conn) != "" {
		t.Errorf("the connection has %q, and then no end", got)
	}
}

// FuzzAddress reads any struct sockaddr; what is read is written and read as the same.
func FuzzAddress(f *testing.F) {
	f.Add(port(0x90))
	f.Add(unix("/run/s\x00"))
	f.Add(unix("\x00abstract"))
	f.Add(append([]byte{abi.AF_INET6, 0, 0x1f, 0x90}, make([]byte, 24)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, e := parseAddress(b)
		if e != 0 {
			return
		}
		n, _ := newNet(ledger.Limits{})
		n.Connect(n.Socket(int(a.family)), b)
		n.Bind(n.Socket(int(a.family)), b)
		if again, e := parseAddress(a.bytes()); a != again && len(a.path) < unixPathMax {
			t.Errorf("%+v is read again as %+v, %v", a, again, e)
		}
	})
}

// TestLeave has a connection left before a checkpoint, and attached after each way back, there and where the state is read.
func TestLeave(t *testing.T) {
	n, book := newNet(ledger.Limits{})
	server := n.server(t, port(0x90), 5)
	c, _ := n.Dial(0x1f90)
	if c.Accepted() || !c.Quiet() {
		t.Error("nobody has accepted it")
	}
	conn, _ := n.Accept(server)
	if !c.Accepted() {
		t.Error("it was accepted")
	}
	c.Leave()
	if c.Accepted() || c.Quiet() {
		t.Error("it is somebody else's now")
	}
	book.Checkpoint()
	for range 3 {
		a := n.Attach()
		if a == nil || n.Attach() != nil {
			t.Fatal("one can be attached, once")
		}
		if _, e := a.Write([]byte("ahoy")); e != 0 || n.text(conn) != "ahoy" {
			t.Errorf("through it comes %s", e.Name())
		}
		n.Send(conn, [][]byte{[]byte("hello")}, 0)
		a.Write([]byte("nobody reads this"))
		n.Close(conn)
		b := make([]byte, 10)
		if k, _ := a.Read(b); string(b[:k]) != "hello" || a.Lost() != len("nobody reads this") || n.Attach() != nil {
			t.Errorf("read %q, lost %d", b[:k], a.Lost())
		}
		book.Undo()
		n.Forget()
		if _, e := a.Read(b); e != abi.ECONNRESET {
			t.Errorf("after the way back: %s", e.Name())
		}
	}
}

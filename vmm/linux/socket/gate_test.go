package socket

import (
	"testing"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/ledger"
)

// atGate is a struct sockaddr_in of the gate.
func atGate(port byte) []byte {
	return []byte{abi.AF_INET, 0, 0, port, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}
}

// mapped is the gate in the words of IPv6.
var mapped = []byte{abi.AF_INET6, 0, 0, GatePort, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1, 0, 0, 0, 0}

// TestGate shows a connection from the guest to the host, both ways, and who is refused.
func TestGate(t *testing.T) {
	n, book := newNet(ledger.Limits{})
	s := n.Socket(abi.AF_INET)
	if e := n.Connect(s, atGate(GatePort)); e != abi.ECONNREFUSED || n.Called() != nil {
		t.Fatalf("closed: %s", e.Name())
	}
	n.Gate(true)
	for i, to := range [][]byte{atGate(GatePort), mapped} {
		s := n.Socket(int(to[0]))
		if e := n.Connect(s, to); e != 0 || s.Ready()&abi.POLLOUT == 0 {
			t.Fatalf("%d: %s, ready %#x", i, e.Name(), s.Ready())
		}
		if peer, e := s.Remote(); e != 0 || string(peer) != string(to) {
			t.Errorf("%d: the other end is %x, %s", i, peer, e.Name())
		}
		n.Send(s, [][]byte{[]byte("question")}, 0)
		c := n.Called()
		b := make([]byte, 100)
		if k, e := c.Read(b); e != 0 || string(b[:k]) != "question" {
			t.Errorf("%d: %q, %s", i, b[:k], e.Name())
		}
		if _, e := c.Write([]byte("answer")); e != 0 || n.text(s) != "answer" || n.text(s) != "EAGAIN" {
			t.Errorf("%d: the answer: %s", i, e.Name())
		}
		if c.Close(); n.text(s) != "" || len(n.outer) != 0 {
			t.Errorf("%d: after the end, %d connections are kept", i, len(n.outer))
		}
	}
	only := n.Socket(abi.AF_INET6)
	n.SetOption(only, abi.IPPROTO_IPV6, abi.IPV6_V6ONLY, []byte{1, 0, 0, 0})
	bound := n.Socket(abi.AF_INET)
	n.Bind(bound, port(0x90))
	for name, c := range map[string]struct {
		s    *Socket
		to   []byte
		want abi.Errno
	}{
		"another port":      {n.Socket(abi.AF_INET), atGate(81), abi.ECONNREFUSED},
		"IPv6 alone":        {only, mapped, abi.ENETUNREACH},
		"from the loopback": {bound, atGate(GatePort), abi.EINVAL},
	} {
		if e := n.Connect(c.s, c.to); e != c.want {
			t.Errorf("%s: %s", name, e.Name())
		}
	}
	if e := n.Bind(n.Socket(abi.AF_INET), atGate(GatePort)); e != abi.EADDRNOTAVAIL {
		t.Errorf("bound to the gate's address: %s", e.Name())
	}
	if book.Now.Buffers != 0 {
		t.Errorf("%d bytes are held", book.Now.Buffers)
	}
}

// TestGateBounds shows how many may wait, and what becomes of them when the gate closes.
func TestGateBounds(t *testing.T) {
	n, _ := newNet(ledger.Limits{})
	n.Gate(true)
	var all []*Socket
	for i := range CalledMax + 1 {
		want := abi.Errno(0)
		if i == CalledMax {
			want = abi.EAGAIN
		}
		s := n.Socket(abi.AF_INET)
		if e := n.Connect(s, atGate(GatePort)); e != want {
			t.Fatalf("connection %d: %s", i, e.Name())
		}
		all = append(all, s)
	}
	taken := n.Called()
	if e := n.Connect(all[CalledMax], atGate(GatePort)); e != 0 {
		t.Errorf("after one was taken: %s", e.Name())
	}
	n.Gate(false)
	if got := n.text(all[1]); got != "" {
		t.Errorf("one that nobody took, after the gate was closed: %q", got)
	}
	if _, e := taken.Write([]byte("late")); e != 0 || n.text(all[0]) != "late" {
		t.Errorf("one that was taken: %s", e.Name())
	}
	if e := n.Connect(n.Socket(abi.AF_INET), atGate(GatePort)); e != abi.ECONNREFUSED || len(n.outer) != 1 {
		t.Errorf("a new one: %s; %d are kept", e.Name(), len(n.outer))
	}
}

// TestGateUndo shows that connections since a checkpoint are gone after it was restored, taken or not, and those before are there.
func TestGateUndo(t *testing.T) {
	n, book := newNet(ledger.Limits{})
	n.Gate(true)
	before := n.Socket(abi.AF_INET)
	n.Connect(before, atGate(GatePort))
	book.Checkpoint()
	counts := book.Now
	for range 3 {
		for range 2 {
			n.Connect(n.Socket(abi.AF_INET), atGate(GatePort))
		}
		n.Called() // the one from before, the first time
		late := n.Called()
		n.Send(before, [][]byte{[]byte("lost")}, 0)
		book.Undo()
		n.Forget()
		if _, e := late.Read(make([]byte, 1)); e != abi.ECONNRESET || len(n.gate.called) != 0 || len(n.outer) != 1 || book.Now != counts {
			t.Fatalf("read %s, %d wait, %d are kept, counts %+v", e.Name(), len(n.gate.called), len(n.outer), book.Now)
		}
		if got := n.text(before); got != "EAGAIN" {
			t.Fatalf("the connection from before says %q", got)
		}
	}
}

package gdb

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/debug"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/abi"
)

// FuzzPackets reads foreign bytes, and has what it takes for a packet come through again.
func FuzzPackets(f *testing.F) {
	for _, s := range []string{"+$g#67", "$m401000,40#00", "\x03", "$X1000,2:}\x03a#5b", "$", "$a}", "$a#f"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			p, err := readPacket(r)
			if errors.Is(err, errChecksum) {
				continue
			}
			if err != nil {
				return
			}
			again, err := readPacket(bufio.NewReader(bytes.NewReader(appendPacket(nil, p))))
			if err != nil || !bytes.Equal(again, p) {
				t.Fatalf("%q became %q, %v", p, again, err)
			}
		}
	})
}

// FuzzRequests asks for anything that gdb may, well-formed or not.
func FuzzRequests(f *testing.F) {
	for _, h := range handlers {
		f.Add([]byte(h.prefix))
	}
	for _, s := range []string{
		"qXfer:features:read:target.xml:0,fff", "qXfer:auxv:read::ffffffffffffffff,10000", "vCont;s:1;c", "vCont;r1000,2000:1;c:-1", "vCont;C0b", "Z2,1000,8",
		"z0,401000,1", "mffffffffffffffff,100", "M1000,2:aabb", "X1000,1:a", "P10=0010000000000000", "p1f", "Hg2", "T1", "vFile:open:2f78,0,0",
		"vFile:pread:3,1000,ffffffff", "vFile:fstat:3", "qRcmd,7768656e", "QPassSignals:e;10;14", "C0b", "S05", "bs", "bc", "qThreadExtraInfo,1",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		c := newConn(fake{})
		for _, s := range [][]byte{[]byte("vFile:open:2f78,0,0"), p, p} {
			answer, err := c.handle(s)
			if err != nil {
				t.Fatal(err)
			}
			if len(answer) > packetMax {
				t.Fatalf("%q: an answer of %d bytes", s, len(answer))
			}
		}
	})
}

func TestSignalsThereAndBack(t *testing.T) {
	for s := abi.Signal(1); s <= abi.SIGRTMAX; s++ {
		if n := toGDB(s); s != 16 && ofGDB(n) != s {
			t.Errorf("%v is %d, which is %v", s, n, ofGDB(n))
		}
	}
}

// fake is a program of one page that never goes on.
type fake struct{}

func (fake) Name() string                  { return "x" }
func (fake) Program() []byte               { return []byte("a program") }
func (fake) Auxv() []byte                  { return make([]byte, 64) }
func (fake) Threads() []linux.TaskInfo     { return []linux.TaskInfo{{ID: 1, Name: "<\x00&"}} }
func (fake) SetStops(vmm.Stops)            {}
func (fake) SetPassed(map[abi.Signal]bool) {}
func (fake) Detach(context.Context) error  { return nil }
func (fake) NoWayBack() error              { return nil }

func (fake) At() uint64       { return 1 }
func (fake) End() *linux.Stop { return nil }

func (fake) Registers(thread int32) (r linux.TaskRegisters, err error) {
	if thread != 1 {
		err = errors.New("no such thread")
	}
	return r, err
}

func (fake) SetRegisters(int32, linux.TaskRegisters) error { return nil }

func (fake) ReadMemory(va uint64, b []byte) error {
	if va>>12 != 1 || va+uint64(len(b)) > 0x2000 {
		return abi.EFAULT
	}
	return nil
}

func (f fake) WriteMemory(va uint64, b []byte) error { return f.ReadMemory(va, b) }

func (fake) Resume(_ context.Context, o debug.Order) (debug.Stop, error) {
	return debug.Stop{Reason: debug.Stepped, Thread: o.Thread}, nil
}

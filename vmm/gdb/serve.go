package gdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/debug"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/abi"
)

// Target is the program that gdb debugs.
type Target interface {
	Name() string
	Program() []byte // its file
	Auxv() []byte
	Threads() []linux.TaskInfo
	Registers(thread int32) (linux.TaskRegisters, error)
	SetRegisters(thread int32, r linux.TaskRegisters) error
	ReadMemory(va uint64, b []byte) error
	WriteMemory(va uint64, b []byte) error
	SetStops(vmm.Stops)
	SetPassed(map[abi.Signal]bool)
	Resume(context.Context, debug.Order) (debug.Stop, error)
	Detach(context.Context) error
	At() uint64
	NoWayBack() error
	End() *linux.Stop
}

var _ Target = (*debug.Session)(nil)

// ErrKilled says that gdb killed the program.
var ErrKilled = errors.New("the debugger killed the program")

// Serve lets one gdb after the other debug the program that waits in t, until it has ended: by itself, or without a debugger after gdb detached from it.
// It closes l.
func Serve(ctx context.Context, l net.Listener, t Target) error {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	defer l.Close()
	for t.End() == nil {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("waiting for gdb: %w", err)
		}
		detached, err := serveConn(ctx, c, t)
		switch {
		case err != nil:
			return err
		case detached:
			_ = l.Close() // the next gdb is refused rather than kept waiting
			return t.Detach(ctx)
		}
	}
	return nil
}

// conn is a gdb that is connected.
type conn struct {
	target   Target
	socket   net.Conn
	wanted   context.Context // of Serve
	thread   int32           // of g, G, p and P; 0 is any
	stopped  debug.Stop
	breaks   map[point]bool
	watches  []watch
	program  []byte
	files    int        // that vFile opened
	mutex    sync.Mutex // guards running and early
	running  func()     // interrupts the program
	early    bool       // gdb interrupted it before it ran
	killed   bool
	detached bool
	dead     bool // the program has ended and gdb was told
	out      []byte
}

// point is a breakpoint: the digit of Z, 0 or 1, and where.
type point struct {
	kind byte
	va   uint64
}

// watch is a watchpoint, with its digit of Z.
type watch struct {
	kind byte
	vmm.Watch
}

// serveConn answers gdb until it goes. An error ends Serve.
func serveConn(ctx context.Context, socket net.Conn, t Target) (detached bool, err error) {
	c := newConn(t)
	c.socket, c.wanted = socket, ctx
	packets, gone := make(chan []byte), make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() { c.read(packets, gone) })
	defer func() {
		close(gone)
		_ = socket.Close()
		reader.Wait()
	}()
	defer context.AfterFunc(ctx, func() { _ = socket.Close() })()
	for p := range packets {
		answer, err := c.handle(p)
		if err != nil {
			return false, err
		}
		c.out = appendPacket(c.out[:0], answer)
		sent := c.send(c.out)
		if c.killed {
			return false, ErrKilled
		}
		if !sent {
			break
		}
		if c.detached || c.dead {
			break
		}
	}
	t.SetStops(vmm.Stops{})
	return c.detached, ctx.Err()
}

func newConn(t Target) *conn {
	c := &conn{target: t, breaks: map[point]bool{}, program: t.Program(), wanted: context.Background()}
	c.stopped = debug.Stop{Reason: debug.Signal, Signal: abi.SIGTRAP, Thread: c.anyThread()}
	return c
}

func (c *conn) send(b []byte) bool {
	_, err := c.socket.Write(b)
	return err == nil
}

// read takes packets from gdb until it goes, and interrupts the program when gdb says so.
func (c *conn) read(packets chan<- []byte, gone <-chan struct{}) {
	defer close(packets)
	defer c.interrupt()
	r := bufio.NewReaderSize(c.socket, 4096)
	noAck := false
	for {
		p, err := readPacket(r)
		switch {
		case errors.Is(err, errChecksum) && !noAck:
			if !c.send([]byte{'-'}) {
				return
			}
			continue
		case err != nil:
			return
		case len(p) == 1 && p[0] == interrupt:
			c.interrupt()
			continue
		}
		if !noAck && !c.send([]byte{'+'}) {
			return
		}
		noAck = noAck || string(p) == "QStartNoAckMode"
		select {
		case packets <- p:
		case <-gone:
			return
		}
	}
}

func (c *conn) interrupt() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.early = c.running == nil
	if c.running != nil {
		c.running()
	}
}

// resume lets the program run until it stops or gdb interrupts it, and tells why it stopped.
func (c *conn) resume(o debug.Order) ([]byte, error) {
	ctx, cancel := context.WithCancel(c.wanted)
	defer cancel()
	c.setRunning(cancel)
	c.target.SetStops(c.stops())
	stop, err := c.target.Resume(ctx, o)
	c.setRunning(nil)
	if err != nil {
		return nil, err
	}
	c.stopped, c.thread = stop, stop.Thread
	return c.stopReply(), nil
}

func (c *conn) setRunning(f func()) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.running = f
	if f != nil && c.early {
		f()
	}
	c.early = false
}

func (c *conn) stops() vmm.Stops {
	var s vmm.Stops
	for p := range c.breaks {
		s.Breakpoints = append(s.Breakpoints, p.va)
	}
	for _, w := range c.watches {
		s.Watches = append(s.Watches, w.Watch)
	}
	slices.Sort(s.Breakpoints)
	return s
}

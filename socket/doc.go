// Package socket reads from and writes to connections without telling the scheduler.
//
// Rooms edge and origin talk to clients and origins through it: a net.Conn goes in, and comes out as something that does the same with
// less. net.Conn tells the scheduler, before and after each call, that the thread may block. Where other processes want the processor
// too, a thread is often off it in the middle of a call, and the runtime's monitor gives the thread's place to another one, which has
// to be woken for it and put to sleep again: a tenth of a hit's cost, and more of a large one's. The calls here never block, because the descriptor
// doesn't, so nobody has to know of them. What waits, waits in the runtime's poller as ever, under the connection's deadlines.
//
// It promises what net.Conn does, errors included, but for one thing: in each direction there may be one call at a time. A call that
// may block after all, because it reads from a file, does tell the scheduler. It starts no goroutines. Other systems than Linux, and
// connections that aren't TCP, have no such way: theirs is used as it is.
package socket

import (
	"errors"
	"io"
	"net"
	"os"
)

// System is a connection that knows more of the system's calls.
type System interface {
	io.ReadWriter
	// Writev writes parts and takes off them what it has written.
	Writev(parts *net.Buffers) (int, error)
	// Hold writes p, but may keep it until more comes.
	Hold(p []byte) (int, error)
	// SendFile sends what is in f from *at to end, without copying it through this process, and moves *at.
	SendFile(f *os.File, at *int64, end int64) error
}

// ErrShortFile is a file that ends before what was to be sent.
var ErrShortFile = errors.New("the file of a stored body is too short")

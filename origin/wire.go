package origin

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/wherry/wherry/socket"
)

const (
	// wireBufferSize is how much of a response is read at once. Header sections that fit are parsed where they stand.
	wireBufferSize = 4 << 10
	// slackPart of its time is what a request over a wire that is used again may get above its limit: then the deadline needn't be moved
	// for each one.
	slackPart = 64
)

var (
	// errHeaderSize is in the words of net/http, by which classify knows it.
	errHeaderSize = errors.New("the origin's response headers exceeded the limit of one response")
	longAgo       = time.Unix(1, 0)
)

// wire is a connection to an origin on which we speak HTTP/1.1 ourselves: one request at a time, written and answered in the caller's
// goroutine. It belongs to that goroutine, or to conns.
type wire struct {
	conn      net.Conn
	direct    io.ReadWriter   // conn without telling the scheduler, where that can be had
	system    syscall.RawConn // nil if the connection is none of the system's
	r         *bufio.Reader   // of wire
	idleSince time.Time       // by conns

	headLeft int64         // how much of the header section may still come; math.MaxInt64 when it is there
	expired  error         // what a read of the header section ended with, if its time was over
	silence  time.Duration // how long a body may stop; 0: no limit

	leave func() // abandon, for context.AfterFunc
	look  func(fd uintptr) bool
	quiet bool // what look has found: nothing to read, and no end

	mu        sync.Mutex // protects what follows
	abandoned bool       // whoever asked has gone, and no deadline counts any more
	due       time.Time  // the deadline of both directions; zero if there is none
}

func newWire(conn net.Conn) *wire {
	w := &wire{conn: conn, direct: socket.Of(conn)}
	w.r = bufio.NewReaderSize(wireReader{w}, wireBufferSize)
	if s, ok := conn.(syscall.Conn); ok {
		w.system, _ = s.SyscallConn()
	}
	w.leave = w.abandon
	w.look = func(fd uintptr) bool {
		w.quiet = nothingToRead(fd)
		return true
	}
	return w
}

// begin readies a new wire for a request with limits of its own.
func (w *wire) begin(limit, silence time.Duration) {
	w.headLeft, w.silence, w.expired = responseHeaderSizeMax, silence, nil
	w.within(limit, 0)
}

// within sets the deadline for all that is done on the wire; 0 takes it away. It may set it later by slack, and leaves one that is
// late enough and not later than that.
func (w *wire) within(limit, slack time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.abandoned:
	case limit > 0:
		now := time.Now()
		if left := w.due.Sub(now); slack > 0 && limit <= left && left <= limit+slack {
			return
		}
		w.due = now.Add(limit + slack)
		_ = w.conn.SetDeadline(w.due)
	case !w.due.IsZero():
		w.due = time.Time{}
		_ = w.conn.SetDeadline(w.due)
	}
}

// abandon ends what is under way; nothing can be done on the wire afterwards but closing it.
func (w *wire) abandon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.abandoned = true
	_ = w.conn.SetDeadline(longAgo)
}

// ready is begin for a wire that was idle. It returns false if the wire is of no use any more.
func (w *wire) ready(limit, silence time.Duration) bool {
	w.headLeft, w.silence, w.expired = responseHeaderSizeMax, silence, nil
	if w.system == nil {
		alive := w.alive()
		w.within(limit, 0)
		return alive
	}
	w.within(limit, limit/slackPart)
	return w.alive()
}

// alive says whether the origin has neither closed the idle connection nor sent what nobody asked for, as far as can be seen.
func (w *wire) alive() bool {
	if w.system != nil {
		w.quiet = false
		return w.system.Read(w.look) == nil && w.quiet
	}
	w.due = longAgo
	_ = w.conn.SetDeadline(longAgo)
	_, err := w.conn.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// headIsRead says that what comes now is the body.
func (w *wire) headIsRead() { w.headLeft = math.MaxInt64 }

func (w *wire) shut() { _ = w.conn.Close() } // it has nothing more to say

// wireReader reads for a wire's buffer, so that a wire isn't itself an io.Reader past its buffer.
type wireReader struct{ *wire }

// Read implements io.Reader. The header section has one limit in time, set by begin; in the body each wait has its own.
func (r wireReader) Read(p []byte) (int, error) {
	w := r.wire
	if w.headLeft <= 0 {
		return 0, errHeaderSize
	}
	if w.headLeft == math.MaxInt64 {
		w.within(w.silence, 0)
		return w.direct.Read(p)
	}
	n, err := w.direct.Read(p[:min(int64(len(p)), w.headLeft)])
	w.headLeft -= int64(n)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		w.expired = err
	}
	return n, err
}

var _ io.Reader = wireReader{}

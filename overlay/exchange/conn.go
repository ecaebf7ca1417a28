package exchange

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Conn is a stream that carries something else since a request has asked for it. Close ends what is sent and stops reading.
type Conn struct {
	stream      Stream
	local, peer nodeAddr

	reading sync.Mutex    // protects r
	r       *bufio.Reader // what came behind the header section; nil when it has been read

	closing sync.Once
	closed  func() // may be nil
}

var _ net.Conn = (*Conn)(nil)

func newConn(stream Stream, r *bufio.Reader, local, peer string, closed func()) *Conn {
	return &Conn{stream: stream, r: r, local: nodeAddr(local), peer: nodeAddr(peer), closed: closed}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.r != nil {
		if c.r.Buffered() > 0 {
			return c.r.Read(p)
		}
		c.r.Reset(nil)
		readers.Put(c.r)
		c.r = nil
	}
	return c.stream.Read(p)
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) { return c.stream.Write(p) }

// CloseWrite ends what is sent; the peer reads io.EOF behind it.
func (c *Conn) CloseWrite() error { return c.stream.CloseWrite() }

// Reset breaks off both directions: the peer doesn't take what it got for the whole.
func (c *Conn) Reset(code Code) {
	c.stream.Reset(uint64(code))
	c.leave()
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	err := c.stream.Close()
	c.leave()
	return err
}

func (c *Conn) leave() {
	c.closing.Do(func() {
		if c.closed != nil {
			c.closed()
		}
	})
}

// LocalAddr implements net.Conn; it is this node's, if it is known.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn; it is the peer's name.
func (c *Conn) RemoteAddr() net.Addr { return c.peer }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(at time.Time) error {
	if err := c.stream.SetReadDeadline(at); err != nil {
		return err
	}
	return c.stream.SetWriteDeadline(at)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(at time.Time) error { return c.stream.SetReadDeadline(at) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(at time.Time) error { return c.stream.SetWriteDeadline(at) }

// nodeAddr is the name of a node as a net.Addr.
type nodeAddr string

func (a nodeAddr) Network() string { return "overlay" }
func (a nodeAddr) String() string  { return string(a) }

// hijacked is a Conn for a handler that writes the header section of its response itself, as of HTTP/1.1.
type hijacked struct {
	*Conn
	w       *response
	writing sync.Mutex   // protects head
	head    bytes.Buffer // what was written before the header section was complete
}

// Write implements net.Conn. The header section isn't sent as it is.
func (h *hijacked) Write(p []byte) (int, error) {
	h.writing.Lock()
	defer h.writing.Unlock()
	if h.w == nil {
		return h.Conn.Write(p)
	}
	if h.head.Len()+len(p) > headerBytesMax {
		return 0, fmt.Errorf("more than %d bytes without the end of a header section", headerBytesMax)
	}
	h.head.Write(p)
	end := bytes.Index(h.head.Bytes(), []byte("\r\n\r\n"))
	if end < 0 {
		return len(p), nil
	}
	end += len("\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(h.head.Bytes()[:end])), h.w.r)
	if err != nil {
		return 0, fmt.Errorf("read the header section that was written: %w", err)
	}
	if err := h.w.switchTo(resp.StatusCode, resp.Header); err != nil {
		return 0, err
	}
	h.w = nil
	rest := h.head.Bytes()[end:]
	if len(rest) > 0 {
		_, err = h.Conn.Write(rest)
	}
	h.head = bytes.Buffer{}
	return len(p), err
}

// CloseWrite and others come from Conn; who closes before there was a response has none.
var _ io.ReadWriteCloser = (*hijacked)(nil)

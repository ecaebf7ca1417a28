package dns

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// tcpConnectionsMax bounds the open connections; a further one is closed at once (RFC 7766 §6.2.2).
	tcpConnectionsMax = 512
	// tcpIdle is how long a connection may take to bring the next whole query (RFC 7766 §6.2.3: in the order of seconds).
	tcpIdle = 10 * time.Second
	// tcpWrite is how long an asker may leave its answers unread.
	tcpWrite = 5 * time.Second
)

// serveTCP accepts connections until ctx is done and returns when all of them are closed.
func (s *Server) serveTCP(ctx context.Context, l net.Listener) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	open := make(chan struct{}, tcpConnectionsMax)
	for failures := 0; ; {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close() // nothing was promised on it
			}
			return nil
		}
		if err != nil {
			// Out of file descriptors, or a client that was gone already: worth another try, unless the listener itself is gone.
			if failures++; failures > readFailuresMax || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept at %s: %w", l.Addr(), err)
			}
			pause(ctx, time.Duration(failures)*time.Millisecond)
			continue
		}
		failures = 0
		select {
		case open <- struct{}{}:
		default:
			s.metrics.connectionsBad.WithLabelValues("full").Inc()
			_ = conn.Close() // the asker may come back
			continue
		}
		wg.Go(func() {
			s.metrics.connections.Inc()
			s.serveConn(ctx, conn)
			s.metrics.connections.Dec()
			<-open
		})
	}
}

// serveConn answers the queries of one connection in their order, those sent without waiting in one go (RFC 7766 §6.2.1.1).
func (s *Server) serveConn(ctx context.Context, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if stop() {
			_ = conn.Close() // all that was owed has been written or can't be
		}
	}()
	from := addrOf(conn.RemoteAddr())
	x := &exchange{server: s}
	r, w := bufio.NewReader(conn), bufio.NewWriter(conn)
	var packet []byte
	for {
		var err error
		if packet, err = readMessage(conn, r, packet); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				s.metrics.connectionsBad.WithLabelValues("idle").Inc()
			}
			return
		}
		msg := x.respond(packet, from, true)
		if msg == nil {
			return // what is no query here isn't going to be followed by one
		}
		if writeMessage(conn, w, r, msg) != nil {
			return
		}
	}
}

// readMessage reads a message and the two bytes of its length (RFC 1035 §4.2.2). The deadline is for all of it, so that an
// asker who sends byte by byte gains nothing.
func readMessage(conn net.Conn, r *bufio.Reader, buf []byte) ([]byte, error) {
	if err := conn.SetReadDeadline(time.Now().Add(tcpIdle)); err != nil {
		return buf, err
	}
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return buf, err
	}
	size := int(binary.BigEndian.Uint16(head[:]))
	if cap(buf) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	_, err := io.ReadFull(r, buf)
	return buf, err
}

// writeMessage writes length and message together (RFC 7766 §8), and sends them unless another query has arrived already.
func writeMessage(conn net.Conn, w *bufio.Writer, r *bufio.Reader, msg []byte) error {
	if err := conn.SetWriteDeadline(time.Now().Add(tcpWrite)); err != nil {
		return err
	}
	// The writer keeps its first error for the later calls.
	_, _ = w.Write(binary.BigEndian.AppendUint16(nil, uint16(len(msg))))
	_, err := w.Write(msg)
	if err != nil || r.Buffered() > 0 {
		return err
	}
	return w.Flush()
}

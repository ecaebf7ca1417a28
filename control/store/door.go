package store

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// doorMax is how many connections of other members are taken: each has a handful.
	doorMax = 256
	// socketPathMax is what fits into a sockaddr_un.
	socketPathMax     = 100
	handshakePatience = 5 * time.Second
)

// door hands the connections of other members to etcd, on a socket that only this process's user reaches.
type door struct {
	l      net.Listener // nobodyListener if there is none
	socket string
	tmp    string // folder of the socket if Dir's path is too long for one
	log    *slog.Logger
	m      *Metrics

	all   sync.WaitGroup
	mu    sync.Mutex
	open  map[net.Conn]struct{} // under mu; lost with the process
	ended bool                  // under mu
}

func newDoor(o Options) (*door, error) {
	d := &door{l: o.PeerListener, log: o.Log, m: o.Metrics, open: map[net.Conn]struct{}{}}
	if d.l == nil {
		d.l = nobody{}
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	d.socket = filepath.Join(dir, "peer.sock")
	if len(d.socket) > socketPathMax {
		if d.tmp, err = os.MkdirTemp("", "wherry-"); err != nil {
			return nil, err
		}
		d.socket = filepath.Join(d.tmp, "peer.sock")
	}
	return d, nil
}

// nobody is a listener at which nobody knocks.
type nobody struct{}

func (nobody) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (nobody) Close() error              { return nil }
func (nobody) Addr() net.Addr            { return nil }

// serve takes connections until the listener is closed.
func (d *door) serve() {
	d.all.Go(func() {
		for {
			conn, err := d.l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(50 * time.Millisecond) // such as too many open files
				continue
			}
			if !d.add(conn) {
				_ = conn.Close()
				continue
			}
			d.all.Go(func() {
				defer d.remove(conn)
				d.join(conn)
			})
		}
	})
}

func (d *door) add(conn net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended || len(d.open) >= doorMax {
		return false
	}
	d.open[conn] = struct{}{}
	d.m.peers.Set(float64(len(d.open)))
	return true
}

func (d *door) remove(conn net.Conn) {
	_ = conn.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, conn)
	d.m.peers.Set(float64(len(d.open)))
}

// join copies both ways until one side ends.
func (d *door) join(conn net.Conn) {
	if h, ok := conn.(interface{ Handshake() error }); ok {
		_ = conn.SetDeadline(time.Now().Add(handshakePatience))
		if err := h.Handshake(); err != nil {
			d.m.refused.Inc()
			d.log.Warn("somebody was refused at the store's door", "from", conn.RemoteAddr(), "error", err)
			return
		}
		_ = conn.SetDeadline(time.Time{})
	}
	inner, err := net.Dial("unix", d.socket)
	if err != nil {
		return
	}
	defer inner.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(inner, conn)
		_ = inner.Close()
	}()
	_, _ = io.Copy(conn, inner)
	_ = conn.Close()
	<-done
}

// close ends all connections, and returns when they are gone.
func (d *door) close() {
	_ = d.l.Close()
	d.mu.Lock()
	d.ended = true
	for conn := range d.open {
		_ = conn.Close()
	}
	d.mu.Unlock()
	d.all.Wait()
	_ = os.Remove(d.socket)
	if d.tmp != "" {
		_ = os.RemoveAll(d.tmp)
	}
}

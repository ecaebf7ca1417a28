package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// filesSpare is how many of a process's files aren't connections of an idle cell.
	filesSpare = 200
	// idleWorkers open connections at once: fewer than a server's backlog has room for.
	idleWorkers = 32
	// sources are loopback addresses from which connections come: one alone has ports for 28,000.
	sources = 8
	// settling is what a server gets to put away what a request needed.
	settling = 2 * time.Second
)

// errNotHeld is a server that doesn't take so many connections. A peer may keep some of its files back for other things.
var errNotHeld = errors.New("it doesn't hold so many connections")

// idleCount returns how many of the wanted idle connections a process here may have, us and the servers that inherit the limit.
func idleCount(wanted int) (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	need := uint64(wanted + filesSpare)
	raised := syscall.Rlimit{Cur: max(limit.Max, need), Max: max(limit.Max, need)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
		return wanted, nil
	}
	// Only root with CAP_SYS_RESOURCE may go beyond the hard limit.
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("RLIMIT_NOFILE: %w", err)
	}
	if limit.Max <= filesSpare {
		return 0, fmt.Errorf("RLIMIT_NOFILE is %d, which leaves no file for idle connections", limit.Max)
	}
	return min(wanted, int(limit.Max-filesSpare)), nil
}

// hold opens many connections to s, asks once on each, and weighs the server while they are idle. That all of them are still good
// shows a second request on each.
func (l *loader) hold(ctx context.Context, s *server, c cell) (sample, error) {
	got := sample{Connections: l.idle, Seconds: settling.Seconds()}
	var err error
	if got.MemoryBefore, err = s.memory(); err != nil {
		return got, err
	}
	host := strings.TrimPrefix(s.http, "http://") // as in fill: caches have it in their keys
	held := make([]net.Conn, l.idle)
	defer func() {
		for _, conn := range held {
			if conn != nil {
				conn.Close()
			}
		}
	}()
	failed := each(len(held), func(i int, r *bufio.Reader) error {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%sources))}, Timeout: 10 * time.Second}
		conn, err := dialer.DialContext(ctx, "tcp", s.addr)
		if err != nil {
			return err
		}
		held[i] = conn
		return askOnce(conn, r, host, c, i)
	})
	if failed.n > 0 {
		return got, fmt.Errorf("%w: %d of %d failed, the first because of: %w", errNotHeld, failed.n, len(held), failed.first)
	}
	select {
	case <-time.After(settling):
	case <-ctx.Done():
		return got, ctx.Err()
	}
	if got.Memory, err = s.memory(); err != nil {
		return got, err
	}
	failed = each(len(held), func(i int, r *bufio.Reader) error { return askOnce(held[i], r, host, c, i) })
	if failed.n > 0 {
		return got, fmt.Errorf("%d of %d idle connections were gone, the first because of: %w", failed.n, len(held), failed.first)
	}
	got.Requests = 2 * int64(len(held))
	got.Bytes = got.Requests * int64(c.Size) // askOnce has checked each
	return got, nil
}

// failures are what each saw.
type failures struct {
	n     int64
	first error
}

// each calls do for all i below n, idleWorkers at once, each with a reader of its own.
func each(n int, do func(i int, r *bufio.Reader) error) failures {
	var (
		next, failed atomic.Int64
		first        error
		once         sync.Once
		all          sync.WaitGroup
	)
	for range idleWorkers {
		all.Go(func() {
			r := bufio.NewReader(nil)
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := do(int(i), r); err != nil {
					failed.Add(1)
					once.Do(func() { first = err })
				}
			}
		})
	}
	all.Wait()
	return failures{failed.Load(), first}
}

// askOnce asks for one object of c on conn and checks the answer.
func askOnce(conn net.Conn, r *bufio.Reader, host string, c cell, i int) error {
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET /hit/%d/%d HTTP/1.1\r\nHost: %s\r\n\r\n", c.Size, 1+i%objects, host); err != nil {
		return err
	}
	r.Reset(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK || n != int64(c.Size) || resp.Close:
		return fmt.Errorf("%s with %d bytes, not %d; closes %v", resp.Status, n, c.Size, resp.Close)
	}
	return nil
}

package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const envRole = "HANDOVER_TEST_ROLE"

// TestMain makes the test binary the programs of the tests.
func TestMain(m *testing.M) {
	role := os.Getenv(envRole)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(role); err != nil {
		fmt.Fprintln(os.Stderr, role, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func play(role string) error {
	switch role {
	case "crash":
		os.Exit(2)
	case "hang":
		time.Sleep(time.Hour)
	case "serve":
		return serve()
	case "launch":
		return launched()
	}
	parent, _, err := Inherited()
	if err != nil {
		return err
	}
	switch role {
	case "refuse":
		return parent.Failed(errors.New("line 3:\nno such thing"))
	case "descriptors":
		return parent.Failed(fmt.Errorf("has %s", descriptors(firstDoor+3, true)))
	case "abandoned":
		err := parent.Prepared(context.Background())
		_ = os.WriteFile(os.Getenv("HANDOVER_TEST_FILE"), []byte(fmt.Sprint(err)), 0o644)
		return err
	}
	if err := parent.Prepared(context.Background()); err != nil {
		return err
	}
	switch role {
	case "late crash":
		os.Exit(2)
	case "late hang":
		time.Sleep(time.Hour)
	case "late refuse":
		return parent.Failed(errors.New("the lock is taken"))
	}
	return fmt.Errorf("no such role")
}

// descriptors lists what is open from a number on, besides the runtime's own; or only what a further program would get.
func descriptors(from int, inherited bool) string {
	entries, _ := os.ReadDir("/proc/self/fd")
	var list []string
	for _, e := range entries {
		fd, _ := strconv.Atoi(e.Name())
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || fd < from || strings.HasPrefix(to, "anon_inode:") || strings.HasPrefix(to, "/proc/") {
			continue
		}
		flags, _, _ := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if !inherited || flags&syscall.FD_CLOEXEC == 0 {
			list = append(list, to)
		}
	}
	slices.Sort(list)
	return fmt.Sprintf("%q", list)
}

// launched is a program that is to be run.
func launched() error {
	p, err := OpenPrograms(os.Getenv("HANDOVER_TEST_FILE"))
	if err != nil {
		return err
	}
	if err := p.Launch(); err != nil {
		fmt.Println("launch:", err)
	}
	self, err := os.Executable()
	h, stored := p.hashOf(self)
	switch {
	case stored && len(os.Args) > 1 && os.Args[1] == "good":
		err = p.Good(h)
		fallthrough
	case stored:
		fmt.Println("runs", h)
	default:
		fmt.Println("runs own")
	}
	return err
}

// serve is a server that hands over to itself when it is told to.
func serve() error {
	go func() { // whoever the tests leave behind ends with them
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	parent, doors, err := Inherited()
	if err != nil {
		return err
	}
	if parent == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		u, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		x, err := net.Listen("unix", filepath.Join(os.Getenv("HANDOVER_TEST_FILE"), "socket"))
		if err != nil {
			return err
		}
		doors = Doors{Listeners: map[string]net.Listener{"http": l, "unix": x}, Packets: map[string]net.PacketConn{"dns": u}}
		fmt.Println(l.Addr(), u.LocalAddr())
	}
	if parent != nil {
		if err := parent.Prepared(context.Background()); err != nil {
			return err
		}
	}
	s := newServer()
	for {
		s.begin(doors)
		if parent != nil {
			if err := parent.Serving(); err != nil {
				return err
			}
			parent = nil
		}
		child, quit := s.untilNext()
		s.stop()
		if quit {
			return s.drain()
		}
		if err = child.Go(context.Background()); err == nil {
			return s.drain()
		}
		if doors, err = child.Doors(); err != nil {
			return err
		}
	}
}

type server struct {
	doors Doors
	http  http.Server
	loops sync.WaitGroup

	draining atomic.Bool
	mu       sync.Mutex
	busy     map[net.Conn]bool // those that have a request, or will have their first; under mu
}

// next has the role of the program to hand over to.
var next = make(chan string)

func newServer() *server {
	s := &server{busy: map[net.Conn]bool{}}
	s.http.ConnState = func(c net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if state == http.StateNew || state == http.StateActive {
			s.busy[c] = true
		} else {
			delete(s.busy, c)
		}
	}
	s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		switch r.Method {
		case http.MethodPost:
			select {
			case next <- r.URL.Path:
			case <-r.Context().Done():
			}
		default:
			time.Sleep(time.Millisecond)
		}
		fmt.Fprint(w, os.Getpid())
	})
	return s
}

// begin serves, perhaps again.
func (s *server) begin(d Doors) {
	s.doors = d
	for _, l := range d.Listeners {
		s.loops.Go(func() { _ = s.http.Serve(l) })
	}
	c := d.Packets["dns"]
	s.loops.Go(func() { s.answer(c) })
}

func (s *server) answer(c net.PacketConn) {
	buf := make([]byte, 100)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = c.WriteTo(buf[:n], from)
	}
}

// untilNext waits until somebody posts the role of the next program, and that has prepared.
func (s *server) untilNext() (child *Child, quit bool) {
	for role := range next {
		if role == "/quit" {
			return nil, true
		}
		env := append(without(os.Environ(), envRole), envRole+"="+strings.TrimPrefix(role, "/"))
		var err error
		if child, err = Start(context.Background(), Options{Program: os.Args[0], Env: env, Doors: s.doors, Serve: 2 * time.Second}); err == nil {
			return child, false
		}
	}
	return nil, true
}

// stop accepts nothing any more.
func (s *server) stop() {
	dns := s.doors.Packet("dns") // closed last, so that what has been read is answered
	_ = dns.SetReadDeadline(time.Unix(1, 0))
	_ = s.doors.Close()
	s.loops.Wait()
	_ = dns.Close()
}

// drain answers what is under way. Shutdown alone isn't enough: once it has begun, net/http drops a request that it reads, the first one of a connection too.
func (s *server) drain() error {
	s.draining.Store(true)
	for range 5000 {
		s.mu.Lock()
		busy := len(s.busy)
		s.mu.Unlock()
		if busy == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.http.Shutdown(ctx)
}

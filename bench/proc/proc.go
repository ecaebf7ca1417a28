package proc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// linesMax bounds what is remembered of a process's output: enough for its addresses or its complaint.
	linesMax = 100
	// stopTimeout is how long a process may take to end after SIGTERM.
	stopTimeout = 10 * time.Second
	// dialInterval is how often AwaitDial tries.
	dialInterval = 20 * time.Millisecond
)

// Process is a process that runs, or did.
type Process struct {
	cmd   *exec.Cmd
	name  string
	ready chan struct{} // closed at the line that Start was told to wait for
	ended chan struct{} // closed when the process is gone and its output read

	mu    sync.Mutex
	lines []string // what it printed first, at most linesMax
}

// Start starts argv. The process is ready when it prints the line ready.
func Start(ready string, argv ...string) (*Process, error) {
	p := &Process{cmd: exec.Command(argv[0], argv[1:]...), name: argv[0], ready: make(chan struct{}), ended: make(chan struct{})}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = in, in
	// A group of its own: Ctrl-C goes to us, and we stop it with its children.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = p.cmd.Start()
	in.Close()
	if err != nil {
		out.Close()
		return nil, err
	}
	go func() {
		defer close(p.ended)
		p.read(out, ready)
		out.Close()
		_ = p.cmd.Wait() // how it ended is of no interest; that it did is
	}()
	return p, nil
}

func (p *Process) read(out io.Reader, ready string) {
	scanner := bufio.NewScanner(out)
	isReady := false
	for scanner.Scan() {
		p.mu.Lock()
		if len(p.lines) < linesMax {
			p.lines = append(p.lines, scanner.Text())
		}
		p.mu.Unlock()
		if !isReady && scanner.Text() == ready {
			isReady = true
			close(p.ready)
		}
	}
	_, _ = io.Copy(io.Discard, out) // a line that is too long ends the scanner, not the process
}

// AwaitReady waits for the line that Start was told of.
func (p *Process) AwaitReady(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case <-p.ended:
		return fmt.Errorf("%s ended: %s", p.name, p.Output())
	case <-ctx.Done():
		return fmt.Errorf("%s isn't ready: %w", p.name, ctx.Err())
	}
}

// AwaitDial waits until something accepts connections at addr.
func (p *Process) AwaitDial(ctx context.Context, addr string) error {
	tick := time.NewTicker(dialInterval)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", p.name, p.Output())
		case <-ctx.Done():
			return fmt.Errorf("%s doesn't listen at %s: %w", p.name, addr, errors.Join(ctx.Err(), err))
		}
	}
}

// Output returns what the process printed first.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// PID returns the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stop asks the process to end and waits until it is gone; one that takes too long is killed.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		p.Kill()
	}
}

// Kill ends the process and its children as a crash would and waits until they are gone.
func (p *Process) Kill() {
	select {
	case <-p.ended: // the number may be another process's by now
	default:
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL) // to the group; it may end at this moment
		<-p.ended
	}
}

// FreeAddr returns an address of host at which nobody listens, for TCP or UDP, at this moment.
func FreeAddr(host string) (string, error) {
	for range 16 {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return "", err
		}
		addr := l.Addr().String()
		u, err := net.ListenPacket("udp", addr)
		l.Close()
		if err == nil {
			return addr, u.Close()
		}
	}
	return "", fmt.Errorf("no port of %s is free for both TCP and UDP", host)
}

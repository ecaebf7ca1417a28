package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a node's process, whichever it is at the time: an upgrade puts another one in its place. Its fields belong to mu.
type process struct {
	dir, program string
	log          string // the file of its output

	mu      sync.Mutex
	pid     int           // 0: none runs
	gone    chan struct{} // closed when the one called pid has ended
	killed  bool          // by us: it stays dead
	stopped bool          // by SIGSTOP
}

// restartAfter is how long a process that ended by itself stays down, as with a service manager.
const restartAfter = time.Second

// pidFile is where a node writes its process id.
func pidFile(dir string) string { return filepath.Join(dir, "node.pid") }

func readPID(dir string) int {
	data, err := os.ReadFile(pidFile(dir))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return pid
}

func alive(pid int) bool { return pid > 0 && syscall.Kill(pid, 0) == nil }

// start runs the program.
func (p *process) start() error {
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(p.program, "run", "--dir", p.dir)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "WHERRY_LAB=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	_ = os.Remove(pidFile(p.dir)) // of a process that was killed
	if err := cmd.Start(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	gone := make(chan struct{})
	p.pid, p.gone, p.killed, p.stopped = cmd.Process.Pid, gone, false, false
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(gone)
	}()
	return nil
}

// watch follows the process until ctx ends: to the one that an upgrade put in its place, and to a new start where it ended by itself. say
// is told what happened.
func (p *process) watch(ctx context.Context, say func(string)) {
	for {
		p.mu.Lock()
		gone, pid := p.gone, p.pid
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-gone:
		}
		p.mu.Lock()
		switch next := readPID(p.dir); {
		case p.pid != pid: // started again meanwhile
		case p.killed:
			p.pid = 0
		case next != pid && alive(next):
			p.pid, p.gone = next, poll(ctx, next)
			say("upgraded")
		default:
			p.pid = 0
			say("ended by itself")
		}
		killed, down := p.killed, p.pid == 0
		p.mu.Unlock()
		if !down {
			continue
		}
		if !killed && !sleep(ctx, restartAfter) {
			return
		}
		for killed {
			if !sleep(ctx, 50*time.Millisecond) {
				return
			}
			p.mu.Lock()
			killed = p.killed
			p.mu.Unlock()
		}
		p.mu.Lock()
		down = p.pid == 0
		p.mu.Unlock()
		if down {
			if err := p.start(); err != nil {
				say(err.Error())
				return
			}
			say("started")
		}
	}
}

// poll closes its channel when a process that isn't our child has ended.
func poll(ctx context.Context, pid int) chan struct{} {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for alive(pid) && sleep(ctx, 50*time.Millisecond) {
			var status syscall.WaitStatus
			_, _ = syscall.Wait4(pid, &status, syscall.WNOHANG, nil) // it is a child of ours if we are its subreaper
		}
	}()
	return gone
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

var errDead = errors.New("it doesn't run; wherry lab restart starts it")

// signal sends one. Only who has looked at pid under mu knows that it is still that process.
func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid == 0 {
		return errDead
	}
	switch s {
	case syscall.SIGKILL, syscall.SIGTERM:
		p.killed = true
		if p.stopped {
			_ = syscall.Kill(p.pid, syscall.SIGCONT)
		}
	case syscall.SIGSTOP:
		p.stopped = true
	case syscall.SIGCONT:
		p.stopped = false
	}
	if err := syscall.Kill(p.pid, s); err != nil {
		return fmt.Errorf("signal: %w", err)
	}
	return nil
}

// end sends SIGTERM and, if the process is there after a while, SIGKILL.
func (p *process) end(patience time.Duration) {
	if p.signal(syscall.SIGTERM) != nil {
		return
	}
	p.mu.Lock()
	gone, pid := p.gone, p.pid
	p.mu.Unlock()
	select {
	case <-gone:
	case <-time.After(patience):
		_ = syscall.Kill(pid, syscall.SIGKILL)
		<-gone
	}
}

// revive lets watch start the process again.
func (p *process) revive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = false
}

func (p *process) current() (pid int, state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.pid == 0:
		return 0, "dead"
	case p.stopped:
		return p.pid, "paused"
	}
	return p.pid, "runs"
}

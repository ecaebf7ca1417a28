package handover

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// What is said through the pipes, a line each.
const (
	sayPrepared = "prepared"
	sayGo       = "go"
	sayServing  = "serving"
	sayFailed   = "failed: "
	lineMax     = 4096
)

// envDoors tells the new program, in JSON, which doors it has; they begin at firstDoor.
const envDoors = "WHERRY_HANDOVER"

// The new program's descriptors.
const (
	fdFromOld = 3
	fdToOld   = 4
	firstDoor = 5
)

// ErrStart is that the new program didn't come so far that anything has changed: the old one serves on.
var ErrStart = errors.New("the new program didn't start")

// Options say what to start.
type Options struct {
	Program string        // path
	Args    []string      // with its name; nil: as this program was started
	Env     []string      // nil: this program's
	Doors   Doors         // they stay open
	Prepare time.Duration // that the new program may take until it has prepared; default 30 s
	Serve   time.Duration // from go until it serves; default 10 s
}

// Child is a new program that has prepared. One goroutine uses it.
type Child struct {
	o        Options
	process  *os.Process
	from, to *os.File
	lines    *bufio.Reader
	spare    sockets // for the case that the new program fails after the old one has closed its doors
}

// Start starts a program, gives it the doors, and waits until it has prepared. After an error it is gone, and nothing has changed.
func Start(ctx context.Context, o Options) (c *Child, err error) {
	if o.Args == nil {
		o.Args = os.Args
	}
	if o.Env == nil {
		o.Env = os.Environ()
	}
	if o.Prepare == 0 {
		o.Prepare = 30 * time.Second
	}
	if o.Serve == 0 {
		o.Serve = 10 * time.Second
	}
	c = &Child{o: o}
	if c.spare, err = duplicate(o.Doors); err != nil {
		return nil, errors.Join(ErrStart, err)
	}
	if err = c.spawn(); err == nil {
		if err = c.hear(ctx, sayPrepared, o.Prepare); err == nil {
			keepPaths(o.Doors, true)
			return c, nil
		}
	}
	c.Abandon()
	return nil, fmt.Errorf("%w: %s: %w", ErrStart, o.Program, err)
}

// spawn starts the process with the descriptors that it is to have. All others are close-on-exec.
func (c *Child) spawn() error {
	fromOld, to, err := os.Pipe()
	if err != nil {
		return err
	}
	defer fromOld.Close()
	from, toOld, err := os.Pipe()
	if err != nil {
		_ = to.Close()
		return err
	}
	defer toOld.Close()
	c.from, c.to, c.lines = from, to, bufio.NewReaderSize(from, lineMax)
	doors, err := json.Marshal(c.spare.doors)
	if err != nil {
		return err
	}
	files := []uintptr{0, 1, 2, fromOld.Fd(), toOld.Fd()}
	for _, fd := range c.spare.fds {
		files = append(files, uintptr(fd))
	}
	env := append(without(c.o.Env, envDoors, envLaunched), envDoors+"="+string(doors))
	pid, _, err := syscall.StartProcess(c.o.Program, c.o.Args, &syscall.ProcAttr{Env: env, Files: files})
	if err != nil {
		return err
	}
	c.process, err = os.FindProcess(pid)
	return err
}

func without(env []string, names ...string) (rest []string) {
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		keep := true
		for _, n := range names {
			keep = keep && n != name
		}
		if keep {
			rest = append(rest, e)
		}
	}
	return rest
}

// hear waits for a line.
func (c *Child) hear(ctx context.Context, want string, within time.Duration) error {
	if err := c.from.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = c.from.SetReadDeadline(time.Unix(1, 0)) })()
	line, err := readLine(c.lines)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it hasn't said %q within %s", want, within)
	case err != nil:
		return fmt.Errorf("it ended before it said %q", want)
	case strings.HasPrefix(line, sayFailed):
		return errors.New(strings.TrimPrefix(line, sayFailed))
	case line != want:
		return fmt.Errorf("it said %q instead of %q: it is no program of ours", line, want)
	}
	return nil
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	return strings.TrimSuffix(string(line), "\n"), err
}

// Pid is the new process.
func (c *Child) Pid() int { return c.process.Pid }

// Go tells the new program to serve, and waits until it does. Before, the old one has to stop accepting, and to let go what the new one needs.
// It may close the doors. (http.Server.Shutdown alone fails requests: once it has begun, the server drops what it reads, the first request of a
// new connection too. So who hands over waits first until Serve has returned and no connection is in StateNew or StateActive, while its
// responses say Connection: close.) After an error the new program is gone, and Doors gives the old one its doors again. After
// success the old program ends what is under way and ends.
func (c *Child) Go(ctx context.Context) error {
	_, err := c.to.WriteString(sayGo + "\n")
	if err == nil {
		err = c.hear(ctx, sayServing, c.o.Serve)
	}
	if err != nil {
		c.end()
		return fmt.Errorf("the new program %s doesn't serve: %w", c.o.Program, err)
	}
	c.spare.close()
	c.closePipes()
	return c.process.Release()
}

// Doors are the doors again, after Go failed: others than those that were given to Start.
func (c *Child) Doors() (Doors, error) {
	d, err := c.spare.open()
	keepPaths(d, false)
	return d, err
}

// Abandon ends the new program before it was told to go. The old one serves on.
func (c *Child) Abandon() {
	c.end()
	c.spare.close()
	keepPaths(c.o.Doors, false)
}

// end makes sure that the new program serves nobody.
func (c *Child) end() {
	if c.process != nil {
		_ = c.process.Kill()
		_, _ = c.process.Wait()
		c.process = nil
	}
	c.closePipes()
}

func (c *Child) closePipes() {
	for _, f := range []*os.File{c.from, c.to} {
		if f != nil {
			_ = f.Close()
		}
	}
	c.from, c.to = nil, nil
}

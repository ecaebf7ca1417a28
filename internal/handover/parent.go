package handover

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// ErrParentGone is that the old program ended before it said go.
var ErrParentGone = errors.New("the old program ended before it handed over")

// Parent is the old program, as the new one sees it. One goroutine uses it.
type Parent struct {
	from, to *os.File
	paths    Doors // to give them back the removal of their paths
}

// Inherited takes what an old program has given; the parent is nil if there is none, and everything is to be opened anew. It is called once, before
// anything opens descriptors, and after Launch.
func Inherited() (*Parent, Doors, error) {
	text, ok := os.LookupEnv(envDoors)
	if !ok {
		return nil, Doors{}, nil
	}
	if err := os.Unsetenv(envDoors); err != nil { // programs that we start aren't handed anything
		return nil, Doors{}, err
	}
	s, err := inheritedSockets(text)
	if err != nil {
		return nil, Doors{}, fmt.Errorf("%s: %w; unset it to start without an old program", envDoors, err)
	}
	for fd := fdFromOld; fd < firstDoor+len(s.fds); fd++ {
		syscall.CloseOnExec(fd)
	}
	p := &Parent{}
	if p.from, err = inheritedPipe(fdFromOld, "from the old program"); err != nil {
		return nil, Doors{}, err
	}
	if p.to, err = inheritedPipe(fdToOld, "to the old program"); err != nil {
		return nil, Doors{}, err
	}
	d, err := s.open()
	if err != nil {
		return nil, Doors{}, p.Failed(err)
	}
	keepPaths(d, true)
	for name, l := range d.Listeners {
		if p.paths.Listeners == nil {
			p.paths.Listeners = map[string]net.Listener{}
		}
		p.paths.Listeners[name] = l
	}
	return p, d, nil
}

// doorsMax bounds what is taken over.
const doorsMax = 1000

// inheritedSockets reads the description of the doors.
func inheritedSockets(text string) (s sockets, err error) {
	if err := json.Unmarshal([]byte(text), &s.doors); err != nil {
		return sockets{}, err
	}
	if len(s.doors) > doorsMax {
		return sockets{}, fmt.Errorf("%d doors are too many: %d at most", len(s.doors), doorsMax)
	}
	names := map[door]bool{}
	for i, d := range s.doors {
		if names[d] {
			return sockets{}, fmt.Errorf("the door %q comes twice", d.Name)
		}
		names[d] = true
		s.fds = append(s.fds, firstDoor+i)
	}
	return s, nil
}

// inheritedPipe makes a pipe's end not block, so that waiting for it can be broken off.
func inheritedPipe(fd int, name string) (*os.File, error) {
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("descriptor %d, %s: %w", fd, name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Prepared says that everything has been checked that can be while the old program serves, and waits until that has stopped.
func (p *Parent) Prepared(ctx context.Context) error {
	if _, err := p.to.WriteString(sayPrepared + "\n"); err != nil {
		return ErrParentGone
	}
	defer context.AfterFunc(ctx, func() { _ = p.from.SetReadDeadline(time.Unix(1, 0)) })()
	line, err := readLine(bufio.NewReaderSize(p.from, lineMax))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return ErrParentGone
	case line != sayGo:
		return fmt.Errorf("the old program said %q instead of %q", line, sayGo)
	}
	return nil
}

// Serving says that this program serves. From then on the old one only ends what is under way.
func (p *Parent) Serving() error {
	keepPaths(p.paths, false)
	return p.say(sayServing)
}

// Failed says why this program can't serve, and returns that. It has to end then.
func (p *Parent) Failed(why error) error {
	text := strings.ReplaceAll(why.Error(), "\n", "; ")
	_ = p.say(sayFailed + text[:min(len(text), lineMax/2)])
	return why
}

func (p *Parent) say(line string) error {
	_, err := p.to.WriteString(line + "\n")
	_ = p.to.Close()
	_ = p.from.Close()
	if err != nil {
		return ErrParentGone
	}
	return nil
}

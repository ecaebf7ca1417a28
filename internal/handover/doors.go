package handover

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"syscall"
)

// Doors are sockets that listen, by names that both programs know.
type Doors struct {
	Listeners map[string]net.Listener
	Packets   map[string]net.PacketConn
}

// Listener takes a door out, so that Close leaves it open; nil if there is none of that name.
func (d *Doors) Listener(name string) net.Listener {
	l := d.Listeners[name]
	delete(d.Listeners, name)
	return l
}

// Packet takes a door out, so that Close leaves it open; nil if there is none of that name.
func (d *Doors) Packet(name string) net.PacketConn {
	c := d.Packets[name]
	delete(d.Packets, name)
	return c
}

// Close closes the doors that nobody took: who connects there is to be refused, not to wait for ever.
func (d *Doors) Close() error {
	var errs []error
	for _, l := range d.Listeners {
		errs = append(errs, l.Close())
	}
	for _, c := range d.Packets {
		errs = append(errs, c.Close())
	}
	*d = Doors{}
	return errors.Join(errs...)
}

// door is how one is described to the new program.
type door struct {
	Name   string `json:"name"`
	Packet bool   `json:"packet,omitempty"`
}

// sockets are descriptors of doors, in one order.
type sockets struct {
	doors []door
	fds   []int
}

// duplicate makes descriptors of d's sockets of its own. They are close-on-exec, and not wrapped in an os.File: its Fd would make the
// socket block, and with it the listener that it is the duplicate of.
func duplicate(d Doors) (s sockets, err error) {
	add := func(name string, packet bool, of any) error {
		c, ok := of.(syscall.Conn)
		if !ok {
			return fmt.Errorf("%s can't be handed over: a %T has no socket of the system", name, of)
		}
		raw, err := c.SyscallConn()
		if err != nil {
			return fmt.Errorf("%s can't be handed over: %w", name, err)
		}
		var fd int
		var dupErr error
		err = raw.Control(func(was uintptr) { fd, dupErr = dupCloexec(int(was)) })
		if err = errors.Join(err, dupErr); err != nil {
			return fmt.Errorf("%s can't be handed over: %w", name, err)
		}
		s.doors, s.fds = append(s.doors, door{name, packet}), append(s.fds, fd)
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(d.Listeners)) {
		if err := add(name, false, d.Listeners[name]); err != nil {
			s.close()
			return sockets{}, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Packets)) {
		if err := add(name, true, d.Packets[name]); err != nil {
			s.close()
			return sockets{}, err
		}
	}
	return s, nil
}

func dupCloexec(fd int) (int, error) {
	dup, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return -1, os.NewSyscallError("fcntl", errno)
	}
	return int(dup), nil
}

func (s *sockets) close() {
	for _, fd := range s.fds {
		_ = syscall.Close(fd)
	}
	*s = sockets{}
}

// open makes doors of the descriptors, which are closed.
func (s *sockets) open() (Doors, error) {
	d := Doors{Listeners: map[string]net.Listener{}, Packets: map[string]net.PacketConn{}}
	var errs []error
	for i, fd := range s.fds {
		f := os.NewFile(uintptr(fd), s.doors[i].Name)
		if f == nil {
			errs = append(errs, fmt.Errorf("%s: descriptor %d isn't open", s.doors[i].Name, fd))
			continue
		}
		var err error
		if s.doors[i].Packet {
			d.Packets[s.doors[i].Name], err = net.FilePacketConn(f)
		} else {
			d.Listeners[s.doors[i].Name], err = net.FileListener(f)
		}
		if errs = append(errs, f.Close()); err != nil {
			errs = append(errs, fmt.Errorf("%s: descriptor %d is no such socket: %w", s.doors[i].Name, fd, err))
			delete(d.Packets, s.doors[i].Name)
			delete(d.Listeners, s.doors[i].Name)
		}
	}
	*s = sockets{}
	if err := errors.Join(errs...); err != nil {
		_ = d.Close()
		return Doors{}, err
	}
	return d, nil
}

// keepPaths says whether closing a unix listener removes its path. It mustn't while another program may listen there.
func keepPaths(d Doors, keep bool) {
	for _, l := range d.Listeners {
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(!keep)
		}
	}
}

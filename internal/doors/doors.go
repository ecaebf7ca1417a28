package doors

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"strconv"
	"syscall"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/handover"
	"github.com/wherry/wherry/internal/quicdoor"
)

// Doors opens listeners and remembers them, so that all can be closed when one can't be opened.
type Doors struct {
	// Inherited are the doors that a program before this one has handed over, by the flags that name them. They are used as they are.
	Inherited handover.Doors

	opened []interface{ Close() error }
	all    handover.Doors            // but for those of HTTP/3
	quic   map[string]*quicdoor.Door // by the flags of HTTPS
}

// udpOf is the name of the half of a door that takes datagrams.
func udpOf(flag string) string { return flag + "/udp" }

func (d *Doors) keep(flag string, l net.Listener) {
	if d.all.Listeners == nil {
		d.all.Listeners, d.all.Packets = map[string]net.Listener{}, map[string]net.PacketConn{}
	}
	d.all.Listeners[flag] = l
	d.opened = append(d.opened, l)
}

// Close closes all of them.
func (d *Doors) Close() {
	for _, l := range d.opened {
		_ = l.Close()
	}
}

// TCP listens at address; off gives nil. flag names what the user can change.
func (d *Doors) TCP(flag string, address config.Address) (net.Listener, error) {
	if address == config.Off {
		return nil, nil
	}
	l := d.Inherited.Listener(flag)
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", string(address)); err != nil {
			return nil, explainListen(flag, string(address), err)
		}
	}
	d.keep(flag, l)
	return l, nil
}

// HTTPS listens at one port of address for TLS and, if it is to, for HTTP/3; off gives nils. The flags name what the user can change.
func (d *Doors) HTTPS(flag, flag3 string, address config.Address, http3 bool) (net.Listener, net.PacketConn, error) {
	if address == config.Off || !http3 {
		l, err := d.TCP(flag, address)
		return l, nil, err
	}
	door, err := d.inheritedQUIC(flag)
	if err != nil {
		return nil, nil, err
	}
	l := d.Inherited.Listener(flag)
	switch {
	case l != nil && door == nil: // the former program had no HTTP/3
		u, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			_ = l.Close()
			return nil, nil, explainListen(flag3, l.Addr().String()+" (UDP)", err)
		}
		door = quicdoor.New(u.(*net.UDPConn))
	case l == nil:
		u, t, err := listenPair(flag, flag3, address)
		if err != nil {
			return nil, nil, err
		}
		l, door = t, quicdoor.New(u.(*net.UDPConn))
	}
	d.keep(flag, l)
	d.opened = append(d.opened, door)
	if d.quic == nil {
		d.quic = map[string]*quicdoor.Door{}
	}
	d.quic[flag] = door
	return l, door, nil
}

// inheritedQUIC returns the door of HTTP/3 that was handed over, if any.
func (d *Doors) inheritedQUIC(flag string) (*quicdoor.Door, error) {
	u, from := d.Inherited.Packet(udpOf(flag)), d.Inherited.Packet(passOf(flag))
	socket, ok := u.(*net.UDPConn)
	if !ok || from == nil {
		for _, c := range []net.PacketConn{u, from} {
			if c != nil {
				_ = c.Close()
			}
		}
		return nil, nil
	}
	door, err := quicdoor.Inherit(socket, from)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", udpOf(flag), err), socket.Close(), from.Close())
	}
	return door, nil
}

// Away leaves the sockets of HTTP/3 to the next program, which serves now: of them, this one gets what is of its connections.
func (d *Doors) Away() {
	for _, door := range d.quic {
		door.Away()
	}
}

// passOf is the name of what packets of HTTP/3 go through between two programs.
func passOf(flag string) string { return flag + "/udp/pass" }

// HandOver are all doors for the next program. done is called when that has them, or won't: then the doors are as before.
func (d *Doors) HandOver() (all handover.Doors, done func(taken bool), err error) {
	all = handover.Doors{Listeners: maps.Clone(d.all.Listeners), Packets: maps.Clone(d.all.Packets)}
	var passes []net.PacketConn
	done = func(taken bool) {
		for _, c := range passes {
			_ = c.Close()
		}
		for _, door := range d.quic {
			if !taken {
				door.Stay()
			}
		}
	}
	for flag, door := range d.quic {
		pass, err := door.Successor()
		if err != nil {
			done(false)
			return handover.Doors{}, nil, err
		}
		passes = append(passes, pass)
		all.Packets[udpOf(flag)], all.Packets[passOf(flag)] = door.UDPConn, pass
	}
	return all, done, nil
}

func (d *Doors) keepPair(flag string, u net.PacketConn, l net.Listener) {
	d.keep(flag, l)
	d.all.Packets[udpOf(flag)] = u
	d.opened = append(d.opened, u)
}

// pairTries is how often a free port is looked for that is free for UDP and TCP alike.
const pairTries = 16

// listenPair listens at one port for UDP and TCP. An error names the flag of the half that can't.
func listenPair(flag, flagUDP string, address config.Address) (u net.PacketConn, l net.Listener, err error) {
	for range pairTries {
		if l, err = net.Listen("tcp", string(address)); err != nil {
			return nil, nil, explainListen(flag, string(address), err)
		}
		if u, err = net.ListenPacket("udp", l.Addr().String()); err == nil {
			return u, l, nil
		}
		_ = l.Close()
		if _, port, _ := net.SplitHostPort(string(address)); port != "0" {
			break
		}
	}
	return nil, nil, explainListen(flagUDP, string(address)+" (UDP)", err)
}

// Pair listens at one port of address for UDP and TCP; off gives nils.
func (d *Doors) Pair(flag string, address config.Address) (net.PacketConn, net.Listener, error) {
	if address == config.Off {
		return nil, nil, nil
	}
	if u, l := d.Inherited.Packet(udpOf(flag)), d.Inherited.Listener(flag); u != nil && l != nil {
		d.keepPair(flag, u, l)
		return u, l, nil
	}
	if l := d.Inherited.Listener(flag); l != nil { // of a program that had no use for datagrams
		u, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			return nil, nil, explainListen(flag, string(address), err)
		}
		d.keepPair(flag, u, l)
		return u, l, nil
	}
	u, l, err := listenPair(flag, flag, address)
	if err != nil {
		return nil, nil, err
	}
	d.keepPair(flag, u, l)
	return u, l, nil
}

// explainListen says what to do about a listener that can't be opened.
func explainListen(flag, address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s %s: another process listens there; stop it, or choose another address (port 0 picks a free one)", flag, address)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s %s: not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE", flag, address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s %s: this machine doesn't have that address", flag, address)
	}
	return fmt.Errorf("%s %s: %w", flag, address, err)
}

// Check refuses what isn't HOST:PORT with a number for the port.
func Check(flag, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s %q: write HOST:PORT, such as 127.0.0.1:8080", flag, address)
	}
	if p, err := strconv.Atoi(port); err != nil || p < 0 || p > 65535 {
		return fmt.Errorf("%s %q: the port must be a number from 0 to 65535", flag, address)
	}
	return nil
}

package doors

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"syscall"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/handover"
)

// Doors opens listeners and remembers them, so that all can be closed when one can't be opened.
type Doors struct {
	// Inherited are the doors that a program before this one has handed over, by the flags that name them. They are used as they are.
	Inherited handover.Doors

	opened []interface{ Close() error }
	all    handover.Doors
}

// All are the doors that are open, by their flags, to be handed over.
func (d *Doors) All() handover.Doors { return d.all }

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

func (d *Doors) keepPair(flag string, u net.PacketConn, l net.Listener) {
	d.keep(flag, l)
	d.all.Packets[udpOf(flag)] = u
	d.opened = append(d.opened, u)
}

// pairTries is how often a free port is looked for that is free for UDP and TCP alike.
const pairTries = 16

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
	var lastErr error
	for range pairTries {
		u, err := net.ListenPacket("udp", string(address))
		if err != nil {
			return nil, nil, explainListen(flag, string(address), err)
		}
		l, err := net.Listen("tcp", u.LocalAddr().String())
		if err == nil {
			d.keepPair(flag, u, l)
			return u, l, nil
		}
		_ = u.Close()
		lastErr = err
		if _, port, _ := net.SplitHostPort(string(address)); port != "0" {
			break
		}
	}
	return nil, nil, explainListen(flag, string(address), lastErr)
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

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"syscall"

	"github.com/wherry/wherry/config"
)

// doors opens listeners and remembers them, so that all can be closed when one can't be opened.
type doors struct {
	opened []interface{ Close() error }
}

func (d *doors) close() {
	for _, l := range d.opened {
		_ = l.Close()
	}
}

// tcp listens at address; off gives nil. flag names what the user can change.
func (d *doors) tcp(flag string, address config.Address) (net.Listener, error) {
	if address == config.Off {
		return nil, nil
	}
	l, err := net.Listen("tcp", string(address))
	if err != nil {
		return nil, explainListen(flag, string(address), err)
	}
	d.opened = append(d.opened, l)
	return l, nil
}

// pairTries is how often a free port is looked for that is free for UDP and TCP alike.
const pairTries = 16

// dns listens at one port of address for UDP and TCP; off gives nils.
func (d *doors) dns(flag string, address config.Address) (net.PacketConn, net.Listener, error) {
	if address == config.Off {
		return nil, nil, nil
	}
	var lastErr error
	for range pairTries {
		u, err := net.ListenPacket("udp", string(address))
		if err != nil {
			return nil, nil, explainListen(flag, string(address), err)
		}
		l, err := net.Listen("tcp", u.LocalAddr().String())
		if err == nil {
			d.opened = append(d.opened, u, l)
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

// checkAddress refuses what isn't HOST:PORT with a number for the port.
func checkAddress(flag, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s %q: write HOST:PORT, such as 127.0.0.1:8080", flag, address)
	}
	if p, err := strconv.Atoi(port); err != nil || p < 0 || p > 65535 {
		return fmt.Errorf("%s %q: the port must be a number from 0 to 65535", flag, address)
	}
	return nil
}

// nth returns address as the n-th edge (from 1) of one machine has it: on loopback 127.0.0.n, at the same port.
func nth(address string, n int) string {
	host, port, _ := net.SplitHostPort(address) // which was checked
	if n > 1 {
		host = "127.0.0." + strconv.Itoa(n)
	}
	return net.JoinHostPort(host, port)
}

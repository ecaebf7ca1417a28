package linkem

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Place is one network namespace. It has no name: it is gone with its last socket and device.
type Place struct {
	name      string
	namespace *os.File
}

// sysctlsOfPlaces are set in each namespace. Metrics of one connection don't help or hinder the next; buffers are no bound on a gigabit over a
// tenth of a second; no packet is on the link but those of the flows.
var sysctlsOfPlaces = map[string]string{
	"net/ipv4/tcp_no_metrics_save":    "1",
	"net/ipv4/tcp_rmem":               "4096 131072 67108864",
	"net/ipv4/tcp_wmem":               "4096 131072 67108864",
	"net/ipv6/conf/all/disable_ipv6":  "1",
	"net/ipv4/conf/default/rp_filter": "0",
}

// newPlace makes a namespace on a thread that ends with it unless it gets back to where it was.
func newPlace(name string) (*Place, error) {
	p := &Place{name: name}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w: this needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN)", err)
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		p.namespace = f
		for key, value := range sysctlsOfPlaces {
			err := os.WriteFile("/proc/sys/"+key, []byte(value), 0o644)
			if err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without IPv6 has nothing to turn off
				return fmt.Errorf("set %s in the namespace of %s: %w", key, name, err)
			}
		}
		return bringUpLoopback()
	})
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// Do runs f on a thread inside the namespace and returns when it has. A socket that f makes stays in the namespace, as does a process that
// it starts; goroutines that it starts don't.
func (p *Place) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(p.namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the namespace of %s: %w", p.name, err)
		}
		return f()
	})
}

// onThread runs f on a thread of its own and brings it back to the namespace in which it was. A thread that can't be brought back ends with its goroutine.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- fmt.Errorf("open the thread's namespace: %w", err)
			return
		}
		defer home.Close()
		err = f()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// Listen is net.Listen inside the namespace; control is that of net.ListenConfig, and may be nil.
func (p *Place) Listen(ctx context.Context, at netip.AddrPort, control func(network, address string, c syscall.RawConn) error) (l net.Listener, err error) {
	err = p.Do(func() error {
		lc := net.ListenConfig{Control: control}
		lc.SetMultipathTCP(false)
		l, err = lc.Listen(ctx, "tcp4", at.String())
		return err
	})
	return l, err
}

// ListenUDP is net.ListenUDP inside the namespace.
func (p *Place) ListenUDP(at netip.AddrPort) (c *net.UDPConn, err error) {
	err = p.Do(func() error {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
		return err
	})
	return c, err
}

// Dial is net.Dialer's DialContext for TCP inside the namespace; control may be nil.
func (p *Place) Dial(ctx context.Context, to netip.AddrPort, control func(network, address string, c syscall.RawConn) error) (c net.Conn, err error) {
	err = p.Do(func() error {
		d := net.Dialer{Control: control}
		d.SetMultipathTCP(false)
		c, err = d.DialContext(ctx, "tcp4", to.String())
		return err
	})
	return c, err
}

// Start starts a program inside the namespace.
func (p *Place) Start(c *exec.Cmd) error { return p.Do(c.Start) }

// close gives the namespace up.
func (p *Place) close() error {
	if p.namespace == nil {
		return nil
	}
	return p.namespace.Close()
}

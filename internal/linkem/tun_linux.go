package linkem

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// tunQueuePackets is the device's queue towards the carrying thread, which reads at once: what doesn't fit is a failure of the
// emulator, and counted as Cable.Missed.
const tunQueuePackets = 10000

// tun is one device inside a place.
type tun struct {
	fd    int
	name  string
	place *Place
}

// openTUN makes a device inside the place, with an address in a network of 4, and brings it up.
func openTUN(p *Place, name string, address netip.Addr) (*tun, error) {
	t := &tun{fd: -1, name: name, place: p}
	err := p.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w: load the module tun, or give this container the device", err)
		}
		t.fd = fd
		request, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return fmt.Errorf("make the device %s in %s: %w", name, p.name, err)
		}
		return configure(name, address)
	})
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *tun) close() error {
	if t.fd < 0 {
		return nil
	}
	err := unix.Close(t.fd)
	t.fd = -1
	return err
}

// configure uses the old ioctls, which need no netlink: MTU, queue, address, netmask, up.
func configure(name string, address netip.Addr) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	for _, step := range []struct {
		request uint
		fill    func(*unix.Ifreq) error
	}{
		{unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(packetBytesMax); return nil }},
		{unix.SIOCSIFTXQLEN, func(r *unix.Ifreq) error { r.SetUint32(tunQueuePackets); return nil }},
		{unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(address.AsSlice()) }},
		{unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 252}) }},
		{unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }},
	} {
		request, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		if err := step.fill(request); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(s, step.request, request); err != nil {
			return fmt.Errorf("configure %s (request %#x): %w", name, step.request, err)
		}
	}
	return nil
}

func bringUpLoopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request)
}

// missed is how many packets the device dropped because the carrying thread was too slow.
func (t *tun) missed() (n int64, err error) {
	err = t.place.Do(func() error {
		table, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		for line := range bytes.Lines(table) {
			name, counters, ok := bytes.Cut(line, []byte(":"))
			fields := bytes.Fields(counters)
			const txDropped = 8 + 3 // eight counters of reception, then bytes, packets, errs, drop
			if ok && string(bytes.TrimSpace(name)) == t.name && len(fields) > txDropped {
				n, err = strconv.ParseInt(string(fields[txDropped]), 10, 64)
				return err
			}
		}
		return errors.New("no counters of the device " + t.name)
	})
	return n, err
}

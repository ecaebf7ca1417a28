package socket

import (
	"net/netip"
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// The gate is the one address outside of the process that there is. No socket of the guest can be bound to it.
const (
	GateAddress = "10.0.0.1"
	GatePort    = 80
	// CalledMax is how many connections to the gate wait for the host to take them: EAGAIN beyond.
	CalledMax = 16

	guestAddress = "10.0.0.2" // what a socket that is connected to the gate has
)

var (
	gateAddr  = netip.MustParseAddr(GateAddress)
	guestAddr = netip.MustParseAddr(guestAddress)
)

// GateSockaddr is the gate's struct sockaddr.
func GateSockaddr() []byte {
	a := address{family: abi.AF_INET, port: GatePort}
	a.setAddr(gateAddr)
	return a.bytes()
}

// gate is the host's end. It isn't the guest's state: who restores the guest finds it as it was, without the connections that were undone.
type gate struct {
	open   bool
	called []*Conn // that the host hasn't taken
}

// Gate opens the gate to connections or closes it: then they are ECONNREFUSED, and those that nobody has taken end.
func (t *Net) Gate(open bool) {
	t.gate.open = open
	for !open && len(t.gate.called) > 0 {
		t.Called().Close()
	}
}

// Called takes the connection that waits longest at the gate, nil if none does.
func (t *Net) Called() *Conn {
	if len(t.gate.called) == 0 {
		return nil
	}
	c := t.gate.called[0]
	t.gate.called = slices.Delete(t.gate.called, 0, 1)
	t.ledger.Version++ // there is room for who waits
	return c
}

// call connects s to the gate.
func (t *Net) call(s *Socket, to address) abi.Errno {
	switch {
	case !t.gate.open || to.port != GatePort:
		return abi.ECONNREFUSED
	case s.now.bound && s.now.local.loopback(): // net/ipv4: no way from the loopback to the world
		return abi.EINVAL
	case len(t.gate.called) >= CalledMax:
		return abi.EAGAIN
	}
	local := s.now.local
	if !s.now.bound {
		if e := t.bindPort(s, &local); e != 0 {
			return abi.EADDRNOTAVAIL
		}
	}
	local.setAddr(guestAddr)
	o := t.newSocket(s.family)
	o.outside = true
	o.now.local, o.now.remote = to, local
	t.ledger.Keep(&s.kept, s)
	s.join(o)
	s.now.local, s.now.remote = local, to
	s.now.out++
	t.ledger.Version++
	t.gate.called = append(t.gate.called, t.outside(o))
	return 0
}

package flows

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wherry/wherry/internal/linkem"
	"github.com/wherry/wherry/overlay/congest"
)

// transport opens sessions of one kind.
type transport interface {
	// listen begins to receive at a side; the listener must be served.
	listen(ctx context.Context, at side) (listener, error)
	dial(ctx context.Context, from side, to netip.AddrPort) (session, error)
}

type listener interface {
	addr() netip.AddrPort
	// serve adds what bulk flows bring to received, and answers requests for objects, until ctx is done; then all is closed.
	serve(ctx context.Context, received *counter) error
	// vitals are those of the connection that was accepted last: of the sender of objects.
	vitals() (Vitals, error)
}

// session is one connection at the side that sends bulk or asks for objects.
type session interface {
	// send writes until ctx is done, or bytes have been written and the other side has read them (bytes 0: no limit).
	send(ctx context.Context, bytes int64) error
	// fetch asks for an object and reads it whole.
	fetch(ctx context.Context, bytes int64) error
	vitals() (Vitals, error) // as the sender of bulk
	close()
}

// errNoConnection says that nobody has connected.
var errNoConnection = errors.New("no connection yet")

// Vitals is what a sender knows of its connection. What it doesn't know is 0.
type Vitals struct {
	RTT, MinRTT   time.Duration // smoothed; least
	WindowBytes   int64         // congestion window
	Retransmitted int64         // packets sent again, or declared lost
}

// side is where a transport makes its sockets: a place of a lab, or this host's loopback.
type side interface {
	// Address is where others reach the side.
	Address() netip.Addr
	Listen(ctx context.Context, at netip.AddrPort, control func(network, address string, c syscall.RawConn) error) (net.Listener, error)
	ListenUDP(at netip.AddrPort) (*net.UDPConn, error)
	Dial(ctx context.Context, to netip.AddrPort, control func(network, address string, c syscall.RawConn) error) (net.Conn, error)
}

// placeSide is a place with its address on the cable.
type placeSide struct {
	*linkem.Place
	address netip.Addr
}

func (s placeSide) Address() netip.Addr { return s.address }

// loopback is this host.
type loopback struct{}

func (loopback) Address() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }

func (loopback) Listen(ctx context.Context, at netip.AddrPort, control func(network, address string, c syscall.RawConn) error) (net.Listener, error) {
	lc := net.ListenConfig{Control: control}
	lc.SetMultipathTCP(false)
	return lc.Listen(ctx, "tcp4", at.String())
}

func (loopback) ListenUDP(at netip.AddrPort) (*net.UDPConn, error) {
	return net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
}

func (loopback) Dial(ctx context.Context, to netip.AddrPort, control func(network, address string, c syscall.RawConn) error) (net.Conn, error) {
	d := net.Dialer{Control: control}
	return d.DialContext(ctx, "tcp4", to.String())
}

func anyPort(s side) netip.AddrPort { return netip.AddrPortFrom(s.Address(), 0) }

// Flow is so many flows of one kind.
type Flow struct {
	Kind  string
	Count int
}

// flowsMax bounds the flows of one measurement.
const flowsMax = 256

// linkKinds and loopbackKinds are the names that --flows takes, in the order in which errors list them.
var (
	linkKinds     = []string{"overlay", "overlay-reno", "overlay-cubic", "overlay-bbr", "tcp-reno", "tcp-cubic", "tcp-bbr", "quic"}
	loopbackKinds = []string{"overlay", "tcp", "tls", "quic"}
)

// LinkFlows reads flows for RunLink, like "tcp-cubic:2,quic:1". Kinds with the number 0 are left out.
func LinkFlows(text string) ([]Flow, error) { return parseFlows(text, linkKinds) }

// LoopbackFlows reads flows for RunLoopback, like "tcp:1,tls:1".
func LoopbackFlows(text string) ([]Flow, error) { return parseFlows(text, loopbackKinds) }

func parseFlows(text string, kinds []string) ([]Flow, error) {
	var flows []Flow
	total := 0
	for item := range strings.SplitSeq(text, ",") {
		kind, number, numbered := strings.Cut(strings.TrimSpace(item), ":")
		if !slices.Contains(kinds, kind) {
			return nil, fmt.Errorf("no flow is called %q: take %s", kind, strings.Join(kinds, ", "))
		}
		if slices.ContainsFunc(flows, func(f Flow) bool { return f.Kind == kind }) {
			return nil, fmt.Errorf("%s stands twice: give the number of its flows after one colon", kind)
		}
		count := 1
		if numbered {
			n, err := strconv.Atoi(number)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("%s:%s: give a number of flows after the colon, 0 for none", kind, number)
			}
			count = n
		}
		if total += count; total > flowsMax {
			return nil, fmt.Errorf("more than %d flows: give fewer", flowsMax)
		}
		flows = append(flows, Flow{kind, count})
	}
	flows = slices.DeleteFunc(flows, func(f Flow) bool { return f.Count == 0 })
	if len(flows) == 0 {
		return nil, fmt.Errorf("no flows to measure: give at least one of %s", strings.Join(kinds, ", "))
	}
	return flows, nil
}

// loopbackCongestion is set where the kind names none: the default differs from machine to machine, and BBR paces even loopback.
const loopbackCongestion = "cubic"

// transportOf makes a transport of one of linkKinds or loopbackKinds. objects says that it will be asked for objects.
func transportOf(kind string, objects bool) (transport, error) {
	family, detail, _ := strings.Cut(kind, "-")
	switch {
	case family == "overlay":
		return newOverlay(cmp.Or(congest.Kind(detail), congest.KindDefault))
	case kind == "tcp":
		return tcp{congestion: loopbackCongestion}, nil
	case kind == "tls":
		return newTLS(loopbackCongestion)
	case kind == "quic":
		return newQUIC()
	case objects:
		return newWeb(detail)
	}
	return tcp{congestion: detail}, nil
}

package testnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/network"
	"github.com/wherry/wherry/internal/simnet"
)

// The ports of origins and of the name server; nodes listen where the configuration says.
const (
	originPort = "80"
	dnsPort    = "53"
)

// NameServer is the host that answers DNS, at the address of that name.
const NameServer = "names"

// nameServerAddr is in the block for documentation (RFC 5737), where a test's clients and nodes don't stand.
var nameServerAddr = netip.MustParseAddr("203.0.113.53")

// Net is a network that runs.
type Net struct {
	Sim *simnet.Network

	t        *testing.T
	snapshot *config.Snapshot
	hosts    map[string]*simnet.Host
	stop     map[config.NodeID]func()
}

// Start runs the network of the configuration yaml. Each origin is a host, by the name in its URL, that serves its handler on port
// 80; a nil handler is a host without a server.
func Start(t *testing.T, yaml string, origins map[string]http.Handler) *Net {
	t.Helper()
	snapshot, problems := config.Parse("testnet.yaml", []byte(yaml))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	n := &Net{
		Sim: simnet.New(simnet.Options{Link: simnet.Link{Latency: time.Millisecond}}), t: t, snapshot: snapshot,
		hosts: map[string]*simnet.Host{}, stop: map[config.NodeID]func(){},
	}
	for name, handler := range origins {
		n.startOrigin(name, handler)
	}
	for i := range snapshot.Clusters {
		for j := range snapshot.Clusters[i].Nodes {
			n.startEdge(&snapshot.Clusters[i].Nodes[j])
		}
	}
	n.startNames()
	return n
}

// Host returns the host of a node, an origin or NameServer.
func (n *Net) Host(name string) *simnet.Host {
	h := n.hosts[name]
	if h == nil {
		n.t.Fatalf("testnet: no host %q", name)
	}
	return h
}

// ClientHost adds a host for a client.
func (n *Net) ClientHost(name string, addr string) *simnet.Host {
	h := n.Sim.Host(name, netip.MustParseAddr(addr))
	n.hosts[name] = h
	return h
}

// Client returns an HTTP client on a host that asks one node, whatever the URL's host is.
func (n *Net) Client(from *simnet.Host, node config.NodeID) *http.Client {
	at, _ := n.snapshot.Node(node)
	if at == nil {
		n.t.Fatalf("testnet: no node %q", node)
	}
	transport := &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return from.DialContext(ctx, network, net.JoinHostPort(at.Addresses[0].String(), n.httpPort(at)))
		},
	}
	n.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// LookupA asks the name server for the IPv4 addresses of name, over UDP.
func (n *Net) LookupA(from *simnet.Host, name string) ([]netip.Addr, error) {
	conn, err := from.DialContext(n.t.Context(), "udp", netip.AddrPortFrom(nameServerAddr, 53).String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	query := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
	answer, _, err := new(dns.Client).ExchangeWithConn(query, &dns.Conn{Conn: conn})
	if err != nil {
		return nil, err
	}
	if answer.Rcode != dns.RcodeSuccess {
		return nil, fmt.Errorf("%s: %s", name, dns.RcodeToString[answer.Rcode])
	}
	var addrs []netip.Addr
	for _, rr := range answer.Answer {
		if a, ok := rr.(*dns.A); ok {
			addr, _ := netip.AddrFromSlice(a.A.To4())
			addrs = append(addrs, addr)
		}
	}
	return addrs, nil
}

// Kill stops the machine of a node as if its power failed: connections break, nothing answers.
func (n *Net) Kill(node config.NodeID) { n.Host(string(node)).Kill() }

// Restart starts a killed machine again; its node begins empty.
func (n *Net) Restart(node config.NodeID) {
	n.stop[node]()
	n.Host(string(node)).Restart()
	at, _ := n.snapshot.Node(node)
	n.runEdge(at)
}

func (n *Net) startOrigin(name string, handler http.Handler) {
	h := n.Sim.Host(name)
	n.hosts[name] = h
	if handler == nil {
		return
	}
	l := n.listen(h, originPort)
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// A killed host closes the listener under the server.
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			n.t.Errorf("origin %s: %v", name, err)
		}
	}()
	n.t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// httpPort is where a node listens for HTTP.
func (n *Net) httpPort(node *config.Node) string {
	_, port, err := net.SplitHostPort(string(n.snapshot.ListenAt(node).HTTP))
	if err != nil {
		n.t.Fatalf("testnet: node %s doesn't listen for HTTP", node.Name)
	}
	return port
}

func (n *Net) listen(h *simnet.Host, port string) net.Listener {
	l, err := h.Listen("tcp", ":"+port)
	if err != nil {
		n.t.Fatal(err)
	}
	return l
}

func (n *Net) startEdge(node *config.Node) {
	n.hosts[string(node.Name)] = n.Sim.Host(string(node.Name), node.Addresses...)
	n.runEdge(node)
	n.t.Cleanup(func() { n.stop[node.Name]() })
}

// runEdge runs the node's process on its host.
func (n *Net) runEdge(node *config.Node) {
	h := n.Host(string(node.Name))
	doors := network.EdgeDoors{Node: node.Name, HTTP: n.listen(h, n.httpPort(node))}
	n.stop[node.Name] = n.run(network.Options{Edges: []network.EdgeDoors{doors}, Dial: h.DialContext})
}

// startNames runs a process that only answers DNS.
func (n *Net) startNames() {
	h := n.Sim.Host(NameServer, nameServerAddr)
	n.hosts[NameServer] = h
	udp, err := h.ListenPacket("udp", ":"+dnsPort)
	if err != nil {
		n.t.Fatal(err)
	}
	tcp, err := h.Listen("tcp", ":"+dnsPort)
	if err != nil {
		n.t.Fatal(err)
	}
	stop := n.run(network.Options{
		DNS: &network.DNSDoors{Node: n.snapshot.Clusters[0].Nodes[0].Name, UDP: udp, TCP: tcp}, Dial: h.DialContext,
	})
	n.t.Cleanup(stop)
}

// run runs one process and returns how to stop it.
func (n *Net) run(o network.Options) (stop func()) {
	o.Snapshot, o.Log = n.snapshot, slog.New(slog.DiscardHandler)
	process, err := network.New(o)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		// A killed host breaks its sockets under the process, which may say so.
		_ = process.Run(ctx, func() {})
	}()
	return func() {
		cancel()
		<-done
	}
}

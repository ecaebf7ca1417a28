package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/node"
)

// Options say what the lab has.
type Options struct {
	Dir                 string
	Control, Edges, DNS int
	Program             string    // the wherry that the nodes run
	Out                 io.Writer // takes the lines that a person or a script reads
	Log                 *slog.Logger
}

// The largest lab.
const (
	controlMax = 5
	edgesMax   = 200
	dnsMax     = 8
)

// Check says what is wrong with the options.
func (o *Options) Check() error {
	switch {
	case o.Dir == "":
		return errors.New("say where the lab keeps its state: --dir DIR")
	case o.Control < 1 || o.Control > controlMax:
		return fmt.Errorf("--control %d: choose 1 to %d; 1, 3 or 5 make sense", o.Control, controlMax)
	case o.Edges < 0 || o.Edges > edgesMax:
		return fmt.Errorf("--edges %d: choose 0 to %d", o.Edges, edgesMax)
	case o.DNS < 0 || o.DNS > dnsMax:
		return fmt.Errorf("--dns %d: choose 0 to %d", o.DNS, dnsMax)
	}
	return nil
}

// Lab is a network of processes. nodes don't change once they are made.
type Lab struct {
	o      Options
	plan   plan
	nodes  []*machine
	client *api.Client
	server string // where the API of some control node is

	out sync.Mutex // one line at a time

	mu    sync.Mutex      // protects what follows
	cut   map[string]bool // who is cut off from all others
	pairs map[pair]bool   // who is cut off from each other
}

// plan is what is kept in lab.json.
type plan struct {
	Token string          `json:"token"` // of the administrator
	Nodes []node.Settings `json:"nodes"`
}

// machine is a node of the lab.
type machine struct {
	settings node.Settings
	process
}

func (m *machine) name() string { return string(m.settings.Name) }

// New makes the lab's nodes, or finds those that are in the directory.
func New(ctx context.Context, o Options) (*Lab, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	l := &Lab{o: o, cut: map[string]bool{}, pairs: map[pair]bool{}}
	data, err := os.ReadFile(l.planFile())
	switch {
	case errors.Is(err, os.ErrNotExist):
		l.plan.Nodes, err = layOut(&o)
	case err == nil:
		err = json.Unmarshal(data, &l.plan)
	}
	if err != nil {
		return nil, fmt.Errorf("lab in %s: %w; choose another --dir, or remove it", dir, err)
	}
	if n := len(l.plan.Nodes); n != o.Control+o.Edges+o.DNS {
		return nil, fmt.Errorf("the lab in %s has %d nodes: start it with the same numbers, or choose another --dir", dir, n)
	}
	for _, s := range l.plan.Nodes {
		at := l.nodeDir(string(s.Name))
		l.nodes = append(l.nodes, &machine{settings: s, process: process{dir: at, program: o.Program, log: at + ".log"}})
	}
	return l, nil
}

func (l *Lab) planFile() string           { return filepath.Join(l.o.Dir, "lab.json") }
func (l *Lab) nodeDir(name string) string { return filepath.Join(l.o.Dir, name) }

// layOut gives all nodes names, places and doors.
func layOut(o *Options) ([]node.Settings, error) {
	ports, err := newPorts(o.Edges)
	if err != nil {
		return nil, err
	}
	var list []node.Settings
	add := func(name string, role feed.Role, k int) {
		at := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		s := node.Settings{
			Name: config.NodeID(name), Cluster: "lab", Roles: []feed.Role{role}, Mesh: ports.next(),
			Listen: config.Listen{HTTP: config.Off, HTTPS: config.Off, DNS: config.Off, Portal: config.Off},
		}
		switch role {
		case feed.RoleControl:
			s.Peer, s.Listen.Portal = ports.next(), config.Address(ports.next())
		case feed.RoleEdge:
			at = edgeAddress(k)
			s.Cluster = config.ClusterName("cluster-" + strconv.Itoa(1+k/clusterSize(o.Edges)))
			s.Addresses = []netip.Addr{at}
			s.Listen.HTTP = config.Address(netip.AddrPortFrom(at, ports.http).String())
			s.Listen.HTTPS = config.Address(netip.AddrPortFrom(at, ports.https).String())
			s.Listen.Portal = config.Address(ports.next())
		case feed.RoleDNS:
			s.Listen.DNS = config.Address(ports.next())
			s.Addresses = []netip.Addr{at}
		}
		list = append(list, s)
	}
	for k := range o.Control {
		add(fmt.Sprintf("control-%d", k+1), feed.RoleControl, k)
	}
	for k := range o.Edges {
		add(fmt.Sprintf("edge-%d", k+1), feed.RoleEdge, k)
	}
	for k := range o.DNS {
		add(fmt.Sprintf("dns-%d", k+1), feed.RoleDNS, k)
	}
	return list, ports.err
}

// clusterSize makes at least two clusters of more than two edges, and none with more than eight.
func clusterSize(edges int) int { return min(8, max(1, (edges+1)/2)) }

// edgeAddress is the k-th edge's, from 0.
func edgeAddress(k int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 1, byte(k + 1)}) }

// The ports of a lab are below those that systems give to connections on their own (from 32768 on Linux), one of which could sit on a node's port when
// it is started again.
const (
	portLow  = 10_000
	portHigh = 32_000
)

// ports hands out free ports, from a random one on.
type ports struct {
	last        int
	http, https uint16 // free at all edges
	err         error
}

func newPorts(edges int) (*ports, error) {
	p := &ports{last: portLow + rand.IntN(portHigh-portLow)}
	for _, port := range []*uint16{&p.http, &p.https} {
		for range portHigh - portLow {
			if at := p.step(); freeAtAll(edges, at) {
				*port = at
				break
			}
		}
		if *port == 0 {
			return nil, errors.New("no port is free at all addresses of the edges")
		}
	}
	return p, nil
}

func (p *ports) step() uint16 {
	if p.last++; p.last >= portHigh {
		p.last = portLow
	}
	return uint16(p.last)
}

func freeAtAll(edges int, port uint16) bool {
	for k := range edges {
		if !free(netip.AddrPortFrom(edgeAddress(k), port).String()) {
			return false
		}
	}
	return true
}

// free says whether nobody listens at an address, with TCP or UDP.
func free(at string) bool {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return false
	}
	_ = l.Close()
	u, err := net.ListenPacket("udp", at)
	if err != nil {
		return false
	}
	_ = u.Close()
	return true
}

// next returns an address that is free for TCP and UDP.
func (p *ports) next() string {
	for range portHigh - portLow {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), p.step()).String()
		if free(at) {
			return at
		}
	}
	p.err = errors.New("no port is free on loopback")
	return ""
}

// Run makes what isn't made, starts all nodes, prints them and `ready`, and serves commands until ctx ends. Then it stops all.
func (l *Lab) Run(ctx context.Context) error {
	door, err := listenDoor(l.o.Dir)
	if err != nil {
		return err
	}
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // so that upgraded nodes are ours to wait for
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer l.stop()
	defer cancel()
	server := &http.Server{Handler: l.commands(), ReadHeaderTimeout: time.Second}
	running.Go(func() { _ = server.Serve(door) })
	defer server.Close()

	entrance, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	front := &http.Server{Handler: l.entrance(), ReadHeaderTimeout: time.Second}
	running.Go(func() { _ = front.Serve(entrance) })
	defer front.Close()
	l.server = "http://" + entrance.Addr().String()
	if err := l.bringUp(ctx, &running); err != nil {
		return err
	}
	for _, m := range l.nodes {
		l.print(m)
	}
	l.say("portal %s/", l.server)
	l.say("export WHERRY_SERVER=%s WHERRY_TOKEN=%s WHERRY_LAB_DIR=%s", l.server, l.plan.Token, l.o.Dir)
	l.say("ready")
	<-ctx.Done()
	return nil
}

func (l *Lab) say(format string, args ...any) {
	l.out.Lock()
	defer l.out.Unlock()
	fmt.Fprintf(l.o.Out, format+"\n", args...)
}

// print writes a node's line: node NAME ROLES PID http=ADDR …
func (l *Lab) print(m *machine) {
	pid, _ := m.current()
	line := fmt.Sprintf("node %s %s %d", m.name(), joined(m.settings.Roles), pid)
	for _, d := range []struct {
		name string
		at   config.Address
	}{
		{"http", m.settings.Listen.HTTP},
		{"https", m.settings.Listen.HTTPS},
		{"dns", m.settings.Listen.DNS},
		{"portal", m.settings.Listen.Portal},
		{"mesh", config.Address(m.settings.Mesh)},
	} {
		if d.at != config.Off && d.at != "" {
			line += fmt.Sprintf(" %s=%s", d.name, d.at)
		}
	}
	l.say("%s", line)
}

func joined(roles []feed.Role) string {
	text := ""
	for i, r := range roles {
		if i > 0 {
			text += ","
		}
		text += string(r)
	}
	return text
}

// stop ends all nodes: edges first, control last.
func (l *Lab) stop() {
	var all sync.WaitGroup
	for i := len(l.nodes) - 1; i >= 0; i-- {
		m := l.nodes[i]
		if i < l.o.Control {
			all.Wait()
		}
		all.Go(func() { m.end(stopPatience) })
	}
	all.Wait()
}

const stopPatience = 15 * time.Second

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/doors"
	"github.com/wherry/wherry/internal/node"
)

// nodeFlags say what a node is, to init and to join.
type nodeFlags struct {
	dir, name, cluster, rack, mesh, meshAt, peer, peerAt string
	http, https, dns, portal                             string
	roles, addresses, disk, forward                      []string
	etcd                                                 node.External
	etcdPassword                                         string // file
	json                                                 bool
}

func (f *nodeFlags) add(c *cobra.Command, roles string) {
	flags := c.Flags()
	flags.StringVar(&f.dir, "dir", "", "`folder` for the node's state (default: "+defaultDir()+")")
	flags.StringVar(&f.name, "name", hostName(), "the node's `name`, unique in the network")
	flags.StringVar(&f.cluster, "cluster", "local", "the cluster, which is the place, that it stands in")
	flags.StringVar(&f.rack, "rack", "", "nodes with the same `name` of a rack fall together")
	flags.StringSliceVar(&f.roles, "roles", strings.Split(roles, ","), "what it does: any of control, edge, dns, relay, collect")
	flags.StringSliceVar(&f.addresses, "address", nil, "the public `addresses` that DNS answers for it (default: that of the network interface)")
	flags.StringVar(&f.mesh, "mesh", ":8440", "listen for other nodes at this `address`")
	flags.StringVar(&f.meshAt, "mesh-at", "", "where other nodes reach --mesh (default: the first --address)")
	flags.StringVar(&f.peer, "peer", ":8441", "of role control: listen for the store of other control nodes at this `address`")
	flags.StringVar(&f.peerAt, "peer-at", "", "where other control nodes reach --peer (default: the first --address)")
	flags.StringVar(&f.http, "http", "", "listen for HTTP at this `address`, or off (default: the network's listen.http)")
	flags.StringVar(&f.https, "https", "", "listen for HTTPS at this `address`, or off (default: the network's listen.https)")
	flags.StringVar(&f.dns, "dns", "", "listen for DNS at this `address`, or off (default: the network's listen.dns)")
	flags.StringVar(&f.portal, "portal", "", "serve the status page and the API at this `address`, or off (default: the network's listen.portal)")
	flags.StringSliceVar(&f.disk, "disk", nil, "keep cached responses in `DIR=SIZE` too, such as /var/cache/wherry=100GiB")
	flags.StringSliceVar(&f.forward, "forward", nil, "where wherry overlay forward may reach through it beyond its own loopback: `targets` such as 10.0.0.0/8:5432")
	flags.StringSliceVar(&f.etcd.Endpoints, "etcd", nil, "of role control: keep the store in an etcd cluster of your own at these `URLs`, and none in this process")
	flags.StringVar(&f.etcd.CA, "etcd-ca", "", "`file` with the authority that signed the certificates of --etcd, PEM")
	flags.StringVar(&f.etcd.Cert, "etcd-cert", "", "`file` with the certificate to show to --etcd, PEM")
	flags.StringVar(&f.etcd.Key, "etcd-key", "", "`file` with the key of --etcd-cert, PEM")
	flags.StringVar(&f.etcd.User, "etcd-user", "", "`name` of the user of --etcd")
	flags.StringVar(&f.etcdPassword, "etcd-password-file", "", "`file` with the password of --etcd-user")
	flags.BoolVar(&f.json, "json", false, "print JSON")
}

func hostName() string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	host, _, _ = strings.Cut(host, ".")
	return strings.ToLower(host)
}

// settings makes the node's settings of the flags, with all that is wrong with them.
func (f *nodeFlags) settings() (node.Settings, error) {
	s := node.Settings{
		Name: config.NodeID(f.name), Cluster: config.ClusterName(f.cluster), Rack: f.rack, Mesh: f.mesh, MeshAt: f.meshAt,
		Listen: config.Listen{
			HTTP: config.Address(f.http), HTTPS: config.Address(f.https), DNS: config.Address(f.dns), Portal: config.Address(f.portal),
		},
	}
	var errs []error
	for _, r := range f.roles {
		s.Roles = append(s.Roles, feed.Role(strings.TrimSpace(r)))
	}
	for _, a := range f.addresses {
		addr, err := netip.ParseAddr(a)
		if err != nil {
			errs = append(errs, fmt.Errorf("--address %q: write an IP address", a))
		}
		s.Addresses = append(s.Addresses, addr)
	}
	if len(f.addresses) == 0 {
		if addr, ok := ownAddress(); ok {
			s.Addresses = []netip.Addr{addr}
		}
	}
	for _, d := range f.disk {
		dir, size, _ := strings.Cut(d, "=")
		volume, problems := config.ParseNode("--disk", fmt.Appendf(nil, "disk: {volumes: [{dir: %q, size: %q}]}", dir, size))
		if err := problems.Err(); err != nil {
			errs = append(errs, fmt.Errorf("--disk %q: write DIR=SIZE, such as /var/cache/wherry=100GiB: %w", d, err))
			continue
		}
		s.Disk = append(s.Disk, volume.Disk.Volumes...)
	}
	for _, target := range f.forward {
		s.Forward = append(s.Forward, config.ForwardTarget(target))
	}
	s.Store = f.etcd
	if f.etcdPassword != "" {
		password, err := os.ReadFile(f.etcdPassword)
		if err != nil {
			errs = append(errs, fmt.Errorf("--etcd-password-file: %w", err))
		}
		s.Store.Password = strings.TrimRight(string(password), "\r\n")
	}
	if slices.Contains(s.Roles, feed.RoleControl) && len(f.etcd.Endpoints) == 0 {
		s.Peer, s.PeerAt = f.peer, f.peerAt
		s.PeerAt = reachableAt(s.Peer, s.PeerAt, s.Addresses)
	}
	s.MeshAt = reachableAt(s.Mesh, s.MeshAt, s.Addresses)
	for flag, at := range map[string]string{"--mesh": f.mesh, "--http": f.http, "--https": f.https, "--dns": f.dns, "--portal": f.portal} {
		if at != "" && config.Address(at) != config.Off {
			errs = append(errs, doors.Check(flag, at))
		}
	}
	errs = append(errs, s.Check())
	if err := errors.Join(errs...); err != nil {
		return s, usageError{err}
	}
	return s, nil
}

// reachableAt is where others reach what listens at an address: there, if that isn't all addresses of the machine.
func reachableAt(listen, at string, addresses []netip.Addr) string {
	host, port, err := net.SplitHostPort(listen)
	if ip, _ := netip.ParseAddr(host); at != "" || err != nil || host != "" && !ip.IsUnspecified() || len(addresses) == 0 {
		return at
	}
	return net.JoinHostPort(addresses[0].String(), port)
}

// ownAddress is the address with which this machine would ask others. Nothing is sent.
func ownAddress() (netip.Addr, bool) {
	conn, err := net.Dial("udp", "192.0.2.1:9")
	if err != nil {
		return netip.Addr{}, false
	}
	defer conn.Close()
	at, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return at.Addr(), err == nil
}

func (f *nodeFlags) folder() string {
	if f.dir == "" {
		return defaultDir()
	}
	return f.dir
}

func newInitCommand() *cobra.Command {
	var f nodeFlags
	var zone string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make a network whose first node is this machine",
		Long: `Makes a network: its certificate authority, the key that signs its feed, its store with this machine as the only member, and an
administrator's token. It prints the command with which the next machine joins. Start the node with wherry run.`,
		Example: `  wherry init --zone cdn.example.net --name lisbon-1 --cluster lisbon --address 192.0.2.1
  wherry run`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := f.settings()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
			defer cancel()
			result, err := node.Init(ctx, node.InitOptions{Dir: f.folder(), Settings: s, Zone: zone})
			if err != nil {
				return err
			}
			if f.json {
				return json.NewEncoder(c.OutOrStdout()).Encode(result)
			}
			fmt.Fprintf(c.OutOrStdout(), `The network %s is made; this machine is its node %s (%s).

Start it:
  wherry run --dir %s
Ask and change it, on this machine as this user or elsewhere with:
  export WHERRY_SERVER=%s WHERRY_TOKEN=%s
Or in a browser: sign in with that token at
  %s/
Let one more machine join, within %s:
  %s
More of them: wherry node token
`, zone, s.Name, strings.Join(f.roles, ", "), f.folder(), result.Server, result.Token, result.Server,
				time.Until(result.Join.Expires).Round(time.Minute), result.Join.Command)
			return nil
		},
	}
	f.add(c, "control,edge,dns")
	c.Flags().StringVar(&zone, "zone", "wherry.test", "the DNS `zone` of the network itself")
	return c
}

func newJoinCommand() *cobra.Command {
	var f nodeFlags
	var token string
	c := &cobra.Command{
		Use:   "join --token TOKEN",
		Short: "Make this machine a node of a network",
		Long: `Makes this machine a node: it shows the one-time token that wherry init or wherry node token printed, and gets a certificate of the
network's own authority. Start the node with wherry run.`,
		Example: "  wherry join --token wjt1.… --name osaka-1 --cluster osaka --roles edge,dns",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if token == "" {
				return usageError{errors.New("say with which token: wherry join --token …; wherry node token on a control node prints one")}
			}
			s, err := f.settings()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
			defer cancel()
			if err := node.Join(ctx, node.JoinOptions{Dir: f.folder(), Token: token, Settings: s}); err != nil {
				return err
			}
			if f.json {
				return json.NewEncoder(c.OutOrStdout()).Encode(map[string]any{"node": s.Name, "dir": f.folder()})
			}
			fmt.Fprintf(c.OutOrStdout(), "This machine is the node %s now. Start it:\n  wherry run --dir %s\n", s.Name, f.folder())
			return nil
		},
	}
	f.add(c, "edge")
	c.Flags().StringVar(&token, "token", os.Getenv("WHERRY_JOIN_TOKEN"), "the join `token` (default: $WHERRY_JOIN_TOKEN)")
	return c
}

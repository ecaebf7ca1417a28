package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/doors"
	"github.com/wherry/wherry/internal/network"
)

// edgeOptions are the flags of `wherry edge`.
type edgeOptions struct {
	config, node, dir string
	listen            config.Listen
}

func newEdgeCommand() *cobra.Command {
	var o edgeOptions
	var http, https, dns, portal string
	c := &cobra.Command{
		Use:   "edge --config FILE",
		Short: "Run one node from a configuration file: edge, name server and status page",
		Long: `Runs the node of a configuration file that this machine is: its edge, a name server for the network's zone and
the sites' hosts, and the status page with /metrics.

SIGHUP reads the file again and reopens the access log; a file with errors changes nothing and is reported.
SIGTERM and SIGINT finish the requests in flight and stop.`,
		Example: `  wherry config sample > wherry.yaml
  wherry config check wherry.yaml
  wherry edge --config wherry.yaml`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.config == "" {
				return usageError{errors.New("say which file: wherry edge --config wherry.yaml; wherry config sample writes one to begin with")}
			}
			for flag, address := range map[string]string{"--http": http, "--https": https, "--dns": dns, "--portal": portal} {
				if address == "" || config.Address(address) == config.Off {
					continue
				}
				if err := doors.Check(flag, address); err != nil {
					return usageError{err}
				}
			}
			o.listen = config.Listen{HTTP: config.Address(http), HTTPS: config.Address(https), DNS: config.Address(dns), Portal: config.Address(portal)}
			return runEdge(c.OutOrStdout(), &o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.config, "config", "", "the configuration `file` (required)")
	f.StringVar(&o.node, "node", "", "the `name` of the node that this is (default: the only one, or the one called like this machine)")
	f.StringVar(&o.dir, "dir", "", "`folder` for state: the local CA and the operator's token (default: "+defaultDir()+")")
	f.StringVar(&http, "http", "", "listen for HTTP at this `address` instead of the configured one")
	f.StringVar(&https, "https", "", "listen for HTTPS at this `address` instead of the configured one")
	f.StringVar(&dns, "dns", "", "listen for DNS at this `address` instead of the configured one")
	f.StringVar(&portal, "portal", "", "serve the status page at this `address` instead of the configured one")
	return c
}

// defaultDir is where the state of a node lives: /var/lib/wherry for root, else the user's state folder.
func defaultDir() string {
	if os.Getuid() == 0 {
		return "/var/lib/wherry"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "wherry")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "wherry-state"
	}
	return filepath.Join(home, ".local", "state", "wherry")
}

func runEdge(stdout io.Writer, o *edgeOptions) error {
	snapshot, err := loadConfig(o.config, os.Stderr)
	if err != nil {
		return err
	}
	node, err := chooseNode(snapshot, config.NodeID(o.node))
	if err != nil {
		return err
	}
	dir := o.dir
	if dir == "" {
		dir = defaultDir()
	}
	st, err := openState(dir)
	if err != nil {
		return err
	}
	var d doors.Doors
	defer d.Close()
	p := process{snapshot: snapshot, file: o.config, state: st}
	if err := openNode(&d, override(snapshot.ListenAt(node), o.listen), node.Name, &p); err != nil {
		return err
	}
	log := newLog(snapshot.Log.Level)
	p.reload = func(n *network.Network) { reloadConfig(n, o.config, log) }
	p.announce = func(w io.Writer) { announceEdge(w, &p) }
	return p.serve(stdout, log)
}

// loadConfig reads and checks a file. What is wrong goes to stderr, all of it.
func loadConfig(path string, stderr io.Writer) (*config.Snapshot, error) {
	data, err := readConfig(path, os.Stdin)
	if err != nil {
		return nil, err
	}
	snapshot, problems := config.Parse(path, data)
	for _, p := range problems {
		fmt.Fprintln(stderr, p)
	}
	if problems.Err() != nil {
		n, _ := problems.Count()
		fmt.Fprintf(stderr, "%s: %s; nothing was started\n", path, counted(n, "error"))
		return nil, errReported
	}
	return snapshot, nil
}

// chooseNode returns the node that this process is.
func chooseNode(s *config.Snapshot, name config.NodeID) (*config.Node, error) {
	var all []string
	var only *config.Node
	for i := range s.Clusters {
		for j := range s.Clusters[i].Nodes {
			only = &s.Clusters[i].Nodes[j]
			all = append(all, string(only.Name))
		}
	}
	if name == "" && len(all) == 1 {
		return only, nil
	}
	wanted := name
	if wanted == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, err
		}
		host, _, _ = strings.Cut(host, ".")
		wanted = config.NodeID(host)
	}
	if node, _ := s.Node(wanted); node != nil {
		return node, nil
	}
	return nil, fmt.Errorf("the configuration has no node %q; say which one this is with --node: %s", wanted, strings.Join(all, ", "))
}

// override returns l with what over sets.
func override(l, over config.Listen) config.Listen {
	for _, f := range []struct{ to, from *config.Address }{
		{&l.HTTP, &over.HTTP}, {&l.HTTPS, &over.HTTPS}, {&l.DNS, &over.DNS}, {&l.Portal, &over.Portal},
	} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	return l
}

// openNode opens the doors of one node.
func openNode(d *doors.Doors, l config.Listen, node config.NodeID, p *process) error {
	e := network.EdgeDoors{Node: node}
	var err error
	if e.HTTP, err = d.TCP("listen.http", l.HTTP); err != nil {
		return err
	}
	if e.HTTPS, e.HTTP3, err = d.HTTPS("listen.https", "listen.http3", l.HTTPS, l.HasHTTP3()); err != nil {
		return err
	}
	if e.HTTP == nil && e.HTTPS == nil {
		return errors.New("listen.http and listen.https are both off: there is no door for clients")
	}
	p.options.Edges = []network.EdgeDoors{e}
	udp, tcp, err := d.Pair("listen.dns", l.DNS)
	if err != nil {
		return err
	}
	if udp != nil {
		p.options.DNS = &network.DNSDoors{Node: node, UDP: udp, TCP: tcp}
	}
	p.options.Portal, err = d.TCP("listen.portal", l.Portal)
	return err
}

// reloadConfig answers SIGHUP.
func reloadConfig(n *network.Network, path string, log *slog.Logger) {
	data, err := readConfig(path, nil)
	if err != nil {
		log.Error("configuration not reloaded; the old one holds on", "error", err)
		return
	}
	snapshot, problems := config.Parse(path, data)
	for _, p := range problems {
		log.Warn("configuration", "problem", p.String())
	}
	if problems.Err() != nil {
		log.Error("configuration not reloaded; the old one holds on", "file", path, "try", "wherry config check "+path)
		return
	}
	restart, err := n.Reload(snapshot)
	if err != nil {
		log.Error("configuration not reloaded; the old one holds on", "error", err)
		return
	}
	log.Info("configuration reloaded", "revision", snapshot.Revision)
	if len(restart) > 0 {
		log.Warn("some changes hold only after a restart", "keys", strings.Join(restart, ", "))
	}
}

// announceEdge prints where the node listens.
func announceEdge(w io.Writer, p *process) {
	e := p.options.Edges[0]
	fmt.Fprintf(w, "node %s, configuration %s\n", e.Node, p.snapshot.Revision)
	if e.HTTP != nil {
		fmt.Fprintf(w, "http://%s/\n", reachable(e.HTTP.Addr()))
	}
	if e.HTTPS != nil {
		fmt.Fprintf(w, "https://%s/   local CA %s\n", reachable(e.HTTPS.Addr()), p.state.ca.RootFile())
	}
	if e.HTTP3 != nil {
		fmt.Fprintf(w, "http/3 %s   UDP\n", e.HTTP3.LocalAddr())
	}
	if p.options.DNS != nil {
		fmt.Fprintf(w, "dns %s   UDP and TCP\n", p.options.DNS.UDP.LocalAddr())
	}
	if p.options.Portal != nil {
		fmt.Fprintf(w, "http://%s/   status page\n", reachable(p.options.Portal.Addr()))
	}
}

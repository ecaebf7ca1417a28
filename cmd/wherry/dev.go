package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/doors"
	"github.com/wherry/wherry/internal/network"
	"github.com/wherry/wherry/portal"
)

// devOptions are the flags of `wherry dev`.
type devOptions struct {
	origin, program, http, https, http3, dns, portal, dir, host, access, disk string
	files, executable                                                         string   // of the program
	args, secrets                                                             []string // of the program; NAME=FILE
	edges                                                                     int
}

func newDevCommand() *cobra.Command {
	var o devOptions
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole network in this process, in front of a demo site or of any origin",
		Long: `Runs a whole network in one process on loopback: edges in clusters of their own, an authoritative name server
and a status page, in front of a demo origin or of the one that you name.

When everything runs it prints the line "ready". Ctrl-C finishes the requests in flight and stops it. One JSON line a
request goes to standard output, what the process says of itself to standard error.`,
		Example: `  wherry dev
  wherry dev --origin http://127.0.0.1:9000
  wherry dev --program ./cart --secret API_KEY=./api.key
  wherry dev --program ./nginx --files ./site
  wherry dev --origin https://www.example.org --host www.example.org --edges 3`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return dev(c.OutOrStdout(), &o) },
	}
	f := c.Flags()
	f.StringVar(&o.origin, "origin", "", "the `URL` of the origin (default: a demo site in this process)")
	f.StringVar(&o.program, "program", "", "have this `file`, a static Linux program or an archive with one, answer instead of an origin")
	f.StringVar(&o.files, "files", "", "with --program: a `directory` that it sees as /, read-only, beside itself, /program")
	f.StringVar(&o.executable, "executable", "", "with --program: where the program is, if that is a tar archive or a directory: a `path` in it; else /program or the only one")
	f.StringArrayVar(&o.args, "arg", nil, "with --program: an `argument`; may be repeated")
	f.StringArrayVar(&o.secrets, "secret", nil, "with --program: a variable of its environment with the content of a file, `NAME=FILE`; may be repeated")
	f.StringVar(&o.http, "http", "127.0.0.1:8080", "`address` of the first edge for HTTP; the k-th edge listens on 127.0.0.k, same port")
	f.StringVar(&o.https, "https", "127.0.0.1:8443", "`address` of the first edge for HTTPS, with certificates from a local CA; or off")
	f.StringVar(&o.http3, "http3", "on", "HTTP/3 beside HTTPS, over UDP at the same `address`: on or off")
	f.StringVar(&o.dns, "dns", "127.0.0.1:8053", "`address` of the name server, UDP and TCP; or off")
	f.StringVar(&o.portal, "portal", "127.0.0.1:8088", "`address` of the status page, /metrics and the operator's API")
	f.StringVar(&o.dir, "dir", "", "`folder` for state: the local CA and the operator's token (default: a temporary one, removed at exit)")
	f.StringVar(&o.host, "host", "", "the site's host `name` (default: every host that no other site claims)")
	f.IntVar(&o.edges, "edges", 2, "how many edges, 1 to 8, each in a cluster of its own")
	f.StringVar(&o.disk, "disk", "", "keep cached responses on disk too, up to `size` (such as 2GiB) an edge, in the state folder; with --dir they are there after a restart")
	f.StringVar(&o.access, "access-log", "stdout", "where the access log goes: stdout, stderr, off or a `file`")
	return c
}

// place is a cluster of the dev network. The prefixes are those for documentation (RFC 5737), so that a client subnet can be
// tried: dig +subnet=203.0.113.0/24.
type place struct {
	name                string
	latitude, longitude float64
	prefix              string
}

var places = [...]place{
	{"lisbon", 38.72, -9.14, "198.51.100.0/24"},
	{"osaka", 34.69, 135.50, "203.0.113.0/24"},
	{"nairobi", -1.29, 36.82, "192.0.2.0/27"},
	{"lima", -12.05, -77.04, "192.0.2.32/27"},
	{"oslo", 59.91, 10.75, "192.0.2.64/27"},
	{"perth", -31.95, 115.86, "192.0.2.96/27"},
	{"montreal", 45.50, -73.57, "192.0.2.128/27"},
	{"mumbai", 19.08, 72.88, "192.0.2.160/27"},
}

// dev runs `wherry dev`.
func dev(stdout io.Writer, o *devOptions) error {
	if err := o.check(); err != nil {
		return usageError{err}
	}
	dir := o.dir
	if dir == "" {
		temporary, err := os.MkdirTemp("", "wherry-dev-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		dir = temporary
	}
	st, err := openState(dir)
	if err != nil {
		return err
	}
	var d doors.Doors
	defer d.Close()
	p := process{state: st}
	if err := openDev(&d, o, &p); err != nil {
		return err
	}
	demo := ""
	if o.origin == "" && o.program == "" {
		stop, address, err := serveDemo()
		if err != nil {
			return err
		}
		defer stop()
		demo = "http://" + address
	}
	text := devConfig(o, demo, &p)
	file := filepath.Join(dir, "wherry.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	snapshot, problems := config.Parse(file, []byte(text))
	if err := problems.Err(); err != nil {
		return usageError{flagProblems(o, problems)}
	}
	p.snapshot, p.file = snapshot, file
	p.options.Commands = devCommands(o, &p)
	p.announce = func(w io.Writer) { announceDev(w, o, demo, &p) }
	return p.serve(stdout, newLog("info"))
}

// check refuses flags that can't be meant before anything is opened.
func (o *devOptions) check() error {
	if o.edges < 1 || o.edges > len(places) {
		return fmt.Errorf("--edges %d: choose 1 to %d", o.edges, len(places))
	}
	if h := config.Toggle(o.http3); h != config.ToggleOn && h != config.ToggleOff {
		return fmt.Errorf("--http3 %q: write on or off", o.http3)
	}
	if o.origin != "" && o.program != "" {
		return errors.New("--origin and --program: one of them answers; leave the other out")
	}
	for _, f := range []struct {
		flag  string
		given bool
	}{{"secret", len(o.secrets) > 0}, {"files", o.files != ""}, {"executable", o.executable != ""}, {"arg", len(o.args) > 0}} {
		if o.program == "" && f.given {
			return fmt.Errorf("--%s: it is for the program of --program; name one", f.flag)
		}
	}
	for _, secret := range o.secrets {
		if name, file, ok := strings.Cut(secret, "="); !ok || name == "" || file == "" {
			return errors.New("--secret: what stands there isn't NAME=FILE; write one such as API_KEY=./api.key")
		}
	}
	if config.Address(o.http) == config.Off {
		return errors.New("--http off: an edge needs this door; write an address, such as 127.0.0.1:8080")
	}
	for _, f := range []struct {
		flag, address string
		ofEdges       bool
	}{{"--http", o.http, true}, {"--https", o.https, true}, {"--dns", o.dns, false}, {"--portal", o.portal, false}} {
		if config.Address(f.address) == config.Off {
			continue
		}
		if err := doors.Check(f.flag, f.address); err != nil {
			return err
		}
		host, port, _ := net.SplitHostPort(f.address)
		if ip := net.ParseIP(host); f.ofEdges && o.edges > 1 && (host == "" || ip != nil && ip.IsUnspecified()) {
			return fmt.Errorf("%s %q: %d edges can't share all addresses; write 127.0.0.1:%s, or --edges 1", f.flag, f.address, o.edges, port)
		}
	}
	return nil
}

// flagProblems are the problems of the configuration that was made from o, by the flags that they come from.
func flagProblems(o *devOptions, problems config.Problems) error {
	var lines []string
	for _, p := range problems {
		if p.Severity != config.Error {
			continue
		}
		line := p.String()
		for _, f := range []struct{ path, flag, value string }{
			{"sites[0].origins[0]", "--origin", o.origin},
			{"sites[0].hosts[0]", "--host", o.host},
			{"log.access", "--access-log", o.access},
			{"programs." + devProgram + ".secrets", "--secret", "of --program " + o.program},
			{"programs." + devProgram + ".files", "--files", o.files},
			{"programs." + devProgram + ".executable", "--executable", o.executable},
			{"clusters[0].nodes[0].disk", "--disk", o.disk},
		} {
			if strings.HasPrefix(p.Path, f.path) {
				line = fmt.Sprintf("%s %s: %s; %s", f.flag, f.value, p.What, p.Instead)
			}
		}
		lines = append(lines, line)
	}
	return errors.New(strings.Join(lines, "\n"))
}

// openDev opens all doors of the dev network.
func openDev(d *doors.Doors, o *devOptions, p *process) error {
	for k := 1; k <= o.edges; k++ {
		e := network.EdgeDoors{Node: config.NodeID(places[k-1].name + "-1")}
		var err error
		if e.HTTP, err = openNth(d, "--http", &o.http, k); err != nil {
			return err
		}
		if e.HTTPS, e.HTTP3, err = openNthSecure(d, o, k); err != nil {
			return err
		}
		p.options.Edges = append(p.options.Edges, e)
	}
	udp, tcp, err := d.Pair("--dns", config.Address(o.dns))
	if err != nil {
		return err
	}
	if udp != nil {
		p.options.DNS = &network.DNSDoors{Node: p.options.Edges[0].Node, UDP: udp, TCP: tcp}
	}
	p.options.Portal, err = d.TCP("--portal", config.Address(o.portal))
	return err
}

// openNth opens the k-th edge's listener. The port that the first one gets for port 0 is that of the others too.
func openNth(d *doors.Doors, flag string, address *string, k int) (net.Listener, error) {
	if config.Address(*address) == config.Off {
		return nil, nil
	}
	l, err := d.TCP(flag, config.Address(nth(*address, k)))
	if err == nil && k == 1 {
		*address = withPortOf(*address, l)
	}
	return l, err
}

// openNthSecure is openNth for HTTPS and HTTP/3.
func openNthSecure(d *doors.Doors, o *devOptions, k int) (net.Listener, net.PacketConn, error) {
	address := config.Off
	if config.Address(o.https) != config.Off {
		address = config.Address(nth(o.https, k))
	}
	l, u, err := d.HTTPS("--https", "--http3", address, config.Toggle(o.http3) == config.ToggleOn)
	if l != nil && k == 1 {
		o.https = withPortOf(o.https, l)
	}
	return l, u, err
}

// withPortOf returns address with the port of l.
func withPortOf(address string, l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	host, _, _ := net.SplitHostPort(address)
	return net.JoinHostPort(host, port)
}

// serveDemo runs the demo origin on a free port.
func serveDemo() (stop func(), address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", fmt.Errorf("demo origin: %w", err)
	}
	server := &http.Server{Handler: newDemoOrigin(), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends with ErrServerClosed
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if errors.Is(server.Shutdown(ctx), context.DeadlineExceeded) {
			_ = server.Close()
		}
		<-done
	}, l.Addr().String(), nil
}

// devProgram is the name of the program of --program.
const devProgram = "program"

// devConfig writes the configuration of the dev network.
func devConfig(o *devOptions, demo string, p *process) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Made by wherry dev from its flags.")
	line("zone: wherry.test")
	line("log: {access: %s}", strconv.Quote(o.access))
	line("limits: {drain_timeout: 10s}")
	line("clusters:")
	for k, e := range p.options.Edges {
		at := places[k]
		address := "127.0.0." + strconv.Itoa(k+1)
		if host, _, err := net.SplitHostPort(e.HTTP.Addr().String()); err == nil && host != "::" {
			address = host
		}
		line("  - name: %s", at.name)
		line("    location: {latitude: %g, longitude: %g}", at.latitude, at.longitude)
		line("    prefixes: [127.0.0.%d/32, %s]", k+1, at.prefix)
		line("    nodes:")
		line("      - name: %s", e.Node)
		line("        addresses: [%s]", strconv.Quote(address))
		line("        listen: {http: %q, https: %q, http3: %q}", e.HTTP.Addr().String(), addressOrOff(e.HTTPS), o.http3)
		if o.disk != "" {
			line("        disk: {volumes: [{dir: %s, size: %s}]}", strconv.Quote(filepath.Join(p.state.dir, "cache", string(e.Node))), strconv.Quote(o.disk))
		}
	}
	if o.program != "" {
		line("programs: {%s: {%s}}", devProgram, strings.Join(devProgramKeys(o), ", "))
	}
	line("sites:")
	host, origin := o.host, o.origin
	if host == "" {
		host = "*"
	}
	if origin == "" {
		origin = demo
	}
	name := "site"
	if demo != "" {
		name = "demo"
	}
	line("  - name: %s", name)
	line("    hosts: [%s]", strconv.Quote(host))
	if o.program != "" {
		line("    rules: [{name: program, program: %s}]", devProgram)
	} else {
		line("    origins: [{url: %s}]", strconv.Quote(origin))
		line("    fetch: {host: origin}")
	}
	if host == "*" {
		line("    cache: {key: {host: false}}  # one copy for every name of this machine")
	}
	return b.String()
}

// devProgramKeys are what the configuration says of the program of --program.
func devProgramKeys(o *devOptions) []string {
	keys := []string{"image: " + strconv.Quote(absolute(o.program)), "secrets: {" + strings.Join(devSecrets(o), ", ") + "}"}
	if o.files != "" {
		keys = append(keys, "files: "+strconv.Quote(absolute(o.files)))
	}
	if o.executable != "" {
		keys = append(keys, "executable: "+strconv.Quote(o.executable))
	}
	var args []string
	for _, arg := range o.args {
		args = append(args, strconv.Quote(arg))
	}
	if len(args) > 0 {
		keys = append(keys, "args: ["+strings.Join(args, ", ")+"]")
	}
	return keys
}

// absolute is a path from the root, where that can be known.
func absolute(name string) string {
	if path, err := filepath.Abs(name); err == nil {
		return path
	}
	return name
}

// devSecrets are the secrets of --secret as the configuration names them.
func devSecrets(o *devOptions) (list []string) {
	for _, secret := range o.secrets {
		name, file, _ := strings.Cut(secret, "=")
		list = append(list, strconv.Quote(name)+": "+strconv.Quote(absolute(file)))
	}
	return list
}

func addressOrOff(l net.Listener) string {
	if l == nil {
		return string(config.Off)
	}
	return l.Addr().String()
}

// devCommands are the lines to paste.
func devCommands(o *devOptions, p *process) []portal.Command {
	edge := reachable(p.options.Edges[0].HTTP.Addr())
	path := "/"
	if o.origin == "" && o.program == "" {
		path = "/clock"
	}
	site, resolve := "http://"+edge+path, ""
	name := "shop.test" // any name that isn't in the network's own zone
	if o.host != "" {
		address, port, _ := net.SplitHostPort(edge)
		name = strings.TrimPrefix(o.host, "*.")
		if name != o.host {
			name = "www." + name
		}
		site = "http://" + net.JoinHostPort(name, port) + path
		resolve = fmt.Sprintf("--resolve %s:%s:%s ", name, port, address)
	}
	commands := []portal.Command{{Purpose: "ask an edge", Line: fmt.Sprintf("curl -i %s%s", resolve, site)}}
	if p.options.DNS != nil {
		address, port, _ := net.SplitHostPort(reachable(p.options.DNS.UDP.LocalAddr()))
		line := fmt.Sprintf("dig @%s -p %s %s", address, port, name)
		if strings.HasPrefix(edge, "[") {
			line += " AAAA"
		}
		commands = append(commands, portal.Command{Purpose: "ask which edge is nearest", Line: line})
	}
	if p.options.Portal != nil {
		commands = append(commands, portal.Command{Purpose: "see why it was answered so", Line: fmt.Sprintf("%s trace %s", os.Args[0], site)})
	}
	return commands
}

// announceDev prints what runs where.
func announceDev(w io.Writer, o *devOptions, demo string, p *process) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, e := range p.options.Edges {
		line := fmt.Sprintf("edge %s\thttp://%s/", e.Node, reachable(e.HTTP.Addr()))
		if e.HTTPS != nil {
			line += fmt.Sprintf("\thttps://%s/", reachable(e.HTTPS.Addr()))
		}
		fmt.Fprintln(t, line)
	}
	if p.options.Edges[0].HTTP3 != nil {
		fmt.Fprintf(t, "http/3\ton\tUDP, at the addresses for https\n")
	}
	if p.options.Portal != nil {
		fmt.Fprintf(t, "status page\thttp://%s/\n", reachable(p.options.Portal.Addr()))
	}
	if p.options.DNS != nil {
		fmt.Fprintf(t, "dns\t%s\tUDP and TCP\n", reachable(p.options.DNS.UDP.LocalAddr()))
	}
	if demo != "" {
		fmt.Fprintf(t, "origin\t%s/\tthe demo site\n", demo)
	} else if o.program != "" {
		fmt.Fprintf(t, "program\t%s\n", o.program)
	} else {
		fmt.Fprintf(t, "origin\t%s\n", originText(o.origin))
	}
	fmt.Fprintf(t, "local CA\t%s\n", p.state.ca.RootFile())
	fmt.Fprintf(t, "state\t%s\n", p.state.dir)
	_ = t.Flush()
	fmt.Fprintln(w, "\nTry:")
	for _, c := range p.options.Commands {
		fmt.Fprintf(w, "  %s\n", c.Line)
	}
	fmt.Fprintln(w)
}

// originText is an origin's URL without a password that it may hold.
func originText(raw string) string {
	if u, err := url.Parse(raw); err == nil {
		return u.Redacted()
	}
	return raw
}

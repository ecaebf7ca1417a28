package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/wherry/wherry/bench/proc"
)

// startTimeout is how long a server may take until it serves.
const startTimeout = 20 * time.Second

//go:embed testdata/*.tmpl testdata/*/*.tmpl
var configs embed.FS

// server is one that is measured.
type server struct {
	name, version string
	addr          string // host:port of http
	http, https   string // base URLs; https is empty where the server has no TLS
	http2         bool   // over TLS
	processes     []*proc.Process
}

// cpu returns the user and system time that all processes of the server have used.
func (s *server) cpu() (sum time.Duration, err error) {
	for _, p := range s.processes {
		used, err := p.CPU()
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// memory returns the MB that all processes of the server have in memory, those that they share counted once.
func (s *server) memory() (mb float64, err error) {
	for _, p := range s.processes {
		bytes, err := p.Memory()
		if err != nil {
			return 0, err
		}
		mb += float64(bytes) / 1e6
	}
	return mb, nil
}

func (s *server) stop() {
	for _, p := range s.processes {
		p.Stop()
	}
}

// settings are what a configuration is made of.
type settings struct {
	Dir         string // of this server alone
	Origin      string // host:port
	HTTP, HTTPS string // host:port to listen at
	PEM         string // file with certificate and key
}

// Port returns the port of addr, for configurations that have it apart.
func (settings) Port(addr string) (string, error) {
	_, port, err := net.SplitHostPort(addr)
	return port, err
}

// contender knows how to start a server. Its configuration is testdata/NAME.tmpl, and what testdata/NAME holds goes to files of
// the same names beside it.
type contender struct {
	name    string
	binary  string
	version []string
	tls     bool
	http2   bool                                                // over TLS
	argv    func(binary, config string, s *settings) [][]string // the first listens, the others help it
}

func contenders(wherry string) []contender {
	return []contender{
		{"wherry", wherry, []string{"version"}, true, true, func(binary, config string, s *settings) [][]string {
			return [][]string{{binary, "edge", "--config", config, "--dir", filepath.Join(s.Dir, "state")}}
		}},
		{"nginx", "nginx", []string{"-v"}, true, true, func(binary, config string, s *settings) [][]string {
			return [][]string{{binary, "-c", config, "-e", filepath.Join(s.Dir, "error.log")}}
		}},
		{"haproxy", "haproxy", []string{"-v"}, true, true, func(binary, config string, s *settings) [][]string {
			// It has no log files; the shell gives it one for its standard output.
			return [][]string{{"/bin/sh", "-c", `exec "$0" -db -f "$1" >"$2"`, binary, config, filepath.Join(s.Dir, "access.log")}}
		}},
		{"varnish", "varnishd", []string{"-V"}, false, false, func(binary, config string, s *settings) [][]string {
			name := filepath.Join(s.Dir, "varnish")
			return [][]string{
				{binary, "-F", "-j", "none", "-n", name, "-a", s.HTTP, "-f", config, "-s", "malloc,512m", "-p", "timeout_idle=75"},
				{"varnishncsa", "-n", name, "-t", "off", "-w", filepath.Join(s.Dir, "access.log")},
			}
		}},
		{"trafficserver", "traffic_server", []string{"-V"}, true, true, func(binary, config string, _ *settings) [][]string {
			return [][]string{{binary, "--run-root=" + config}}
		}},
	}
}

// errMissing is a server that isn't installed.
var errMissing = errors.New("not installed")

// start starts c and waits until it serves.
func (c *contender) start(ctx context.Context, s settings) (*server, error) {
	binary, err := exec.LookPath(c.binary)
	if err != nil {
		return nil, errMissing
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, err
	}
	for _, addr := range []*string{&s.HTTP, &s.HTTPS} {
		if *addr, err = proc.FreeAddr("127.0.0.1"); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(s.Dir, "config")
	if err := writeConfigs(config, c.name, &s); err != nil {
		return nil, err
	}
	version, _ := exec.CommandContext(ctx, binary, c.version...).CombinedOutput() // what it doesn't tell stays empty
	first, _, _ := strings.Cut(string(version), "\n")
	served := &server{name: c.name, version: strings.TrimSpace(first), addr: s.HTTP, http: local("http", s.HTTP), http2: c.http2}
	if c.tls {
		served.https = local("https", s.HTTPS)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, argv := range c.argv(binary, config, &s) {
		p, err := proc.Start("", argv...)
		if err != nil {
			served.stop()
			return nil, err
		}
		served.processes = append(served.processes, p)
	}
	if err := served.processes[0].AwaitDial(ctx, s.HTTP); err != nil {
		served.stop()
		return nil, err
	}
	return served, nil
}

// local is the URL with a name for addr, because a server name in TLS can't be an address (RFC 6066 §3).
func local(scheme, addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return scheme + "://localhost:" + port
}

// writeConfigs makes the configuration of a server: file, and what else it wants beside it.
func writeConfigs(file, name string, s *settings) error {
	if err := writeConfig(file, "testdata/"+name+".tmpl", s); err != nil {
		return err
	}
	others, err := fs.Glob(configs, "testdata/"+name+"/*.tmpl")
	if err != nil {
		return err
	}
	for _, other := range others {
		if err := writeConfig(filepath.Join(s.Dir, strings.TrimSuffix(path.Base(other), ".tmpl")), other, s); err != nil {
			return err
		}
	}
	return nil
}

func writeConfig(file, source string, s *settings) error {
	t, err := template.ParseFS(configs, source)
	if err != nil {
		return err
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := errors.Join(t.Execute(out, s), out.Close()); err != nil {
		return fmt.Errorf("configuration %s: %w", source, err)
	}
	return nil
}

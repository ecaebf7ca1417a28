package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wherry/wherry/bench/proc"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

const (
	startTimeout = 60 * time.Second
	askTimeout   = 1500 * time.Millisecond
	outputMax    = 64 << 10
)

// cluster is the members that the measurement runs.
type cluster struct {
	dir       string
	authority *mesh.Authority
	nodes     []*node
}

// node is a member's process, which may be dead.
type node struct {
	memberConfig
	http http.Client

	cmd   *exec.Cmd
	stdin interface{ Close() error }
	ready chan struct{}
	ended chan struct{}
	out   *tail
	steps steps
}

// tail keeps the end of what a process prints.
type tail struct {
	mu    sync.Mutex
	buf   []byte
	ready func()
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if t.ready != nil && bytes.Contains(t.buf, []byte(readyLine+"\n")) {
		t.ready()
		t.ready = nil
	}
	t.buf = t.buf[max(0, len(t.buf)-outputMax):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

func newCluster(ctx context.Context, dir string, members int, election time.Duration) (*cluster, error) {
	a, err := mesh.NewAuthority(filepath.Join(dir, "authority"), "bench.test", time.Now())
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, authority: a}
	for i := range members {
		if err := c.grow(ctx, fmt.Sprint("control-", i+1), election); err != nil {
			return c, err
		}
	}
	founding, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return c, c.nodes[0].must(founding, question{Op: "found"})
}

// grow adds a member.
func (c *cluster) grow(ctx context.Context, name string, election time.Duration) error {
	at, err := proc.FreeAddr("127.0.0.1")
	if err != nil {
		return err
	}
	n := &node{memberConfig: memberConfig{
		Name: name, Dir: filepath.Join(c.dir, name), Identity: filepath.Join(c.dir, name+".identity"), Listen: at,
		Authority: filepath.Join(c.dir, "authority"), Socket: filepath.Join(c.dir, name+".sock"), Election: election,
	}}
	n.http.Transport = &http.Transport{MaxIdleConnsPerHost: 32, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", n.Socket)
	}}
	if err := c.identify(n); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if len(c.nodes) > 0 {
		n.Members = map[string]string{name: "https://" + at}
		for _, other := range c.nodes {
			n.Members[other.Name] = "https://" + other.Listen
		}
		if err := c.nodes[0].must(ctx, question{Op: "add", Key: "https://" + at}); err != nil {
			return err
		}
	}
	c.nodes = append(c.nodes, n)
	if err := n.start(ctx); err != nil || len(c.nodes) == 1 {
		return err
	}
	return c.nodes[0].must(ctx, question{Op: "promote", Key: "https://" + at})
}

func (c *cluster) identify(n *node) error {
	id, err := mesh.OpenIdentity(n.Identity)
	if err != nil {
		return err
	}
	csr, err := id.CSR()
	if err != nil {
		return err
	}
	cert, err := c.authority.Issue(csr, mesh.Who{Node: config.NodeID(n.Name), Roles: []feed.Role{feed.RoleControl}}, time.Now())
	if err != nil {
		return err
	}
	return id.Install(cert, c.authority.PEM())
}

// start starts the process and waits until it has opened its store.
func (n *node) start(ctx context.Context) error {
	text, err := json.Marshal(n.memberConfig)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	n.cmd = exec.Command(self)
	n.cmd.Env = append(os.Environ(), memberEnv+"="+string(text))
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	n.ready, n.ended = make(chan struct{}), make(chan struct{})
	ready := n.ready
	n.out = &tail{ready: func() { close(ready) }}
	n.cmd.Stdout, n.cmd.Stderr = n.out, n.out
	if n.stdin, err = n.cmd.StdinPipe(); err != nil {
		return err
	}
	acts, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	n.cmd.ExtraFiles = []*os.File{theirs}
	err = n.cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return err
	}
	go n.steps.read(acts) // until the process has ended
	go func(cmd *exec.Cmd, ended chan struct{}) {
		defer close(ended)
		_ = cmd.Wait() // how it ended is of no interest; that it did is
	}(n.cmd, n.ended)
	select {
	case <-n.ready:
		return nil
	case <-n.ended:
		return fmt.Errorf("%s ended: %s", n.Name, n.out)
	case <-ctx.Done():
		return fmt.Errorf("%s isn't ready: %w: %s", n.Name, ctx.Err(), n.out)
	}
}

func (n *node) signal(s syscall.Signal) { _ = n.cmd.Process.Signal(s) }

// kill ends the process as a crash would, and waits until it is gone.
func (n *node) kill() {
	if n.cmd == nil || n.cmd.Process == nil {
		return
	}
	n.signal(syscall.SIGKILL)
	<-n.ended
	n.http.CloseIdleConnections()
}

func (c *cluster) close() {
	for _, n := range c.nodes {
		n.kill()
	}
}

var errNoAnswer = errors.New("no answer")

// ask asks a member. errNoAnswer: it isn't known whether it did what it was asked.
func (n *node) ask(ctx context.Context, q question) (a answer, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://member/", bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	resp, err := n.http.Do(r)
	if err != nil {
		return a, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return a, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return a, nil
}

// must asks a member for what has to work.
func (n *node) must(ctx context.Context, q question) error {
	a, err := n.ask(ctx, q)
	if err == nil && a.Outcome != "ok" {
		err = errors.New(strings.TrimSpace(a.Outcome + " " + a.Error))
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", n.Name, q.Op, err)
	}
	return nil
}

// settle waits until all members take part.
func (c *cluster) settle(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, n := range c.nodes {
		for {
			asking, cancel := context.WithTimeout(ctx, askTimeout)
			err := n.must(asking, question{Op: "put", Key: key, Value: n.Name})
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("%w: %s", err, n.out)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

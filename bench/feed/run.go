package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/feed/tree"
	"github.com/wherry/wherry/feed/tree/treetest"
)

// roleVariable makes this program a relay or subscribers; task is then its standard input's first line.
const roleVariable = "WHERRY_BENCH_FEED"

// task is what a child process is to be.
type task struct {
	Name    string            `json:"name"`
	Dir     string            `json:"dir"` // of the authority
	Key     ed25519.PublicKey `json:"key"` // of control
	Parents []string          `json:"parents"`
	Names   []string          `json:"names,omitempty"` // of subscribers
}

// outcome is what subscribers say at the end.
type outcome struct {
	Times   map[uint64][]time.Duration `json:"times"` // by seq
	Lost    int64                      `json:"lost"`
	Unasked int64                      `json:"unasked"`
}

// process is a child. It ends when its standard input does.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(ctx context.Context, role string, t task) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, program)}
	// More processes than processors: each gets along with one, so that they don't spin for work. Simulated nodes share one heap, which
	// would be collected all the time.
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), roleVariable+"="+role, "GOMAXPROCS=1"), os.Stderr
	if role == "subscribers" {
		p.cmd.Env = append(p.cmd.Env, "GOGC=400")
	}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = in, bufio.NewReaderSize(out, 1<<20)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, json.NewEncoder(p.in).Encode(t)
}

// line reads what the child says next.
func (p *process) line() (string, error) {
	text, err := p.out.ReadString('\n')
	return strings.TrimSpace(text), err
}

// end lets the child end, and returns what it said last.
func (p *process) end() (string, error) {
	p.in.Close()
	text, err := p.line()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return text, errors.Join(err, p.cmd.Wait())
}

// runChild is the main function of a child.
func runChild(role string) error {
	in := bufio.NewReader(os.Stdin)
	var t task
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, &t); err != nil {
		return err
	}
	ca, err := loadAuthority(t.Dir)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		io.Copy(io.Discard, in)
		stop()
	}()
	if role == "relay" {
		keeper, err := feed.OpenKeeper(filepath.Join(t.Dir, t.Name), feed.KeeperOptions{Verifier: feed.NewVerifier(t.Key)})
		if err != nil {
			return err
		}
		defer keeper.Close()
		n := node{name: t.Name, role: feed.RoleRelay, parents: t.Parents, keeper: keeper}
		return n.run(ctx, ca, func(_ *tree.Tree, address string) { fmt.Println(address) })
	}
	s := newSubscribers(ca, t.Key, t.Names, t.Parents)
	var all sync.WaitGroup
	all.Go(func() {
		s.joined.Wait()
		fmt.Println("ready")
	})
	err = s.run(ctx)
	all.Wait()
	return errors.Join(err, json.NewEncoder(os.Stdout).Encode(outcome{s.times, s.lost.Load(), s.unasked.Load()}))
}

// network is all processes of a run.
type network struct {
	o           *options
	control     *treetest.Control
	root        *tree.Tree
	dir         string
	relays      []*process
	subscribers []*process
	names       []config.NodeID
}

func run(ctx context.Context, o *options) (*result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.time)
	defer cancel()
	dir, err := os.MkdirTemp("", "wherry-bench-feed-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ca, err := newAuthority()
	if err == nil {
		err = ca.save(dir)
	}
	if err != nil {
		return nil, err
	}
	n := &network{o: o, control: treetest.NewControl(1), dir: dir}
	root := node{name: "control", role: feed.RoleControl, keeper: n.control.Root(), sign: n.control.Sign}
	rootCtx, stop := context.WithCancel(ctx)
	address := make(chan string, 1)
	var running sync.WaitGroup
	running.Go(func() {
		root.run(rootCtx, ca, func(t *tree.Tree, at string) { n.root = t; address <- at })
	})
	defer running.Wait()
	defer stop()
	began := time.Now()
	select {
	case at := <-address:
		err = n.start(ctx, at)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	r := &result{o: o, setup: time.Since(began)}
	if err == nil {
		err = n.measure(ctx, r)
	}
	return r, errors.Join(err, n.end(r), context.Cause(ctx))
}

// start starts all processes and waits until all subscribers have joined.
func (n *network) start(ctx context.Context, root string) error {
	upper, err := n.startRelays(ctx, "upper", n.o.upper, []string{root})
	if err != nil {
		return err
	}
	lower, err := n.startRelays(ctx, "lower", n.o.lower, upper)
	if err != nil {
		return err
	}
	for i := range n.o.processes {
		t := task{Dir: n.dir, Key: n.control.Public(), Parents: lower}
		for k := i; k < n.o.subscribers; k += n.o.processes {
			t.Names = append(t.Names, fmt.Sprintf("node-%d", k))
			n.names = append(n.names, config.NodeID(t.Names[len(t.Names)-1]))
		}
		p, err := start(ctx, "subscribers", t)
		if err != nil {
			return err
		}
		n.subscribers = append(n.subscribers, p)
	}
	for _, p := range n.subscribers {
		if line, err := p.line(); line != "ready" {
			return fmt.Errorf("subscribers said %.100q: %w", line, err)
		}
	}
	return nil
}

// startRelays starts relays; each has one of the parents.
func (n *network) startRelays(ctx context.Context, layer string, count int, parents []string) (addresses []string, err error) {
	for i := range count {
		t := task{Name: fmt.Sprintf("%s-%d", layer, i), Dir: n.dir, Key: n.control.Public(), Parents: parents[i%len(parents):][:1]}
		p, err := start(ctx, "relay", t)
		if err != nil {
			return nil, err
		}
		n.relays = append(n.relays, p)
		at, err := p.line()
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, at)
	}
	return addresses, nil
}

// measure appends entries, each when all have the one before.
func (n *network) measure(ctx context.Context, r *result) error {
	n.control.Set("site/warm", []byte("up"))
	if err := n.await(ctx, n.control.Set("site/warm", []byte("up up"))); err != nil {
		return err
	}
	r.first = 3
	object := make([]byte, n.o.objectBytes)
	for range n.o.entries {
		next := time.After(n.o.interval)
		rand.Read(object)
		began := time.Now()
		if err := n.await(ctx, n.control.Set("site/shop", append([]byte(nil), object...))); err != nil {
			return err
		}
		r.confirmed = append(r.confirmed, time.Since(began))
		select {
		case <-next:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// await waits until control knows that all subscribers have a position, those too that it hasn't heard of yet.
func (n *network) await(ctx context.Context, p feed.Position) error {
	for {
		confirmed, away, pending := n.root.Await(ctx, p, func() []config.NodeID { return n.names })
		switch {
		case len(confirmed) == len(n.names):
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%d have %s, %d are away, %d pending", len(confirmed), p, len(away), len(pending))
		}
		select { // somebody isn't live: say so by taking long
		case <-n.root.ReportsChanged():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// end ends all processes and gathers what they say.
func (n *network) end(r *result) (err error) {
	for _, p := range n.relays {
		r.relay(p.cmd.Process.Pid)
	}
	r.control = memoryOf(os.Getpid())
	for _, p := range n.subscribers {
		text, endErr := p.end()
		var out outcome
		if endErr == nil {
			endErr = json.Unmarshal([]byte(text), &out)
		}
		err = errors.Join(err, endErr)
		r.add(&out)
	}
	for _, p := range n.relays {
		_, endErr := p.end()
		err = errors.Join(err, endErr)
	}
	return err
}

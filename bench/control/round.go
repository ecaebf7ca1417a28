package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wherry/wherry/config"
)

const (
	faultAfter = 500 * time.Millisecond
	healAfter  = 2500 * time.Millisecond // after the fault
	endAfter   = 3500 * time.Millisecond
	bothAfter  = 6 * time.Second // endAfter where the leaders of both are hit: leases start anew
	keys       = 4
	registerN  = 2 // clients of a member that use registers
	pace       = 4 * time.Millisecond
	actPace    = 10 * time.Millisecond
)

var faults = []string{"kill", "pause", "cut", "full"}

// result is what a round found.
type result struct {
	fault                   string
	etcdLeader, workLeader  bool // what the victim was
	ops, acked, steps       int  // steps: of control.Lead
	lost, duplicated, wrong int  // wrong: done though it was said not to be, or by a leader of the past
	wrongSteps              int  // of those that are wrong: steps of control.Lead
	crooked, leaders        int  // histories that aren't linearizable: of registers, of the leader
	unchecked               int
	gap, actGap             time.Duration
	took, checking          time.Duration
}

// round is one fault with its clients.
type round struct {
	c      *cluster
	n      int
	h      *history
	since  time.Time // before the first revision that is looked at
	client atomic.Int64
	id     atomic.Int64
}

// victim picks the member that the fault hits: etcd's leader, or control's, or any.
func (c *cluster) victim(ctx context.Context, n int) (v *node, r result) {
	healths := make([]answer, len(c.nodes))
	for i, node := range c.nodes {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		healths[i], _ = node.ask(asking, question{Op: "health"})
		cancel()
	}
	at := rand.IntN(len(c.nodes))
	for i, h := range healths {
		if n%4 != 3 && (n%2 == 0 && h.Health.Leading || n%2 == 1 && h.Leading) {
			at = i
		}
	}
	return c.nodes[at], result{etcdLeader: healths[at].Health.Leading, workLeader: healths[at].Leading}
}

func (c *cluster) round(ctx context.Context, n int, fault string) (result, error) {
	if err := c.settle(ctx, "settled"); err != nil {
		return result{}, err
	}
	since := time.Now()
	began, err := c.nodes[0].ask(ctx, question{Op: "put", Key: "began", Value: fmt.Sprint(n)})
	if err != nil {
		return result{}, err
	}
	r := &round{c: c, n: n, since: since, h: &history{start: time.Now()}}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var clients sync.WaitGroup
	for _, node := range c.nodes {
		for range registerN {
			clients.Go(func() { r.useRegisters(working, node) })
		}
		clients.Go(func() { r.appendLog(working, node) })
		clients.Go(func() { r.act(working, node) })
	}
	clients.Go(func() { r.change(working) })
	time.Sleep(faultAfter)
	v, res := c.victim(ctx, n/len(faults))
	res.fault = fault
	at := r.h.now()
	c.hit(ctx, v, fault)
	time.Sleep(healAfter)
	if err := c.heal(ctx, v, fault); err != nil {
		return res, err
	}
	last := endAfter
	if res.etcdLeader && res.workLeader {
		last = bothAfter
	}
	time.Sleep(last - healAfter)
	stop()
	clients.Wait()
	res.gap = r.h.gap(at, at+last, func(o *op) bool { return o.writes() && o.kind != "act" && o.node != v.Name })
	res.actGap = r.h.gap(at, at+last, func(o *op) bool { return o.kind == "act" })
	if err := c.settle(ctx, "settled"); err != nil {
		return res, err
	}
	checking := time.Now()
	err = r.check(ctx, &res, began.At+1)
	res.took, res.checking = r.h.now(), time.Since(checking)
	return res, err
}

// hit makes a member fail.
func (c *cluster) hit(ctx context.Context, v *node, fault string) {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	switch fault {
	case "kill":
		v.kill()
	case "pause":
		v.signal(syscall.SIGSTOP)
	case "cut":
		for _, n := range c.nodes { // connections that v makes are cut at the others' doors
			if n == v {
				_, _ = n.ask(asking, question{Op: "cut", All: true})
			} else {
				_, _ = n.ask(asking, question{Op: "cut", Nodes: []config.NodeID{config.NodeID(v.Name)}})
			}
		}
	case "full":
		_, _ = v.ask(asking, question{Op: "full"})
	}
}

func (c *cluster) heal(ctx context.Context, v *node, fault string) error {
	asking, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	switch fault {
	case "pause":
		v.signal(syscall.SIGCONT)
	case "cut":
		for _, n := range c.nodes {
			if err := n.must(asking, question{Op: "cut"}); err != nil {
				return err
			}
		}
	default:
		v.kill()
		return v.start(asking)
	}
	return nil
}

// check compares what was answered with what is in the store.
func (r *round) check(ctx context.Context, res *result, from int64) error {
	values := map[string][]string{}
	for _, kind := range []string{"log", "act"} {
		key := r.key(kind)
		n := r.c.nodes[rand.IntN(len(r.c.nodes))]
		asking, cancel := context.WithTimeout(ctx, startTimeout)
		defer cancel()
		if err := n.must(asking, question{Op: "put", Key: key, Value: "end"}); err != nil {
			return err
		}
		a, err := n.ask(asking, question{Op: "history", Key: key, At: from, Value: "end"})
		if err == nil && a.Outcome != "ok" {
			err = errors.New(a.Error)
		}
		if err != nil {
			return err
		}
		values[kind] = a.Values
	}
	leads, err := r.checkLeads(ctx, res, from)
	if err != nil {
		return err
	}
	ops := r.h.ops
	res.ops = len(ops)
	for i := range ops {
		if ops[i].outcome == "ok" && ops[i].writes() {
			res.acked++
		}
	}
	logLost, logDuplicated, logWrong := checkLog(ops, values["log"])
	res.lost, res.duplicated, res.wrong = res.lost+logLost, res.duplicated+logDuplicated, res.wrong+logWrong
	lost, duplicated, wrong, err := checkActs(ops, values["act"])
	if err != nil {
		return err
	}
	res.lost, res.duplicated, res.wrong = res.lost+lost, res.duplicated+duplicated, res.wrong+wrong
	registersOK, leadersOK, known := linearizable(ops, leads)
	res.crooked, res.leaders, res.unchecked = one(!registersOK), one(!leadersOK), one(!known)
	return nil
}

// checkLeads compares the steps of control's leaders with the store's roll-outs.
func (r *round) checkLeads(ctx context.Context, res *result, from int64) ([]op, error) {
	asking, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	before := r.c.collect(r.since)
	n := r.c.nodes[rand.IntN(len(r.c.nodes))]
	if err := n.must(asking, question{Op: "put", Key: r.key("steps"), Value: "end"}); err != nil {
		return nil, err
	}
	a, err := n.ask(asking, question{Op: "steps", Key: r.key("steps"), At: from})
	if err == nil && a.Outcome != "ok" {
		err = errors.New(a.Error)
	}
	if err != nil {
		return nil, err
	}
	lost, wrong, ops := checkSteps(before, r.c.collect(r.since), r.h.start, a.Values)
	res.steps, res.lost, res.wrong, res.wrongSteps = len(a.Values), res.lost+lost, res.wrong+wrong, wrong
	return ops, nil
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (r *round) key(kind string) string { return fmt.Sprintf("round/%d/%s", r.n, kind) }

// do asks, and notes what became of it.
func (r *round) do(ctx context.Context, client int, n *node, q question, o op) (answer, bool) {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	o.client, o.node, o.key = client, n.Name, q.Key
	o.call = r.h.now()
	a, err := n.ask(asking, q)
	o.ret, o.outcome, o.term = r.h.now(), a.Outcome, a.Term
	if err != nil {
		o.outcome = "unknown"
	}
	if o.outcome == "unknown" {
		o.ret = forever
	}
	if o.kind == "get" {
		o.value = a.Value
	}
	r.h.add(o)
	return a, o.outcome == "ok"
}

func (r *round) unique() string { return fmt.Sprintf("%d.%d", r.n, r.id.Add(1)) }

// next is a client's number. A client of whose last op nobody knows the end goes on as another one.
func (r *round) next() int { return int(r.client.Add(1)) }

func (r *round) useRegisters(ctx context.Context, n *node) {
	for ; ctx.Err() == nil; time.Sleep(pace) {
		key := r.key(fmt.Sprint("register/", rand.IntN(keys)))
		a, ok := r.do(ctx, r.next(), n, question{Op: "get", Key: key}, op{kind: "get"})
		value := r.unique()
		switch {
		case rand.IntN(3) == 0:
			r.do(ctx, r.next(), n, question{Op: "put", Key: key, Value: value}, op{kind: "put", value: value})
		case ok:
			r.do(ctx, r.next(), n, question{Op: "cas", Key: key, Value: value, At: a.At}, op{kind: "cas", value: value, from: a.Value})
		}
	}
}

func (r *round) appendLog(ctx context.Context, n *node) {
	for ; ctx.Err() == nil; time.Sleep(pace) {
		value := r.unique()
		r.do(ctx, r.next(), n, question{Op: "put", Key: r.key("log"), Value: value}, op{kind: "append", value: value})
	}
}

func (r *round) act(ctx context.Context, n *node) {
	for ; ctx.Err() == nil; time.Sleep(actPace) {
		value := r.unique()
		r.do(ctx, r.next(), n, question{Op: "act", Key: r.key("act"), Value: value}, op{kind: "act", value: value})
	}
}

package tunnel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sort"
	"sync"
	"time"

	"github.com/wherry/wherry/overlay/exchange"
)

// AgentOptions are what an Agent needs. Zero fields take the defaults.
type AgentOptions struct {
	// Name tells this agent from others of the same site. Needed.
	Name string
	// Token proves that the agent may offer its sites. Needed.
	Token string
	// Services are what it offers, at most OffersMax. Needed.
	Services []Service
	// Nodes lists the nodes to dial, the best first. It is asked each time before one is chosen. Needed.
	Nodes func() []string
	// Dial opens a session to a node. Needed.
	Dial func(ctx context.Context, node string) (Session, error)
	// Connections is how many nodes are kept. Default: 2.
	Connections int
	// DialLocal connects to the services; its connections have a method CloseWrite. Default: a net.Dialer with 10 s.
	DialLocal func(ctx context.Context, network, addr string) (net.Conn, error)
	// DialTimeout bounds the time from dialing to the node's welcome. Default: 15 s.
	DialTimeout time.Duration
	// IdleTimeout ends TCP connections on which nothing moves. Default: 1 h.
	IdleTimeout time.Duration
	// DrainTimeout is how long requests may go on when Run's context has ended. Default: 30 s.
	DrainTimeout time.Duration
	// ExchangesMax bounds the requests and connections of each node at a time. Default: 10,000.
	ExchangesMax int
	// Log says which nodes are kept and why others aren't. Default: slog.Default().
	Log *slog.Logger
	// Watch is told of TCP connections to the services.
	Watch Watch
}

// Agent offers services to nodes. Make one with NewAgent.
type Agent struct {
	o     AgentOptions
	hello hello
	local *local

	mu     sync.Mutex // protects roster
	roster roster
}

// NewAgent returns an agent, or what is wrong with the options.
func NewAgent(o AgentOptions) (*Agent, error) {
	if o.Connections <= 0 {
		o.Connections = 2
	}
	if o.DialLocal == nil {
		o.DialLocal = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&o.DialTimeout, 15 * time.Second}, {&o.IdleTimeout, time.Hour}, {&o.DrainTimeout, 30 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	if o.ExchangesMax <= 0 {
		o.ExchangesMax = 10_000
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	a := &Agent{o: o, hello: hello{version: version, token: o.Token, name: o.Name}, roster: roster{want: o.Connections}}
	switch {
	case !validName(o.Name):
		return nil, fmt.Errorf("%q can't be an agent's name: take letters, digits and hyphens", o.Name)
	case o.Token == "":
		return nil, errors.New("an agent needs a token: get one from whoever runs the network")
	case len(o.Services) == 0 || len(o.Services) > OffersMax:
		return nil, fmt.Errorf("an agent offers between 1 and %d services, not %d", OffersMax, len(o.Services))
	}
	seen := map[offered]bool{}
	for _, s := range o.Services {
		offer := offered{s.Protocol, s.Site}
		host, port, err := net.SplitHostPort(s.To)
		switch {
		case !validName(s.Site):
			return nil, fmt.Errorf("%q can't be a site's name", s.Site)
		case err != nil || host == "" || port == "":
			return nil, fmt.Errorf("%q isn't where a service can be: write HOST:PORT, as in localhost:3000", s.To)
		case s.Protocol != HTTP && s.Protocol != TCP:
			return nil, fmt.Errorf("site %s: %s can't be offered: take HTTP or TCP", s.Site, s.Protocol)
		case seen[offer]:
			return nil, fmt.Errorf("site %s is offered twice over %s: name it once for each agent", s.Site, s.Protocol)
		}
		seen[offer] = true
		a.hello.offers = append(a.hello.offers, offer)
	}
	if len(a.hello.append(nil)) > MessageBytesMax {
		return nil, fmt.Errorf("token and sites take more than %d bytes together", MessageBytesMax)
	}
	a.local = newLocal(o.Services, &a.o)
	return a, nil
}

// NodeStatus is what an agent has to do with a node, for people.
type NodeStatus struct {
	Node  string
	State string // up, dialing, leaving or down
	Since time.Time
	Why   string // it is down
}

// Status lists the nodes that the agent knows.
func (a *Agent) Status() []NodeStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []NodeStatus
	for name, n := range a.roster.nodes {
		state := [...]string{nodeIdle: "down", nodeDialing: "dialing", nodeUp: "up", nodeLeaving: "leaving"}[n.state]
		all = append(all, NodeStatus{name, state, n.since, n.why})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Node < all[j].Node })
	return all
}

// event is what a connection tells Run.
type event struct {
	node string
	what nodeState // nodeUp, nodeLeaving, or nodeIdle when it has ended
	err  error
}

// Run keeps nodes until ctx ends, then lets requests finish and returns nil. It returns an error when every node refuses the agent for
// a reason that lasts and none has taken it before.
func (a *Agent) Run(ctx context.Context) error {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	defer a.local.over.CloseIdleConnections()
	events := make(chan event)
	var connections sync.WaitGroup
	running, everUp := 0, false
	var hopeless error
	for {
		wait := a.dialMore(run, func(name string) {
			running++
			connections.Go(func() {
				err := a.keep(run, name, func(what nodeState) { events <- event{name, what, nil} })
				events <- event{name, nodeIdle, err}
			})
		})
		if running == 0 && run.Err() != nil {
			connections.Wait()
			return hopeless
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		done := run.Done()
		if run.Err() != nil {
			done = nil
		}
		select {
		case <-done:
		case <-timer:
		case e := <-events:
			everUp = everUp || e.what == nodeUp
			if e.what == nodeIdle {
				running--
			}
			if a.note(run, e) && !everUp {
				hopeless = e.err
				cancel()
			}
		}
	}
}

// dialMore has nodes dialed as long as there are too few. It returns how long to wait before it has to be called again.
func (a *Agent) dialMore(ctx context.Context, start func(name string)) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for ctx.Err() == nil {
		name, wait := a.roster.next(a.o.Nodes(), time.Now())
		if name == "" {
			if wait == 0 {
				wait = pauseMax // the nodes may be others by then
			}
			return wait
		}
		start(name)
	}
	return 0
}

// note takes an event into the roster. It says whether no node is left that may take the agent.
func (a *Agent) note(ctx context.Context, e event) (hopeless bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	switch e.what {
	case nodeUp:
		a.roster.up(e.node, now)
		a.o.Log.Info("tunnel is up", "node", e.node)
	case nodeLeaving:
		a.roster.leaving(e.node)
		a.o.Log.Info("node leaves; dialing another one", "node", e.node)
	default:
		var no *refusal
		lasting := errors.As(e.err, &no) && no.lasting()
		a.roster.ended(e.node, now, e.err, lasting, rand.Float64())
		if ctx.Err() == nil {
			a.o.Log.Warn("tunnel is down", "node", e.node, "error", e.err)
		}
		return lasting && a.roster.hopeless(a.o.Nodes())
	}
	return false
}

// partTimeout is how long an agent that has nothing left to answer waits for its node to close.
const partTimeout = 5 * time.Second

var errGone = errors.New("the connection to the node was lost")

// keep connects to a node and serves it until the connection ends.
func (a *Agent) keep(ctx context.Context, name string, tell func(what nodeState)) error {
	dctx, cancel := context.WithTimeoutCause(ctx, a.o.DialTimeout, fmt.Errorf("no answer within %v", a.o.DialTimeout))
	defer cancel()
	session, err := a.o.Dial(dctx, name)
	if err != nil {
		return fmt.Errorf("dial node %s: %w", name, err)
	}
	defer session.Close()
	control, err := session.OpenStream(dctx)
	if err != nil {
		return fmt.Errorf("open a stream to node %s: %w", name, err)
	}
	if err := a.introduce(dctx, control); err != nil {
		return fmt.Errorf("node %s: %w", name, err)
	}
	tell(nodeUp)
	stop := context.AfterFunc(ctx, func() {
		_, _ = control.Write(appendMessage(nil, kindDraining, nil)) // a node that is gone needs none
	})
	defer stop()
	var listener sync.WaitGroup
	var refused error // of listener
	defer listener.Wait()
	defer control.Reset(uint64(exchange.CodeNone))
	over, end := context.WithCancel(ctx)
	defer end()
	listener.Go(func() {
		if refused = listenTo(control, tell, func() bool { return ctx.Err() == nil }); refused != nil {
			session.Close()
		}
		end() // without its control stream a node doesn't ask
	})
	server := &exchange.Server{
		Handler: a.local, Log: a.o.Log, Limits: exchange.Limits{ExchangesMax: a.o.ExchangesMax, DrainTimeout: a.o.DrainTimeout},
	}
	err = server.Serve(over, session)
	if ctx.Err() == nil && err == nil {
		err = errGone
	}
	if err != nil {
		control.Reset(uint64(exchange.CodeNone))
		if listener.Wait(); refused != nil {
			err = fmt.Errorf("node %s: %w", name, refused)
		}
		return err
	}
	_ = control.CloseWrite()
	select { // until the node has all answers
	case <-session.Done():
	case <-time.After(partTimeout):
	}
	return nil
}

// listenTo hears what a node says after its welcome, up to the end of the control stream. refused is why it sends the agent away.
func listenTo(control exchange.Stream, tell func(what nodeState), stays func() bool) (refused error) {
	for {
		k, p, err := readMessage(control)
		switch {
		case err != nil:
			if stays() {
				tell(nodeLeaving)
			}
			return nil
		case k == kindRefused: // the token was good, and isn't any more
			no, err := parseRefusal(p)
			if err != nil {
				return err
			}
			return no
		case k == kindLeaving:
			tell(nodeLeaving)
		}
	}
}

// introduce says hello and reads the answer.
func (a *Agent) introduce(ctx context.Context, control exchange.Stream) error {
	stop := context.AfterFunc(ctx, func() { control.Reset(uint64(exchange.CodeCancelled)) })
	defer stop()
	_, err := control.Write(a.hello.append(nil))
	if err == nil {
		err = readAnswer(control)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func readAnswer(control exchange.Stream) error {
	k, p, err := readMessage(control)
	if err != nil {
		return err
	}
	switch k {
	case kindWelcome:
		_, err := parseWelcome(p)
		return err
	case kindRefused:
		no, err := parseRefusal(p)
		if err != nil {
			return err
		}
		return no
	}
	return errMessage
}

package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sort"
	"sync"
	"time"

	"github.com/wherry/wherry/overlay/exchange"
)

// Session is an exchange.Session that can be closed.
type Session interface {
	exchange.Session
	Close() error
}

// TableOptions are what a Table needs. Zero fields take the defaults.
type TableOptions struct {
	// Node is this node's name, which agents show. Needed.
	Node string
	// Check says whether an agent that presents token may offer a site; its error tells the agent's owner what to do. Needed.
	Check func(ctx context.Context, token, site string, protocol Protocol) error
	// AgentsMax bounds the agents. Default: 1024.
	AgentsMax int
	// HelloTimeout bounds the time from a session to its hello. Default: 10 s.
	HelloTimeout time.Duration
	// DrainTimeout is how long agents may stay when Serve's context has ended. Default: 30 s.
	DrainTimeout time.Duration
	// Attempts bounds how many agents are asked for one request. Default: 3.
	Attempts int
}

// Table is a node's side of tunnels: who offers which site at the moment. All is lost with the process; agents come again.
type Table struct {
	o TableOptions

	mu      sync.Mutex // protects members
	members members
}

// NewTable returns a Table without agents.
func NewTable(o TableOptions) *Table {
	if o.AgentsMax <= 0 {
		o.AgentsMax = agentsMaxDefault
	}
	if o.HelloTimeout <= 0 {
		o.HelloTimeout = 10 * time.Second
	}
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = 30 * time.Second
	}
	if o.Attempts <= 0 {
		o.Attempts = 3
	}
	return &Table{o: o}
}

// agentSession is one agent, as its node sees it.
type agentSession struct {
	name      string
	session   Session
	transport *exchange.Transport
	since     time.Time
	token     string
	expelled  chan *refusal // takes one: its token isn't good any more

	// What follows is protected by the table's mutex.
	running int           // requests and connections
	parting bool          // no more will come
	idle    chan struct{} // closed when it is parting and none is left
}

// part says that no more will come.
func (a *agentSession) part() {
	if !a.parting {
		a.parting = true
		a.end(0)
	}
}

// end takes n off what runs.
func (a *agentSession) end(n int) {
	if a.running -= n; a.parting && a.running == 0 {
		close(a.idle)
	}
}

// Serve keeps an agent's session until it is gone, which is no error, or ctx ends; then the agent is told to go elsewhere, and has
// DrainTimeout. The session is closed when Serve returns.
func (t *Table) Serve(ctx context.Context, session Session) error {
	defer session.Close()
	hctx, cancel := context.WithTimeout(ctx, t.o.HelloTimeout)
	defer cancel()
	control, err := session.AcceptStream(hctx)
	if err != nil {
		return fmt.Errorf("wait for the control stream of %s: %w", session.Peer(), err)
	}
	_ = control.SetReadDeadline(time.Now().Add(t.o.HelloTimeout))
	_ = control.SetWriteDeadline(time.Now().Add(t.o.HelloTimeout))
	h, err := readHello(control)
	if err != nil {
		control.Reset(uint64(exchange.CodeMalformed))
		return fmt.Errorf("read the hello of %s: %w", session.Peer(), err)
	}
	agent := &agentSession{name: h.name, session: session, since: time.Now(), idle: make(chan struct{}), token: h.token, expelled: make(chan *refusal, 1)}
	agent.transport = &exchange.Transport{Session: func(context.Context) (exchange.Session, error) { return session, nil }}
	if no := t.admit(hctx, agent, h); no != nil {
		return t.refuse(hctx, control, agent, no)
	}
	defer t.leave(agent)
	if _, err := control.Write(appendMessage(nil, kindWelcome, appendText(nil, t.o.Node))); err != nil {
		return fmt.Errorf("welcome agent %s: %w", agent.name, err)
	}
	_ = control.SetReadDeadline(time.Time{})
	return t.keep(ctx, agent, control)
}

func readHello(control exchange.Stream) (*hello, error) {
	k, p, err := readMessage(control)
	if err != nil {
		return nil, err
	}
	if k != kindHello {
		return nil, errMessage
	}
	return parseHello(p)
}

// admit takes an agent in, or says why not.
func (t *Table) admit(ctx context.Context, agent *agentSession, h *hello) *refusal {
	if h.version != version {
		return &refusal{causeHello, fmt.Sprintf("node %s speaks version %d of tunnels and the agent version %d: install the same release on both", t.o.Node, version, h.version)}
	}
	if len(h.offers) == 0 {
		return &refusal{causeHello, "the agent offers nothing: name a site and where it is, as in --site shop --to localhost:3000"}
	}
	for _, o := range h.offers {
		if o.protocol != HTTP && o.protocol != TCP {
			return &refusal{causeHello, fmt.Sprintf("node %s doesn't know what %s of site %s is: upgrade the node", t.o.Node, o.protocol, o.site)}
		}
		if err := t.o.Check(ctx, h.token, o.site, o.protocol); err != nil {
			return &refusal{causeToken, fmt.Sprintf("site %s: %v", o.site, err)}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.members.agents >= t.o.AgentsMax {
		return &refusal{causeFull, fmt.Sprintf("node %s has %d agents, which is all that it takes: dial another node", t.o.Node, t.o.AgentsMax)}
	}
	if full := t.members.add(agent, h.offers); full != "" {
		return &refusal{causeFull, fmt.Sprintf("site %s has %d agents on node %s, which is all that it takes: stop some", full, siteAgentsMax, t.o.Node)}
	}
	t.members.agents++
	return nil
}

// forget asks an agent for nothing more.
func (t *Table) forget(agent *agentSession) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.members.remove(agent)
	agent.part()
}

// Expel sends agents away whose tokens aren't good any more, with all that they have under way; good says why not.
func (t *Table) Expel(good func(token string) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := map[*agentSession]bool{}
	for o, list := range t.members.of {
		for _, m := range list {
			if seen[m.agent] {
				continue
			}
			seen[m.agent] = true
			if err := good(m.agent.token); err != nil {
				select {
				case m.agent.expelled <- &refusal{causeToken, fmt.Sprintf("site %s: %v", o.site, err)}:
				default: // it has been told
				}
			}
		}
	}
}

// refuse tells an agent why it isn't taken, and waits until it has read that.
func (t *Table) refuse(ctx context.Context, control exchange.Stream, agent *agentSession, no *refusal) error {
	if _, err := control.Write(no.append(nil)); err == nil && control.CloseWrite() == nil {
		patience := time.NewTimer(t.o.HelloTimeout)
		defer patience.Stop()
		select {
		case <-agent.session.Done():
		case <-ctx.Done():
		case <-patience.C:
		}
	}
	return fmt.Errorf("agent %s: %w", agent.name, no)
}

// leave forgets an agent that has gone.
func (t *Table) leave(agent *agentSession) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.members.remove(agent)
	t.members.agents--
}

// keep serves an agent's session until it ends.
func (t *Table) keep(ctx context.Context, agent *agentSession, control exchange.Stream) error {
	var readers sync.WaitGroup
	defer readers.Wait()
	live, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer control.Reset(uint64(exchange.CodeNone))
	left := make(chan error, 1)
	readers.Go(func() { left <- t.listen(agent, control) })
	readers.Go(func() { refuseStreams(live, agent.session) })
	var err error
	select {
	case <-agent.session.Done():
		return nil
	case err = <-left:
	case no := <-agent.expelled:
		t.forget(agent)
		return t.refuse(ctx, control, agent, no)
	case <-ctx.Done():
		_, _ = control.Write(appendMessage(nil, kindLeaving, nil)) // an agent that is gone needs none
	}
	t.forget(agent)
	timer := time.NewTimer(t.o.DrainTimeout)
	defer timer.Stop()
	select {
	case <-agent.session.Done():
	case <-agent.idle:
	case <-timer.C:
	}
	return err
}

// listen reads what the agent says after its hello, until it ends the control stream.
func (t *Table) listen(agent *agentSession, control exchange.Stream) error {
	for {
		k, _, err := readMessage(control)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			select {
			case <-agent.session.Done():
				return nil
			default:
				return fmt.Errorf("read from agent %s: %w", agent.name, err)
			}
		case k == kindDraining:
			t.mu.Lock()
			t.members.remove(agent)
			t.mu.Unlock()
		}
	}
}

// refuseStreams resets what an agent opens beside its control stream.
func refuseStreams(ctx context.Context, session Session) {
	for {
		stream, err := session.AcceptStream(ctx)
		if err != nil {
			return
		}
		stream.Reset(uint64(exchange.CodeRefused))
	}
}

// Offer is one agent's offer of one site, for people.
type Offer struct {
	Site     string
	Protocol Protocol
	Agent    string // its name
	Peer     string // its session's
	Since    time.Time
	Running  int    // requests and connections under way
	Total    uint64 // of them, since it came
	Failures uint64 // of them, that it refused
	Trouble  string // why it refused the last one, if that was just now
}

// Offers lists what is offered, by site.
func (t *Table) Offers() []Offer {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	var all []Offer
	for o, list := range t.members.of {
		for _, m := range list {
			offer := Offer{
				Site: o.site, Protocol: o.protocol, Agent: m.agent.name, Peer: m.agent.session.Peer(), Since: m.agent.since,
				Running: m.running, Total: m.total, Failures: m.failures,
			}
			if now.Before(m.badUntil) {
				offer.Trouble = m.why
			}
			all = append(all, offer)
		}
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := &all[i], &all[j]
		if a.Site != b.Site {
			return a.Site < b.Site
		}
		return a.Agent < b.Agent
	})
	return all
}

// Upstream returns what asks the service of a site that speaks HTTP.
func (t *Table) Upstream(site string) http.RoundTripper { return &upstream{t, offered{HTTP, site}} }

var errNoAgent = errors.New("no agent offers it here")

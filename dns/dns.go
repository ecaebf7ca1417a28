package dns

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/mapper"
)

// respond takes one packet through the steps of a query:
//
//	parse   query.go   the packet's form; a bad one is dropped or refused here
//	place   client.go  who asks: the subnet option or the resolver's address, and where that is
//	find    names.go   what the name is
//	answer  answer.go  the records; mapper ranks the nodes for mapped names
//	write   reply.go   the packet, within its limit
//
// It returns nil if the packet gets no answer. The result is valid until the next call.
func (x *exchange) respond(packet []byte, from netip.Addr, overTCP bool) []byte {
	x.view = x.server.view.Load()
	rcode, drop := x.query.parse(packet)
	if drop != "" {
		x.server.metrics.dropped.WithLabelValues(drop).Inc()
		return nil
	}
	limit := min(x.query.payload, payloadMax)
	if overTCP {
		limit = messageMax
	}
	x.reply.begin(&x.query, limit)
	x.reply.rcode = rcode
	if rcode == 0 {
		x.place(from)
		x.answer(x.view.names.find(x.query.name))
	}
	msg, truncated := x.reply.finish()
	x.server.metrics.answered(&x.query, x.reply.rcode, truncated)
	return msg
}

// exchange is what one goroutine needs to answer one packet after the other without allocating.
type exchange struct {
	server *Server
	view   *view
	query  query
	reply  reply
	client client
}

// Options are what a Server is made of.
type Options struct {
	Snapshot *config.Snapshot
	Node     config.NodeID // which node this is; whoami.ZONE tells it

	// PacketConn and Listener are where queries come in; either may be nil. Run closes them.
	PacketConn net.PacketConn
	Listener   net.Listener

	// Dial opens the connections of health checks; nil means TCP. It has to respect its context.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Doors has the nodes whose doors are known better than from the snapshot: those of this process, at whose addresses and
	// ports the command line and the system have had a say. They hold whatever later snapshots say.
	Doors map[config.NodeID]Door

	// Locate places an address: where it is and for which network around it that holds. nil, or a nil Location, means unknown.
	Locate func(netip.Addr) (*config.Location, netip.Prefix)

	Log     *slog.Logger     // nil means slog.Default
	Metrics *Metrics         // nil means that nobody reads them
	Now     func() time.Time // nil means time.Now
}

// Server answers DNS queries and checks the health of the nodes in its answers.
type Server struct {
	options Options
	log     *slog.Logger
	metrics *Metrics
	now     func() time.Time
	ask     func(ctx context.Context, at netip.AddrPort, overTLS bool) (status int, err error) // of one health check

	view    atomic.Pointer[view]
	changed chan struct{} // holds one token when the set of endpoints to check may have changed

	mu     sync.Mutex                  // protects what follows, and who stores view; lost at exit
	checks map[mapper.Endpoint]*health // the endpoints of view's snapshot
}

// view is all that an answer depends on. It is immutable and swapped whole.
type view struct {
	snapshot *config.Snapshot
	names    *names
	m        *mapper.Map
	reports  *mapper.Reports
}

// New returns a server that does nothing until Run.
func New(o Options) (*Server, error) {
	s := &Server{options: o, log: o.Log, metrics: o.Metrics, now: o.Now, changed: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.metrics == nil {
		s.metrics = NewMetrics(nil)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	s.ask = probe{o.Dial}.ask
	commit, err := s.Prepare(o.Snapshot)
	if err != nil {
		return nil, err
	}
	commit()
	return s, nil
}

// Prepare says whether all answers could come from snapshot, and returns how to make them. Nothing changes before commit, which
// can't fail and keeps what is known of the health of nodes that stay.
func (s *Server) Prepare(snapshot *config.Snapshot) (commit func(), err error) {
	n, err := newNames(snapshot)
	if err != nil {
		return nil, err
	}
	m := mapper.New(snapshot)
	return func() { s.hold(snapshot, n, m) }, nil
}

// hold makes snapshot the one that answers come from.
func (s *Server) hold(snapshot *config.Snapshot, n *names, m *mapper.Map) {
	s.mu.Lock()
	defer s.mu.Unlock()
	checks := map[mapper.Endpoint]*health{}
	for i := range snapshot.Clusters {
		c := &snapshot.Clusters[i]
		for j := range c.Nodes {
			node := &c.Nodes[j]
			door := s.doorOf(snapshot, node)
			for _, addr := range node.Addresses {
				e := mapper.Endpoint{Node: node.Name, Addr: addr}
				h := s.checks[e]
				if h == nil {
					h = &health{up: true, since: s.now()}
				}
				h.door = door
				checks[e] = h
			}
		}
	}
	for e := range s.checks {
		if checks[e] == nil {
			s.metrics.nodeUp.DeleteLabelValues(string(e.Node))
		}
	}
	s.checks = checks
	s.view.Store(&view{snapshot: snapshot, names: n, m: m, reports: s.report(m)})
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Run serves until ctx is done and returns when all its goroutines are gone. It returns nil then, or the error that kept it
// from going on.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	failures := make(chan error, 2)
	fail := func(op string, err error) {
		if err != nil {
			failures <- fault.New(fault.Edge, op, http.StatusInternalServerError, err)
			cancel() // half a server would look alive
		}
	}
	if s.options.PacketConn != nil {
		wg.Go(func() { fail("serve dns over udp", s.serveUDP(ctx, s.options.PacketConn)) })
	}
	if s.options.Listener != nil {
		wg.Go(func() { fail("serve dns over tcp", s.serveTCP(ctx, s.options.Listener)) })
	}
	wg.Go(func() { s.keepHealth(ctx) })
	<-ctx.Done()
	s.close()
	wg.Wait()
	close(failures)
	var errs []error
	for err := range failures {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// close unblocks the readers. Nothing depends on whether a socket that isn't used any more could be closed well.
func (s *Server) close() {
	if s.options.PacketConn != nil {
		_ = s.options.PacketConn.Close()
	}
	if s.options.Listener != nil {
		_ = s.options.Listener.Close()
	}
}

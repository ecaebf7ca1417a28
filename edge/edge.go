package edge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge/ahead"
	"github.com/wherry/wherry/edge/hop"
	"github.com/wherry/wherry/edge/tally"
	"github.com/wherry/wherry/h3"
	"github.com/wherry/wherry/logs"
	"github.com/wherry/wherry/trace"
)

// step is one station of a request's path.
type step struct {
	name   string // in traces, logs and docs
	always bool   // taken also after another step has ended the request
	do     func(*Edge, *exchange) (goOn bool)
}

// steps is the path of every request, in order.
func steps() []step {
	return []step{
		{name: "receive", do: (*Edge).receive},               // id, clock, the operator's trace credential
		{name: "admit", do: (*Edge).admit},                   // limits, well-formedness, loops, the health endpoint
		{name: "route", do: (*Edge).route},                   // site, rule
		{name: "forward", do: (*Edge).forward},               // fields for this hop off, fields for the origin on
		{name: "decide", do: (*Edge).decide},                 // a program lets it go on, or answers
		{name: "upgrade", do: (*Edge).upgrade},               // WebSocket and the like leave the path here
		{name: "serve", do: (*Edge).serve},                   // the cache answers
		{name: "prefetch", do: (*Edge).prefetch},             // what a page embeds is fetched ahead
		{name: "deliver", always: true, do: (*Edge).deliver}, // the error page, if nobody has answered
		{name: "record", always: true, do: (*Edge).record},   // log, metrics, trace
	}
}

// Cacher is what edge needs of package cache.
type Cacher interface {
	// Serve answers r, or returns an Outcome with Status 0 having written nothing. r.URL is absolute: the scheme and host as the
	// client saw them, path and query as sent. It uses w and r.Body only until it returns.
	Serve(w http.ResponseWriter, r *http.Request, p *cache.Policy) cache.Outcome
	// Invalidate makes p hold and says how many responses it has removed.
	Invalidate(p cache.Purge) int
	// Restore makes purges hold that were before this process.
	Restore(remembered []cache.Purge, floor, reached uint64)
}

var _ Cacher = (*cache.Cache)(nil)

// hitter is a Cacher that has answers for the lane.
type hitter interface {
	LookupHit(key store.Key, fields field.Fields, p *cache.Policy, now time.Time) (cache.Answer, bool)
}

var _ hitter = (*cache.Cache)(nil)

// Options are the neighbours of an Edge. Those without a default are required.
type Options struct {
	Node     config.NodeID
	Snapshot *config.Snapshot
	Cache    Cacher
	// Upstream returns whom to ask for a site's responses, by rule; nil: none matches. It is asked for each of each snapshot.
	Upstream func(config.SiteName, *config.Rule) http.RoundTripper
	// Program returns whom to ask before the cache, for rules of a site that name a program there.
	// default: no rule does
	Program func(config.SiteName, config.ProgramName) http.RoundTripper
	// Origin returns who asks a site's origins, past its programs and past other nodes, for rules that name programs.
	// default: no rule does
	Origin func(config.SiteName) http.RoundTripper
	// TLS is the configuration of the HTTPS listener; without it there can't be one.
	TLS *tls.Config
	// Access takes the access log records.
	// default: none are written
	Access *logs.Writer
	// default: slog.Default()
	Log     *slog.Logger
	Metrics *Metrics
	// OperatorToken verifies trace credentials.
	// default: nobody can trace
	OperatorToken string
	// QUICSecret makes the keys that have to outlive the process, for HTTP/3; 32 bytes.
	// default: a random one, so that clients of HTTP/3 find out about a restart by silence
	QUICSecret []byte
	// default: time.Now
	Now func() time.Time
}

// Edge serves the requests of clients. It is safe for use by many goroutines.
type Edge struct {
	node      config.NodeID
	member    string // node as the name of our member of Cache-Status and Proxy-Status
	cdnLoop   string
	http      []string // the values of X-Forwarded-Proto, shared by all requests
	https     []string
	cache     Cacher
	upstream  func(config.SiteName, *config.Rule) http.RoundTripper
	program   func(config.SiteName, config.ProgramName) http.RoundTripper
	origin    func(config.SiteName) http.RoundTripper
	tls       *tls.Config
	access    *logs.Writer
	log       *slog.Logger
	serverLog *log.Logger // for net/http
	metrics   *Metrics
	token     string
	now       func() time.Time

	keys   h3.Keys
	altSvc []string // the value of Alt-Svc for answers over HTTPS; set before anything is served

	laneless bool   // for tests: all goes to net/http
	hits     hitter // nil: the cache has no answers for the lane

	path      []step
	ids       *hop.IDs
	exchanges sync.Pool // of *exchange
	passages  sync.Pool // of *passage
	shelf     trace.Shelf

	applying sync.Mutex // held while routes is swapped
	routes   atomic.Pointer[routes]

	draining atomic.Bool
	left     chan struct{} // closed when Serve takes no more connections
	leaving  func()        // closes left
	behind   atomic.Bool   // purges may be missing
	ahead    *ahead.Ahead
	sites    *tally.Tally
	inFlight inFlight // calls of ServeHTTP
	conns    connections
	tally    totals
}

var _ http.Handler = (*Edge)(nil)

// New returns an Edge that serves o.Snapshot.
func New(o Options) (*Edge, error) {
	if o.Node == "" || o.Snapshot == nil || o.Cache == nil || o.Upstream == nil || o.Metrics == nil {
		return nil, errors.New("edge: node, snapshot, cache, upstream and metrics are required")
	}
	ids, err := hop.NewIDs()
	if err != nil {
		return nil, err
	}
	e := &Edge{
		node: o.Node, member: field.TokenOrString(string(o.Node)), cdnLoop: string(o.Node), cache: o.Cache, upstream: o.Upstream, program: o.Program, origin: o.Origin, tls: o.TLS,
		access: o.Access, log: o.Log, metrics: o.Metrics, token: o.OperatorToken, now: o.Now,
		path: steps(), ids: ids, http: []string{"http"}, https: []string{"https"},
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	if e.now == nil {
		e.now = time.Now
	}
	if e.keys, err = h3.NewKeys(o.QUICSecret, string(o.Node)); err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	e.sites = tally.New(e.now)
	e.serverLog = log.New(&serverLog{log: e.log, now: e.now}, "", 0)
	e.exchanges.New, e.passages.New = func() any { return new(exchange) }, func() any { return new(passage) }
	e.hits, _ = o.Cache.(hitter)
	e.conns.changed, e.inFlight.ended = make(chan struct{}, 1), make(chan struct{}, 1)
	e.left = make(chan struct{})
	e.leaving = sync.OnceFunc(func() { close(e.left) })
	e.conns.open, e.conns.metrics = map[*conn]struct{}{}, o.Metrics
	e.ahead = ahead.New(ahead.Options{Fetch: e.fetchAhead, Metrics: o.Metrics.ahead, Now: e.now})
	e.SetSnapshot(o.Snapshot)
	return e, nil
}

// ServeHTTP takes one request through the steps.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.take(w, r, false) }

// take is ServeHTTP, also for a request of which only the beginning is here, because its header section is too large.
func (e *Edge) take(w http.ResponseWriter, r *http.Request, oversized bool) {
	e.inFlight.begin()
	defer e.inFlight.end()
	x := e.exchanges.Get().(*exchange)
	x.begin(e, w, r)
	x.oversized = oversized
	goOn := true
	for i := range e.path {
		s := &e.path[i]
		if goOn || s.always {
			x.step = s.name
			goOn = s.do(e, x) && goOn
		}
	}
	abort := x.abort
	x.end()
	e.exchanges.Put(x)
	if abort {
		// Only this makes net/http break the connection or reset the stream, so that the client doesn't take a part for the
		// whole (RFC 9112 §8, RFC 9113 §8.1.1).
		panic(http.ErrAbortHandler)
	}
}

// SetSnapshot makes s hold for the requests that arrive from now on. Header and idle timeouts and the hard header limit of
// listeners that are open stay as they were when Serve began.
func (e *Edge) SetSnapshot(s *config.Snapshot) {
	e.applying.Lock()
	defer e.applying.Unlock()
	next := e.newRoutes(s)
	old := e.routes.Swap(next)
	if old != nil {
		old.forgetSites(next, e)
	}
}

// Snapshot returns what SetSnapshot set.
func (e *Edge) Snapshot() *config.Snapshot { return e.routes.Load().snapshot }

// Trace returns the report of a traced request by the id in its credential.
func (e *Edge) Trace(id string) (trace.Report, bool) { return e.shelf.Get(id) }

// Stats are the counts of an Edge since it was made.
type Stats struct {
	Requests    int64 // taken, the health endpoint's not counted
	Hits        int64 // answered with a stored response or by another request's fetch
	Refused     int64
	BodyBytes   int64 // of responses
	Connections int   // open now
}

// totals are what Stats counts by itself, because a metric can't be read back.
type totals struct{ requests, hits, refused, bodyBytes atomic.Int64 }

// Stats returns the counts so far.
func (e *Edge) Stats() Stats {
	return Stats{
		Requests: e.tally.requests.Load(), Hits: e.tally.hits.Load(), Refused: e.tally.refused.Load(),
		BodyBytes: e.tally.bodyBytes.Load(), Connections: e.conns.count(),
	}
}

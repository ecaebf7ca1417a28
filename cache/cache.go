package cache

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/purges"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/trace"
)

// A request goes through these steps. Each returns the next one.
//
//	receive ──► lookup ──► hit ───────────────► deliver
//	   │          │  └───► fetch ──► await ────►   │
//	   │          │          ▲         │           ▼
//	   └► pass ◄──┘          └─────────┘          done
//
// A trace also shows what happens inside of them: validate and store in a fetch, stale when a failure is covered, head and
// invalidate in pass, and fail.
const (
	stepReceive step = iota // may the cache have a part in it?
	stepLookup              // is there a stored response, and may it be reused?
	stepHit                 // send a stored response
	stepFetch               // join a fetch that runs, or lead one
	stepAwait               // wait for the fetch's header section and see whether it is for us
	stepPass                // forward, and store nothing
	stepDeliver             // send it
	stepDone
)

type step int

var steps = [...]func(*exchange) step{
	stepReceive: (*exchange).receive,
	stepLookup:  (*exchange).lookup,
	stepHit:     (*exchange).hit,
	stepFetch:   (*exchange).fetch,
	stepAwait:   (*exchange).await,
	stepPass:    (*exchange).pass,
	stepDeliver: (*exchange).deliver,
}

// Policy is what the site's configuration says about one request.
type Policy struct {
	Keys     *store.KeyPolicy  // how the site's cache keys are made
	Scheme   string            // http or https, as the client sees it
	Host     string            // the client's host, in lower case without port
	Upstream http.RoundTripper // who is asked on a miss: origin, or whatever else stands below
	// Stored returns all keys under which a response to GET or HEAD for path?query of this scheme and host may be stored, whatever
	// rule matches them. It is asked only when an unsafe request invalidates; nil means the one key that Keys makes.
	Stored func(path, query string) []store.Key
	// ToCache says that a cache of ours asks: it also gets the fields that speak to caches alone, such as Cache-Tag.
	ToCache bool
	// Bypass, when not empty, is why nothing is looked up or stored for this request; it is forwarded.
	Bypass               string
	Defaults             *store.Defaults // what the site says of responses; nil: nothing
	StaleIfError         time.Duration   // where the origin doesn't say stale-if-error
	StaleWhileRevalidate time.Duration   // where the origin doesn't say stale-while-revalidate
}

// Verdict is how a request was answered, one word for log, metrics and trace.
type Verdict string

// The verdicts.
const (
	Hit         Verdict = "hit"         // from the store, fresh
	Stale       Verdict = "stale"       // from the store, stale but allowed
	Revalidated Verdict = "revalidated" // from the store, after the origin said 304
	Collapsed   Verdict = "collapsed"   // from another request's fetch while it ran
	Miss        Verdict = "miss"        // fetched
	Pass        Verdict = "pass"        // forwarded; the cache had no part in it
	Failed      Verdict = "failed"      // no response could be had
)

// Outcome is what became of one request.
type Outcome struct {
	Verdict Verdict
	Status  int    // the status sent; 0 if none was
	Detail  string // why, in the words of the trace
	// Err is why there is no complete response; fault.Of tells whose fault it is. If Status is 0, nothing has been written and
	// the caller writes the error response, with CacheStatus in it. Otherwise the caller must break the connection off, so that
	// the client can tell.
	Err         error
	CacheStatus string        // this cache's member of Cache-Status (RFC 9211), as sent
	BodyBytes   int64         // body bytes sent to the client
	Stored      bool          // or renewed what is stored; a fetch may still be under way
	FetchStatus int           // the origin's status; 0 if it wasn't asked or didn't answer
	FetchTime   time.Duration // until the origin's header section was there
}

// Options are what a Cache is made of.
type Options struct {
	Name    string // of this node, for Cache-Status and Via
	Store   store.Store
	Metrics *Metrics
	Now     func() time.Time // nil means time.Now
}

// Cache answers requests from a Store or from upstreams. Run must run as long as it serves.
type Cache struct {
	name     string
	member   string // name as Cache-Status has it
	store    store.Store
	metrics  *Metrics
	now      func() time.Time
	purges   *purges.Table
	sweeps   chan Purge // that Run frees memory by
	searches *searches

	ctx  context.Context // of the fetches; ends when Run returns
	stop context.CancelFunc

	exchanges sync.Pool // of *exchange
	streams   streams

	mu      sync.Mutex           // protects what follows; lost with the process
	flights map[flightID]*flight // those that others may join
	running map[*flight]struct{} // all
	solo    soloKeys
	closed  bool
	fills   sync.WaitGroup // Add only under mu while not closed
}

// New returns a cache over o.Store.
func New(o Options) *Cache {
	c := &Cache{
		name: o.Name, store: o.Store, metrics: o.Metrics, now: o.Now,
		flights: map[flightID]*flight{}, running: map[*flight]struct{}{}, solo: soloKeys{until: map[flightID]time.Time{}},
	}
	c.streams.all = map[uint64][]*stream{}
	c.member = field.TokenOrString(o.Name)
	c.exchanges.New = func() any { return new(exchange) }
	if c.now == nil {
		c.now = time.Now
	}
	c.purges, c.sweeps, c.searches = purges.New(), make(chan Purge, sweepsMax), newSearches()
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// Run frees the memory of what was purged. It ends the fetches that are under way when ctx ends, and returns when they are gone. Stop
// what calls Serve first: a Serve that needs a fetch afterwards fails.
func (c *Cache) Run(ctx context.Context) error {
	c.sweepUntil(ctx)
	c.mu.Lock()
	c.closed = true
	c.stop()
	for f := range c.running {
		f.cancel()
	}
	c.mu.Unlock()
	c.fills.Wait()
	return nil
}

// exchange is one request on its way through the steps. It belongs to the goroutine of Serve.
type exchange struct {
	c   *Cache
	w   http.ResponseWriter
	r   *http.Request
	p   *Policy
	t   *trace.Trace
	key store.Key
	req field.Directives
	now time.Time // when it was decided what to send

	stored   *store.Response // what the request selects, or nil
	purged   purges.Finding  // what purges have made of it
	decision decision
	alone    bool // this request's fetch is not shared
	asSent   bool // and goes out with the client's conditions and range
	whole    bool // this request's fetch is for all of the content, whatever range the client wants
	rejoins  int  // how often a fetch that was waited for turned out not to be for us

	flight *flight // the fetch that is joined or led
	leads  bool
	late   bool // the flight that is joined had landed already
	// interim forwards 1xx responses of the fetch that is led.
	interim *interim
	resp    *store.Response // what to deliver: complete if flight is nil
	direct  *http.Response  // or this, straight from the upstream
	sink    sink            // between a stored body and w

	status status
	out    Outcome
}

// Serve answers r under p and says what it did. A fetch for it may go on afterwards, so nobody may change r's header any more.
func (c *Cache) Serve(w http.ResponseWriter, r *http.Request, p *Policy) Outcome {
	x := c.exchanges.Get().(*exchange)
	*x = exchange{c: c, w: w, r: r, p: p, t: trace.From(r.Context())}
	for s := stepReceive; s != stepDone; {
		s = steps[s](x)
	}
	out := x.out
	*x = exchange{} // holds on to nothing; no fetch knows x
	c.exchanges.Put(x)
	c.metrics.served(&out)
	return out
}

func (x *exchange) receive() step {
	switch {
	case x.p.Bypass != "":
		return x.passBecause("bypass", x.p.Bypass)
	case x.r.Method != http.MethodGet && x.r.Method != http.MethodHead:
		return x.passBecause("method", "method "+x.r.Method)
	case x.r.ContentLength != 0:
		// A GET with content may be answered by its content, which no key holds.
		return x.passBecause("bypass", "request with content")
	case x.r.Header["If-Match"] != nil || x.r.Header["If-Unmodified-Since"] != nil:
		return x.passBecause("bypass", "precondition that only the origin can evaluate") // RFC 9111 §4.3.2
	}
	x.key = x.c.key(x.p, x.r.URL.EscapedPath(), x.r.URL.RawQuery)
	x.req = field.RequestDirectives(x.r.Header)
	if x.t.On() {
		x.status.key = x.key
		x.t.Addf("cache", "receive", "key %q", x.key)
	}
	return stepLookup
}

func (x *exchange) passBecause(fwd, why string) step {
	x.status.fwd, x.out.Detail = fwd, why
	x.out.Verdict = Pass
	return stepPass
}

func (x *exchange) lookup() step {
	x.now = x.c.now()
	stored := x.present()
	x.stored = store.Select(stored, x.p.Keys, field.Header(x.r.Header))
	if x.purged = x.c.purges.Check(x.stored); x.purged.Standing == purges.Gone { // this very moment
		x.stored = nil
	}
	x.status.fwd = ""
	x.decision = decide(x.stored, len(stored) > 0, &x.purged, &x.req, x.p, x.now)
	x.out.Detail = x.decision.why
	if x.t.On() {
		why := x.decision.why
		if x.decision.reuse == reuseFresh {
			why = "fresh for " + seconds(x.stored.Fresh.Left(x.now)) + " by " + x.stored.Fresh.Basis
		}
		x.t.Addf("cache", "lookup", "%s: %s", x.decision.reuse, why)
	}
	switch x.decision.reuse {
	case reuseFresh:
		x.out.Verdict = Hit
		return stepHit
	case reuseStale:
		x.out.Verdict = Stale
		return stepHit
	case reuseRefresh:
		x.out.Verdict = Stale
		x.refresh()
		return stepHit
	case reuseRefused:
		x.status.detail = "only-if-cached"
		return x.fail(fault.New(fault.Client, "lookup", http.StatusGatewayTimeout, errors.New(x.decision.why)))
	}
	x.status.fwd = x.decision.fwd
	if x.r.Method == http.MethodHead {
		x.out.Verdict = Miss
		return stepPass
	}
	return stepFetch
}

func (x *exchange) hit() step {
	x.status.hit = true
	x.resp = x.stored
	return stepDeliver
}

// staleInstead answers with the stale response after the upstream failed with err, if that is allowed, else fails.
func (x *exchange) staleInstead(err error) step {
	if x.stored == nil || x.r.Context().Err() != nil {
		return x.fail(err)
	}
	x.now = x.c.now()
	x.purged = x.c.purges.Check(x.stored)
	ok, why := onError(x.stored, &x.purged, &x.req, x.p, x.now)
	x.t.Addf("cache", "stale", "%t: %s", ok, why)
	if !ok {
		x.out.Detail += "; not sent though the origin failed: " + why
		return x.fail(err)
	}
	x.out.Verdict, x.out.Detail = Stale, why
	x.status.detail = "stale-if-error"
	x.resp, x.flight = x.stored, nil
	return stepDeliver
}

// fail ends the exchange without a response.
func (x *exchange) fail(err error) step {
	x.out.Verdict, x.out.Err = Failed, err
	x.out.CacheStatus = x.status.render(x.c.member)
	x.t.Add("cache", "fail", err.Error())
	return stepDone
}

package edge

import (
	"net/http"
	"time"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge/joint"
	"github.com/wherry/wherry/edge/policy"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/logs"
	"github.com/wherry/wherry/trace"
)

// exchange is one request and its response on their way through the steps. It belongs to the goroutine of ServeHTTP, is lost
// with it, and is used again for another request afterwards: nothing below edge may keep it or its response.
type exchange struct {
	edge   *Edge
	routes *routes // what holds for this request, whatever SetSnapshot does meanwhile
	conn   *conn   // nil when ServeHTTP wasn't called by Serve's servers
	r      *http.Request
	w      response
	body   *requestBody // nil without a request body
	began  time.Time
	asked  string // Host as the client sent it
	// oversized says that r lacks fields, because the header section is too large.
	oversized bool
	id        string
	trace     *trace.Trace // nil unless an operator asked
	step      string       // where on the path

	target    policy.Target     // by admit
	site      *site             // by route; nil if no site was found
	treatment *policy.Treatment // by route: what holds for the site and the rule
	policy    cache.Policy
	upgrade   string // by forward: the protocols that the client would switch to
	outcome   cache.Outcome
	refused   reason       // why a step refused it; empty if none did
	failure   *fault.Error // why there is no complete response
	notice    string       // for the client, with failure; empty: the words for its party
	retry     time.Duration
	quiet     bool            // neither logged nor counted: a health check
	synthetic bool            // the node asks itself: only counted, apart from clients
	ahead     *fetchedAhead   // it does so to have an object: not counted; nil: it doesn't
	program   config.SiteName // a program of this site asks while it answers: FromProgram; empty: none does
	abort     bool            // the connection or stream has to be broken
	tunnel    joint.Bytes     // of an upgraded connection
	line      logs.Record
}

func (x *exchange) begin(e *Edge, w http.ResponseWriter, r *http.Request) {
	x.edge, x.routes, x.r = e, e.routes.Load(), r
	x.began, x.asked = e.now(), r.Host
	if x.conn, _ = r.Context().Value(connKey{}).(*conn); x.conn == nil {
		x.ahead, _ = r.Context().Value(aheadKey{}).(*fetchedAhead)
		x.synthetic = x.ahead != nil || r.Context().Value(syntheticKey{}) != nil
		x.beginWithin(r.Context())
	}
	x.w.begin(w, r, x.routes.snapshot.Limits.WriteTimeout)
	if x.w.secure && r.ProtoMajor < 3 {
		x.w.altSvc = e.altSvc
	}
}

// end forgets everything, so that the pool holds on to nothing of the request.
func (x *exchange) end() {
	x.w.finish()
	if x.body != nil {
		x.body.finish()
	}
	*x = exchange{}
}

// note adds a decision of the step at hand to the trace.
func (x *exchange) note(decision string) { x.trace.Add("edge", x.step, decision) }

// refuse ends the request with a status of ours and a notice for the client.
func (x *exchange) refuse(why reason, party fault.Party, status int, notice string) (goOn bool) {
	x.refused, x.notice = why, notice
	x.failure = &fault.Error{Party: party, Op: x.step, Status: status, Proxy: why.proxyError()}
	x.outcome.Verdict, x.outcome.Detail = verdictRefused, string(why)
	if x.trace.On() {
		x.trace.Addf("edge", x.step, "refused (%s): %d %s", why, status, notice)
	}
	return false
}

// answer ends the request with a response of the node itself that isn't an error.
func (x *exchange) answer(status int, detail, body string) (goOn bool) {
	x.outcome = cache.Outcome{Verdict: cache.Pass, Detail: detail, CacheStatus: x.edge.member + "; detail=" + detail}
	h := x.w.Header()
	h["Cache-Status"] = []string{x.outcome.CacheStatus}
	h["Cache-Control"] = []string{"no-store"}
	if body != "" {
		h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	}
	x.w.WriteHeader(status)
	if body != "" {
		_, _ = x.w.Write([]byte(body)) // a client that left is nobody's fault
	}
	if x.trace.On() {
		x.note("answered by the node itself: " + detail)
	}
	return false
}

// multiplexed says whether deadlines are those of a stream.
func multiplexed(r *http.Request) bool { return r.ProtoMajor >= 2 }

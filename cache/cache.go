package cache

import (
	"net/http"
	"time"
)

// Policy is what the site's configuration says about one request.
type Policy struct {
	Key      Key
	Upstream http.RoundTripper // who is asked on a miss: origin, or whatever else stands below
	// Bypass, when not empty, is why nothing is looked up or stored for this request; it is forwarded.
	Bypass               string
	StaleIfError         time.Duration // where the origin doesn't say stale-if-error
	StaleWhileRevalidate time.Duration // where the origin doesn't say stale-while-revalidate
}

// Verdict is how a request was answered, one word for Cache-Status, log, metrics and trace.
type Verdict string

// The verdicts.
const (
	Hit         Verdict = "hit"         // from the store, fresh
	Stale       Verdict = "stale"       // from the store, stale but allowed
	Revalidated Verdict = "revalidated" // from the store, after the origin said 304
	Collapsed   Verdict = "collapsed"   // from another request's fetch while it ran
	Miss        Verdict = "miss"        // fetched; not in the store
	Pass        Verdict = "pass"        // forwarded; the cache had no part in it
	Failed      Verdict = "failed"      // no response could be had
)

// Outcome is what became of one request.
type Outcome struct {
	Verdict Verdict
	Status  int    // the status sent; 0 if none was
	Detail  string // why, in the words of the trace
	// Err is why there is no complete response; fault.Of tells whose fault it is. If Status is 0, nothing has been written and
	// the caller writes the error response, with CacheStatus in it.
	Err         error
	CacheStatus string // RFC 9211: the value of this cache's Cache-Status member, as sent
	BodyBytes   int64  // body bytes sent to the client
	Stored      bool
	FetchStatus int           // the origin's status; 0 if it wasn't asked or didn't answer
	FetchTime   time.Duration // until the origin's header section was there
}

package edge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge/ahead"
	"github.com/wherry/wherry/edge/policy"
)

// aheadKey marks the context of a request for an object that is fetched ahead. It has what became of it.
type aheadKey struct{}

// fetchedAhead is that.
type fetchedAhead struct {
	outcome cache.Outcome
	status  int
}

// watchPage has the page that is answered looked at for objects, if the rule says so: one that comes from the origin's side, since what one from the store
// embeds is mostly there, too. The node that a client asked does it, and none behind that.
func (e *Edge) watchPage(x *exchange) {
	if !x.treatment.Caching.Prefetch || x.r.Method != http.MethodGet || x.synthetic || x.program != "" || fromPeer(x.r.Context()) {
		return
	}
	x.w.opens = func() *ahead.Scan {
		if x.w.status != http.StatusOK || !cameForward(x.w.Header()) {
			return nil
		}
		routes, site, scheme := x.routes, x.site, x.target.Scheme
		return e.ahead.Open(x.r, func(o *url.URL) (string, bool) { return wantedAhead(routes, site, scheme, o) }, x.w.Header())
	}
}

// cameForward says whether the response was asked for, by this node's member of Cache-Status (RFC 9211 §2.2).
func cameForward(h http.Header) bool {
	lines := h["Cache-Status"]
	return len(lines) > 0 && strings.Contains(lines[len(lines)-1], "; fwd=")
}

// wantedAhead says whether the cache may keep an object of the page's own site, as far as its rules say.
func wantedAhead(t *routes, page *site, scheme string, o *url.URL) (key string, ok bool) {
	host, valid := policy.ParseHost(o.Host)
	if o.Scheme != scheme || !valid {
		return "", false
	}
	found, _ := t.snapshot.Site(host)
	if found == nil || found != page.Site {
		return "", false
	}
	rule := found.Rule(http.MethodGet, policy.PathOf(o))
	treated := page.treatments[rule]
	if treated.Bypass != "" || rule != nil && rule.Refuse != 0 {
		return "", false
	}
	return string(keyOf(treated, scheme, t.snapshot.StandsFor(found, host), o)), true
}

func keyOf(t *policy.Treatment, scheme string, host config.Host, o *url.URL) store.Key {
	return store.NewKey(&t.Keys, scheme, string(host), policy.PathOf(o), o.RawQuery)
}

// prefetch is the step after a page: what it embeds is on its way by now.
func (e *Edge) prefetch(x *exchange) (goOn bool) {
	s := x.w.page
	if s == nil {
		return true
	}
	s.Close()
	if x.trace.On() { // it is the one who waits
		found := s.Found()
		x.note(fmt.Sprintf("%d objects are fetched ahead: %s", len(found), strings.Join(found, " ")))
	}
	return true
}

// fetchAhead asks this node for an object, through all steps, as the page's client would without being known.
func (e *Edge) fetchAhead(ctx context.Context, p *ahead.Page, o *url.URL) (result ahead.Result, bytes int64) {
	got := &fetchedAhead{}
	w := ahead.NewSink(ahead.ObjectBytesMax)
	defer func() {
		bytes = w.Bytes()
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				panic(v)
			}
			result = ahead.Failed
		}
	}()
	e.ServeHTTP(w, p.Request(context.WithValue(ctx, aheadKey{}, got), o))
	switch {
	case got.outcome.Verdict == cache.Hit:
		return ahead.There, bytes
	case got.outcome.Stored:
		return ahead.Stored, bytes
	case got.status >= 500 || got.outcome.Err != nil:
		return ahead.Failed, bytes
	}
	return ahead.Unfit, bytes
}

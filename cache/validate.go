package cache

import (
	"net/http"
	"time"

	"github.com/wherry/wherry/cache/field"
)

// revalidated lays a 304 over the stored response (RFC 9111 §4.3.4). The 304 is about the stored response even if it carries
// another entity-tag: it answers the only one that was sent (RFC 9110 §13.1.2), and the stored one stays.
func (j *fill) revalidated(resp *http.Response, requested, received time.Time) {
	AddVia(resp.Header, resp.ProtoMajor, resp.ProtoMinor, j.c.name)
	fresh := j.stored.freshened(resp.Header, requested, received)
	j.f.resp, j.f.complete, j.f.revalidated = fresh, true, true
	j.t.Addf("cache", "validate", "304: fresh for %s by %s", seconds(fresh.fresh.left(received)), fresh.fresh.basis)
	j.f.mu.Lock()
	j.f.why = "purged meanwhile"
	if !j.f.doomed {
		j.f.why = j.c.update(j.stored, fresh, j.fields, &j.reqDirectives)
	}
	j.f.mu.Unlock()
	j.f.shared = j.f.why == "" && fresh.shareable()
	if j.f.why != "" {
		j.t.Add("cache", "store", "not updated: "+j.f.why)
	}
	j.settle(nil, "revalidated")
}

// update puts fresh in the place of stored, of which it is a newer form. It doesn't if the request with fields req forbids to
// store its response, and drops stored if the origin now does; then it returns why.
func (c *Cache) update(stored, fresh *Response, req http.Header, d *field.Directives) (why string) {
	nothing := field.NoDirectives()
	if ok, why := storable(nil, &nothing, fresh); !ok {
		c.store.Remove(stored.Key)
		return why
	}
	if ok, why := storable(req, d, fresh); !ok {
		return why
	}
	c.store.Replace(stored, fresh.forStore().prepared())
	c.metrics.kept()
	return ""
}

// freshenByHead updates the stored response to GET from the response to HEAD if that tells of the same content, else drops it
// (RFC 9111 §4.3.5).
func (x *exchange) freshenByHead(resp *http.Response, requested, received time.Time) {
	h := resp.Header.Clone() // the client gets it without what is stored beside it
	AddVia(h, resp.ProtoMajor, resp.ProtoMinor, x.c.name)
	for _, name := range [...]string{"Etag", "Last-Modified", "Content-Length"} {
		if h[name] != nil && x.stored.Header[name] != nil && h.Get(name) != x.stored.Header.Get(name) {
			n := x.c.store.Remove(x.key)
			x.t.Addf("cache", "head", "%s changed: dropped %d responses", name, n)
			return
		}
	}
	if why := x.c.update(x.stored, x.stored.freshened(h, requested, received), x.r.Header, &x.req); why != "" {
		x.t.Add("cache", "head", "not updated: "+why)
		return
	}
	x.t.Add("cache", "head", "updated the stored response")
}

// staleBetter lists the statuses that stale-if-error is for (RFC 5861 §4).
func staleBetter(status int) bool {
	return status == 500 || status == 502 || status == 503 || status == 504
}

func (j *fill) staleAllowed(now time.Time) bool {
	if j.stored == nil {
		return false
	}
	ok, _ := j.stored.onError(&j.reqDirectives, &j.p, now)
	return ok
}

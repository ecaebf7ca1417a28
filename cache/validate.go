package cache

import (
	"errors"
	"net/http"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"

	"github.com/wherry/wherry/fault"
)

// revalidated lays a 304 over the stored responses that it is about (RFC 9111 §4.3.4). If it is about none of them, none is known to
// be current, and the origin is asked for the whole.
func (j *fill) revalidated(resp *http.Response, requested, received time.Time) {
	if !identifies(resp.Header, j.stored.Header) {
		j.t.Add("cache", "validate", "304 about another response than the stored one")
		j.askAgain()
		return
	}
	field.AddVia(resp.Header, resp.ProtoMajor, resp.ProtoMinor, j.c.name)
	fresh := j.stored.Freshened(resp.Header, requested, received)
	fresh.SetBorn(j.born)
	fresh.Adjust(j.p.Keys, j.p.Defaults, nil)
	j.f.resp, j.f.complete, j.f.revalidated = fresh, true, true
	j.t.Addf("cache", "validate", "304: fresh for %s by %s", seconds(fresh.Fresh.Left(received)), fresh.Fresh.Basis)
	j.f.mu.Lock()
	j.f.why = "purged meanwhile"
	if !j.f.doomed {
		j.f.why = j.c.update(j.stored, fresh, j.fields, &j.reqDirectives)
		j.updateTwins(resp.Header, requested, received)
	}
	j.f.mu.Unlock()
	j.f.shared = j.f.why == "" && fresh.Shareable()
	if j.f.why != "" {
		j.t.Add("cache", "store", "not updated: "+j.f.why)
	}
	j.settle(nil, "revalidated")
}

// identifies says whether a 304 with the fields update is about the stored response that was asked about, by the first rule of
// RFC 9111 §4.3.4 that fits. One that names no validator is: ours was the only one in the request.
func identifies(update, stored http.Header) bool {
	if etag := update.Get("Etag"); field.IsStrong(etag) {
		return etag == stored.Get("Etag")
	} else if etag != "" {
		return field.Opaque(etag) == field.Opaque(stored.Get("Etag"))
	}
	modified := update.Get("Last-Modified")
	return modified == "" || modified == stored.Get("Last-Modified")
}

// updateTwins lays a 304 over the other stored responses that the request could have selected and that have the same strong
// validator (RFC 9111 §4.3.4). j.f.mu is held.
func (j *fill) updateTwins(update http.Header, requested, received time.Time) {
	etag := update.Get("Etag")
	if !field.IsStrong(etag) {
		return
	}
	for _, r := range j.c.store.Lookup(j.f.id.key) {
		if r != j.stored && r != j.f.resp && r.Header.Get("Etag") == etag && j.p.Keys.Selects(&r.Varies, field.Header(j.fields)) {
			fresh := r.Freshened(update, requested, received)
			fresh.SetBorn(j.born)
			fresh.Adjust(j.p.Keys, j.p.Defaults, nil)
			j.c.update(r, fresh, j.fields, &j.reqDirectives)
		}
	}
}

// askAgain fetches without conditions.
func (j *fill) askAgain() {
	req := j.req.Clone(j.req.Context())
	for _, name := range conditionalFields {
		delete(req.Header, name)
	}
	requested := j.c.now()
	resp, err := j.p.Upstream.RoundTrip(req)
	received := j.c.now()
	if err == nil && resp.StatusCode == http.StatusNotModified {
		resp.Body.Close()
		err = errUnasked304()
	}
	if err != nil {
		j.settle(j.blame(err), "failed")
		return
	}
	j.f.fetchStatus = resp.StatusCode
	field.EndHop(resp.Header)
	field.EnsureDate(resp.Header, received)
	j.receive(resp, requested, received)
}

func errUnasked304() error {
	return fault.New(fault.Origin, "fetch", http.StatusBadGateway, errors.New("304 to a request without conditions"))
}

// update puts fresh in the place of stored, of which it is a newer form. It doesn't if the request with fields req forbids to
// store its response, and drops stored if the origin now does; then it returns why.
func (c *Cache) update(stored, fresh *store.Response, req http.Header, d *field.Directives) (why string) {
	if c.gone(stored) || c.gone(fresh) {
		return "purged meanwhile"
	}
	nothing := field.NoDirectives()
	if ok, why := storable(nil, &nothing, fresh); !ok {
		c.store.Remove(stored.Key)
		return why
	}
	if ok, why := storable(req, d, fresh); !ok {
		return why
	}
	c.store.Replace(stored, fresh.ForStore().Prepared())
	c.metrics.kept()
	return ""
}

// freshenByHead updates the stored response to GET from the response to HEAD if that tells of the same content, else drops it
// (RFC 9111 §4.3.5).
func (x *exchange) freshenByHead(resp *http.Response, born store.Generation, requested, received time.Time) {
	h := resp.Header.Clone() // the client gets it without what is stored beside it
	field.AddVia(h, resp.ProtoMajor, resp.ProtoMinor, x.c.name)
	if name := differs(h, x.stored); name != "" {
		n := x.c.store.Remove(x.key)
		x.t.Addf("cache", "head", "%s changed: dropped %d responses", name, n)
		return
	}
	fresh := x.stored.Freshened(h, requested, received)
	fresh.SetBorn(born)
	fresh.Adjust(x.p.Keys, x.p.Defaults, nil)
	if why := x.c.update(x.stored, fresh, x.r.Header, &x.req); why != "" {
		x.t.Add("cache", "head", "not updated: "+why)
		return
	}
	x.t.Add("cache", "head", "updated the stored response")
}

// differs returns the field by which a response to HEAD with the fields head shows that stored isn't what GET would give now, or
// the empty string (RFC 9111 §4.3.5).
func differs(head http.Header, stored *store.Response) string {
	for _, name := range [...]string{"Etag", "Last-Modified"} {
		if head[name] != nil && head.Get(name) != stored.Header.Get(name) {
			return name
		}
	}
	size := stored.Body.Len()
	if stored.Parts != nil {
		size = stored.Parts.Size
	}
	if lines := head["Content-Length"]; lines != nil && !saysLength(lines, size) {
		return "Content-Length"
	}
	return ""
}

// staleBetter lists the statuses that stale-if-error is for (RFC 5861 §4).
func staleBetter(status int) bool {
	return status == 500 || status == 502 || status == 503 || status == 504
}

func (j *fill) staleAllowed(now time.Time) bool {
	if j.stored == nil {
		return false
	}
	purged := j.c.purges.Check(j.stored)
	ok, _ := onError(j.stored, &purged, &j.reqDirectives, &j.p, now)
	return ok
}

// conditionalFields lists the fields that make a request conditional or partial.
var conditionalFields = [...]string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range"}

// condition makes the request fields h ask whether stored is still current (RFC 9111 §4.3.1).
func condition(h http.Header, stored *store.Response) {
	if etag := stored.Header.Get("Etag"); etag != "" {
		h["If-None-Match"] = []string{etag}
	}
	if modified := stored.Header.Get("Last-Modified"); modified != "" {
		h["If-Modified-Since"] = []string{modified}
	}
}

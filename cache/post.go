package cache

import (
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
)

// keepPosted makes the response to a POST be stored on its way to the client, for later requests for GET, if it says that it is
// what a GET would give: explicit freshness, and Content-Location with the target's own URI (RFC 9110 §9.3.3).
func (x *exchange) keepPosted(resp *http.Response, born store.Generation, requested, received time.Time) {
	if x.r.Method != http.MethodPost || resp.StatusCode != http.StatusOK || x.p.Bypass != "" || !x.namesTarget(resp.Header) {
		return
	}
	if keys := x.p.Keys; keys.DropQuery || !keys.WholeQuery() || keys.Cookies != nil || resp.Header["Set-Cookie"] != nil {
		return // the request went out with more than a GET would, and that may have shaped the response
	}
	key := x.storedKeys(x.r.URL.EscapedPath(), x.r.URL.RawQuery)[0]
	r := store.NewResponse(key, x.r.Header, resp.StatusCode, resp.Header.Clone(), requested, received)
	r.SetBorn(born)
	r.Adjust(x.p.Keys, x.p.Defaults, x.r.Header)
	directives := field.RequestDirectives(x.r.Header)
	ok, why := storable(x.r.Header, &directives, r)
	if ok && !r.Fresh.Explicit {
		ok, why = false, "answer to POST without explicit freshness"
	}
	if ok && resp.ContentLength > x.c.store.BodyMax() {
		ok, why = false, "more bytes than a stored response may have"
	}
	if !ok {
		x.t.Add("cache", "store", "no: "+why)
		return
	}
	field.AddVia(r.Header, resp.ProtoMajor, resp.ProtoMinor, x.c.name)
	p := &posted{ReadCloser: resp.Body, c: x.c, r: r, size: resp.ContentLength, resp: resp, mark: newFlight(flightID{key: key}, func() {})}
	p.r.Body = x.c.store.NewBody(resp.ContentLength)
	if !x.c.watch(p.mark) {
		p.r.Body.Discard()
		return
	}
	resp.Body = p
	x.out.Stored, x.status.stored = true, true
	x.t.Add("cache", "store", "fresh for "+seconds(r.Fresh.Left(received))+" by "+r.Fresh.Basis)
}

// namesTarget says whether Content-Location is the URI that was asked for.
func (x *exchange) namesTarget(h http.Header) bool {
	lines, target := h["Content-Location"], x.target()
	if len(lines) != 1 {
		return false
	}
	ref, err := target.Parse(lines[0])
	return err == nil && sameOrigin(ref, target) && pathOrRoot(ref) == pathOrRoot(target) && ref.RawQuery == target.RawQuery
}

func pathOrRoot(u *url.URL) string {
	if path := u.EscapedPath(); path != "" {
		return path
	}
	return "/" // RFC 9110 §4.2.3
}

// posted is the body of a response to POST that is stored while the client reads it. It belongs to the goroutine of Serve.
type posted struct {
	io.ReadCloser
	c    *Cache
	r    *store.Response // with the body as far as it has come
	size int64           // that it shall have, -1 if unknown
	resp *http.Response
	mark *flight // that a purge dooms
	over bool    // stored, or given up
}

// Read implements io.Reader.
func (p *posted) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	if p.over {
		return n, err
	}
	if _, full := p.r.Body.Append(b[:n]); full != nil || err != nil && err != io.EOF {
		p.settle(false)
	} else if err == io.EOF {
		p.settle(p.size < 0 || p.size == p.r.Body.Len())
	}
	return n, err
}

// Close implements io.Closer. What hasn't been read to its end isn't stored.
func (p *posted) Close() error {
	if !p.over {
		p.settle(false)
	}
	return p.ReadCloser.Close()
}

// settle stores the response, or drops it. As in fill.pump, a purge either finds it in the store or keeps it out.
func (p *posted) settle(complete bool) {
	p.over = true
	p.mark.mu.Lock()
	if complete && !p.mark.doomed && p.c.purges.Current(p.r) {
		p.r.Trailer = p.resp.Trailer
		p.c.store.Insert(p.r.ForStore().Prepared())
		p.c.metrics.kept()
	} else {
		p.r.Body.Discard()
	}
	p.mark.mu.Unlock()
	p.c.unwatch(p.mark)
}

// watch lets purges doom f. It returns false if the cache is stopping.
func (c *Cache) watch(f *flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.running[f] = struct{}{}
	}
	return !c.closed
}

func (c *Cache) unwatch(f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, f)
}

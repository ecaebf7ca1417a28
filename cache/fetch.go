package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/trace"
)

// rejoinsMax is how often a request waits for another's fetch that then isn't for it (Vary), before it fetches alone.
const rejoinsMax = 3

// fetch joins a fetch that runs, or starts one and leads it.
func (x *exchange) fetch() step {
	c, now := x.c, x.c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return x.fail(errStopping())
	}
	id := flightID{key: x.key, authorized: x.r.Header["Authorization"] != nil}
	if !x.alone && c.solo.has(id, now) {
		x.alone, x.asSent = true, x.stored == nil
		x.t.Add("cache", "fetch", "alone: the last response for this key couldn't be shared")
	}
	stored := c.left(c.store.Peek(x.key)) // c.mu waits for no disk
	id.secondary = x.p.Keys.Secondary(x.r.Header)
	if len(stored) > 0 {
		id.secondary = stored[0].Varies.Secondary(x.r.Header)
	}
	if !x.alone {
		if x.join(&id, now) {
			x.t.Add("cache", "fetch", "wait for a fetch that runs")
			return stepAwait
		}
		if again := store.Select(stored, x.p.Keys, field.Header(x.r.Header)); again != x.stored && again != nil && x.rejoins < rejoinsMax {
			x.rejoins++ // it landed since we looked
			return stepLookup
		}
	}
	x.lead(id)
	return stepAwait
}

// join takes part in the fetch under id. Where that turns out to be for other request fields, it changes id to the one for ours
// and looks again. c.mu is held.
func (x *exchange) join(id *flightID, now time.Time) bool {
	for range rejoinsMax {
		f := x.c.flights[*id]
		if f == nil {
			return false
		}
		f.mu.Lock()
		landed := f.landed
		if landed && f.resp != nil && !x.p.Keys.Selects(&f.resp.Varies, field.Header(x.r.Header)) {
			f.mu.Unlock()
			secondary := f.resp.Varies.Secondary(x.r.Header)
			if secondary == id.secondary {
				return false
			}
			id.secondary = secondary
			continue
		}
		x.late = landed
		ok := !f.spilled && !f.doomed && !f.abandoned && (!landed || x.mayShare(f, now))
		if ok {
			f.waiting++
			x.flight = f
		}
		f.mu.Unlock()
		return ok
	}
	return false
}

// lead starts a fetch under id for this request. c.mu is held.
func (x *exchange) lead(id flightID) {
	x.interim = &interim{w: x.w, open: true}
	ctx := &fetchContext{t: x.t, interim: x.interim}
	f := newFlight(id, ctx.cancel)
	f.waiting = 1
	x.flight, x.leads = f, true
	if x.req.NoStore {
		x.alone, x.asSent = true, x.stored == nil // RFC 9111 §5.2.1.5: nobody can share it
	}
	x.startFill(ctx, f, x.interim.close)
}

// refresh validates the stored response behind the request's back, unless a fetch for it runs already.
func (x *exchange) refresh() {
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	id := flightID{
		key: x.key, authorized: x.r.Header["Authorization"] != nil, secondary: x.stored.Varies.Secondary(x.r.Header),
	}
	if x.c.closed || x.c.flights[id] != nil {
		return
	}
	ctx := new(fetchContext)
	f := newFlight(id, ctx.cancel)
	f.background, f.leaderGone = true, true
	x.t.Add("cache", "fetch", "in the background")
	x.startFill(ctx, f, func() {})
}

// startFill runs fill in a goroutine of its own, so that the fetch goes on when this request's client has left. c.mu is held.
func (x *exchange) startFill(ctx context.Context, f *flight, answered func()) {
	born, stored := x.c.purges.Now(), x.stored
	if x.c.gone(stored) { // since it was looked up: nothing of it may come back by a 304 to this request
		stored = nil
	}
	job := fill{
		c: x.c, f: f, p: *x.p, born: born, stored: stored, reqDirectives: x.req, asSent: x.asSent,
		req: x.fillRequest(ctx), fields: x.r.Header, answered: answered, t: x.t,
	}
	switch {
	case x.asSent:
		for _, name := range conditionalFields {
			if lines := x.r.Header[name]; lines != nil {
				job.req.Header[name] = lines
			}
		}
	case stored != nil:
		condition(job.req.Header, stored)
	case !x.whole:
		if want := x.partWanted(); want != "" {
			job.req.Header["Range"], job.part = []string{want}, true
		}
	}
	x.c.running[f] = struct{}{}
	if !x.alone {
		x.c.flights[f.id] = f
	}
	x.c.fills.Go(job.run)
}

// fillRequest is the client's request as it goes forward to fill the store: a GET for the whole, without conditions.
func (x *exchange) fillRequest(ctx context.Context) *http.Request {
	req := x.upstreamRequest(ctx)
	req.Body, req.ContentLength = nil, 0
	x.p.Keys.Reduce(req)
	req.Method = http.MethodGet // a HEAD may have found that the stored response wants a refresh; it has no content to store
	for _, name := range conditionalFields {
		delete(req.Header, name)
	}
	return req
}

// upstreamRequest is the client's request as it goes forward.
func (x *exchange) upstreamRequest(ctx context.Context) *http.Request {
	u := *x.r.URL
	u.Scheme, u.Host = x.p.Scheme, x.r.Host
	h := maps.Clone(x.r.Header)
	field.EndHop(h)
	field.AddVia(h, x.r.ProtoMajor, x.r.ProtoMinor, x.c.name)
	req := &http.Request{
		Method: x.r.Method, URL: &u, Host: x.r.Host, Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: x.r.Body, ContentLength: x.r.ContentLength, Trailer: x.r.Trailer,
	}
	if req.ContentLength == 0 {
		req.Body = nil // no content, which net/http can't tell from an unknown length otherwise
	}
	return req.WithContext(ctx)
}

// fill is one fetch from the upstream into a flight. It belongs to the goroutine of run.
type fill struct {
	c             *Cache
	f             *flight
	p             Policy
	born          store.Generation // when it was asked
	stored        *store.Response  // what is validated, or nil
	req           *http.Request
	fields        http.Header // of the client's request, for Vary; nobody changes it any more
	reqDirectives field.Directives
	asSent        bool
	part          bool   // a part is asked for, that the client wants
	answered      func() // called once no interim response can come any more
	t             *trace.Trace
}

func (j *fill) run() {
	defer j.end()
	j.c.metrics.fetching(1)
	defer j.c.metrics.fetching(-1)
	requested := j.c.now()
	resp, err := j.p.Upstream.RoundTrip(j.req)
	received := j.c.now()
	j.answered()
	j.f.fetchTime = received.Sub(requested)
	if err != nil {
		j.settle(j.blame(err), "failed")
		return
	}
	j.f.fetchStatus = resp.StatusCode
	field.EndHop(resp.Header)
	field.EnsureDate(resp.Header, received)
	switch {
	case resp.StatusCode == http.StatusNotModified && j.stored == nil && !j.asSent:
		resp.Body.Close()
		j.settle(errUnasked304(), "failed")
	case resp.StatusCode == http.StatusNotModified && j.stored != nil && !j.asSent:
		resp.Body.Close()
		j.revalidated(resp, requested, received)
	case staleBetter(resp.StatusCode) && j.staleAllowed(received):
		resp.Body.Close()
		j.settle(fault.New(fault.Origin, "fetch", resp.StatusCode, fmt.Errorf("the origin answered %d", resp.StatusCode)), "stale instead")
	default:
		j.receive(resp, requested, received)
	}
}

// blame returns err, or that this node ended the fetch itself.
func (j *fill) blame(err error) error {
	if j.c.ctx.Err() != nil {
		return errStopping()
	}
	return err
}

func errStopping() error {
	return fault.New(fault.Edge, "fetch", http.StatusServiceUnavailable, errors.New("stopping"))
}

// end takes the flight off the books.
func (j *fill) end() {
	j.f.cancel()
	j.c.mu.Lock()
	defer j.c.mu.Unlock()
	delete(j.c.running, j.f)
	if j.c.flights[j.f.id] == j.f {
		delete(j.c.flights, j.f.id)
	}
}

// receive takes a response: into the store if it may be, else it hands it to the leader alone.
func (j *fill) receive(resp *http.Response, requested, received time.Time) {
	f := j.f
	status, part, sure := resp.StatusCode, field.Range{Length: resp.ContentLength}, true
	f.size = resp.ContentLength
	if j.part && status == http.StatusPartialContent {
		if got, size, certain, ok := partOf(resp); ok {
			status, part, f.size, sure = http.StatusOK, got, size, certain
			if slices.Equal(j.req.Header["Range"], j.fields["Range"]) {
				f.asAsked = &selection{status: resp.StatusCode, ranges: []field.Range{part}, contentRange: resp.Header.Get("Content-Range")}
			}
			delete(resp.Header, "Content-Range")
			resp.Header["Content-Length"] = []string{strconv.FormatInt(size, 10)}
		}
	}
	r := store.NewResponse(f.id.key, j.fields, status, resp.Header, requested, received)
	r.SetBorn(j.born)
	r.Adjust(j.p.Keys, j.p.Defaults, j.fields)
	ok, why := storable(j.fields, &j.reqDirectives, r)
	if ok && j.asSent && answersCondition(status) {
		ok, why = false, "answer to the request's own conditions or range"
	}
	inParts := f.size > j.c.store.BodyMax() || part.Length != f.size
	if ok && inParts {
		r.Parts, why = j.partsFor(r, sure)
		ok = r.Parts != nil
	}
	if ok {
		field.AddVia(r.Header, resp.ProtoMajor, resp.ProtoMinor, j.c.name)
		f.resp, f.shared = r, j.place(r) && r.Shareable()
		f.why = "fresh for " + seconds(r.Fresh.Left(received)) + " by " + r.Fresh.Basis
		j.t.Add("cache", "store", f.why)
		if inParts {
			j.pumpParts(resp, part)
			return
		}
		f.body = j.c.store.NewBody(f.size)
		r.Trailer = announced(resp.Trailer)
		if here(resp) {
			// Who waits is woken once, and nothing is sent before all of it is known.
			f.complete = j.pump(resp)
			j.settle(nil, "storable")
			return
		}
		j.settle(nil, "storable")
		j.pump(resp)
		return
	}
	if status != resp.StatusCode {
		// It goes to nobody: the client asked for another part, and gets it by a request of its own.
		resp.Header["Content-Range"] = []string{part.ContentRange(f.size)}
	}
	j.t.Add("cache", "store", "no: "+why)
	if j.stored != nil && !j.reqDirectives.NoStore && resp.StatusCode < 500 {
		j.c.store.Remove(f.id.key) // the origin has just said that it isn't so any more
	}
	f.why = why
	body := resp.Body
	done := make(chan struct{})
	resp.Body = &handedOver{ReadCloser: body, done: done}
	f.handOver(resp)
	j.settle(nil, "not storable")
	<-done
}

// settle publishes the outcome and remembers whether the next requests should wait for each other.
func (j *fill) settle(err error, what string) {
	f, c := j.f, j.c
	f.err = err
	c.mu.Lock()
	// What only this request's fields have brought about says nothing about the next one; and an origin that fails needs the herd
	// held back more than ever.
	if err == nil && f.fetchStatus < 500 && !j.reqDirectives.NoStore && !((j.asSent || j.part) && answersCondition(f.fetchStatus)) {
		c.solo.set(flightID{key: f.id.key, authorized: f.id.authorized}, !f.shared, c.now())
	}
	if c.flights[f.id] == f && (f.resp == nil || f.complete) {
		delete(c.flights, f.id)
	}
	c.mu.Unlock()
	c.metrics.fetched(what)
	f.land()
}

// here says whether all of the content has come with the header section, so that to read it is not to wait.
func here(resp *http.Response) bool {
	if resp.Body == http.NoBody {
		return true
	}
	b, ok := resp.Body.(interface{ Buffered() int })
	return ok && resp.ContentLength >= 0 && resp.ContentLength <= int64(b.Buffered())
}

// pump reads the body into the flight, and stores the response when all of it is there. It says whether it did.
func (j *fill) pump(resp *http.Response) (stored bool) {
	f := j.f
	defer resp.Body.Close()
	err := j.copyBody(resp.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && f.size >= 0 && f.length != f.size {
		// Not every upstream looks after it, and what is short is never complete.
		err = fault.New(fault.Origin, "read body", http.StatusBadGateway, io.ErrUnexpectedEOF)
	}
	if err != nil {
		err = j.blame(err)
	}
	// A purge sets doomed before it looks into the store, so it either keeps this response out or finds it there. One by tag is seen here,
	// or when the response is looked up.
	f.doomed = f.doomed || !j.c.purges.Current(f.resp)
	switch {
	case err == nil && !f.spilled && !f.doomed:
		r := f.resp
		if f.landed { // others read it
			copied := *f.resp
			r = &copied
		}
		r.Body, r.Trailer = f.body, resp.Trailer
		j.c.store.Insert(r.ForStore().Prepared())
		j.c.metrics.kept()
		stored = true
	case f.body != nil:
		f.body.Discard()
	}
	f.done, f.bodyErr, f.trailer = true, err, resp.Trailer
	f.changed.Broadcast()
	return stored
}

var errNobodyReads = errors.New("all readers have left")

func (j *fill) copyBody(r io.Reader) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := r.Read(*buf)
		if n > 0 && !j.f.add((*buf)[:n]) {
			return errNobodyReads
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// handedOver is the body of a response that the leader streams itself. The fill waits for its Close, because the fetch's context
// ends with the fill.
type handedOver struct {
	io.ReadCloser
	once sync.Once
	done chan struct{}
}

func (h *handedOver) Close() error {
	err := h.ReadCloser.Close()
	h.once.Do(func() { close(h.done) })
	return err
}

// await waits for the header section of the flight and sees whether its response is for this request.
func (x *exchange) await() step {
	f := x.flight
	select {
	case <-f.header:
	case <-x.r.Context().Done():
		if x.leads {
			x.interim.close() // w is not ours any more after Serve
		}
		f.leave(x.leads)
		return x.fail(fault.New(fault.Client, "wait", fault.StatusClientClosedRequest, x.r.Context().Err()))
	}
	x.now = x.c.now()
	x.out.FetchStatus, x.out.FetchTime = f.fetchStatus, f.fetchTime
	x.status.fwdStatus = f.fetchStatus
	if x.leads {
		return x.awaitedOwn()
	}
	next := stepFetch
	switch {
	case f.err != nil:
		f.leave(false)
		x.status.collapsed = true
		return x.staleInstead(f.err)
	case f.resp == nil || !f.shared:
		x.t.Add("cache", "await", "not for us: the response can't be shared")
		x.alone = true
	case !x.p.Keys.Selects(&f.resp.Varies, field.Header(x.r.Header)):
		x.t.Add("cache", "await", "not for us: it varies")
		x.rejoins++
		x.alone = x.rejoins >= rejoinsMax
	case !x.c.purges.Current(f.resp):
		x.t.Add("cache", "await", "not for us: it was purged meanwhile")
		x.rejoins++
		x.alone, next = x.rejoins >= rejoinsMax, stepLookup
	case !x.mayShare(f, x.now):
		x.t.Add("cache", "await", "not for us: the request wants a younger response")
		x.alone = true
	default:
		x.status.collapsed = true
		x.out.Verdict = Collapsed
		x.out.Detail = "used the response to another request's fetch"
		x.resp = f.resp.ForStore() // RFC 9111 §5.2.2.7: what private="…" names is for the leader alone
		return stepDeliver
	}
	f.leave(false)
	x.flight = nil
	x.out.FetchStatus, x.out.FetchTime, x.status.fwdStatus = 0, 0, 0
	return next
}

// awaitedOwn goes on with the outcome of the fetch that this exchange leads.
func (x *exchange) awaitedOwn() step {
	f := x.flight
	switch {
	case f.err != nil:
		f.leave(true)
		return x.staleInstead(f.err)
	case f.revalidated:
		x.out.Verdict, x.out.Detail = Revalidated, x.decision.why+"; the origin said 304"
		x.resp = f.resp
		x.out.Stored = f.why == ""
	case f.resp != nil:
		x.out.Verdict, x.out.Detail = Miss, x.decision.why+"; stored, "+f.why
		x.resp = f.resp
		x.out.Stored, x.status.stored = true, true
	default:
		x.out.Verdict, x.out.Detail = Miss, x.decision.why+"; not stored: "+f.why
		x.direct = f.takeDirect()
		if x.r.Header["Range"] != nil && !x.asSent && (x.direct.StatusCode == http.StatusOK || x.direct.StatusCode == http.StatusPartialContent) {
			// The whole or a larger part was asked for to be stored, which it can't be: ask for what the client wants.
			x.direct.Body.Close()
			x.direct = nil
			f.leave(true)
			x.flight, x.leads, x.alone, x.asSent = nil, false, true, true
			x.stored = nil // the origin has just replaced it
			return stepFetch
		}
	}
	return stepDeliver
}

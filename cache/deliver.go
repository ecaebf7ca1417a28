package cache

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"

	"github.com/wherry/wherry/fault"
)

// deliver sends the response that the steps before have found.
func (x *exchange) deliver() step {
	if x.direct != nil {
		return x.deliverDirect()
	}
	f := x.flight
	switch {
	case x.resp.Parts != nil:
		if f != nil {
			defer f.leave(x.leads)
		}
		e := &partsEntity{x: x, head: x.resp}
		if f != nil {
			e.own = f.streams()
		}
		defer e.close()
		return x.deliverEntity(e, x.resp.Parts.Size)
	case f == nil || f.complete:
		if f != nil {
			defer f.leave(x.leads)
		}
		return x.deliverEntity((*storedEntity)(x), x.resp.Body.Len())
	}
	reader := f.open()
	defer f.leave(x.leads)
	defer f.close(reader)
	defer func() { x.out.Stored = x.out.Stored && !f.lost() }()
	return x.deliverEntity(&flightEntity{x: x, f: f, r: reader}, f.size)
}

// entity is a body to deliver: stored, stored in parts, or arriving.
type entity interface {
	// copyTo writes n bytes from off, or all (-1), to w. Several calls are for ascending parts.
	copyTo(w io.Writer, off, n int64) (int64, error)
	trailer() http.Header
}

// sink tells whether it was the client that failed.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.err = fault.New(fault.Client, "send body", fault.StatusClientClosedRequest, err)
	}
	return n, err
}

// fileSender is a client to whom the system can send a file.
type fileSender interface {
	// SendFile sends n bytes of f from off on. ok is false if it can't be done for this client; then nothing was sent.
	SendFile(f *os.File, off, n int64) (sent int64, ok bool, err error)
}

// sendFileMin is from how many bytes on it costs less to have the system send a file than to copy it.
const sendFileMin = 64 << 10

// writeBody writes n bytes of b from off on. A writer of several bodies in turn passes through here.
func (s *sink) writeBody(b store.Body, off, n int64) (int64, error) {
	if to, ok := s.w.(fileSender); ok && n >= sendFileMin {
		if in, ok := b.(store.FileBody); ok {
			if sent, ok := s.sendFile(to, in, off, n); ok {
				return sent, s.err
			}
		}
	}
	return b.WriteRange(s, off, n)
}

func (s *sink) sendFile(to fileSender, b store.FileBody, off, n int64) (sent int64, ok bool) {
	f, at, release, ok := b.File()
	if !ok {
		return 0, false
	}
	defer release()
	sent, ok, err := to.SendFile(f, at+off, n)
	if err != nil {
		s.err = fault.New(fault.Client, "send body", fault.StatusClientClosedRequest, err)
	}
	return sent, ok
}

// storedEntity is the content of an exchange's resp, which is stored in one piece.
type storedEntity exchange

func (e *storedEntity) copyTo(w io.Writer, off, n int64) (int64, error) {
	if n < 0 {
		n = e.resp.Body.Len() - off
	}
	e.sink = sink{w: w}
	written, err := e.sink.writeBody(e.resp.Body, off, n)
	switch {
	case e.sink.err != nil:
		err = e.sink.err
	case err != nil:
		err = fault.New(fault.Edge, "read the store", http.StatusInternalServerError, err)
	}
	return written, err
}

func (e *storedEntity) trailer() http.Header { return e.resp.Trailer }

type flightEntity struct {
	x *exchange
	f *flight
	r *flightReader
}

func (e *flightEntity) copyTo(w io.Writer, off, n int64) (int64, error) {
	end := int64(-1)
	if n >= 0 {
		end = off + n
	}
	e.f.seek(e.r, off)
	return e.f.copyTo(e.x.r.Context(), w, e.r, end, e.x.flush)
}

func (e *flightEntity) trailer() http.Header {
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	return e.f.trailer
}

// flush sends what is there before there is a wait. A client that has left shows on the next write.
func (x *exchange) flush() { _ = http.NewResponseController(x.w).Flush() }

// deliverEntity sends x.resp with a body of size bytes (-1: unknown), or what of it the client's conditions and range leave.
func (x *exchange) deliverEntity(body entity, size int64) step {
	resp, h := x.resp, x.w.Header()
	send := selection{status: resp.Status, whole: true}
	if send.status == http.StatusOK && !x.asSent {
		send = x.narrow(size)
		if f := x.flight; f != nil && x.leads && f.asAsked != nil && send.status != http.StatusNotModified && x.r.Header["If-Range"] == nil {
			send = *f.asAsked // whatever the origin makes of a range, it has just made of this one
		}
	}
	content := x.r.Method != http.MethodHead && field.HasContent(send.status) && (send.whole || len(send.ranges) > 0)
	if parts, ok := body.(*partsEntity); ok && content {
		if err := parts.prepare(send.of(size)); err != nil {
			return x.unprepared(err)
		}
	}
	for name, lines := range resp.Header {
		if x.p.ToCache || !field.ForCaches(name) {
			h[name] = lines
		}
	}
	keepUntyped(h)
	if x.out.Verdict != Miss || x.status.fwd == "partial" {
		h["Age"] = []string{strconv.FormatInt(int64(resp.Fresh.Age(x.now)/time.Second), 10)} // RFC 9111 §5.1
	}
	x.status.ttl, x.status.hasTTL = resp.Fresh.Left(x.now), true
	if resp == x.stored {
		x.status.ttl = left(resp, &x.purged, x.now)
	}
	x.sendStatus(h)
	send.describe(h, size)
	if trailers := len(resp.Trailer) > 0 && x.r.Method != http.MethodHead && send.whole && send.status == resp.Status; trailers {
		delete(h, "Content-Length") // HTTP/1.1 has trailers only behind chunks
		h["Trailer"] = slices.Sorted(maps.Keys(resp.Trailer))
	}
	x.out.Status = send.status
	x.w.WriteHeader(send.status)
	if content {
		x.out.BodyBytes, x.out.Err = send.copyTo(x.w, body)
		if h["Trailer"] != nil {
			x.sendTrailer(body.trailer())
		}
	}
	x.traceDelivery()
	return stepDone
}

// unprepared goes on where the content of a stored response can't be had after all; nothing has been sent.
func (x *exchange) unprepared(err error) step {
	x.t.Add("cache", "deliver", "not from the store: "+err.Error())
	if !errors.Is(err, errChanged) && !errors.Is(err, errHole) || x.rejoins >= rejoinsMax {
		return x.fail(err)
	}
	x.c.store.Remove(x.resp.Key)
	x.rejoins++
	x.flight, x.leads, x.stored, x.resp = nil, false, nil, nil
	x.whole = true // a part has just not led anywhere
	x.status = status{key: x.status.key, fwd: "partial"}
	x.out.Verdict, x.out.Detail = Miss, err.Error()
	return stepFetch
}

// announced returns the field names of trailer, which its message tells ahead, without the values that come with its end.
func announced(trailer http.Header) http.Header {
	if len(trailer) == 0 {
		return nil
	}
	names := make(http.Header, len(trailer))
	for name := range trailer {
		names[name] = nil
	}
	return names
}

// narrow evaluates the client's conditions and range on a 200 with a body of size bytes (RFC 9110 §13.2.2).
func (x *exchange) narrow(size int64) selection {
	whole := selection{status: http.StatusOK, whole: true}
	h := x.resp.Header
	if field.NotModified(field.Header(x.r.Header), h, x.resp.Received()) {
		return selection{status: http.StatusNotModified}
	}
	specs := field.ParseRange(x.r.Header)
	if x.r.Method != http.MethodGet || size < 0 {
		return whole
	}
	whole.ranged = x.r.Header["Range"] != nil
	if specs == nil || !field.RangeStillValid(x.r.Header, h, x.resp.Received()) {
		return whole
	}
	ranges, kind := field.Ranges(specs, size)
	switch kind {
	case field.RangeParts:
		return newSelection(ranges, size, h.Get("Content-Type"))
	case field.RangeUnsatisfiable:
		return selection{status: http.StatusRequestedRangeNotSatisfiable}
	}
	return whole
}

// deliverDirect streams a response from the upstream to this client alone.
func (x *exchange) deliverDirect() step {
	resp, h := x.direct, x.w.Header()
	defer resp.Body.Close()
	if x.flight != nil {
		defer x.flight.leave(x.leads)
		defer context.AfterFunc(x.r.Context(), x.flight.cancel)()
	}
	for name, lines := range resp.Header {
		if x.p.ToCache || !field.ForCaches(name) {
			h[name] = slices.Clip(lines)
		}
	}
	keepUntyped(h)
	field.AddVia(h, resp.ProtoMajor, resp.ProtoMinor, x.c.name)
	x.sendStatus(h)
	if len(resp.Trailer) > 0 {
		h["Trailer"] = slices.Sorted(maps.Keys(resp.Trailer))
	}
	x.out.Status = resp.StatusCode
	if resp.StatusCode == http.StatusOK && x.flight != nil && !x.asSent && field.NotModified(field.Header(x.r.Header), h, x.c.now()) {
		x.out.Status = http.StatusNotModified // the conditions were kept from the upstream, so they are ours to evaluate
		field.DropContent(h)
		delete(h, "Trailer")
	}
	x.w.WriteHeader(x.out.Status)
	if x.out.Status != http.StatusNotModified {
		x.out.BodyBytes, x.out.Err = x.stream(resp)
		x.sendTrailer(resp.Trailer)
	}
	x.traceDelivery()
	return stepDone
}

// headPatience is how long a header section waits for the beginning of a body without a length, to be sent with it.
const headPatience = 2 * time.Millisecond

// stream copies the body and flushes after each piece of one without a length: somebody may be waiting for it. So may somebody for the header section alone,
// of a body that begins late, such as one of server-sent events.
func (x *exchange) stream(resp *http.Response) (written int64, err error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	control := http.NewResponseController(x.w)
	begin := func() {}
	if resp.ContentLength < 0 {
		var headOnly sync.Once // nobody else uses x.w meanwhile
		timer := time.AfterFunc(headPatience, func() { headOnly.Do(x.flush) })
		begin = func() { timer.Stop(); headOnly.Do(func() {}) }
	}
	for {
		n, err := resp.Body.Read(*buf)
		begin()
		if n > 0 {
			m, werr := x.w.Write((*buf)[:n])
			written += int64(m)
			if werr == nil && resp.ContentLength < 0 {
				werr = control.Flush()
			}
			if werr != nil {
				return written, fault.New(fault.Client, "send body", fault.StatusClientClosedRequest, werr)
			}
		}
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}

// sendStatus adds this cache's member behind those of the caches that the response came through (RFC 9211 §2).
func (x *exchange) sendStatus(h http.Header) {
	x.out.CacheStatus = x.status.render(x.c.member)
	h["Cache-Status"] = append(slices.Clip(h["Cache-Status"]), x.out.CacheStatus)
}

func (x *exchange) sendTrailer(trailer http.Header) {
	for name, lines := range trailer {
		x.w.Header()[http.TrailerPrefix+name] = lines
	}
}

func (x *exchange) traceDelivery() {
	if !x.t.On() {
		return
	}
	x.t.Addf("cache", "deliver", "%s: status %d, %d body bytes", x.out.Verdict, x.out.Status, x.out.BodyBytes)
	if x.out.Err != nil {
		x.t.Add("cache", "deliver", "broken off: "+x.out.Err.Error())
	}
}

// saysLength says whether lines are one Content-Length of n.
func saysLength(lines []string, n int64) bool {
	if len(lines) != 1 {
		return false
	}
	said, err := strconv.ParseInt(lines[0], 10, 64)
	return err == nil && said == n
}

// keepUntyped keeps net/http from guessing a Content-Type that the origin didn't send: from a part it would guess another one, and
// a wrong guess can make a script of what was none.
func keepUntyped(h http.Header) {
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil
	}
}

package cache

import (
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/wherry/wherry/cache/field"

	"github.com/wherry/wherry/fault"
)

// deliver sends the response that the steps before have found.
func (x *exchange) deliver() step {
	if x.direct != nil {
		return x.deliverDirect()
	}
	f := x.flight
	if f == nil || f.complete {
		if f != nil {
			defer f.leave(x.leads)
		}
		return x.deliverEntity((*storedEntity)(x.resp), x.resp.Body.Len())
	}
	reader := f.open()
	defer f.leave(x.leads)
	defer f.close(reader)
	defer func() { x.out.Stored = x.out.Stored && !f.lost() }()
	return x.deliverEntity(&flightEntity{x: x, f: f, r: reader}, f.size)
}

// entity is a body to deliver, stored or arriving.
type entity interface {
	// copyTo writes n bytes from off, or all (-1), to w.
	copyTo(w io.Writer, off, n int64) (int64, error)
	trailer() http.Header
}

type storedEntity Response

func (s *storedEntity) copyTo(w io.Writer, off, n int64) (int64, error) {
	if n < 0 {
		n = s.Body.Len() - off
	}
	written, err := s.Body.WriteRange(w, off, n)
	if err != nil {
		err = fault.New(fault.Client, "send body", fault.StatusClientClosedRequest, err)
	}
	return written, err
}

func (s *storedEntity) trailer() http.Header { return s.Trailer }

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
	flush := func() { _ = http.NewResponseController(e.x.w).Flush() } // a client that has left shows on the next write
	return e.f.copyTo(e.x.r.Context(), w, e.r, end, flush)
}

func (e *flightEntity) trailer() http.Header {
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	return e.f.trailer
}

// deliverEntity sends x.resp with a body of size bytes (-1: unknown), or what of it the client's conditions and range leave.
func (x *exchange) deliverEntity(body entity, size int64) step {
	resp, h := x.resp, x.w.Header()
	for name, lines := range resp.Header {
		h[name] = lines
	}
	keepUntyped(h)
	if x.out.Verdict != Miss {
		h["Age"] = []string{strconv.FormatInt(int64(resp.fresh.age(x.now)/time.Second), 10)} // RFC 9111 §5.1
	}
	x.status.ttl, x.status.hasTTL = resp.fresh.left(x.now), true
	x.sendStatus(h)

	code, part := resp.Status, field.Range{Start: 0, Length: -1}
	if code == http.StatusOK && !x.asSent {
		code, part = x.narrow(h, size)
	}
	switch {
	case code == http.StatusNotModified:
		dropContentFields(h)
	case code == http.StatusRequestedRangeNotSatisfiable:
		unsatisfied := h["Content-Range"]
		dropContentFields(h)
		h["Content-Range"], h["Content-Length"] = unsatisfied, []string{"0"}
	case part.Length >= 0:
		h["Content-Length"] = []string{strconv.FormatInt(part.Length, 10)}
	case len(resp.Trailer) > 0 && x.r.Method != http.MethodHead:
		delete(h, "Content-Length") // HTTP/1.1 has trailers only behind chunks
		h["Trailer"] = slices.Sorted(maps.Keys(resp.Trailer))
	case size >= 0 && hasContent(code) && !saysLength(h["Content-Length"], size):
		h["Content-Length"] = []string{strconv.FormatInt(size, 10)}
	}
	x.out.Status = code
	x.w.WriteHeader(code)
	if x.r.Method != http.MethodHead && hasContent(code) && part.Length != 0 {
		x.out.BodyBytes, x.out.Err = body.copyTo(x.w, part.Start, part.Length)
		if h["Trailer"] != nil {
			x.sendTrailer(body.trailer())
		}
	}
	x.traceDelivery()
	return stepDone
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

// narrow evaluates the client's conditions and range on a 200 with fields h and a body of size bytes (RFC 9110 §13.2.2). It
// returns the status to send and the part of the body, of length -1 for all of it.
func (x *exchange) narrow(h http.Header, size int64) (int, field.Range) {
	whole := field.Range{Start: 0, Length: -1}
	if notModified(headerFields(x.r.Header), h, x.resp.fresh.at) {
		return http.StatusNotModified, whole
	}
	if x.r.Method != http.MethodGet || x.r.Header["Range"] == nil || size < 0 {
		return http.StatusOK, whole
	}
	h["Accept-Ranges"] = []string{"bytes"}
	if !rangeStillValid(x.r.Header, h, x.resp.fresh.at) {
		return http.StatusOK, whole
	}
	part, kind := field.ParseRange(x.r.Header, size)
	switch kind {
	case field.RangeOne:
		h["Content-Range"] = []string{part.ContentRange(size)}
		return http.StatusPartialContent, part
	case field.RangeUnsatisfiable:
		h["Content-Range"] = []string{"bytes */" + strconv.FormatInt(size, 10)}
		return http.StatusRequestedRangeNotSatisfiable, field.Range{}
	}
	return http.StatusOK, whole
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
		h[name] = slices.Clip(lines)
	}
	keepUntyped(h)
	AddVia(h, resp.ProtoMajor, resp.ProtoMinor, x.c.name)
	x.sendStatus(h)
	if len(resp.Trailer) > 0 {
		h["Trailer"] = slices.Sorted(maps.Keys(resp.Trailer))
	}
	x.out.Status = resp.StatusCode
	if resp.StatusCode == http.StatusOK && x.flight != nil && !x.asSent && notModified(headerFields(x.r.Header), h, x.c.now()) {
		x.out.Status = http.StatusNotModified // the conditions were kept from the upstream, so they are ours to evaluate
		dropContentFields(h)
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

// stream copies the body and flushes after each piece of one without a length: somebody may be waiting for it.
func (x *exchange) stream(resp *http.Response) (written int64, err error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	control := http.NewResponseController(x.w)
	for {
		n, err := resp.Body.Read(*buf)
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

// dropContentFields removes what describes a body that isn't sent (RFC 9110 §15.4.5).
func dropContentFields(h http.Header) {
	delete(h, "Content-Length")
	for _, name := range contentFields {
		delete(h, name)
	}
}

// hasContent says whether a response with this status has a body (RFC 9110 §6.4.1).
func hasContent(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

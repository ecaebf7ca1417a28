package cache

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/fault"
)

const (
	// resumesMax is how often a delivery goes on by another request when a part breaks off without having brought anything.
	resumesMax = 2
	// idleMax is how often a delivery may look for the next byte in vain, before it is clear that the upstream doesn't send it.
	idleMax = 8
)

// partWanted returns the Range to ask the upstream for where nothing is stored and the client wants a part, or the empty string. It is
// what the client wants first, grown to whole fragments: what of a small object then comes is most often all of it, and of a huge one
// no more than somebody asked for.
func (x *exchange) partWanted() string {
	specs := field.ParseRange(x.r.Header)
	if len(specs) == 0 || x.r.Method != http.MethodGet {
		return ""
	}
	want := specs[0]
	if want.First < 0 {
		return "bytes=-" + strconv.FormatInt(want.Suffix, 10) // where the fragment begins can't be known
	}
	grain := max(store.Grain(x.c.store), store.GrainMin)
	from := want.First - want.First%grain
	if want.Last < 0 || want.Last > 1<<62 {
		return "bytes=" + strconv.FormatInt(from, 10) + "-"
	}
	last := want.Last - want.Last%grain + grain - 1
	return "bytes=" + strconv.FormatInt(from, 10) + "-" + strconv.FormatInt(last, 10)
}

// partOf returns which part of how many bytes a 206 has; ok is false for several parts, and where that can't be told. sure is false
// where the message contradicts itself: a part that shall reach to the end, and is of another length by the framing. The framing counts,
// because it says where the content did end; but nothing is joined to such a part.
func partOf(resp *http.Response) (part field.Range, size int64, sure, ok bool) {
	part, size, ok = field.ParseContentRange(resp.Header)
	n := resp.ContentLength
	switch {
	case !ok || size < 0:
		return part, size, false, false
	case n < 0 || n == part.Length:
		return part, size, true, true
	case n == 0 || part.Start == 0 || part.End() != size:
		return part, size, false, false
	}
	return field.Range{Start: part.Start, Length: n}, part.Start + n, false, true
}

// partsFor returns the parts to store r in, or why it can't be stored in any. sure is what partOf says.
func (j *fill) partsFor(r *store.Response, sure bool) (p *store.Parts, why string) {
	size := j.f.size
	if size < 0 {
		return nil, "a part of something that has no length"
	}
	if p = store.NewParts(j.c.store, r, size); p == nil {
		return nil, "more bytes than a stored response may have: " + strconv.FormatInt(size, 10)
	}
	p.Joinable = p.Joinable && sure
	if !p.Joinable && size > j.c.store.BodyMax() {
		// What is missing, or evicted, could never be fetched by itself.
		return nil, strconv.FormatInt(size, 10) + " bytes, more than a stored response may have, and no strong validator to store it in parts by"
	}
	return p, ""
}

// pumpParts stores the head of a response in parts, and lets the body fill its fragments.
func (j *fill) pumpParts(resp *http.Response, part field.Range) {
	c, f := j.c, j.f
	defer resp.Body.Close()
	f.resp.Body = c.store.NewBody(0)
	f.complete = true
	s := newStream(c, f.resp, part.Start, part.End(), f.cancel)
	s.begin(part.Start, part.End(), part.Start == 0 && part.Length == f.size)
	c.streams.add(s)
	f.mu.Lock()
	f.stream = s
	if f.waiting == 0 {
		s.users = 0 // they have left
	}
	if !f.doomed && c.purges.Current(f.resp) {
		c.store.Insert(f.resp.ForStore())
		c.metrics.kept()
	}
	f.mu.Unlock()
	j.settle(nil, "storable")
	err := s.pump(j.req.Context(), resp.Body)
	if err != nil {
		err = j.blame(err)
	}
	s.finish(err)
}

// partsEntity is the content of a response that is stored in parts, for one exchange.
type partsEntity struct {
	x    *exchange
	head *store.Response
	s    *stream // that it is a user of, or nil
	own  int64   // up to here streams that it was a user of have brought, or will have
}

// prepare makes sure that ranges can be had, or says why not; only then is the header section sent. The first byte is there, or a stream
// has begun to bring it; what can't be fetched has to be there whole.
func (e *partsEntity) prepare(ranges []field.Range) error {
	if !e.head.Parts.Joinable && !e.covers(ranges) {
		return errHole
	}
	off, end := ranges[0].Start, ranges[0].End()
	if off >= end || store.Fragment(e.x.c.store, e.head, off, off < e.own) != nil {
		return nil
	}
	if err := e.reach(off, end); err != nil || e.s == nil {
		return err
	}
	return e.s.await(e.x.r.Context())
}

// covers says whether all of ranges is stored, or under way.
func (e *partsEntity) covers(ranges []field.Range) bool {
	for _, r := range ranges {
		for off := r.Start; off < r.End(); {
			if there := store.Fragment(e.x.c.store, e.head, off, true); there != nil {
				off = there.Start + there.Body.Len()
				continue
			}
			s := e.x.c.streams.attach(e.head.Parts, off)
			if s == nil {
				return false
			}
			off = s.limit()
			s.release()
		}
	}
	return true
}

// reach finds or opens a stream that brings the byte at off, unless it is there by now.
func (e *partsEntity) reach(off, end int64) error {
	e.close()
	if e.s = e.x.c.streams.attach(e.head.Parts, off); e.s != nil {
		return nil
	}
	if store.Fragment(e.x.c.store, e.head, off, true) != nil {
		return nil // a stream has just ended with it
	}
	s, err := e.x.openStream(e.head, off, end)
	if err != nil {
		return err
	}
	e.s = s
	e.x.fetchedPart(off)
	return nil
}

func (e *partsEntity) close() {
	if e.s != nil {
		e.own = max(e.own, e.s.reaches())
		e.s.release()
		e.s = nil
	}
}

// copyTo implements entity. A stream that breaks off is replaced by another one from where it ended, a few times.
func (e *partsEntity) copyTo(w io.Writer, off, n int64) (written int64, err error) {
	if n < 0 {
		n = e.head.Parts.Size - off
	}
	client := &sink{w: w}
	for failures, idle := 0, 0; written < n; idle++ {
		m, err := e.copySome(client, off+written, off+n)
		written += m
		if m > 0 {
			failures, idle = 0, 0
		}
		if idle == idleMax && err == nil {
			err = fault.New(fault.Origin, "fetch", http.StatusBadGateway, fmt.Errorf("the origin doesn't send byte %d", off+written))
			failures = resumesMax
		}
		switch {
		case client.err != nil:
			return written, client.err
		case e.x.r.Context().Err() != nil:
			return written, fault.New(fault.Client, "send body", fault.StatusClientClosedRequest, e.x.r.Context().Err())
		case errors.Is(err, errChanged):
			e.x.c.store.Remove(e.head.Key)
			return written, fault.New(fault.Origin, "fetch", http.StatusBadGateway, err)
		case err != nil:
			e.close()
			if failures++; failures > resumesMax || !e.head.Parts.Joinable {
				return written, err
			}
			e.x.t.Add("cache", "deliver", "a part broke off: "+err.Error())
		}
	}
	return written, nil
}

// copySome writes what is at hand of the bytes from off to end, or finds out where they come from.
func (e *partsEntity) copySome(w *sink, off, end int64) (n int64, err error) {
	if e.s != nil {
		n, err = e.s.copySome(e.x.r.Context(), w, off, end, e.x.flush)
		if n > 0 || err != nil {
			return n, err
		}
	}
	if r := store.Fragment(e.x.c.store, e.head, off, e.s != nil || off < e.own); r != nil {
		return w.writeBody(r.Body, off-r.Start, min(end, r.Start+r.Body.Len())-off)
	}
	return 0, e.reach(off, end)
}

func (e *partsEntity) trailer() http.Header { return nil }

// fetchedPart notes that a part of the response comes from the upstream after all.
func (x *exchange) fetchedPart(off int64) {
	x.t.Addf("cache", "fetch", "the part from byte %d on isn't stored", off)
	if x.out.Verdict == Hit || x.out.Verdict == Stale {
		x.out.Verdict, x.out.Detail = Miss, x.out.Detail+"; a part of it was fetched"
		x.status.hit, x.status.fwd = false, "partial" // RFC 9211 §2.2
	}
}

package edge

import (
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge/hop"
	"github.com/wherry/wherry/edge/plain"
	"github.com/wherry/wherry/edge/policy"
	"github.com/wherry/wherry/edge/stall"
	"github.com/wherry/wherry/edge/tally"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/logs"
	"github.com/wherry/wherry/socket"
)

const (
	// joinBytes is how much of a response is copied into one piece: up to there that costs less than telling the system about
	// several, and over TLS it is one record (RFC 8446 §5.1).
	joinBytes = 16 << 10
	// keepBytes is how large a buffer may be that waits for the next passage.
	keepBytes = 2 * writeChunkBytes
)

// passage is one request that goes through the lane, with what is needed to answer it. It is pooled: a connection that waits has
// none.
type passage struct {
	head   head
	began  time.Time
	routes *routes
	site   *site
	rule   *config.Rule
	policy cache.Policy
	key    []byte
	answer cache.Answer
	sent   int64     // bytes of content; below zero as long as some of the header section isn't
	first  time.Time // when the first part was sent
	ended  time.Time // when the latest write ended

	out        []byte // the header section, and as much of the content as is joined to it
	id, status [2]int // where in out the request's id and the member of Cache-Status are
	pieces     [][]byte
	parts      [][]byte    // out, and the pieces that aren't joined to it
	cork       []byte      // records of TLS that go out together
	sealed     [1][]byte   // cork
	vector     net.Buffers // parts or sealed, as the system call eats them up
	body       bodyWriter
	at         int64 // what of a file comes next
	line       logs.Record
}

// answerAll answers the requests at the beginning of p, one after the other, and returns how many bytes they were and when the
// last answer was written. If whole is false, the client got a part of a response: the connection is good for nothing more.
func (c *laneConn) answerAll(p []byte) (used int, at time.Time, whole bool) {
	e := c.lane.edge
	if len(p) == 0 || e.hits == nil || c.base.over {
		return 0, at, true
	}
	x := e.passages.Get().(*passage)
	defer e.passages.Put(x)
	for used < len(p) {
		if !x.head.Parse(p[used:]) || !e.hit(c, x, e.now()) {
			x.forget()
			return used, at, true
		}
		used += x.head.Size
		err := c.send(x)
		at = x.ended
		e.recordHit(c, x, err)
		x.forget()
		if err != nil {
			return used, at, false
		}
	}
	return used, at, true
}

// forget drops what isn't the pool's to keep.
func (x *passage) forget() {
	clear(x.pieces[:cap(x.pieces)])
	clear(x.parts[:cap(x.parts)])
	if cap(x.out) > keepBytes {
		x.out = nil
	}
	if cap(x.cork) > keepBytes {
		x.cork = nil
	}
	x.head.forget()
	x.routes, x.site, x.rule, x.policy, x.answer, x.vector, x.line = nil, nil, nil, cache.Policy{}, cache.Answer{}, nil, logs.Record{}
	x.first, x.body = time.Time{}, bodyWriter{}
}

// hit finds the answer as the steps receive, admit, route, forward and serve would. It says no where one of them would do anything
// else than have the cache send what is stored; then nothing has happened.
//
// Whoever changes one of these steps looks here too; FuzzLane compares them.
func (e *Edge) hit(c *laneConn, x *passage, at time.Time) bool {
	h := &x.head
	x.began, x.routes = at, e.routes.Load()
	s := x.routes.snapshot
	// admit: with the id, and with the space after a colon that headerBytes counts and a client may leave out.
	const idLine = len(RequestIDField) + len(": \r\n") + hop.IDBytes
	if limit := s.Limits.HeaderSize; limit > 0 && h.Size+h.Count+idLine > int(limit) || policy.MayBeHealth(h.Path) {
		return false
	}
	host, ok := policy.ParseHost(h.Host)
	if !ok {
		return false
	}
	// route
	found, _ := s.Site(host)
	if found == nil {
		return false
	}
	if c.sni != "" && c.sni != host {
		if other, _ := s.Site(c.sni); other != found {
			return false
		}
	}
	host = s.StandsFor(found, host)
	x.site, x.rule = x.routes.sites[found], found.Rule(h.Method, h.Path)
	t := x.site.treatments[x.rule]
	if x.rule != nil && x.rule.Refuse != 0 || t.Bypass != "" || t.Strict && e.behind.Load() {
		return false
	}
	// serve
	if t.Upstream == nil || t.Before != nil {
		return false
	}
	to := policy.Target{Method: h.Method, Scheme: c.scheme(), Host: host, Path: h.Path, Query: h.Query}
	x.policy = t.Policy(&to)
	x.key = store.AppendKey(x.key[:0], &t.Keys, to.Scheme, string(host), h.Path, h.Query)
	x.answer, ok = e.hits.LookupHit(store.Key(plain.View(x.key)), h, &x.policy, x.began)
	if ok && e.ahead.Waiting() {
		e.ahead.Used(string(x.key))
	}
	// HTTP/2 takes content from memory only.
	return ok && !h.altered && !x.answer.Has(RequestIDField) && !x.answer.Has("Alt-Svc") && (x.answer.InMemory() || !c.moved())
}

func (c *laneConn) scheme() string {
	if c.base.secure {
		return "https"
	}
	return "http"
}

// send writes the answer.
func (c *laneConn) send(x *passage) error {
	e := c.lane.edge
	out := x.answer.AppendHeader(x.out[:0])
	out = append(out, "Cache-Status: "...)
	x.status[0] = len(out)
	out = x.answer.AppendCacheStatus(out)
	x.status[1] = len(out)
	if c.base.secure && e.altSvc != nil {
		out = append(append(out, "\r\nAlt-Svc: "...), e.altSvc[0]...)
	}
	out = append(out, "\r\n"+RequestIDField+": "...)
	x.id[0] = len(out)
	out = e.ids.AppendNext(out)
	x.id[1] = len(out)
	x.out = append(out, "\r\n\r\n"...)
	x.sent, x.ended, x.pieces = -int64(len(x.out)), x.began, x.pieces[:0]
	left := int64(len(x.out))
	if x.head.Method == http.MethodGet {
		left += x.answer.Size
	}
	if left > joinBytes {
		x.first = e.now() // or it would be told from the end
	}
	var err error
	switch {
	case left == int64(len(x.out)):
		err = c.sendPieces(x)
	case x.answer.InMemory():
		x.pieces = x.answer.AppendBody(x.pieces)
		err = c.sendPieces(x)
	default:
		err = c.sendStored(x)
	}
	x.sent = max(0, x.sent)
	if x.first.IsZero() {
		x.first = x.ended
	}
	return err
}

// sendPieces writes the header section and x.pieces, and as much in one piece as is worth it.
func (c *laneConn) sendPieces(x *passage) error {
	pieces, left := x.pieces, len(x.out)
	for _, piece := range pieces {
		left += len(piece)
	}
	if left <= joinBytes || c.base.secure {
		for len(pieces) > 0 && len(x.out) < joinBytes {
			n := min(len(pieces[0]), joinBytes-len(x.out))
			x.out = append(x.out, pieces[0][:n]...)
			if pieces[0] = pieces[0][n:]; len(pieces[0]) == 0 {
				pieces = pieces[1:]
			}
		}
	}
	x.parts = append(append(x.parts[:0], x.out), pieces...)
	return c.write(x)
}

// sendStored writes the header section and a body that isn't in memory.
func (c *laneConn) sendStored(x *passage) error {
	if to, ok := c.base.direct.(socket.System); ok && !c.base.secure {
		if f, at, release, ok := x.answer.File(); ok {
			defer release()
			return c.sendFile(x, to, f, at)
		}
	}
	x.body = bodyWriter{c, x}
	_, err := x.answer.WriteBody(&x.body)
	return err
}

// bodyWriter takes a body that isn't in memory. The header section goes out with the first piece.
type bodyWriter struct {
	c *laneConn
	x *passage
}

func (w *bodyWriter) Write(p []byte) (int, error) {
	x, sent := w.x, w.x.sent
	if sent >= 0 {
		x.parts = append(x.parts[:0], p)
		err := w.c.write(x)
		return int(x.sent - sent), err
	}
	x.pieces = append(x.pieces[:0], p)
	err := w.c.sendPieces(x)
	return int(max(0, x.sent)), err
}

// sendFile writes the header section, and lets the system send the body from f, where it begins at at.
func (c *laneConn) sendFile(x *passage, to socket.System, f *os.File, at int64) error {
	x.at = at
	for written := 0; written < len(x.out); {
		c.renew(x)
		n, err := to.Hold(x.out[written:])
		written += n
		if err := c.took(x, int64(n), err); err != nil {
			return err
		}
	}
	for end := at + x.answer.Size; x.at < end; {
		c.renew(x)
		at = x.at
		err := to.SendFile(f, &x.at, end)
		if err := c.took(x, x.at-at, err); err != nil {
			return err
		}
	}
	return nil
}

// write writes x.parts.
func (c *laneConn) write(x *passage) error {
	if !c.base.secure {
		return c.flush(x, x.parts)
	}
	for _, part := range x.parts {
		for len(part) > 0 {
			n := min(len(part), writeChunkBytes)
			// The records of a chunk go out in one piece, where crypto/tls would write each by itself.
			c.base.corked, c.base.cork = true, x.cork[:0]
			_, err := c.Conn.Write(part[:n])
			x.cork, c.base.corked, c.base.cork = c.base.cork, false, nil
			sent := x.sent
			if err == nil {
				err = c.flush(x, append(x.sealed[:0], x.cork))
			}
			if err != nil {
				x.sent = sent
				return err
			}
			x.sent, part = sent+int64(n), part[n:]
		}
	}
	return nil
}

// flush writes parts to the system, with as few calls as it can.
func (c *laneConn) flush(x *passage, parts [][]byte) error {
	for x.vector = parts; len(x.vector) > 0; {
		c.renew(x)
		n, err := c.writeSome(&x.vector)
		if err := c.took(x, int64(n), err); err != nil {
			return err
		}
	}
	return nil
}

// writeSome writes parts, or one of them, and takes off them what it has written.
func (c *laneConn) writeSome(parts *net.Buffers) (int, error) {
	if to, ok := c.base.direct.(socket.System); ok && len(*parts) > 1 {
		return to.Writev(parts)
	}
	n, err := c.base.direct.Write((*parts)[0])
	if (*parts)[0] = (*parts)[0][n:]; len((*parts)[0]) == 0 {
		*parts = (*parts)[1:]
	}
	return n, err
}

// renew puts the write deadline off, unless it was put off a moment ago.
func (c *laneConn) renew(x *passage) {
	most := x.routes.snapshot.Limits.WriteTimeout
	if x.ended.Sub(c.renewed) >= stall.Renewal(most) {
		c.renewed = x.ended
		_ = c.base.Conn.SetWriteDeadline(time.Now().Add(most + stall.Renewal(most)))
	}
}

// took takes note of a write of n bytes that ended with err. It returns no error as long as the client takes writeChunkBytes within
// the deadline: as in response, the limit is one of stalling.
func (c *laneConn) took(x *passage, n int64, err error) error {
	x.sent, x.ended = x.sent+n, c.lane.edge.now()
	if err == nil || n < writeChunkBytes || !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	c.renewed = time.Time{} // it took its time, but it takes
	return nil
}

// recordHit does what the step record does. The answer was sent in full unless err says why not.
func (e *Edge) recordHit(c *laneConn, x *passage, err error) {
	took := x.ended.Sub(x.began)
	x.answer.Count()
	e.count(x.site.metrics, c.major(), cache.Hit, x.answer.Status, x.sent, took)
	x.site.counts.Add(tally.Answer{Failed: x.answer.Status >= 500, Rejected: x.answer.Status/100 == 4, Hit: true, FirstByte: x.first.Sub(x.began)})
	if e.access == nil {
		return
	}
	h, l := &x.head, &x.line
	l.Time, l.Node, l.Site, l.RequestID, l.Client = x.began, string(e.node), string(x.site.Name), plain.View(x.out[x.id[0]:x.id[1]]), c.base.client
	if x.rule != nil {
		l.Rule = x.rule.Name
	}
	l.Method, l.Scheme, l.Host, l.Path, l.Query, l.Protocol, l.TLS = h.Method, c.scheme(), h.Host, h.Path, h.Query, c.protocol(), c.version
	l.Status, l.ResponseBodyBytes, l.Duration, l.FirstByte = x.answer.Status, x.sent, took, x.first.Sub(x.began)
	l.Cache, l.CacheDetail, l.CacheStatus = string(cache.Hit), x.answer.Detail(), plain.View(x.out[x.status[0]:x.status[1]])
	l.UserAgent, l.Referer = h.UserAgent, h.Referer
	if err != nil {
		l.Fault, l.FaultOp, l.Error, l.Aborted = string(fault.Client), "send body", err.Error(), true
	}
	e.access.Write(l)
}

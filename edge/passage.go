package edge

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/logs"
)

const (
	// joinBytes is how much of a response is copied into one piece: up to there that costs less than telling the system about
	// several, and over TLS it is one record (RFC 8446 §5.1).
	joinBytes = 16 << 10
	// keepBytes is how large a buffer may be that waits for the next passage.
	keepBytes = 64 << 10
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
	sent   int64     // bytes of content
	first  time.Time // when the first part was sent
	ended  time.Time // and the last one

	out        []byte // the header section, and as much of the content as is joined to it
	detail     []byte
	id, status [2]int // where in out the request's id and the member of Cache-Status are
	pieces     [][]byte
	parts      [][]byte    // what one write takes
	vector     net.Buffers // parts, as the system call eats them up
	line       logs.Record
}

// answerAll answers the requests at the beginning of p, one after the other, and returns how many bytes they were and when the
// last one was read. If whole is false, the client got a part of a response: the connection is good for nothing more.
func (c *laneConn) answerAll(p []byte) (used int, at time.Time, whole bool) {
	e := c.lane.edge
	if len(p) == 0 || e.hits == nil || c.base.over {
		return 0, at, true
	}
	x := e.passages.Get().(*passage)
	defer e.passages.Put(x)
	for used < len(p) {
		if !x.head.parse(p[used:]) || !e.hit(c, x) {
			x.forget()
			return used, at, true
		}
		used, at = used+x.head.size, x.began
		err := c.send(x)
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
	x.head.forget()
	x.routes, x.site, x.rule, x.policy, x.answer, x.vector, x.line = nil, nil, nil, cache.Policy{}, cache.Answer{}, nil, logs.Record{}
	x.first = time.Time{}
}

// hit finds the answer as the steps receive, admit, route, forward and serve would. It says no where one of them would do anything
// else than have the cache send what is stored; then nothing has happened.
//
// Whoever changes one of these steps looks here too; FuzzLane compares them.
func (e *Edge) hit(c *laneConn, x *passage) bool {
	h := &x.head
	x.began, x.routes = e.now(), e.routes.Load()
	s := x.routes.snapshot
	// admit: with the id, and with the space after a colon that headerBytes counts and a client may leave out.
	const idLine = len(RequestIDField) + len(": \r\n") + requestIDBytes
	if limit := s.Limits.HeaderSize; limit > 0 && h.size+h.count+idLine > int(limit) || mayBeHealth(h.path) {
		return false
	}
	host, ok := parseHost(h.host)
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
	x.site, x.rule = x.routes.sites[found], found.Rule(h.method, h.path)
	t := x.site.treatments[x.rule]
	if x.rule != nil && x.rule.Refuse != 0 || t.bypass != "" {
		return false
	}
	// serve
	if e.upstream(found.Name) == nil {
		return false
	}
	to := target{method: h.method, scheme: c.scheme(), host: host, path: h.path, query: h.query}
	x.policy = t.policy(&to)
	x.key = cache.AppendKey(x.key[:0], &t.keys, to.scheme, string(host), h.path, h.query)
	x.answer, ok = e.hits.LookupHit(cache.Key(view(x.key)), h, &x.policy, x.began)
	return ok && !h.altered && !x.answer.Has(RequestIDField)
}

// mayBeHealth says whether path may be HealthPath when it is decoded.
func mayBeHealth(path string) bool {
	return path == HealthPath || len(path) > len(HealthPath) && len(path)-2*strings.Count(path, "%") == len(HealthPath)
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
	out = append(out, "\r\n"+RequestIDField+": "...)
	x.id[0] = len(out)
	out = e.ids.appendNext(out)
	x.id[1] = len(out)
	out = append(out, "\r\n\r\n"...)
	x.sent = -int64(len(out))
	x.pieces = x.pieces[:0]
	left := int64(len(out))
	if x.head.method == http.MethodGet {
		x.pieces = x.answer.AppendBody(x.pieces)
		left += x.answer.Size
	}
	pieces := x.pieces
	if left <= joinBytes || c.base.secure {
		for len(pieces) > 0 && len(out) < joinBytes {
			n := min(len(pieces[0]), joinBytes-len(out))
			out = append(out, pieces[0][:n]...)
			if pieces[0] = pieces[0][n:]; len(pieces[0]) == 0 {
				pieces = pieces[1:]
			}
		}
	}
	x.out = out
	stall, now, rest := x.routes.snapshot.Limits.WriteTimeout, x.began, out
	for {
		x.parts, rest, pieces = chunk(x.parts[:0], rest, pieces)
		if now.Sub(c.renewed) >= renewal(stall) {
			c.renewed = now
			_ = c.Conn.SetWriteDeadline(time.Now().Add(stall + renewal(stall)))
		}
		n, err := c.write(x)
		x.sent, left = x.sent+n, left-n
		now = e.now()
		if x.first.IsZero() {
			x.first = now
		}
		if err != nil || left == 0 {
			x.sent, x.ended = max(0, x.sent), now
			return err
		}
	}
}

// chunk moves as much of rest and pieces into parts as a client has to take within limits.write_timeout.
func chunk(parts [][]byte, rest []byte, pieces [][]byte) (full [][]byte, restLeft []byte, left [][]byte) {
	room := writeChunkBytes
	for {
		if len(rest) == 0 {
			if len(pieces) == 0 {
				return parts, nil, nil
			}
			rest, pieces = pieces[0], pieces[1:]
		}
		n := min(len(rest), room)
		if n == 0 {
			return parts, rest, pieces
		}
		parts = append(parts, rest[:n])
		rest, room = rest[n:], room-n
	}
}

// write writes x.parts, in one system call where the connection knows such a thing.
func (c *laneConn) write(x *passage) (written int64, err error) {
	if len(x.parts) == 1 || c.base.secure {
		for _, part := range x.parts {
			n, err := c.Conn.Write(part)
			written += int64(n)
			if err != nil {
				return written, err
			}
		}
		return written, nil
	}
	x.vector = x.parts
	return x.vector.WriteTo(c.base.Conn)
}

// recordHit does what the step record does. The answer was sent in full unless err says why not.
func (e *Edge) recordHit(c *laneConn, x *passage, err error) {
	took := x.ended.Sub(x.began)
	x.answer.Count()
	e.count(x.site.metrics, cache.Hit, x.answer.Status, x.sent, took)
	if e.access == nil {
		return
	}
	h, l := &x.head, &x.line
	x.detail = x.answer.AppendDetail(x.detail[:0])
	l.Time, l.Node, l.Site, l.RequestID, l.Client = x.began, string(e.node), string(x.site.Name), view(x.out[x.id[0]:x.id[1]]), c.base.client
	if x.rule != nil {
		l.Rule = x.rule.Name
	}
	l.Method, l.Scheme, l.Host, l.Path, l.Query, l.Protocol, l.TLS = h.method, c.scheme(), h.host, h.path, h.query, "HTTP/1.1", c.version
	l.Status, l.ResponseBodyBytes, l.Duration, l.FirstByte = x.answer.Status, x.sent, took, x.first.Sub(x.began)
	l.Cache, l.CacheDetail, l.CacheStatus = string(cache.Hit), view(x.detail), view(x.out[x.status[0]:x.status[1]])
	l.UserAgent, l.Referer = h.userAgent, h.referer
	if err != nil {
		l.Fault, l.FaultOp, l.Error, l.Aborted = string(fault.Client), "send body", err.Error(), true
	}
	e.access.Write(l)
}
